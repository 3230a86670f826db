package state

import "twofold/replica/vfs"

// The two ways to set a time.
const (
	clientTimes = vfs.SetAtime | vfs.SetMtime
	serverTimes = vfs.SetAtimeServer | vfs.SetMtimeServer
)

// setAttr is SETATTR: nfsd_setattr, as one step. The kernel sets the size
// first and may then refuse the rest; here all is allowed or nothing is done.
func (c *call) setAttr(n *node, op *vfs.OpSetAttr) vfs.Kind {
	set := effective(n, op.Set)
	if kind := c.mayWriteFor(n, set); kind != vfs.OK {
		return kind
	}
	if op.HasGuard && op.Guard != n.Ctime {
		return vfs.NotSync
	}
	if kind := c.maySet(n, set); kind != vfs.OK {
		return kind
	}
	if set.Mask == 0 {
		return vfs.OK // Not even the ctime changes.
	}
	c.set(n, set)
	i := n.edit()
	i.hasVerf, i.verf = false, [8]byte{}
	return vfs.OK
}

// effective leaves out what does nothing: the mode of a symlink, and a time
// from the client where the server's is asked for.
func effective(n *node, set vfs.SetAttr) vfs.SetAttr {
	if n.Type == vfs.TypeLnk {
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

// mayWriteFor asks for the write permission that a size needs, and times that
// are all the server's. The owner has it whatever the mode.
func (c *call) mayWriteFor(n *node, set vfs.SetAttr) vfs.Kind {
	if set.Has(vfs.SetSize) {
		if kind := dataKind(n.Type); kind != vfs.OK {
			return kind
		}
		if !vfs.AllowedIO(c.cred, &n.Attr, vfs.WantWrite) {
			return vfs.Access
		}
	}
	if set.Mask&serverTimes != 0 && set.Mask&clientTimes == 0 {
		if !c.owns(n) && !vfs.Allowed(c.cred, &n.Attr, vfs.WantWrite) {
			return vfs.Access
		}
	}
	return vfs.OK
}

// maySet decides on all that set asks for (setattr_prepare, fs/attr.c).
func (c *call) maySet(n *node, set vfs.SetAttr) vfs.Kind {
	if kind := c.mayWriteFor(n, set); kind != vfs.OK {
		return kind
	}
	root, owner := c.cred.UID == 0, c.owns(n)
	switch {
	case set.Has(vfs.SetSize) && set.Size > vfs.MaxFileSize:
		return vfs.TooBig
	case set.Has(vfs.SetUID) && !root && (!owner || set.UID != n.UID):
		return vfs.Perm
	case set.Has(vfs.SetGID) && !root && (!owner || set.GID != n.GID && !c.cred.InGroup(set.GID)):
		return vfs.Perm
	case set.Has(vfs.SetMode) && !owner:
		return vfs.Perm
	case set.Mask&clientTimes != 0 && !owner:
		return vfs.Perm
	case set.Has(vfs.SetSize) && set.Size > n.Size && c.noSpace:
		return vfs.NoSpace
	default:
		return vfs.OK
	}
}

// set does what maySet allowed.
func (c *call) set(n *node, set vfs.SetAttr) {
	if set.Mask == 0 {
		return
	}
	if set.Has(vfs.SetSize) {
		c.resize(n, set.Size)
		n.edit().Mtime = c.now // also if the size stays (nfsd_setattr)
	}
	i := n.edit()
	keeps := c.mayKeepSetgid(i.GID)
	if set.Has(vfs.SetUID) {
		i.UID = set.UID
	}
	if set.Has(vfs.SetGID) {
		i.GID = set.GID
	}
	if set.Has(vfs.SetMode) {
		i.Mode = set.Mode & vfs.ModeMask
		if !c.mayKeepSetgid(i.GID) {
			i.Mode &^= vfs.ModeSetgid
		}
	}
	// A chown takes privileges away, root's too, and even where nothing
	// changes (nfsd_sanitize_attrs, fs/nfsd/vfs.c).
	if set.Mask&(vfs.SetUID|vfs.SetGID) != 0 && !n.isDir() {
		i.Mode = dropPrivilege(i.Mode, set.Has(vfs.SetMode) || keeps)
	}
	c.setTimes(i, set)
	i.Ctime = c.now
}

func (c *call) setTimes(i *inode, set vfs.SetAttr) {
	switch {
	case set.Has(vfs.SetAtimeServer):
		i.Atime = c.now
	case set.Has(vfs.SetAtime):
		i.Atime = set.Atime
	}
	switch {
	case set.Has(vfs.SetMtimeServer):
		i.Mtime = c.now
	case set.Has(vfs.SetMtime):
		i.Mtime = set.Mtime
	}
}

// dataKind says whether a type has data to read and write.
func dataKind(t vfs.FileType) vfs.Kind {
	switch t {
	case vfs.TypeReg:
		return vfs.OK
	case vfs.TypeDir:
		return vfs.IsDir
	default:
		return vfs.Invalid
	}
}

// write is WRITE. Of nothing it changes nothing, not even times, as write(2).
func (c *call) write(n *node, op *vfs.OpWrite, r *vfs.Result) vfs.Kind {
	if kind := dataKind(n.Type); kind != vfs.OK {
		return kind
	}
	size := uint64(len(op.Data))
	switch {
	case !vfs.AllowedIO(c.cred, &n.Attr, vfs.WantWrite):
		return vfs.Access
	case size > vfs.MaxIO:
		return vfs.Invalid
	case size == 0:
		return vfs.OK
	case op.Offset > vfs.MaxFileSize || op.Offset+size > vfs.MaxFileSize:
		return vfs.TooBig
	case c.noWrite || c.noSpace && c.grows(n, op.Offset, size):
		return vfs.NoSpace
	}
	c.writeData(n, op.Offset, op.Data)
	i := n.edit()
	i.Mtime, i.Ctime = c.now, c.now
	if c.cred.UID != 0 {
		i.Mode = dropPrivilege(i.Mode, c.mayKeepSetgid(i.GID)) // file_remove_privs, fs/inode.c
	}
	r.Count = uint32(size)
	return vfs.OK
}

// grows reports that a write stores more than it replaces: it ends beyond the
// file's end or falls into a hole.
func (c *call) grows(n *node, off, size uint64) bool {
	if off+size > n.Size {
		return true
	}
	if n.dense() {
		return false
	}
	bs := uint64(c.super.BlockSize)
	for pos := off; pos < off+size; pos = (pos/bs + 1) * bs {
		end := min(off+size-pos/bs*bs, bs)
		if c.blockLen(n, pos/bs) < end {
			return true
		}
	}
	return false
}
