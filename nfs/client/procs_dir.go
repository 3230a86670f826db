package client

import (
	"context"
	"errors"

	"twofold/nfs/xdr"
)

var errTooManyEntries = errors.New("client: too many entries in one reply")

// Readdir calls READDIR.
func (c *Client) Readdir(ctx context.Context, dir FH, cookie uint64, verf [8]byte, count uint32) (ReadDirRes, error) {
	w := args(dir)
	w.Uint64(cookie)
	w.Fixed(verf[:])
	w.Uint32(count)
	return c.readdirCall(ctx, ProcReaddir, w, false)
}

// Readdirplus calls READDIRPLUS.
func (c *Client) Readdirplus(ctx context.Context, dir FH, cookie uint64, verf [8]byte, dircount, maxcount uint32) (ReadDirRes, error) {
	w := args(dir)
	w.Uint64(cookie)
	w.Fixed(verf[:])
	w.Uint32(dircount)
	w.Uint32(maxcount)
	return c.readdirCall(ctx, ProcReaddirplus, w, true)
}

func (c *Client) readdirCall(ctx context.Context, proc uint32, w *xdr.Writer, plus bool) (res ReadDirRes, err error) {
	err = c.nfs(ctx, proc, w, func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		if res.Dir = getPostAttr(r); res.Status != OK {
			return
		}
		copy(res.Verf[:], r.Fixed(8))
		for r.Bool() {
			if len(res.Entries) == maxEntries {
				r.Fail(errTooManyEntries)
				return
			}
			e := Dirent{FileID: r.Uint64(), Name: r.String(maxName), Cookie: r.Uint64()}
			if plus {
				e.Attr = getPostAttr(r)
				e.FH = getPostFH(r)
			}
			res.Entries = append(res.Entries, e)
		}
		res.EOF = r.Bool()
	})
	return res, err
}

// ReadAll lists a whole directory by READDIR, or by READDIRPLUS, with replies of
// at most count bytes.
func (c *Client) ReadAll(ctx context.Context, dir FH, plus bool, count uint32) ([]Dirent, error) {
	var (
		all    []Dirent
		cookie uint64
		verf   [8]byte
	)
	for {
		var res ReadDirRes
		var err error
		if plus {
			res, err = c.Readdirplus(ctx, dir, cookie, verf, count, count)
		} else {
			res, err = c.Readdir(ctx, dir, cookie, verf, count)
		}
		if err == nil {
			err = res.Status.Err()
		}
		if err != nil {
			return all, err
		}
		all = append(all, res.Entries...)
		if res.EOF {
			return all, nil
		}
		if len(res.Entries) == 0 {
			return all, errors.New("client: neither an entry nor the end of the directory")
		}
		cookie, verf = res.Entries[len(res.Entries)-1].Cookie, res.Verf
	}
}

// Fsstat calls FSSTAT.
func (c *Client) Fsstat(ctx context.Context, fh FH) (res FSStatRes, err error) {
	err = c.nfs(ctx, ProcFsstat, args(fh), func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		if res.Attr = getPostAttr(r); res.Status != OK {
			return
		}
		res.Tbytes, res.Fbytes, res.Abytes = r.Uint64(), r.Uint64(), r.Uint64()
		res.Tfiles, res.Ffiles, res.Afiles = r.Uint64(), r.Uint64(), r.Uint64()
		res.InvarSec = r.Uint32()
	})
	return res, err
}

// Fsinfo calls FSINFO.
func (c *Client) Fsinfo(ctx context.Context, fh FH) (res FSInfoRes, err error) {
	err = c.nfs(ctx, ProcFsinfo, args(fh), func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		if res.Attr = getPostAttr(r); res.Status != OK {
			return
		}
		res.Rtmax, res.Rtpref, res.Rtmult = r.Uint32(), r.Uint32(), r.Uint32()
		res.Wtmax, res.Wtpref, res.Wtmult = r.Uint32(), r.Uint32(), r.Uint32()
		res.Dtpref = r.Uint32()
		res.MaxFileSize = r.Uint64()
		res.TimeDelta = getTime(r)
		res.Properties = r.Uint32()
	})
	return res, err
}

// Pathconf calls PATHCONF.
func (c *Client) Pathconf(ctx context.Context, fh FH) (res PathconfRes, err error) {
	err = c.nfs(ctx, ProcPathconf, args(fh), func(r *xdr.Reader) {
		res.Status = Status(r.Uint32())
		if res.Attr = getPostAttr(r); res.Status != OK {
			return
		}
		res.Linkmax, res.NameMax = r.Uint32(), r.Uint32()
		res.NoTrunc, res.ChownRestricted = r.Bool(), r.Bool()
		res.CaseInsensitive, res.CasePreserving = r.Bool(), r.Bool()
	})
	return res, err
}
