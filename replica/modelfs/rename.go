package modelfs

import "twofold/replica/vfs"

// rename is nfsd_rename, with both directories before and after.
func (c *change) rename(op *vfs.OpRename) vfs.Result {
	var r vfs.Result
	from, kind := c.fs.getDirLocked(op.FromDir)
	to, toKind := c.fs.getDirLocked(op.ToDir)
	if from != nil {
		before(&r.WCC[0], from)
	}
	if to != nil {
		before(&r.WCC[1], to)
	}
	if kind == vfs.OK {
		kind = mayChangeDir(c.cred, from)
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
		after(&r.WCC[0], from)
	}
	if to != nil {
		after(&r.WCC[1], to)
	}
	return r
}

// renameIn finds what is moved and what is replaced, in the kernel's order.
func (c *change) renameIn(from, to *inode, op *vfs.OpRename) vfs.Kind {
	if kind := mayChangeDir(c.cred, to); kind != vfs.OK {
		return kind
	}
	for _, name := range []string{op.FromName, op.ToName} {
		if name == "" || isDot(name) {
			return vfs.Perm
		}
	}
	source, kind := c.fs.lookupLocked(from, op.FromName)
	if kind != vfs.OK {
		return kind
	}
	if from != to && c.isAncestor(source, to) {
		return vfs.Invalid
	}
	target, kind := c.fs.lookupLocked(to, op.ToName)
	switch {
	case kind != vfs.OK && kind != vfs.NotExist:
		return kind
	case target == source:
		return vfs.OK // Two names of one inode: no effect, both names stay.
	case target != nil && from != to && c.isAncestor(target, from):
		return vfs.NotEmpty
	}
	if kind := c.mayRename(from, to, source, target); kind != vfs.OK {
		return kind
	}
	c.move(from, to, source, target, op)
	return vfs.OK
}

// mayRename are the checks of vfs_rename in fs/namei.c. Without a target,
// target is nil.
func (c *change) mayRename(from, to, source, target *inode) vfs.Kind {
	isDir := source.attr.Type == vfs.TypeDir
	if kind := mayDelete(c.cred, from, source, isDir); kind != vfs.OK {
		return kind
	}
	if target != nil {
		if kind := mayDelete(c.cred, to, target, isDir); kind != vfs.OK {
			return kind
		}
	}
	if isDir && from != to {
		// The ".." of the moved directory changes.
		if !vfs.Allowed(c.cred, &source.attr, vfs.WantWrite) {
			return vfs.Access
		}
		if target == nil && to.attr.Nlink >= vfs.MaxLink {
			return vfs.TooManyLinks
		}
	}
	if isDir && target != nil && len(target.entries) > 0 {
		return vfs.NotEmpty
	}
	return vfs.OK
}

// move does what mayRename allowed.
func (c *change) move(from, to, source, target *inode, op *vfs.OpRename) {
	delete(from.entries, op.FromName)
	if target != nil {
		replaced := to.entries[op.ToName]
		to.entries[op.ToName] = entry{ino: source.attr.Ino, cookie: replaced.cookie}
		c.dropName(to, target)
	} else {
		to.add(op.ToName, source.attr.Ino)
	}
	if source.attr.Type == vfs.TypeDir {
		from.attr.Nlink--
		to.attr.Nlink++
		source.parent = to.attr.Ino
	}
	source.attr.Ctime = c.now
	c.touchDir(from)
	c.touchDir(to)
}

// isAncestor reports that the directory d is n or lies somewhere below it.
func (c *change) isAncestor(n, d *inode) bool {
	for d != n {
		if d.attr.Ino == vfs.RootIno {
			return false
		}
		d = c.fs.mu.inodes[d.parent]
	}
	return true
}
