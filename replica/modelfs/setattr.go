package modelfs

import "twofold/replica/vfs"

// setTimesMask are the bits of the four ways to set a time.
const (
	explicitTimes = vfs.SetAtime | vfs.SetMtime
	serverTimes   = vfs.SetAtimeServer | vfs.SetMtimeServer
)

// setAttr is nfsd_setattr.
func (c *change) setAttr(n *inode, op *vfs.OpSetAttr) vfs.Kind {
	set := normal(n, op.Set)
	if kind := c.mayWriteFor(n, set); kind != vfs.OK {
		return kind
	}
	if op.HasGuard && op.Guard != n.attr.Ctime {
		return vfs.NotSync
	}
	if kind := c.checkSet(n, set); kind != vfs.OK {
		return kind
	}
	if set.Mask != 0 {
		c.applySet(n, set)
		n.hasVerf = false
	}
	return vfs.OK
}

// normal leaves out what has no effect: the mode of a symbolic link, and a
// client's time where the server's is asked for.
func normal(n *inode, set vfs.SetAttr) vfs.SetAttr {
	if n.attr.Type == vfs.TypeLnk {
		set.Mask &^= vfs.SetMode
	}
	if set.Has(vfs.SetAtimeServer) {
		set.Mask &^= vfs.SetAtime
	}
	if set.Has(vfs.SetMtimeServer) {
		set.Mask &^= vfs.SetMtime
	}
	return set
}

// mayWriteFor asks for the type and the write permission that a new size, or
// a time set to the server's, needs. The owner passes whatever the mode.
func (c *change) mayWriteFor(n *inode, set vfs.SetAttr) vfs.Kind {
	if set.Has(vfs.SetSize) {
		if kind := fileKind(n.attr.Type); kind != vfs.OK {
			return kind
		}
		if !vfs.AllowedIO(c.cred, &n.attr, vfs.WantWrite) {
			return vfs.Access
		}
	}
	touch := set.Mask&serverTimes != 0 && set.Mask&explicitTimes == 0
	if touch && !isOwner(c.cred, n) && !vfs.Allowed(c.cred, &n.attr, vfs.WantWrite) {
		return vfs.Access
	}
	return vfs.OK
}

// checkSet is setattr_prepare of fs/attr.c, and mayWriteFor.
func (c *change) checkSet(n *inode, set vfs.SetAttr) vfs.Kind {
	if kind := c.mayWriteFor(n, set); kind != vfs.OK {
		return kind
	}
	if set.Has(vfs.SetSize) && set.Size > vfs.MaxFileSize {
		return vfs.TooBig
	}
	root, owner := c.cred.UID == 0, isOwner(c.cred, n)
	if set.Has(vfs.SetUID) && !root && (!owner || set.UID != n.attr.UID) {
		return vfs.Perm
	}
	if set.Has(vfs.SetGID) && !root && (!owner || set.GID != n.attr.GID && !c.cred.InGroup(set.GID)) {
		return vfs.Perm
	}
	if set.Has(vfs.SetMode) && !owner {
		return vfs.Perm
	}
	if set.Mask&explicitTimes != 0 && !owner {
		return vfs.Perm
	}
	return vfs.OK
}

// applySet does what checkSet allowed.
func (c *change) applySet(n *inode, set vfs.SetAttr) {
	if set.Mask == 0 {
		return
	}
	if set.Has(vfs.SetSize) {
		n.data.truncate(set.Size, c.fs.volume.BlockSize)
		n.attr.Size = set.Size
		n.attr.Used = uint64(len(n.data)) * uint64(c.fs.volume.BlockSize)
		n.attr.Mtime = c.now
	}
	keeps := keepsSetgid(c.cred, n.attr.GID)
	if set.Has(vfs.SetUID) {
		n.attr.UID = set.UID
	}
	if set.Has(vfs.SetGID) {
		n.attr.GID = set.GID
	}
	if set.Has(vfs.SetMode) {
		n.attr.Mode = set.Mode & vfs.ModeMask
		if !keepsSetgid(c.cred, n.attr.GID) {
			n.attr.Mode &^= vfs.ModeSetgid
		}
	}
	// A new owner or group takes the privileges away, from root's chown too
	// (nfsd_sanitize_attrs in fs/nfsd/vfs.c), even if nothing really changes.
	if set.Mask&(vfs.SetUID|vfs.SetGID) != 0 && n.attr.Type != vfs.TypeDir {
		n.attr.Mode = withoutPrivileges(n.attr.Mode, set.Has(vfs.SetMode) || keeps)
	}
	c.setTimes(n, set)
	n.attr.Ctime = c.now
}

// setTimes sets atime and mtime as asked.
func (c *change) setTimes(n *inode, set vfs.SetAttr) {
	switch {
	case set.Has(vfs.SetAtimeServer):
		n.attr.Atime = c.now
	case set.Has(vfs.SetAtime):
		n.attr.Atime = set.Atime
	}
	switch {
	case set.Has(vfs.SetMtimeServer):
		n.attr.Mtime = c.now
	case set.Has(vfs.SetMtime):
		n.attr.Mtime = set.Mtime
	}
}
