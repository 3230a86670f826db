package client

import (
	"context"
	"fmt"

	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// Procedures of NFSv3 (RFC 1813 section 3.3).
const (
	ProcNull        uint32 = 0
	ProcGetattr     uint32 = 1
	ProcSetattr     uint32 = 2
	ProcLookup      uint32 = 3
	ProcAccess      uint32 = 4
	ProcReadlink    uint32 = 5
	ProcRead        uint32 = 6
	ProcWrite       uint32 = 7
	ProcCreate      uint32 = 8
	ProcMkdir       uint32 = 9
	ProcSymlink     uint32 = 10
	ProcMknod       uint32 = 11
	ProcRemove      uint32 = 12
	ProcRmdir       uint32 = 13
	ProcRename      uint32 = 14
	ProcLink        uint32 = 15
	ProcReaddir     uint32 = 16
	ProcReaddirplus uint32 = 17
	ProcFsstat      uint32 = 18
	ProcFsinfo      uint32 = 19
	ProcPathconf    uint32 = 20
	ProcCommit      uint32 = 21
)

// nfs makes one NFSv3 call and decodes its results, which must be used up.
func (c *Client) nfs(ctx context.Context, proc uint32, w *xdr.Writer, decode func(*xdr.Reader)) error {
	res, err := c.Call(ctx, progNFS, version3, proc, w.B)
	if err != nil {
		return err
	}
	return finish(res, decode)
}

// finish decodes results and sees that nothing is missing and nothing is left.
func finish(res []byte, decode func(*xdr.Reader)) error {
	r := xdr.NewReader(res)
	decode(r)
	if r.Err() != nil {
		return fmt.Errorf("client: results do not decode: %w", r.Err())
	}
	if n := len(r.Rest()); n != 0 {
		return fmt.Errorf("client: %d bytes after the results", n)
	}
	return nil
}

// args starts the arguments of a procedure that begin with a handle.
func args(fh FH) *xdr.Writer {
	w := &xdr.Writer{B: make([]byte, 0, 128)}
	w.Opaque(fh)
	return w
}

// dirop starts the arguments of a procedure that begin with diropargs3.
func dirop(dir FH, name string) *xdr.Writer {
	w := args(dir)
	w.String(name)
	return w
}

// Null calls NULL.
func (c *Client) Null(ctx context.Context) error {
	return c.nfs(ctx, ProcNull, &xdr.Writer{}, func(*xdr.Reader) {})
}

// Getattr calls GETATTR.
func (c *Client) Getattr(ctx context.Context, fh FH) (res AttrRes, err error) {
	err = c.nfs(ctx, ProcGetattr, args(fh), func(r *xdr.Reader) {
		if res.Status = Status(r.Uint32()); res.Status == OK {
			res.Attr = getAttr(r)
		}
	})
	return res, err
}

// Setattr calls SETATTR, guarded by a ctime unless guard is nil.
func (c *Client) Setattr(ctx context.Context, fh FH, s SetAttr, guard *Time) (WCCRes, error) {
	w := args(fh)
	putSetAttr(w, &s)
	w.Bool(guard != nil)
	if guard != nil {
		putTime(w, *guard)
	}
	return c.wccCall(ctx, ProcSetattr, w)
}

// wccCall makes a call whose result is a status and wcc_data.
func (c *Client) wccCall(ctx context.Context, proc uint32, w *xdr.Writer) (res WCCRes, err error) {
	err = c.nfs(ctx, proc, w, func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		res.WCC = getWCC(r)
	})
	return res, err
}

// Lookup calls LOOKUP.
func (c *Client) Lookup(ctx context.Context, dir FH, name string) (res LookupRes, err error) {
	err = c.nfs(ctx, ProcLookup, dirop(dir, name), func(r *xdr.Reader) {
		if res.Status = Status(r.Uint32()); res.Status == OK {
			res.FH = r.Opaque(maxFH)
			res.Attr = getPostAttr(r)
		}
		res.Dir = getPostAttr(r)
	})
	return res, err
}

// Access calls ACCESS.
func (c *Client) Access(ctx context.Context, fh FH, bits uint32) (res AccessRes, err error) {
	w := args(fh)
	w.Uint32(bits)
	err = c.nfs(ctx, ProcAccess, w, func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		if res.Attr = getPostAttr(r); res.Status == OK {
			res.Access = r.Uint32()
		}
	})
	return res, err
}

// Readlink calls READLINK.
func (c *Client) Readlink(ctx context.Context, fh FH) (res ReadlinkRes, err error) {
	err = c.nfs(ctx, ProcReadlink, args(fh), func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		if res.Attr = getPostAttr(r); res.Status == OK {
			res.Target = r.String(maxPath)
		}
	})
	return res, err
}

// Read calls READ.
func (c *Client) Read(ctx context.Context, fh FH, off uint64, count uint32) (res ReadRes, err error) {
	w := args(fh)
	w.Uint64(off)
	w.Uint32(count)
	err = c.nfs(ctx, ProcRead, w, func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		if res.Attr = getPostAttr(r); res.Status == OK {
			res.Count = r.Uint32()
			res.EOF = r.Bool()
			res.Data = r.Opaque(maxData)
		}
	})
	return res, err
}

// Write calls WRITE.
func (c *Client) Write(ctx context.Context, fh FH, off uint64, data []byte, stable Stable) (res WriteRes, err error) {
	w := &xdr.Writer{B: make([]byte, 0, maxFH+32+len(data))}
	w.Opaque(fh)
	w.Uint64(off)
	w.Uint32(uint32(len(data)))
	w.Uint32(uint32(stable))
	w.Opaque(data)
	err = c.nfs(ctx, ProcWrite, w, func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		if res.WCC = getWCC(r); res.Status == OK {
			res.Count = r.Uint32()
			res.Committed = Stable(r.Uint32())
			copy(res.Verf[:], r.Fixed(8))
		}
	})
	return res, err
}

// createCall makes a call whose result is that of CREATE.
func (c *Client) createCall(ctx context.Context, proc uint32, w *xdr.Writer) (res CreateRes, err error) {
	err = c.nfs(ctx, proc, w, func(r *xdr.Reader) {
		if res.Status = Status(r.Uint32()); res.Status == OK {
			res.FH = getPostFH(r)
			res.Attr = getPostAttr(r)
		}
		res.Dir = getWCC(r)
	})
	return res, err
}

// Create calls CREATE.
func (c *Client) Create(ctx context.Context, dir FH, name string, how CreateHow) (CreateRes, error) {
	w := dirop(dir, name)
	w.Uint32(uint32(how.Mode))
	if how.Mode == vfs.CreateExclusive {
		w.Fixed(how.Verf[:])
	} else {
		putSetAttr(w, &how.Attr)
	}
	return c.createCall(ctx, ProcCreate, w)
}

// Mkdir calls MKDIR.
func (c *Client) Mkdir(ctx context.Context, dir FH, name string, s SetAttr) (CreateRes, error) {
	w := dirop(dir, name)
	putSetAttr(w, &s)
	return c.createCall(ctx, ProcMkdir, w)
}

// Symlink calls SYMLINK.
func (c *Client) Symlink(ctx context.Context, dir FH, name, target string, s SetAttr) (CreateRes, error) {
	w := dirop(dir, name)
	putSetAttr(w, &s)
	w.String(target)
	return c.createCall(ctx, ProcSymlink, w)
}

// Mknod calls MKNOD.
func (c *Client) Mknod(ctx context.Context, dir FH, name string, what MknodWhat) (CreateRes, error) {
	w := dirop(dir, name)
	w.Uint32(uint32(what.Type))
	switch what.Type {
	case vfs.TypeChr, vfs.TypeBlk:
		putSetAttr(w, &what.Attr)
		w.Uint32(what.Rdev.Major)
		w.Uint32(what.Rdev.Minor)
	case vfs.TypeSock, vfs.TypeFifo:
		putSetAttr(w, &what.Attr)
	}
	return c.createCall(ctx, ProcMknod, w)
}

// Remove calls REMOVE.
func (c *Client) Remove(ctx context.Context, dir FH, name string) (WCCRes, error) {
	return c.wccCall(ctx, ProcRemove, dirop(dir, name))
}

// Rmdir calls RMDIR.
func (c *Client) Rmdir(ctx context.Context, dir FH, name string) (WCCRes, error) {
	return c.wccCall(ctx, ProcRmdir, dirop(dir, name))
}

// Rename calls RENAME.
func (c *Client) Rename(ctx context.Context, from FH, fromName string, to FH, toName string) (res RenameRes, err error) {
	w := dirop(from, fromName)
	w.Opaque(to)
	w.String(toName)
	err = c.nfs(ctx, ProcRename, w, func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		res.From = getWCC(r)
		res.To = getWCC(r)
	})
	return res, err
}

// Link calls LINK: fh gets the name in dir.
func (c *Client) Link(ctx context.Context, fh, dir FH, name string) (res LinkRes, err error) {
	w := args(fh)
	w.Opaque(dir)
	w.String(name)
	err = c.nfs(ctx, ProcLink, w, func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		res.Attr = getPostAttr(r)
		res.Dir = getWCC(r)
	})
	return res, err
}

// Commit calls COMMIT.
func (c *Client) Commit(ctx context.Context, fh FH, off uint64, count uint32) (res CommitRes, err error) {
	w := args(fh)
	w.Uint64(off)
	w.Uint32(count)
	err = c.nfs(ctx, ProcCommit, w, func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		if res.WCC = getWCC(r); res.Status == OK {
			copy(res.Verf[:], r.Fixed(8))
		}
	})
	return res, err
}
