package gonfs_test

import (
	"os"
	"testing"

	"twofold/nfs/client"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// Whoever calls acts as the one user that the file system was opened for, and
// ACCESS grants whatever is asked.
func TestStock_CredentialsDoNotReachTheFileSystem(t *testing.T) {
	c, root := stockOn(t, newProbe())
	private := create(t, c, root, "private")
	mode := client.SetAttr{Mode: client.Ptr[uint32](0o600)}
	set, err := c.Setattr(t.Context(), private, mode, nil)
	ok(t, set.Status, err)
	fill(t, c, private, "root's")

	other := c.As(client.Sys(1000, 1000))
	if res, err := other.Read(t.Context(), private, 0, 10); err != nil || res.Status != client.OK {
		mended(t, "another user's READ of a file of mode 0600: %v, %v", res.Status, err)
	}
	if res, err := other.Access(t.Context(), private, client.AccessAll); err != nil || res.Access != client.AccessAll {
		mended(t, "another user's ACCESS to it: %#x, %v", res.Access, err)
	}
	res, err := other.Create(t.Context(), root, "other", client.CreateHow{Mode: vfs.CreateGuarded})
	if err != nil {
		t.Fatal(err)
	}
	if res.Status != client.OK {
		mended(t, "another user's CREATE in root's directory: %v", res.Status)
	} else if a := getattr(t, c, res.FH); a.UID != 0 || a.GID != 0 {
		mended(t, "the owner of another user's file is %d:%d", a.UID, a.GID)
	}
}

// One time stands for three, though the file system has all of them.
func TestStock_KnowsOneTimeOnly(t *testing.T) {
	fs := newProbe()
	c, root := stockOn(t, fs)
	fh := create(t, c, root, "file")
	times := client.SetAttr{
		SetAtime: client.ClientTime, Atime: client.Time{Sec: 1000},
		SetMtime: client.ClientTime, Mtime: client.Time{Sec: 2000},
	}
	set, err := c.Setattr(t.Context(), fh, times, nil)
	ok(t, set.Status, err)
	in, err := fs.store.Lookup(t.Context(), vfs.Root, vfs.RootRef(), "file")
	if err != nil {
		t.Fatal(err)
	}
	if in.Attr.Atime.Time().Unix() != 1000 || in.Attr.Mtime.Time().Unix() != 2000 || in.Attr.Ctime == in.Attr.Mtime {
		t.Errorf("in the volume: %+v", in.Attr)
	}
	a := getattr(t, c, fh)
	if a.Mtime.Sec != 2000 {
		t.Errorf("mtime %d", a.Mtime.Sec)
	}
	if a.Atime != a.Mtime {
		mended(t, "atime %d, mtime %d", a.Atime.Sec, a.Mtime.Sec)
	}
	if a.Ctime != a.Mtime {
		mended(t, "ctime %d, mtime %d", a.Ctime.Sec, a.Mtime.Sec)
	}
}

// LINK is decoded as if its arguments were those of SYMLINK: the real ones are
// refused, and a call that no client makes makes a link.
func TestStock_LinkDecodesTheWrongArguments(t *testing.T) {
	c, root := stockOn(t, newProbe())
	fh := create(t, c, root, "file")
	link := func(args ...func(*xdr.Writer)) client.Status {
		t.Helper()
		var w xdr.Writer
		for _, put := range args {
			put(&w)
		}
		res, err := c.Call(t.Context(), programNFS, 3, client.ProcLink, w.B)
		if err != nil {
			t.Fatal(err)
		}
		return status(t, res)
	}
	handle := func(fh client.FH) func(*xdr.Writer) { return func(w *xdr.Writer) { w.Opaque(fh) } }
	text := func(s string) func(*xdr.Writer) { return func(w *xdr.Writer) { w.String(s) } }
	noAttr := func(w *xdr.Writer) { w.Fixed(make([]byte, 6*4)) }
	if st := link(handle(fh), handle(root), text("link")); st == client.OK {
		mended(t, "LINK as in RFC 1813: %v", st)
	}
	if st := link(handle(root), text("link"), noAttr, text("file")); st != client.OK {
		mended(t, "LINK with the arguments of SYMLINK: %v", st)
	}
}

// Exclusive CREATE is refused.
func TestStock_RefusesExclusiveCreate(t *testing.T) {
	c, root := stockOn(t, newProbe())
	how := client.CreateHow{Mode: vfs.CreateExclusive, Verf: [8]byte{1}}
	if res, err := c.Create(t.Context(), root, "file", how); err != nil || res.Status != client.ErrNotSupp {
		mended(t, "%v, %v", res.Status, err)
	}
}

// WRITE claims FILE_SYNC, and neither it nor COMMIT syncs the file: over a file
// system that keeps written data in memory until then, that is a promise broken.
func TestStock_NeverSyncs(t *testing.T) {
	fs := newProbe()
	c, root := stockOn(t, fs)
	fh := create(t, c, root, "file")
	for _, how := range []client.Stable{client.Unstable, client.FileSync} {
		res, err := c.Write(t.Context(), fh, 0, []byte("data"), how)
		ok(t, res.Status, err)
		if res.Committed != client.FileSync {
			mended(t, "WRITE with stable_how %d answers %d", how, res.Committed)
		}
	}
	res, err := c.Commit(t.Context(), fh, 0, 0)
	ok(t, res.Status, err)
	if fs.writes.Load() == 0 {
		t.Error("the hook in the file system was not called")
	}
	if n := fs.syncs.Load(); n != 0 {
		mended(t, "%d syncs", n)
	}
}

// The three upper mode bits are lost on their way in, and on their way out they
// are Go's, not Unix's.
func TestStock_LosesModeBits(t *testing.T) {
	fs := newProbe()
	c, root := stockOn(t, fs)
	fh := create(t, c, root, "file")
	for _, bit := range []uint32{vfs.ModeSetuid, vfs.ModeSetgid, vfs.ModeSticky} {
		set, err := c.Setattr(t.Context(), fh, client.SetAttr{Mode: client.Ptr(bit | 0o750)}, nil)
		ok(t, set.Status, err)
		info, err := fs.FS.Lstat("file")
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o750 {
			mended(t, "SETATTR of mode %#o gives %v", bit|0o750, info.Mode())
		}
	}
	if err := fs.Chmod("file", 0o750|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if a := getattr(t, c, fh); a.Mode&vfs.ModeMask != 0o750 {
		mended(t, "GETATTR of a setuid file: mode %#o", a.Mode)
	}
}
