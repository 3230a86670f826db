package state

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/command"
	"twofold/replica/duplicate"
	"twofold/replica/vfs"
)

// call is one command while it is applied.
type call struct {
	*txn
	cred    vfs.Cred
	now     vfs.Time
	seed    uint64
	noSpace bool // the proposer's verdict: nothing that needs space
	noWrite bool // and no WRITE at all
}

// Apply applies the commands of one log entry as one atomic step and returns a
// result for each. An entry at or below the applied index is skipped: nil, nil.
// An error is a matter of integrity; the state is then as before the entry, and
// every later call gets the same error.
func (s *State) Apply(index, term uint64, cmds []command.Command) ([]vfs.Result, error) {
	if skip, err := s.mayApply(index); skip || err != nil {
		return nil, err
	}
	t := s.txn
	t.begin(term)
	results := make([]vfs.Result, len(cmds))
	for i := range cmds {
		results[i] = t.apply(&cmds[i])
	}
	if err := t.commit(index, term); err != nil {
		s.broken = fmt.Errorf("state.Apply: entry %d: %w", index, asCorrupt(err))
		return nil, s.broken
	}
	return results, nil
}

// Advance moves the applied index over an entry without commands.
func (s *State) Advance(index, term uint64) error {
	if skip, err := s.mayApply(index); skip || err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return vfs.ErrShutdown
	}
	b := s.db.NewBatch()
	defer b.Close() // A batch of one small record has nothing to lose.
	v := appendApplied(nil, index, term, s.mu.total, s.mu.buckets[superBucket])
	if err := b.Set(localKey(nil, localApplied), v, nil); err != nil {
		return err
	}
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		s.broken = fmt.Errorf("state.Advance: entry %d: %w", index, asCorrupt(err))
		return s.broken
	}
	s.mu.applied, s.mu.term = index, term
	return nil
}

// mayApply is asked by the apply goroutine, which alone changes the index.
func (s *State) mayApply(index uint64) (skip bool, err error) {
	if s.broken != nil {
		return false, s.broken
	}
	applied, _ := s.Applied()
	return index <= applied, nil
}

// apply runs one command. Time moves on with each, whatever its verdict.
func (t *txn) apply(cmd *command.Command) vfs.Result {
	t.pass(cmd.Time)
	c := &call{
		txn: t, cred: cmd.Cred, now: t.super.lastTime, seed: cmd.Seed,
		noSpace: cmd.Flags&command.FlagNoSpace != 0,
		noWrite: cmd.Flags&command.FlagNoWrite != 0,
	}
	switch op := cmd.Op.(type) {
	case *command.Nop, *command.Integrity:
		return vfs.Result{}
	case *command.Format:
		return c.format(cmd.Volume, op)
	}
	switch {
	case !t.super.formatted():
		return vfs.Result{Kind: vfs.Stale}
	case cmd.Volume != t.super.ID:
		return vfs.Result{Kind: vfs.BadHandle}
	}
	if cmd.ID.IsZero() {
		return c.change(cmd.Op)
	}
	if res, ok := t.answer(cmd.ID); ok {
		return res
	}
	res := c.change(cmd.Op)
	t.remember(cmd.ID, res)
	return res
}

func (c *call) change(op any) vfs.Result {
	switch op := op.(type) {
	case *vfs.OpSetAttr:
		return c.onNode(op.Ref, func(n *node, _ *vfs.Result) vfs.Kind { return c.setAttr(n, op) })
	case *vfs.OpWrite:
		return c.onNode(op.Ref, func(n *node, r *vfs.Result) vfs.Kind { return c.write(n, op, r) })
	case *vfs.OpCreate:
		return c.onDir(op.Dir, func(d *node, r *vfs.Result) vfs.Kind { return c.create(d, op, r) })
	case *vfs.OpMkdir:
		return c.onDir(op.Dir, func(d *node, r *vfs.Result) vfs.Kind { return c.mkdir(d, op, r) })
	case *vfs.OpSymlink:
		return c.onDir(op.Dir, func(d *node, r *vfs.Result) vfs.Kind { return c.symlink(d, op, r) })
	case *vfs.OpMknod:
		return c.onDir(op.Dir, func(d *node, r *vfs.Result) vfs.Kind { return c.mknod(d, op, r) })
	case *vfs.OpRemove:
		return c.onDir(op.Dir, func(d *node, _ *vfs.Result) vfs.Kind { return c.remove(d, op.Name, false) })
	case *vfs.OpRmdir:
		return c.onDir(op.Dir, func(d *node, _ *vfs.Result) vfs.Kind { return c.remove(d, op.Name, true) })
	case *vfs.OpRename:
		return c.rename(op)
	case *vfs.OpLink:
		return c.link(op)
	case *command.SetLimits:
		return c.setLimits(op)
	default:
		r, ok := c.changeTable(op)
		if !ok {
			c.fail(fmt.Errorf("%w: op %T", command.ErrUnknown, op))
		}
		return r
	}
}

// format makes the volume and its root directory, once.
func (c *call) format(volume uint32, f *command.Format) vfs.Result {
	switch {
	case c.super.formatted():
		return vfs.Result{Kind: vfs.Exist}
	case !validBlockSize(f.BlockSize):
		return vfs.Result{Kind: vfs.Invalid}
	}
	c.super.Volume = vfs.Volume{ID: volume, UUID: f.UUID, HandleKey: f.HandleKey, BlockSize: f.BlockSize}
	c.super.nextIno = vfs.RootIno
	c.super.answerLimit = duplicate.DefaultBytes
	root := c.newNode(vfs.RootIno, vfs.TypeDir, f.RootMode&vfs.ModeMask)
	// The root's generation is zero, so that its handle is known before any
	// other: vfs.Ref{Ino: vfs.RootIno}.
	i := root.edit()
	i.Gen, i.UID, i.GID = 0, f.RootUID, f.RootGID
	return vfs.Result{HasAttr: true, Attr: root.attr()}
}

// find resolves a handle.
func (c *call) find(ref vfs.Ref) *node {
	n := c.node(ref.Ino)
	if n == nil || n.Gen != ref.Gen {
		return nil
	}
	return n
}

// findDir resolves a directory's handle. The node is there for NotDir too.
func (c *call) findDir(ref vfs.Ref) (*node, vfs.Kind) {
	n := c.find(ref)
	switch {
	case n == nil:
		return nil, vfs.Stale
	case !n.isDir():
		return n, vfs.NotDir
	default:
		return n, vfs.OK
	}
}

// onNode runs f on an inode. The attributes before and after go into the
// result whatever the verdict.
func (c *call) onNode(ref vfs.Ref, f func(*node, *vfs.Result) vfs.Kind) vfs.Result {
	n := c.find(ref)
	if n == nil {
		return vfs.Result{Kind: vfs.Stale}
	}
	r := vfs.Result{WCC: [2]vfs.WCC{beginWCC(n)}}
	r.Kind = f(n, &r)
	endWCC(&r.WCC[0], n)
	r.HasAttr, r.Attr = true, r.WCC[0].After
	return r
}

// onDir is onNode for the directory of a name. The attributes of the object
// itself are put into the result by f.
func (c *call) onDir(ref vfs.Ref, f func(*node, *vfs.Result) vfs.Kind) vfs.Result {
	d, kind := c.findDir(ref)
	if d == nil {
		return vfs.Result{Kind: kind}
	}
	r := vfs.Result{Kind: kind, WCC: [2]vfs.WCC{beginWCC(d)}}
	if kind == vfs.OK {
		r.Kind = f(d, &r)
	}
	endWCC(&r.WCC[0], d)
	return r
}

func beginWCC(n *node) vfs.WCC { return vfs.WCC{HasBefore: true, Before: n.wcc()} }

func endWCC(w *vfs.WCC, n *node) { w.HasAfter, w.After = true, n.attr() }
