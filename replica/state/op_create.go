package state

import (
	"strings"

	"twofold/replica/vfs"
)

// create is CREATE as nfsd3_create_file does it: a name that exists needs
// search permission only, a new one needs write permission too.
func (c *call) create(d *node, op *vfs.OpCreate, r *vfs.Result) vfs.Kind {
	if isDots(op.Name) {
		return vfs.Exist
	}
	if !vfs.Allowed(c.cred, &d.Attr, vfs.WantExec) {
		return vfs.Access
	}
	e, old, kind := c.lookup(d, op.Name)
	if kind == vfs.OK {
		return c.createOver(old, op, r)
	}
	if kind != vfs.NotExist {
		return kind
	}
	if kind := c.mayChange(d); kind != vfs.OK {
		return kind
	}
	set := op.Set
	if op.Mode == vfs.CreateExclusive {
		set = vfs.SetAttr{}
	}
	switch {
	case set.Has(vfs.SetSize) && set.Size > vfs.MaxFileSize:
		return vfs.TooBig
	case c.noSpace:
		return vfs.NoSpace
	}
	n := c.make(d, e, vfs.TypeReg, set)
	if set.Has(vfs.SetSize) {
		n.edit().Size = set.Size
	}
	if op.Mode == vfs.CreateExclusive {
		n.edit().hasVerf, n.edit().verf = true, op.Verf
	}
	r.HasAttr, r.Attr = true, n.attr()
	return vfs.OK
}

// createOver is CREATE of a name that exists. UNCHECKED gives whatever has the
// name, and sets the size of a regular file; the client sees the type by the
// attributes.
func (c *call) createOver(n *node, op *vfs.OpCreate, r *vfs.Result) vfs.Kind {
	switch op.Mode {
	case vfs.CreateUnchecked:
		set := op.Set
		set.Mask &= vfs.SetSize
		if n.Type != vfs.TypeReg {
			set.Mask = 0
		}
		if kind := c.maySet(n, set); kind != vfs.OK {
			return kind
		}
		c.set(n, set)
	case vfs.CreateExclusive:
		if !n.hasVerf || n.verf != op.Verf {
			return vfs.Exist
		}
	default:
		return vfs.Exist
	}
	r.HasAttr, r.Attr = true, n.attr()
	return vfs.OK
}

func (c *call) mkdir(d *node, op *vfs.OpMkdir, r *vfs.Result) vfs.Kind {
	e, kind := c.mayMake(d, op.Name)
	switch {
	case kind != vfs.OK:
		return kind
	case d.Nlink >= vfs.MaxLink:
		return vfs.TooManyLinks
	case c.noSpace:
		return vfs.NoSpace
	}
	n := c.make(d, e, vfs.TypeDir, op.Set)
	d.edit().Nlink++
	r.HasAttr, r.Attr = true, n.attr()
	return vfs.OK
}

func (c *call) symlink(d *node, op *vfs.OpSymlink, r *vfs.Result) vfs.Kind {
	switch {
	case op.Target == "" || strings.Contains(op.Target, "\x00"):
		return vfs.Invalid
	case len(op.Target) > vfs.MaxTarget:
		return vfs.NameTooLong
	case op.Name == "":
		return vfs.NotExist // nfsd_symlink in fs/nfsd/vfs.c
	}
	e, kind := c.mayMake(d, op.Name)
	switch {
	case kind != vfs.OK:
		return kind
	case c.noSpace:
		return vfs.NoSpace
	}
	n := c.make(d, e, vfs.TypeLnk, op.Set)
	i := n.edit()
	i.target, i.Size = op.Target, uint64(len(op.Target))
	r.HasAttr, r.Attr = true, n.attr()
	return vfs.OK
}

// mknod makes a fifo or socket for anyone, a device for root only (vfs_mknod,
// fs/namei.c).
func (c *call) mknod(d *node, op *vfs.OpMknod, r *vfs.Result) vfs.Kind {
	device := false
	switch op.Type {
	case vfs.TypeBlk, vfs.TypeChr:
		device = true
	case vfs.TypeFifo, vfs.TypeSock:
	default:
		return vfs.BadType
	}
	e, kind := c.mayMake(d, op.Name)
	switch {
	case kind != vfs.OK:
		return kind
	case device && c.cred.UID != 0:
		return vfs.Perm
	case c.noSpace:
		return vfs.NoSpace
	}
	n := c.make(d, e, op.Type, op.Set)
	if device {
		n.edit().Rdev = op.Rdev
	}
	r.HasAttr, r.Attr = true, n.attr()
	return vfs.OK
}

// mayMake decides for MKDIR, SYMLINK and MKNOD. Unlike CREATE they ask for
// write permission before they look whether the name exists
// (nfsd_create_locked in fs/nfsd/vfs.c).
func (c *call) mayMake(d *node, name string) (*entry, vfs.Kind) {
	if isDots(name) {
		return nil, vfs.Exist
	}
	if kind := c.mayChange(d); kind != vfs.OK {
		return nil, kind
	}
	e, _, kind := c.lookup(d, name)
	switch kind {
	case vfs.OK:
		return nil, vfs.Exist
	case vfs.NotExist:
		return e, vfs.OK
	default:
		return nil, kind
	}
}

// make makes an inode under the name of e.
func (c *call) make(d *node, e *entry, t vfs.FileType, set vfs.SetAttr) *node {
	n := c.newNode(c.super.nextIno, t, c.newMode(d, t, set))
	i := n.edit()
	i.parent = d.Ino
	i.UID, i.GID = c.cred.UID, c.cred.GID
	if d.Mode&vfs.ModeSetgid != 0 {
		i.GID = d.GID
	}
	// Only root chooses; the wish of others is ignored, since some clients
	// send a group always (nfsd_create_setattr). As a chown it takes privileges
	// away.
	if c.cred.UID == 0 && set.Has(vfs.SetUID) {
		i.UID = set.UID
	}
	if c.cred.UID == 0 && set.Has(vfs.SetGID) {
		i.GID = set.GID
	}
	if c.cred.UID == 0 && set.Mask&(vfs.SetUID|vfs.SetGID) != 0 && t != vfs.TypeDir {
		i.Mode = dropPrivilege(i.Mode, true)
	}
	c.setTimes(i, set)
	c.enter(d, e, n)
	return n
}

// newNode makes an inode without a name. Numbers are never reused, so the
// generation need not be unique: it makes a handle hard to guess.
func (c *call) newNode(ino vfs.Ino, t vfs.FileType, mode uint32) *node {
	i := &inode{
		Attr: vfs.Attr{
			Ref:  vfs.Ref{Ino: ino, Gen: uint32(c.seed>>32) ^ uint32(c.seed)},
			Type: t, Mode: mode, Nlink: 1,
			Atime: c.now, Mtime: c.now, Ctime: c.now,
		},
		parent: ino,
	}
	if t == vfs.TypeDir {
		i.Nlink, i.Size, i.nextCookie = 2, vfs.DirSize, vfs.CookieFirst
	}
	c.super.nextIno = max(c.super.nextIno, ino) + 1
	return c.txn.create(i)
}

// newMode is the mode of a new object (vfs_prepare_mode and inode_init_owner).
// One that was not given is zero, as the kernel's server has it.
func (c *call) newMode(d *node, t vfs.FileType, set vfs.SetAttr) uint32 {
	var mode uint32
	if set.Has(vfs.SetMode) {
		mode = set.Mode & vfs.ModeMask
	}
	inherits := d.Mode&vfs.ModeSetgid != 0
	switch t {
	case vfs.TypeLnk:
		return 0o777
	case vfs.TypeDir:
		mode &= 0o777 | vfs.ModeSticky
		if inherits {
			mode |= vfs.ModeSetgid
		}
	default:
		if inherits && mode&groupExec != 0 && !c.mayKeepSetgid(d.GID) {
			mode &^= vfs.ModeSetgid
		}
	}
	return mode
}
