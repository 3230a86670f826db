package modelfs

import (
	"context"

	"twofold/replica/vfs"
)

// change is what the handlers of one call share.
type change struct {
	fs   *FS
	cred vfs.Cred
	now  vfs.Time
}

// Mutate applies op.
func (fs *FS) Mutate(ctx context.Context, call *vfs.Call, op vfs.Op) (vfs.Result, error) {
	if err := alive(ctx); err != nil {
		return vfs.Result{}, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	c := &change{fs: fs, cred: call.Cred, now: fs.tickLocked()}
	switch op := op.(type) {
	case *vfs.OpSetAttr:
		return c.onFile(op.Ref, func(n *inode, _ *vfs.Result) vfs.Kind { return c.setAttr(n, op) }), nil
	case *vfs.OpWrite:
		return c.onFile(op.Ref, func(n *inode, r *vfs.Result) vfs.Kind { return c.write(n, op, r) }), nil
	case *vfs.OpCreate:
		return c.onDir(op.Dir, func(d *inode, r *vfs.Result) vfs.Kind { return c.create(d, op, r) }), nil
	case *vfs.OpMkdir:
		return c.onDir(op.Dir, func(d *inode, r *vfs.Result) vfs.Kind { return c.mkdir(d, op, r) }), nil
	case *vfs.OpSymlink:
		return c.onDir(op.Dir, func(d *inode, r *vfs.Result) vfs.Kind { return c.symlink(d, op, r) }), nil
	case *vfs.OpMknod:
		return c.onDir(op.Dir, func(d *inode, r *vfs.Result) vfs.Kind { return c.mknod(d, op, r) }), nil
	case *vfs.OpRemove:
		return c.onDir(op.Dir, func(d *inode, _ *vfs.Result) vfs.Kind { return c.remove(d, op.Name, false) }), nil
	case *vfs.OpRmdir:
		return c.onDir(op.Dir, func(d *inode, _ *vfs.Result) vfs.Kind { return c.remove(d, op.Name, true) }), nil
	case *vfs.OpRename:
		return c.rename(op), nil
	case *vfs.OpLink:
		return c.link(op), nil
	default:
		return vfs.Result{Kind: vfs.NotSupported}, nil
	}
}

// onFile runs f on the inode of ref and takes its attributes before and after,
// whether f succeeds or not.
func (c *change) onFile(ref vfs.Ref, f func(*inode, *vfs.Result) vfs.Kind) vfs.Result {
	n := c.fs.getLocked(ref)
	if n == nil {
		return vfs.Result{Kind: vfs.Stale}
	}
	var r vfs.Result
	before(&r.WCC[0], n)
	r.Kind = f(n, &r)
	after(&r.WCC[0], n)
	r.HasAttr, r.Attr = true, n.attr
	return r
}

// onDir is onFile for a directory whose entries f changes. If f makes or finds
// an object it puts its attributes into the result.
func (c *change) onDir(ref vfs.Ref, f func(*inode, *vfs.Result) vfs.Kind) vfs.Result {
	d, kind := c.fs.getDirLocked(ref)
	if d == nil {
		return vfs.Result{Kind: kind}
	}
	var r vfs.Result
	before(&r.WCC[0], d)
	if r.Kind = kind; kind == vfs.OK {
		r.Kind = f(d, &r)
	}
	after(&r.WCC[0], d)
	return r
}

func before(w *vfs.WCC, n *inode) {
	w.HasBefore = true
	w.Before = vfs.WCCAttr{Size: n.attr.Size, Mtime: n.attr.Mtime, Ctime: n.attr.Ctime}
}

func after(w *vfs.WCC, n *inode) { w.HasAfter, w.After = true, n.attr }

// touchDir notes that the entries of d changed.
func (c *change) touchDir(d *inode) { d.attr.Mtime, d.attr.Ctime = c.now, c.now }

// write is nfsd_write: the handle's type, the permission, the limit.
func (c *change) write(n *inode, op *vfs.OpWrite, r *vfs.Result) vfs.Kind {
	if kind := fileKind(n.attr.Type); kind != vfs.OK {
		return kind
	}
	if !vfs.AllowedIO(c.cred, &n.attr, vfs.WantWrite) {
		return vfs.Access
	}
	size := uint64(len(op.Data))
	if size > vfs.MaxIO {
		return vfs.Invalid
	}
	if size == 0 {
		return vfs.OK // As write(2) of nothing: no time changes.
	}
	if op.Offset > vfs.MaxFileSize || op.Offset+size > vfs.MaxFileSize {
		return vfs.TooBig
	}
	r.Count = uint32(size)
	n.data.writeAt(op.Data, op.Offset, c.fs.volume.BlockSize)
	n.attr.Size = max(n.attr.Size, op.Offset+size)
	n.attr.Used = uint64(len(n.data)) * uint64(c.fs.volume.BlockSize)
	n.attr.Mtime, n.attr.Ctime = c.now, c.now
	if c.cred.UID != 0 {
		n.attr.Mode = withoutPrivileges(n.attr.Mode, keepsSetgid(c.cred, n.attr.GID))
	}
	return vfs.OK
}

// remove is nfsd_unlink: REMOVE, or with dir RMDIR.
func (c *change) remove(d *inode, name string, dir bool) vfs.Kind {
	if isDot(name) {
		return vfs.Access
	}
	if kind := mayChangeDir(c.cred, d); kind != vfs.OK {
		return kind
	}
	victim, kind := c.fs.lookupLocked(d, name)
	if kind != vfs.OK {
		return kind
	}
	if kind := mayDelete(c.cred, d, victim, dir); kind != vfs.OK {
		return kind
	}
	if dir && len(victim.entries) > 0 {
		return vfs.NotEmpty
	}
	delete(d.entries, name)
	c.touchDir(d)
	c.dropName(d, victim)
	return vfs.OK
}

// dropName settles the link counts after an entry of d for n is gone.
func (c *change) dropName(d, n *inode) {
	n.attr.Ctime = c.now
	if n.attr.Type == vfs.TypeDir {
		d.attr.Nlink-- // the victim's ".."
		delete(c.fs.mu.inodes, n.attr.Ino)
		return
	}
	n.attr.Nlink--
	if n.attr.Nlink == 0 {
		delete(c.fs.mu.inodes, n.attr.Ino)
	}
}

// link is nfsd_link. The permission to change the directory comes first.
func (c *change) link(op *vfs.OpLink) vfs.Result {
	r := c.onDir(op.Dir, func(d *inode, _ *vfs.Result) vfs.Kind { return c.linkIn(d, op) })
	if n := c.fs.getLocked(op.Ref); n != nil {
		r.HasAttr, r.Attr = true, n.attr
	}
	return r
}

func (c *change) linkIn(d *inode, op *vfs.OpLink) vfs.Kind {
	if kind := mayChangeDir(c.cred, d); kind != vfs.OK {
		return kind
	}
	n := c.fs.getLocked(op.Ref)
	switch {
	case n == nil:
		return vfs.Stale
	case n.attr.Type == vfs.TypeDir:
		return vfs.IsDir
	case op.Name == "":
		return vfs.Perm
	case isDot(op.Name):
		return vfs.Exist
	}
	if kind := checkName(op.Name); kind != vfs.OK {
		return kind
	}
	if _, ok := d.entries[op.Name]; ok {
		return vfs.Exist
	}
	if n.attr.Nlink >= vfs.MaxLink {
		return vfs.TooManyLinks
	}
	d.add(op.Name, n.attr.Ino)
	c.touchDir(d)
	n.attr.Nlink++
	n.attr.Ctime = c.now
	return vfs.OK
}

// add makes an entry with the next cookie.
func (d *inode) add(name string, ino vfs.Ino) {
	d.entries[name] = entry{ino: ino, cookie: d.nextCookie}
	d.nextCookie++
}
