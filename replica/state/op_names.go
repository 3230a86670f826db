package state

import "twofold/replica/vfs"

// remove is REMOVE, and with asDir RMDIR (nfsd_unlink, fs/nfsd/vfs.c).
func (c *call) remove(d *node, name string, asDir bool) vfs.Kind {
	if isDots(name) {
		return vfs.Access
	}
	if kind := c.mayChange(d); kind != vfs.OK {
		return kind
	}
	e, victim, kind := c.lookup(d, name)
	if kind != vfs.OK {
		return kind
	}
	if kind := c.mayUnlink(d, victim, asDir); kind != vfs.OK {
		return kind
	}
	if asDir && victim.entries > 0 {
		return vfs.NotEmpty
	}
	c.leave(d, e)
	c.unlink(d, victim)
	return vfs.OK
}

// link is LINK. The directory is looked at first (nfsd_link).
func (c *call) link(op *vfs.OpLink) vfs.Result {
	r := c.onDir(op.Dir, func(d *node, _ *vfs.Result) vfs.Kind { return c.linkIn(d, op) })
	if n := c.find(op.Ref); n != nil {
		r.HasAttr, r.Attr = true, n.attr()
	}
	return r
}

func (c *call) linkIn(d *node, op *vfs.OpLink) vfs.Kind {
	if kind := c.mayChange(d); kind != vfs.OK {
		return kind
	}
	n := c.find(op.Ref)
	switch {
	case n == nil:
		return vfs.Stale
	case n.isDir():
		return vfs.IsDir
	case op.Name == "":
		return vfs.Perm
	case isDots(op.Name):
		return vfs.Exist
	}
	e, _, kind := c.lookup(d, op.Name)
	switch {
	case kind == vfs.OK:
		return vfs.Exist
	case kind != vfs.NotExist:
		return kind
	case n.Nlink >= vfs.MaxLink:
		return vfs.TooManyLinks
	case c.noSpace:
		return vfs.NoSpace
	}
	i := n.edit()
	i.Nlink++
	i.Ctime = c.now
	c.enter(d, e, n)
	return vfs.OK
}

// rename is RENAME, with both directories before and after.
func (c *call) rename(op *vfs.OpRename) vfs.Result {
	from, kind := c.findDir(op.FromDir)
	to, toKind := c.findDir(op.ToDir)
	var r vfs.Result
	if from != nil {
		r.WCC[0] = beginWCC(from)
	}
	if to != nil {
		r.WCC[1] = beginWCC(to)
	}
	if kind == vfs.OK {
		kind = c.mayChange(from) // before the second directory is looked at
	}
	switch {
	case kind != vfs.OK:
		r.Kind = kind
	case toKind != vfs.OK:
		r.Kind = toKind
	default:
		r.Kind = c.renameIn(from, to, op)
	}
	if from != nil {
		endWCC(&r.WCC[0], from)
	}
	if to != nil {
		endWCC(&r.WCC[1], to)
	}
	return r
}

// move is one rename whose names have been resolved. target is nil if the new
// name is free.
type move struct {
	from, to       *node
	fromName, name *entry
	source, target *node
}

// renameIn resolves the names in the kernel's order (nfsd_rename). The caller
// may change from.
func (c *call) renameIn(from, to *node, op *vfs.OpRename) vfs.Kind {
	if kind := c.mayChange(to); kind != vfs.OK {
		return kind
	}
	for _, name := range []string{op.FromName, op.ToName} {
		if name == "" || isDots(name) {
			return vfs.Perm
		}
	}
	m := move{from: from, to: to}
	var kind vfs.Kind
	if m.fromName, m.source, kind = c.lookup(from, op.FromName); kind != vfs.OK {
		return kind
	}
	if from != to && c.above(m.source, to) {
		return vfs.Invalid
	}
	m.name, m.target, kind = c.lookup(to, op.ToName)
	switch {
	case kind != vfs.OK && kind != vfs.NotExist:
		return kind
	case m.source == m.target:
		return vfs.OK // Two names of one inode: nothing happens, both stay.
	case m.target != nil && from != to && c.above(m.target, from):
		return vfs.NotEmpty
	}
	if kind := c.mayMove(&m); kind != vfs.OK {
		return kind
	}
	c.move(&m)
	return vfs.OK
}

// mayMove has the checks of vfs_rename in fs/namei.c.
func (c *call) mayMove(m *move) vfs.Kind {
	asDir := m.source.isDir()
	if kind := c.mayUnlink(m.from, m.source, asDir); kind != vfs.OK {
		return kind
	}
	if m.target != nil {
		if kind := c.mayUnlink(m.to, m.target, asDir); kind != vfs.OK {
			return kind
		}
	}
	if asDir && m.from != m.to {
		// The moved directory's ".." changes, so it must be writable.
		if !vfs.Allowed(c.cred, &m.source.Attr, vfs.WantWrite) {
			return vfs.Access
		}
		if m.target == nil && m.to.Nlink >= vfs.MaxLink {
			return vfs.TooManyLinks
		}
	}
	if asDir && m.target != nil && m.target.entries > 0 {
		return vfs.NotEmpty
	}
	return vfs.OK
}

// move does what mayMove allowed. A name that is replaced keeps its cookie, so
// that a listing in progress shows it once.
func (c *call) move(m *move) {
	c.leave(m.from, m.fromName)
	if m.target == nil {
		c.enter(m.to, m.name, m.source)
	} else {
		m.name.now.ino = m.source.Ino
		c.touch(m.to)
		c.unlink(m.to, m.target)
	}
	if m.source.isDir() {
		m.from.edit().Nlink--
		m.to.edit().Nlink++
	}
	i := m.source.edit()
	i.parent, i.Ctime = m.to.Ino, c.now
}

// above reports that the directory d is n or lies below it. The walk is as
// long as the path is deep; a loop of parents, which only damage can make,
// ends it at the number of inodes.
func (c *call) above(n, d *node) bool {
	if !n.isDir() {
		return false
	}
	for range c.super.inodes {
		switch {
		case d == n:
			return true
		case d.Ino == vfs.RootIno:
			return false
		}
		if d = c.must(d.parent); d == nil {
			return false
		}
	}
	c.fail(corrupt(inodeKey(nil, c.super.ID, d.Ino), "parents form a loop"))
	return false
}
