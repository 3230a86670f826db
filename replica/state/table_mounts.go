package state

import (
	"cmp"
	"container/list"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// Field tags of a record in the list of mounts. Its key ends with the time at
// which it was added, by the log's clock: no two commands have the same, and
// keys in order are the order of adding.
const (
	tagMountHost byte = 1
	tagMountPath byte = 2
)

// mountEntry is one entry of the list of mounts.
type mountEntry struct {
	vfs.Mount
	added vfs.Time
}

// mountWrite is a record to write or to delete.
type mountWrite struct {
	mountEntry
	gone bool
}

// mountIndex is the list of mounts as the apply goroutine has changed it. It runs ahead of the store while an entry is being applied; if
// the entry then fails, nothing is ever applied again.
type mountIndex struct {
	mu    sync.Mutex // held by the apply goroutine while it changes the index
	order *list.List // of mountEntry, the oldest first
	hosts map[string]map[string]*list.Element
}

func newMountIndex() *mountIndex {
	return &mountIndex{order: list.New(), hosts: make(map[string]map[string]*list.Element)}
}

// find returns the place of m, or nil.
func (x *mountIndex) find(m vfs.Mount) *list.Element { return x.hosts[m.Host][m.Path] }

func (x *mountIndex) add(e mountEntry) {
	paths := x.hosts[e.Host]
	if paths == nil {
		paths = make(map[string]*list.Element)
		x.hosts[e.Host] = paths
	}
	paths[e.Path] = x.order.PushBack(e)
}

func (x *mountIndex) remove(at *list.Element) mountEntry {
	e := x.order.Remove(at).(mountEntry)
	paths := x.hosts[e.Host]
	delete(paths, e.Path)
	if len(paths) == 0 {
		delete(x.hosts, e.Host)
	}
	return e
}

// of returns the places of a host's entries, the oldest first.
func (x *mountIndex) of(host string) []*list.Element {
	all := make([]*list.Element, 0, len(x.hosts[host]))
	for _, at := range x.hosts[host] {
		all = append(all, at)
	}
	// The order of a map must not show in what is written.
	slices.SortFunc(all, func(a, b *list.Element) int {
		return cmp.Compare(a.Value.(mountEntry).added, b.Value.(mountEntry).added)
	})
	return all
}

// changeMounts adds to the list of mounts or takes from it.
func (c *call) changeMounts(op *command.MountChange) vfs.Kind {
	m := op.Mount
	badPath := op.Action != command.MountRemoveAll && m.Path == "" || len(m.Path) > vfs.MaxPath
	if badPath || m.Host == "" || len(m.Host) > vfs.MaxHost {
		return vfs.Invalid
	}
	x := c.s.mounts
	x.mu.Lock()
	defer x.mu.Unlock()
	at := x.find(m)
	switch op.Action {
	case command.MountAdd:
		if at != nil {
			return vfs.OK
		}
		for x.order.Len() >= vfs.MaxMounts {
			c.removeMount(x.order.Front())
		}
		e := mountEntry{Mount: m, added: c.now}
		x.add(e)
		c.tables.mountWrites = append(c.tables.mountWrites, mountWrite{mountEntry: e})
	case command.MountRemove:
		if at != nil {
			c.removeMount(at)
		}
	case command.MountRemoveAll:
		for _, at := range x.of(m.Host) {
			c.removeMount(at)
		}
	}
	return vfs.OK
}

func (c *call) removeMount(at *list.Element) {
	e := c.s.mounts.remove(at)
	c.tables.mountWrites = append(c.tables.mountWrites, mountWrite{mountEntry: e, gone: true})
}

func (t *txn) fillMounts(b *pebble.Batch) error {
	for i := range t.tables.mountWrites {
		w := &t.tables.mountWrites[i]
		t.keyBuf = mountKey(t.keyBuf[:0], t.super.ID, w.added)
		var err error
		if w.gone {
			err = t.delete(b, t.keyBuf)
		} else {
			t.valueBuf = appendField(t.valueBuf[:0], tagMountHost, []byte(w.Host))
			t.valueBuf = appendField(t.valueBuf, tagMountPath, []byte(w.Path))
			err = t.set(b, t.keyBuf, t.valueBuf)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func decodeMount(key, b []byte) (mountEntry, error) {
	var e mountEntry
	_, err := fields(key, b, func(tag byte, v []byte) (bool, error) {
		switch tag {
		case tagMountHost:
			e.Host = string(v)
		case tagMountPath:
			e.Path = string(v)
		default:
			return false, nil
		}
		return true, nil
	})
	if err == nil && (len(key) != mountKeyLen || e.Host == "" || e.Path == "") {
		err = corrupt(key, "mount of %q by %q", e.Path, e.Host)
	}
	if err != nil {
		return e, err
	}
	e.added = vfs.Time(be.Uint64(key[prefixLen:]))
	return e, nil
}

// Mounted reports whether a mount is in the list, and any of its host.
func (s *State) Mounted(m vfs.Mount) (listed, host bool) {
	x := s.mounts
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.find(m) != nil, len(x.hosts[m.Host]) > 0
}

// Mounts returns the list of mounts, the oldest entry first.
func (s *State) Mounts() ([]vfs.Mount, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.done()
	var all []vfs.Mount
	err = v.scan(tableMount, func(key, value []byte) error {
		e, err := decodeMount(key, value)
		all = append(all, e.Mount)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("state.Mounts: %w", err)
	}
	return all, nil
}
