package nfs3_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"twofold/nfs/export"
	"twofold/nfs/handle"
	"twofold/nfs/nfs3"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

// Procedure numbers of RFC 1813 section 3.3.
const (
	procNull = iota
	procGetattr
	procSetattr
	procLookup
	procAccess
	procReadlink
	procRead
	procWrite
	procCreate
	procMkdir
	procSymlink
	procMknod
	procRemove
	procRmdir
	procRename
	procLink
	procReaddir
	procReaddirplus
	procFsstat
	procFsinfo
	procPathconf
	procCommit
	procCount
)

// epoch is the time of the volume's creation; every change is 1 ns later.
const epoch vfs.Time = 1_000_000_000_000_000_000

var volume = vfs.Volume{
	ID:        3,
	UUID:      [16]byte{0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7},
	HandleKey: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	BlockSize: 4096,
}

var client = netip.MustParseAddrPort("10.0.0.9:700")

func root() rpc.Cred { return rpc.Cred{Flavor: rpc.AuthSys} }

func user(uid uint32) rpc.Cred { return rpc.Cred{Flavor: rpc.AuthSys, UID: uid, GID: uid} }

// open is an export that lets everybody do everything.
const open = "*(rw,no_root_squash,insecure)"

// table exports the volume to clients.
func table(t testing.TB, clients string) *export.Exports {
	t.Helper()
	return tableOf(t, vfs.Export{Path: "/", Root: rootRef, Clients: clients})
}

func tableOf(t testing.TB, exports ...vfs.Export) *export.Exports {
	t.Helper()
	x := export.New(export.Config{})
	t.Cleanup(func() { _ = x.Close() })
	if err := x.Set(vfs.ExportTable{Exports: exports}); err != nil {
		t.Fatal(err)
	}
	return x
}

func newModel() *modelfs.FS {
	return modelfs.New(modelfs.WithVolume(volume), modelfs.WithClock(func() vfs.Time { return epoch }))
}

func newProgram(t testing.TB, fs vfs.FS) *nfs3.Program {
	t.Helper()
	return programFor(t, fs, open)
}

func programFor(t testing.TB, fs vfs.FS, clients string) *nfs3.Program {
	t.Helper()
	return nfs3.New(nfs3.Config{FS: fs, Exports: table(t, clients)})
}

// prefix stands for the RPC header that is in the reply already.
const prefix = "HEAD"

// serve makes one call and returns the results without the header.
func serve(t testing.TB, p *nfs3.Program, cred rpc.Cred, proc uint32, args []byte) ([]byte, error) {
	t.Helper()
	k := call(proc, args)
	k.Cred = cred
	return serveCall(t, p, k)
}

// call is a call by root.
func call(proc uint32, args []byte) *rpc.Call {
	return &rpc.Call{XID: 5, Prog: nfs3.Number, Vers: nfs3.Version, Proc: proc,
		Cred: root(), Client: client, CredBytes: []byte("stmpcred"), Args: args}
}

func serveCall(t testing.TB, p *nfs3.Program, call *rpc.Call) ([]byte, error) {
	t.Helper()
	w := &xdr.Writer{B: []byte(prefix)}
	err := p.ServeRPC(context.Background(), call, w)
	if !strings.HasPrefix(string(w.B), prefix) {
		t.Fatalf("procedure %d wrote over the reply header: %q", call.Proc, w.B[:4])
	}
	return w.B[len(prefix):], err
}

// enc builds arguments: uint32, uint64, bool, string (variable length), []byte
// (variable length), [8]byte (fixed length), vfs.Ref (handle), int (a uint32).
func enc(values ...any) []byte {
	var w xdr.Writer
	for _, v := range values {
		switch v := v.(type) {
		case int:
			w.Uint32(uint32(v))
		case uint32:
			w.Uint32(v)
		case uint64:
			w.Uint64(v)
		case bool:
			w.Bool(v)
		case string:
			w.String(v)
		case []byte:
			w.Opaque(v)
		case [8]byte:
			w.Fixed(v[:])
		case vfs.Ref:
			w.Opaque(handle.Encode(volume, vfs.RootIno, v))
		case in:
			w.Opaque(handle.Encode(volume, v.root, v.ref))
		case vfs.Time:
			w.Uint32(uint32(v / 1e9))
			w.Uint32(uint32(v % 1e9))
		case sattr:
			w.Fixed(v.encode())
		default:
			panic(fmt.Sprintf("no XDR for %T", v))
		}
	}
	return w.B
}

// in is the handle of ref in the export with this root.
type in struct {
	root vfs.Ino
	ref  vfs.Ref
}

// sattr is a sattr3; absent keys are not set. Times: -1 is the server's.
type sattr map[string]int64

func (s sattr) encode() []byte {
	var w xdr.Writer
	for _, field := range []string{"mode", "uid", "gid", "size"} {
		v, ok := s[field]
		w.Bool(ok)
		switch {
		case ok && field == "size":
			w.Uint64(uint64(v))
		case ok:
			w.Uint32(uint32(v))
		}
	}
	for _, field := range []string{"atime", "mtime"} {
		v, ok := s[field]
		switch {
		case !ok:
			w.Uint32(0)
		case v < 0:
			w.Uint32(1)
		default:
			w.Uint32(2)
			w.Uint32(uint32(v / 1e9))
			w.Uint32(uint32(v % 1e9))
		}
	}
	return w.B
}

func ref(ino vfs.Ino) vfs.Ref { return vfs.Ref{Ino: ino, Gen: modelfs.Gen} }

// rootRef and noRef are the root and an inode that never was.
var rootRef, noRef = vfs.Ref{Ino: vfs.RootIno}, ref(999)

// decoder turns a reply into one line, and fails on a byte too many or too few.
type decoder struct {
	*xdr.Reader
	out strings.Builder
}

func (d *decoder) say(format string, args ...any) {
	if n := d.out.Len(); n > 0 && d.out.String()[n-1] != '=' {
		d.out.WriteByte(' ')
	}
	fmt.Fprintf(&d.out, format, args...)
}

var statusNames = map[uint32]string{
	0: "OK", 1: "PERM", 2: "NOENT", 5: "IO", 6: "NXIO", 13: "ACCES", 17: "EXIST", 18: "XDEV",
	20: "NOTDIR", 21: "ISDIR", 22: "INVAL", 27: "FBIG", 28: "NOSPC", 30: "ROFS", 31: "MLINK",
	63: "NAMETOOLONG", 66: "NOTEMPTY", 69: "DQUOT", 70: "STALE", 10001: "BADHANDLE",
	10002: "NOT_SYNC", 10003: "BAD_COOKIE", 10004: "NOTSUPP", 10005: "TOOSMALL",
	10006: "SERVERFAULT", 10007: "BADTYPE", 10008: "JUKEBOX",
}

// readable decodes the results of a procedure.
func readable(proc uint32, b []byte) (string, error) {
	d := &decoder{Reader: xdr.NewReader(b)}
	if proc != procNull {
		st := d.Uint32()
		name, ok := statusNames[st]
		if !ok {
			return "", fmt.Errorf("status %d", st)
		}
		d.out.WriteString(name)
		d.results(proc, st == 0)
	}
	if d.Err() != nil {
		return "", fmt.Errorf("%q: %w", d.out.String(), d.Err())
	}
	if n := len(d.Rest()); n != 0 {
		return "", fmt.Errorf("%q: %d bytes too many", d.out.String(), n)
	}
	return d.out.String(), nil
}

func (d *decoder) results(proc uint32, ok bool) {
	switch proc {
	case procGetattr:
		if ok {
			d.attr()
		}
	case procSetattr, procRemove, procRmdir:
		d.wcc()
	case procLookup:
		if ok {
			d.fh()
			d.postOp("obj")
		}
		d.postOp("dir")
	case procAccess:
		d.postOp("obj")
		if ok {
			d.say("access=%#x", d.Uint32())
		}
	case procReadlink:
		d.postOp("obj")
		if ok {
			d.say("target=%q", d.String(4096))
		}
	case procRead:
		d.postOp("obj")
		if ok {
			d.say("count=%d eof=%v data=%q", d.Uint32(), d.Bool(), d.Opaque(vfs.MaxIO))
		}
	case procWrite:
		d.wcc()
		if ok {
			d.say("count=%d committed=%d verf=%x", d.Uint32(), d.Uint32(), d.Fixed(8))
		}
	case procCreate, procMkdir, procSymlink, procMknod:
		if ok {
			d.postFH()
			d.postOp("obj")
		}
		d.wcc()
	case procRename:
		d.wcc()
		d.wcc()
	case procLink:
		d.postOp("obj")
		d.wcc()
	case procReaddir, procReaddirplus:
		d.postOp("dir")
		if ok {
			d.entries(proc == procReaddirplus)
		}
	case procFsstat:
		d.postOp("obj")
		if ok {
			d.say("bytes=%d/%d/%d", d.Uint64(), d.Uint64(), d.Uint64())
			d.say("files=%d/%d/%d invarsec=%d", d.Uint64(), d.Uint64(), d.Uint64(), d.Uint32())
		}
	case procFsinfo:
		d.postOp("obj")
		if ok {
			d.say("rt=%d/%d/%d", d.Uint32(), d.Uint32(), d.Uint32())
			d.say("wt=%d/%d/%d dtpref=%d", d.Uint32(), d.Uint32(), d.Uint32(), d.Uint32())
			d.say("maxfilesize=%d delta=%d.%d props=%#x", d.Uint64(), d.Uint32(), d.Uint32(), d.Uint32())
		}
	case procPathconf:
		d.postOp("obj")
		if ok {
			d.say("linkmax=%d namemax=%d", d.Uint32(), d.Uint32())
			d.say("notrunc=%v chown=%v insensitive=%v preserving=%v", d.Bool(), d.Bool(), d.Bool(), d.Bool())
		}
	case procCommit:
		d.wcc()
		if ok {
			d.say("verf=%x", d.Fixed(8))
		}
	}
}

// stamp prints a time as nanoseconds since the epoch of the tests, or as it is.
func (d *decoder) stamp() string {
	t := vfs.Time(d.Uint32())*1e9 + vfs.Time(d.Uint32())
	if diff := t - epoch; diff >= 0 && diff < 1e9 {
		return fmt.Sprint(int64(diff))
	}
	return fmt.Sprintf("[%d]", int64(t))
}

var typeNames = [...]string{"?", "reg", "dir", "blk", "chr", "lnk", "sock", "fifo"}

// attr prints {type mode nlink owner:group size used rdev ino atime/mtime/ctime}.
func (d *decoder) attr() {
	t := d.Uint32()
	if int(t) >= len(typeNames) {
		d.Fail(fmt.Errorf("file type %d", t))
		return
	}
	d.say("{%s %#o n%d %d:%d", typeNames[t], d.Uint32(), d.Uint32(), d.Uint32(), d.Uint32())
	d.say("%dB used%d dev%d,%d", d.Uint64(), d.Uint64(), d.Uint32(), d.Uint32())
	if fsid := d.Uint64(); fsid != volume.FSID() && d.Err() == nil {
		d.Fail(fmt.Errorf("fsid %x", fsid))
	}
	d.say("#%d %s/%s/%s}", d.Uint64(), d.stamp(), d.stamp(), d.stamp())
}

func (d *decoder) postOp(what string) {
	if !d.Bool() {
		d.say("%s=-", what)
		return
	}
	d.say("%s=", what)
	d.attr()
}

func (d *decoder) wcc() {
	if d.Bool() {
		d.say("before=%dB,%s,%s", d.Uint64(), d.stamp(), d.stamp())
	} else {
		d.say("before=-")
	}
	d.postOp("after")
}

func (d *decoder) fh() {
	root, r, kind := handle.Decode(volume, d.Opaque(64))
	if kind != vfs.OK && d.Err() == nil {
		d.Fail(fmt.Errorf("a handle that is %v", kind))
	}
	if root != vfs.RootIno {
		d.say("in=#%d", root)
	}
	d.say("fh=#%d", r.Ino)
}

func (d *decoder) postFH() {
	if d.Bool() {
		d.fh()
	} else {
		d.say("fh=-")
	}
}

func (d *decoder) entries(plus bool) {
	d.say("verf=%x", d.Fixed(8))
	for d.Bool() {
		d.say("[#%d %q %d", d.Uint64(), d.String(255), d.Uint64())
		if plus {
			d.postOp("obj")
			d.postFH()
		}
		d.out.WriteByte(']')
	}
	d.say("eof=%v", d.Bool())
}
