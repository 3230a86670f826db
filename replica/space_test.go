package replica_test

import (
	"context"
	"fmt"
	"testing"

	"twofold/replica"
	"twofold/replica/vfs"
)

// awaitFree waits until a node answers FSSTAT with that many free bytes.
func (p *pair) awaitFree(name string, want uint64) {
	p.t.Helper()
	p.await(name, func(ctx context.Context, s *replica.Store) error {
		r, err := s.StatFS(ctx, rootRef(s))
		if err == nil && r.FreeBytes != want {
			err = fmt.Errorf("%d bytes are free, want %d", r.FreeBytes, want)
		}
		return err
	})
}

// One data node's disk is full: both nodes say so alike, refuse what needs
// space and go on with what does not, and both take data again when it has room.
func TestSpace_TheFullerNodeCounts(t *testing.T) {
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			p := newPair(t)
			full := p.leader()
			if who == "follower" {
				full = other(full)
			}
			f := create(t, p.stores["a"], "f")
			mustMutate(t, p.stores["a"], &vfs.OpWrite{Ref: f, Data: make([]byte, 1000)})
			for i := range 4 {
				create(t, p.stores["a"], fmt.Sprint("old", i))
			}
			mustMutate(t, p.stores["a"], &vfs.OpMkdir{Dir: vfs.RootRef(), Name: "dira"})
			mustMutate(t, p.stores["a"], &vfs.OpMkdir{Dir: vfs.RootRef(), Name: "dirb"})

			p.free[full].Store(reserve + 5000)
			p.awaitFree("a", 5000)
			p.awaitFree("b", 5000)
			p.free[full].Store(reserve)
			p.awaitFree("a", 0)
			p.awaitFree("b", 0)
			for i, name := range []string{"a", "b"} {
				checkFull(t, p.stores[name], name, f, i)
			}
			p.free[full].Store(roomy)
			p.awaitFree("a", roomy-reserve)
			p.awaitFree("b", roomy-reserve)
			for _, name := range []string{"a", "b"} {
				create(t, p.stores[name], "new"+name)
			}
			p.sameDigest()
		})
	}
}

func checkFull(t *testing.T, s *replica.Store, name string, f vfs.Ref, i int) {
	t.Helper()
	root := vfs.RootRef()
	for _, op := range []vfs.Op{
		&vfs.OpCreate{Dir: root, Name: "x"}, &vfs.OpMkdir{Dir: root, Name: "x"},
		&vfs.OpSymlink{Dir: root, Name: "x", Target: "y"}, &vfs.OpMknod{Dir: root, Name: "x", Type: vfs.TypeFifo},
		&vfs.OpLink{Ref: f, Dir: root, Name: "x"}, &vfs.OpWrite{Ref: f, Offset: 999, Data: []byte("more")},
		&vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: 2000}},
	} {
		if r, err := s.Mutate(t.Context(), &vfs.Call{}, op); err != nil || r.Kind != vfs.NoSpace {
			t.Errorf("at %s %T: %v, %v", name, op, r.Kind, err)
		}
	}
	for _, op := range []vfs.Op{
		&vfs.OpWrite{Ref: f, Data: make([]byte, 900)},
		&vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: uint64(990 - i)}},
		&vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o600}},
		&vfs.OpRename{FromDir: root, FromName: fmt.Sprint("old", i), ToDir: root, ToName: fmt.Sprint("renamed", i)},
		&vfs.OpRemove{Dir: root, Name: fmt.Sprint("old", i+2)},
		&vfs.OpRmdir{Dir: root, Name: "dir" + name},
	} {
		mustMutate(t, s, op)
	}
	if err := s.AddMount(t.Context(), vfs.Mount{Host: name, Path: "/"}); err != nil {
		t.Errorf("the list of mounts at %s: %v", name, err)
	}
}
