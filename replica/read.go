package replica

import (
	"context"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// answer runs one read: local reads this node's copy, and reports whether the
// answer may be given; op is the same for the leader, whose answer decode reads.
func answer[T any](r *reading, op *command.Read, local func() (T, bool, error), decode func([]byte) (T, error)) (T, error) {
	var none T
	for {
		for r.next() {
			res, sound, err := timed(r.s, local)
			if err != nil {
				if r.s.damaged(err) {
					r.permitted = false // the leader has another copy
					continue
				}
				return none, err
			}
			if sound {
				return res, nil
			}
		}
		if r.err != nil {
			return none, r.err
		}
		body, ok := r.ask(op)
		if !ok {
			continue
		}
		if r.err != nil {
			return none, r.err
		}
		res, err := decode(body)
		if err == nil {
			return res, nil
		}
		r.misread(err)
	}
}

// timed runs local, which may never return if the disk hangs. The log then gives up
// the lead and the lease of this node, so that reads that come later are asked of
// the leader and do not get here.
func timed[T any](s *Store, local func() (T, bool, error)) (T, bool, error) {
	defer s.log.EndRead(s.log.BeginRead())
	return local()
}

// GetAttr implements vfs.FS.
func (s *Store) GetAttr(ctx context.Context, ref vfs.Ref) (vfs.AttrResult, error) {
	return s.getAttr(ctx, true, ref)
}

func (s *Store) getAttr(ctx context.Context, relay bool, ref vfs.Ref) (vfs.AttrResult, error) {
	if _, err := s.Volume(); err != nil {
		return vfs.AttrResult{}, err
	}
	r := s.begin(ctx, relay, inodeKey(ref.Ino))
	defer r.end()
	op := command.Read{Kind: command.ReadGetAttr, Ref: ref}
	return answer(&r, &op, func() (vfs.AttrResult, bool, error) {
		res, err := s.state.GetAttr(ref)
		return res, r.sound(res.Kind), err
	}, command.DecodeGetAttr)
}

// Lookup implements vfs.FS.
func (s *Store) Lookup(ctx context.Context, cred vfs.Cred, dir vfs.Ref, name string) (vfs.LookupResult, error) {
	return s.lookup(ctx, true, cred, dir, name)
}

// lookup depends on the directory, the name, and the inode that it finds. The
// directory's ".." is a part of its inode.
func (s *Store) lookup(ctx context.Context, relay bool, cred vfs.Cred, dir vfs.Ref, name string) (vfs.LookupResult, error) {
	if _, err := s.Volume(); err != nil {
		return vfs.LookupResult{}, err
	}
	r := s.begin(ctx, relay, inodeKey(dir.Ino), nameKey(dir.Ino, name))
	defer r.end()
	op := command.Read{Kind: command.ReadLookup, Cred: cred, Ref: dir, Name: name}
	return answer(&r, &op, func() (vfs.LookupResult, bool, error) {
		res, err := s.state.Lookup(cred, dir, name)
		if err != nil || res.Kind != vfs.OK {
			return res, r.sound(res.Kind), err
		}
		return res, r.sound(vfs.OK, inodeKey(res.Attr.Ino)), nil
	}, command.DecodeLookup)
}

// Readlink implements vfs.FS.
func (s *Store) Readlink(ctx context.Context, cred vfs.Cred, ref vfs.Ref) (vfs.ReadlinkResult, error) {
	return s.readlink(ctx, true, cred, ref)
}

func (s *Store) readlink(ctx context.Context, relay bool, cred vfs.Cred, ref vfs.Ref) (vfs.ReadlinkResult, error) {
	if _, err := s.Volume(); err != nil {
		return vfs.ReadlinkResult{}, err
	}
	r := s.begin(ctx, relay, inodeKey(ref.Ino))
	defer r.end()
	op := command.Read{Kind: command.ReadReadlink, Cred: cred, Ref: ref}
	return answer(&r, &op, func() (vfs.ReadlinkResult, bool, error) {
		res, err := s.state.Readlink(cred, ref)
		return res, r.sound(res.Kind), err
	}, command.DecodeReadlink)
}

// Read implements vfs.FS.
func (s *Store) Read(ctx context.Context, cred vfs.Cred, ref vfs.Ref, off uint64, buf []byte) (vfs.ReadResult, error) {
	return s.read(ctx, true, cred, ref, off, buf)
}

func (s *Store) read(ctx context.Context, relay bool, cred vfs.Cred, ref vfs.Ref, off uint64, buf []byte) (vfs.ReadResult, error) {
	if _, err := s.Volume(); err != nil {
		return vfs.ReadResult{}, err
	}
	r := s.begin(ctx, relay, inodeKey(ref.Ino))
	defer r.end()
	// Another node is asked for as much as one answer holds: a read may be short.
	far := buf[:min(len(buf), vfs.MaxIO)]
	op := command.Read{Kind: command.ReadRead, Cred: cred, Ref: ref, Offset: off, Count: uint32(len(far))}
	return answer(&r, &op, func() (vfs.ReadResult, bool, error) {
		res, err := s.state.Read(cred, ref, off, buf)
		return res, r.sound(res.Kind), err
	}, func(b []byte) (vfs.ReadResult, error) { return command.DecodeData(b, far) })
}

// ReadDir implements vfs.FS.
func (s *Store) ReadDir(ctx context.Context, cred vfs.Cred, dir vfs.Ref, after vfs.Cookie, plus bool, max int) (vfs.ReadDirResult, error) {
	return s.readDir(ctx, true, cred, dir, after, plus, max)
}

// readDir depends on the directory alone, since each change of its entries changes
// the directory too. With attributes it depends on every inode that it lists: it
// waits for all of the log, which is no longer than one entry takes, rather than
// for the inodes that it turns out to need, which may be others each time.
func (s *Store) readDir(ctx context.Context, relay bool, cred vfs.Cred, dir vfs.Ref, after vfs.Cookie, plus bool, limit int) (vfs.ReadDirResult, error) {
	if _, err := s.Volume(); err != nil {
		return vfs.ReadDirResult{}, err
	}
	limit = min(max(limit, 0), state.MaxDirents)
	r := s.begin(ctx, relay, inodeKey(dir.Ino))
	r.all = plus
	defer r.end()
	op := command.Read{Kind: command.ReadReadDir, Cred: cred, Ref: dir, Offset: uint64(after), Count: uint32(limit), Plus: plus}
	return answer(&r, &op, func() (vfs.ReadDirResult, bool, error) {
		res, err := s.state.ReadDir(cred, dir, after, plus, limit)
		return res, r.sound(res.Kind), err
	}, func(b []byte) (vfs.ReadDirResult, error) { return command.DecodeReadDir(b, limit) })
}

// StatFS implements vfs.FS.
func (s *Store) StatFS(ctx context.Context, ref vfs.Ref) (vfs.StatFSResult, error) {
	return s.statFS(ctx, true, ref)
}

// statFS depends on everything.
func (s *Store) statFS(ctx context.Context, relay bool, ref vfs.Ref) (vfs.StatFSResult, error) {
	if _, err := s.Volume(); err != nil {
		return vfs.StatFSResult{}, err
	}
	r := s.begin(ctx, relay)
	r.all = true
	defer r.end()
	op := command.Read{Kind: command.ReadStatFS, Ref: ref}
	res, err := answer(&r, &op, func() (vfs.StatFSResult, bool, error) {
		res, err := s.state.StatFS(ref)
		return res, r.sound(res.Kind), err
	}, command.DecodeStatFS)
	if err != nil || res.Kind != vfs.OK {
		return res, err
	}
	if room := s.disk.room(time.Now()); room != unknownSpace {
		stored := res.TotalBytes - res.FreeBytes
		res.FreeBytes, res.TotalBytes = room, stored+room
	}
	return res, nil
}

// current returns when this node's copy shows every change that was answered
// anywhere before the call. It is for what is read from the state as a whole, and
// cannot be asked of the leader: a node that is far behind waits.
func (s *Store) current(ctx context.Context) error {
	if _, err := s.Volume(); err != nil {
		return err
	}
	if s.quarantined() {
		return vfs.ErrNoQuorum // this node's copy shows nothing of late
	}
	r := s.begin(ctx, true)
	r.all = true
	defer r.end()
	for !r.next() {
		if r.err != nil {
			return r.err
		}
		body, ok := r.ask(&command.Read{Kind: command.ReadIndex})
		if !ok {
			continue
		}
		if r.err != nil {
			return r.err
		}
		index, err := command.DecodeIndex(body)
		if err != nil {
			r.misread(err)
			continue
		}
		r.limit, r.permitted = raftlog.Index(index), true
	}
	return nil
}
