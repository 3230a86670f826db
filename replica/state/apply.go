package state

import (
	"fmt"

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

// Entry is one log entry. One without commands moves the applied index on.
type Entry struct {
	Index, Term uint64
	Commands    []command.Command
	Results     []vfs.Result // one for each command, once the entry is applied
}

// Apply applies the commands of one log entry as one atomic step and returns a
// result for each. See ApplyAll.
func (s *State) Apply(index, term uint64, cmds []command.Command) ([]vfs.Result, error) {
	e := []Entry{{Index: index, Term: term, Commands: cmds}}
	err := s.ApplyAll(e)
	return e[0].Results, err
}

// ApplyAll applies log entries, in their order, as one atomic step, and fills in their
// results. It comes to the same as one entry after the other, and is cheaper where they
// change the same records. Entries at or below the applied index are skipped: they get
// no results. An error is a matter of integrity; the state is then as before the first
// entry, there are no results, and every later call gets the same error.
func (s *State) ApplyAll(entries []Entry) error {
	if s.broken != nil {
		return s.broken
	}
	applied, _ := s.Applied() // The apply goroutine alone changes it.
	for len(entries) > 0 && entries[0].Index <= applied {
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return nil
	}
	t := s.txn
	t.begin()
	for i := range entries {
		t.applyEntry(&entries[i])
	}
	last := &entries[len(entries)-1]
	if err := t.commit(last.Index, last.Term); err != nil {
		s.broken = fmt.Errorf("state.Apply: entries %d to %d: %w", entries[0].Index, last.Index, asCorrupt(err))
		for i := range entries {
			entries[i].Results = nil
		}
		return s.broken
	}
	return nil
}

// applyEntry runs the commands of one entry.
func (t *txn) applyEntry(e *Entry) {
	t.term = e.Term
	e.Results = make([]vfs.Result, len(e.Commands))
	for i := range e.Commands {
		e.Results[i] = t.apply(&e.Commands[i])
	}
	t.evictAnswers()
	if !t.super.formatted() {
		t.super = super{} // nothing of it is stored, so nothing may be remembered
	}
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
