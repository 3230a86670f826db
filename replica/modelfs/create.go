package modelfs

import (
	"strings"

	"twofold/replica/vfs"
)

// create is nfsd3_create_file. An existing name needs no permission to write
// the directory, a new one does.
func (c *change) create(d *inode, op *vfs.OpCreate, r *vfs.Result) vfs.Kind {
	if isDot(op.Name) {
		return vfs.Exist
	}
	if !vfs.Allowed(c.cred, &d.attr, vfs.WantExec) {
		return vfs.Access
	}
	switch n, kind := c.fs.lookupLocked(d, op.Name); kind {
	case vfs.OK:
		return c.createOver(n, op, r)
	case vfs.NotExist:
	default:
		return kind
	}
	if kind := mayChangeDir(c.cred, d); kind != vfs.OK {
		return kind
	}
	set := op.Set
	if op.Mode == vfs.CreateExclusive {
		set = vfs.SetAttr{}
	}
	if set.Has(vfs.SetSize) && set.Size > vfs.MaxFileSize {
		return vfs.TooBig
	}
	n := c.newInode(d, op.Name, vfs.TypeReg, set)
	n.data = make(content)
	if set.Has(vfs.SetSize) {
		n.attr.Size = set.Size
	}
	if op.Mode == vfs.CreateExclusive {
		n.hasVerf, n.verf = true, op.Verf
	}
	r.HasAttr, r.Attr = true, n.attr
	return vfs.OK
}

// createOver is CREATE of a name that is there.
func (c *change) createOver(n *inode, op *vfs.OpCreate, r *vfs.Result) vfs.Kind {
	switch op.Mode {
	case vfs.CreateUnchecked:
		size := op.Set
		size.Mask &= vfs.SetSize
		if n.attr.Type != vfs.TypeReg {
			size.Mask = 0 // Whatever it is, it is found (nfsd3_create_file).
		}
		if kind := c.checkSet(n, size); kind != vfs.OK {
			return kind
		}
		c.applySet(n, size)
	case vfs.CreateExclusive:
		if !n.hasVerf || n.verf != op.Verf {
			return vfs.Exist
		}
	default:
		return vfs.Exist
	}
	r.HasAttr, r.Attr = true, n.attr
	return vfs.OK
}

// mkdir is nfsd_create for a directory.
func (c *change) mkdir(d *inode, op *vfs.OpMkdir, r *vfs.Result) vfs.Kind {
	if kind := c.mayMake(d, op.Name); kind != vfs.OK {
		return kind
	}
	if d.attr.Nlink >= vfs.MaxLink {
		return vfs.TooManyLinks
	}
	n := c.newInode(d, op.Name, vfs.TypeDir, op.Set)
	n.attr.Nlink = 2
	n.attr.Size, n.attr.Used = vfs.DirSize, vfs.DirSize
	n.entries = make(map[string]entry)
	n.nextCookie = vfs.CookieFirst
	n.parent = d.attr.Ino
	d.attr.Nlink++
	r.HasAttr, r.Attr = true, n.attr
	return vfs.OK
}

// symlink is nfsd_symlink, and nfsd3_proc_symlink for the target.
func (c *change) symlink(d *inode, op *vfs.OpSymlink, r *vfs.Result) vfs.Kind {
	switch {
	case op.Target == "", strings.Contains(op.Target, "\x00"):
		return vfs.Invalid
	case len(op.Target) > vfs.MaxTarget:
		return vfs.NameTooLong
	case op.Name == "":
		return vfs.NotExist
	}
	if kind := c.mayMake(d, op.Name); kind != vfs.OK {
		return kind
	}
	n := c.newInode(d, op.Name, vfs.TypeLnk, op.Set)
	n.attr.Size = uint64(len(op.Target))
	n.target = op.Target
	r.HasAttr, r.Attr = true, n.attr
	return vfs.OK
}

// mknod is nfsd_create for the other types. Devices are for root.
func (c *change) mknod(d *inode, op *vfs.OpMknod, r *vfs.Result) vfs.Kind {
	device := op.Type == vfs.TypeChr || op.Type == vfs.TypeBlk
	if !device && op.Type != vfs.TypeFifo && op.Type != vfs.TypeSock {
		return vfs.BadType
	}
	if kind := c.mayMake(d, op.Name); kind != vfs.OK {
		return kind
	}
	if device && c.cred.UID != 0 {
		return vfs.Perm
	}
	n := c.newInode(d, op.Name, op.Type, op.Set)
	if device {
		n.attr.Rdev = op.Rdev
	}
	r.HasAttr, r.Attr = true, n.attr
	return vfs.OK
}

// mayMake are the checks of MKDIR, SYMLINK and MKNOD. Unlike CREATE they
// refuse a directory that cannot be written before they look at the name.
func (c *change) mayMake(d *inode, name string) vfs.Kind {
	if isDot(name) {
		return vfs.Exist
	}
	if kind := mayChangeDir(c.cred, d); kind != vfs.OK {
		return kind
	}
	switch _, kind := c.fs.lookupLocked(d, name); kind {
	case vfs.OK:
		return vfs.Exist
	case vfs.NotExist:
		return vfs.OK
	default:
		return kind
	}
}

// newInode makes an inode with one name and what inode_init_owner of
// fs/inode.c and nfsd_create_setattr give it. The caller fills in what belongs
// to the type.
func (c *change) newInode(d *inode, name string, t vfs.FileType, set vfs.SetAttr) *inode {
	c.fs.mu.lastIno++
	n := &inode{attr: vfs.Attr{
		Ref: vfs.Ref{Ino: c.fs.mu.lastIno, Gen: Gen}, Type: t, Nlink: 1,
		UID: c.cred.UID, GID: c.cred.GID,
		Atime: c.now, Mtime: c.now, Ctime: c.now,
	}}
	if d.attr.Mode&vfs.ModeSetgid != 0 {
		n.attr.GID = d.attr.GID
	}
	n.attr.Mode = c.newMode(d, t, set)
	if c.cred.UID == 0 { // Others cannot choose: their wish is ignored.
		if set.Has(vfs.SetUID) {
			n.attr.UID = set.UID
		}
		if set.Has(vfs.SetGID) {
			n.attr.GID = set.GID
		}
		if set.Mask&(vfs.SetUID|vfs.SetGID) != 0 && t != vfs.TypeDir {
			n.attr.Mode = withoutPrivileges(n.attr.Mode, true)
		}
	}
	c.setTimes(n, set)
	c.fs.mu.inodes[n.attr.Ino] = n
	d.add(name, n.attr.Ino)
	c.touchDir(d)
	return n
}

// newMode is vfs_prepare_mode of fs/namei.c.
func (c *change) newMode(d *inode, t vfs.FileType, set vfs.SetAttr) uint32 {
	mode := uint32(0)
	if set.Has(vfs.SetMode) {
		mode = set.Mode & vfs.ModeMask
	}
	inherits := d.attr.Mode&vfs.ModeSetgid != 0
	switch {
	case t == vfs.TypeLnk:
		return 0o777
	case t == vfs.TypeDir:
		mode &= 0o777 | vfs.ModeSticky
		if inherits {
			mode |= vfs.ModeSetgid
		}
	case inherits && mode&0o010 != 0 && !keepsSetgid(c.cred, d.attr.GID):
		mode &^= vfs.ModeSetgid
	}
	return mode
}
