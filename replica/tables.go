package replica

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

var _ vfs.MountList = (*Store)(nil)

// Exports returns the export table as this node has applied it, and a channel
// that is closed at its next change. The table is shared: it must not be
// changed. Version is 0 before the table was ever set.
func (s *Store) Exports() (vfs.ExportTable, <-chan struct{}) {
	if f, changed := s.face.now(); f != nil {
		return f.Exports, changed
	}
	return s.state.Exports()
}

// ReadExports returns the export table as it is now: it waits until this node's
// copy shows every change that was answered anywhere before.
//
// After a SetExports whose outcome is not known a table of the same version says
// that the change has not happened so far, not that it never will. To settle it,
// propose it again with the same base: at most one of the two can take effect,
// and what the other gets is NotSync.
func (s *Store) ReadExports(ctx context.Context) (vfs.ExportTable, error) {
	if err := s.currentTables(ctx); err != nil {
		return vfs.ExportTable{}, err
	}
	t, _ := s.Exports()
	return t, nil
}

// SetExports proposes a table in the place of version base. A zero Root asks
// that the path is looked up; another one must be that of the entry of the same
// path in the table in force. The verdicts are OK; NotSync if the table has moved
// on; and on the entry number Result.Count: NotExist and NotDir of its path,
// Exist if an earlier entry has the same directory, Invalid for a path that is
// not absolute and clean, is too long or is there twice, for a Root that is not in the
// table, and for too many entries or bytes.
//
// An error says that nothing was proposed (vfs.NeverProposed) or that the outcome
// is not known: see ReadExports.
func (s *Store) SetExports(ctx context.Context, base uint64, exports []vfs.Export, source string) (vfs.Result, error) {
	size := 0
	for i, e := range exports {
		// What is over these limits cannot be encoded.
		if size += len(e.Path) + len(e.Clients); i >= vfs.MaxExports || size > vfs.MaxExportBytes {
			return vfs.Result{Kind: vfs.Invalid, Count: uint32(i)}, nil
		}
	}
	return s.change(ctx, &command.SetExports{Base: base, By: s.cfg.Self.Name, Source: source, Exports: exports})
}

// change proposes a change of the tables, as nobody's call.
func (s *Store) change(ctx context.Context, op any) (vfs.Result, error) {
	if _, err := s.Volume(); err != nil {
		return vfs.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WaitLimit)
	defer cancel()
	return s.mutate(ctx, &vfs.Call{}, op)
}

// must is change for what only a malformed argument can make fail.
func (s *Store) must(ctx context.Context, op any) error {
	r, err := s.change(ctx, op)
	if err == nil && r.Kind != vfs.OK {
		err = errors.New(r.Kind.String())
	}
	if err != nil {
		return fmt.Errorf("replica: %T: %w", op, err)
	}
	return nil
}

// AddMount implements vfs.MountList.
func (s *Store) AddMount(ctx context.Context, m vfs.Mount) error {
	return s.changeMounts(ctx, command.MountAdd, m)
}

// RemoveMount implements vfs.MountList.
func (s *Store) RemoveMount(ctx context.Context, m vfs.Mount) error {
	return s.changeMounts(ctx, command.MountRemove, m)
}

// RemoveMounts implements vfs.MountList.
func (s *Store) RemoveMounts(ctx context.Context, host string) error {
	return s.changeMounts(ctx, command.MountRemoveAll, vfs.Mount{Host: host})
}

// changeMounts makes no log entry if the list, as it is now, stays as it is: a
// client that mounts in a loop costs reads, and no
// room in the log.
//
// A node whose copy is out of use knows no list and always makes an entry.
func (s *Store) changeMounts(ctx context.Context, action command.MountAction, m vfs.Mount) error {
	if s.quarantined() {
		return s.must(ctx, &command.MountChange{Action: action, Mount: m})
	}
	if err := s.current(ctx); err != nil {
		return fmt.Errorf("replica: list of mounts: %w", err)
	}
	listed, host := s.state.Mounted(m)
	switch {
	case action == command.MountAdd && listed:
		return nil
	case action == command.MountRemove && !listed && m.Path != "":
		return nil
	case action == command.MountRemoveAll && !host && m.Host != "":
		return nil
	}
	return s.must(ctx, &command.MountChange{Action: action, Mount: m})
}

// Mounts implements vfs.MountList. It waits as ReadExports does.
func (s *Store) Mounts(ctx context.Context) ([]vfs.Mount, error) {
	if err := s.current(ctx); err != nil {
		return nil, err
	}
	return s.state.Mounts()
}

// Members returns the members' records as this node has applied them, by name,
// and a channel that is closed at their next change. The records are shared:
// they must not be changed.
func (s *Store) Members() ([]vfs.Member, <-chan struct{}) {
	if f, changed := s.face.now(); f != nil {
		return f.Members, changed
	}
	return s.state.Members()
}

// PublishMember makes m known as the record of the member of that name, and
// returns when this node has applied it. It makes no log entry if it has applied
// the same record already. Addresses beyond vfs.MaxAddrs are left out.
func (s *Store) PublishMember(ctx context.Context, m vfs.Member) error {
	m.Addrs = plainAddrs(m.Addrs)
	all, _ := s.Members()
	for _, old := range all {
		if old.Name == m.Name && old.ID == m.ID && slices.Equal(old.Addrs, m.Addrs) {
			return nil
		}
	}
	if err := s.must(ctx, &command.SetMember{Member: m}); err != nil {
		return err
	}
	return s.currentTables(ctx)
}

// currentTables is current for the tables of the volume's face.
func (s *Store) currentTables(ctx context.Context) error {
	if !s.quarantined() {
		return s.current(ctx)
	}
	if err := s.borrowFace(ctx); err != nil {
		return fmt.Errorf("%w: %w", vfs.ErrNoQuorum, err)
	}
	return nil
}

// DropMember takes out the record of who is no member any more, and returns when it
// is gone here or another node has its name.
func (s *Store) DropMember(ctx context.Context, m vfs.Member) error {
	if err := s.must(ctx, &command.DropMember{Name: m.Name, ID: m.ID}); err != nil {
		return err
	}
	return s.current(ctx)
}

// plainAddrs brings addresses into the one form and order that a record has.
func plainAddrs(addrs []netip.Addr) []netip.Addr {
	plain := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if a.IsValid() {
			plain = append(plain, plainAddr(a))
		}
	}
	slices.SortFunc(plain, netip.Addr.Compare)
	plain = slices.Compact(plain)
	return plain[:min(len(plain), vfs.MaxAddrs)]
}

// plainAddr folds an IPv4-mapped address and drops the zone, which means
// something on one host only.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
