package nfs3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"twofold/nfs/nfs3"
	"twofold/nfs/rpc"
	"twofold/replica/vfs"
)

// oddFS is a volume that answers GETATTR and changes with a given verdict, or
// every call with a given error. It notes what it was asked last.
type oddFS struct {
	vfs.FS
	kind      vfs.Kind
	attr      vfs.Attr
	err       error // of reads
	changeErr error // of changes
	volumeErr error

	last    vfs.Call
	op      vfs.Op
	changes int
	off     uint64 // READ
	limit   int    // READ: length of the buffer; READDIR: most entries
}

func (o *oddFS) Volume() (vfs.Volume, error) { return volume, o.volumeErr }

func (o *oddFS) Mutate(_ context.Context, call *vfs.Call, op vfs.Op) (vfs.Result, error) {
	o.last, o.op = *call, op
	o.changes++
	return vfs.Result{Kind: o.kind}, o.changeErr
}

func (o *oddFS) GetAttr(context.Context, vfs.Ref) (vfs.AttrResult, error) {
	return vfs.AttrResult{Kind: o.kind, Attr: o.attr}, o.err
}

func (o *oddFS) Lookup(context.Context, vfs.Cred, vfs.Ref, string) (vfs.LookupResult, error) {
	return vfs.LookupResult{}, o.err
}

func (o *oddFS) Readlink(context.Context, vfs.Cred, vfs.Ref) (vfs.ReadlinkResult, error) {
	return vfs.ReadlinkResult{}, o.err
}

func (o *oddFS) Read(_ context.Context, _ vfs.Cred, _ vfs.Ref, off uint64, buf []byte) (vfs.ReadResult, error) {
	o.off, o.limit = off, len(buf)
	return vfs.ReadResult{N: copy(buf, "data")}, o.err
}

func (o *oddFS) ReadDir(_ context.Context, _ vfs.Cred, _ vfs.Ref, _ vfs.Cookie, _ bool, limit int) (vfs.ReadDirResult, error) {
	o.limit = limit
	return vfs.ReadDirResult{}, o.err
}

func (o *oddFS) StatFS(context.Context, vfs.Ref) (vfs.StatFSResult, error) {
	return vfs.StatFSResult{}, o.err
}

// wantStatus has the number of RFC 1813 section 2.6 for each verdict, by name.
var wantStatus = map[vfs.Kind]string{
	vfs.OK: "OK", vfs.Perm: "PERM", vfs.NotExist: "NOENT", vfs.IO: "IO", vfs.NXIO: "NXIO",
	vfs.Access: "ACCES", vfs.Exist: "EXIST", vfs.CrossDevice: "XDEV", vfs.NotDir: "NOTDIR",
	vfs.IsDir: "ISDIR", vfs.Invalid: "INVAL", vfs.TooBig: "FBIG", vfs.NoSpace: "NOSPC",
	vfs.ReadOnly: "ROFS", vfs.TooManyLinks: "MLINK", vfs.NameTooLong: "NAMETOOLONG",
	vfs.NotEmpty: "NOTEMPTY", vfs.Quota: "DQUOT", vfs.Stale: "STALE", vfs.BadHandle: "BADHANDLE",
	vfs.NotSync: "NOT_SYNC", vfs.BadCookie: "BAD_COOKIE", vfs.NotSupported: "NOTSUPP",
	vfs.TooSmall: "TOOSMALL", vfs.BadType: "BADTYPE",
}

func TestStatus_EveryKind(t *testing.T) {
	seen := map[string]bool{}
	metric := &recorder{}
	fs := &oddFS{}
	p := nfs3.New(nfs3.Config{FS: fs, Exports: table(t, open), Metrics: metric})
	for _, fs.kind = range append(vfs.Kinds(), vfs.Kind(len(vfs.Kinds())), 0xffff) {
		want := "SERVERFAULT"
		if fs.kind.Valid() {
			want = wantStatus[fs.kind]
			if want == "" || seen[want] {
				t.Errorf("kind %v has no status of its own in this test", fs.kind)
			}
			seen[want] = true
		}
		b, err := serve(t, p, root(), procRemove, enc(rootRef, "f"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readable(procRemove, b); got != want+" before=- after=-" || err != nil {
			t.Errorf("kind %v: %q, %v, want %s", fs.kind, got, err, want)
		}
		if got := strings.ToUpper(metric.status); got != want {
			t.Errorf("kind %v: status %q in metrics, want %s", fs.kind, got, want)
		}
	}
}

type recorder struct {
	proc, status string
	d            time.Duration
}

func (r *recorder) Observe(proc, status string, d time.Duration) {
	r.proc, r.status, r.d = proc, status, d
}

// empty is the rest of an error reply when nothing is known.
var empty = map[uint32]string{
	procGetattr: "", procSetattr: " before=- after=-", procLookup: " dir=-", procAccess: " obj=-",
	procReadlink: " obj=-", procRead: " obj=-", procWrite: " before=- after=-",
	procCreate: " before=- after=-", procMkdir: " before=- after=-", procSymlink: " before=- after=-",
	procMknod: " before=- after=-", procRemove: " before=- after=-", procRmdir: " before=- after=-",
	procRename: " before=- after=- before=- after=-", procLink: " obj=- before=- after=-",
	procReaddir: " dir=-", procReaddirplus: " dir=-", procFsstat: " obj=-", procFsinfo: " obj=-",
	procPathconf: " obj=-", procCommit: " before=- after=-",
}

func changes(proc uint32) bool {
	return proc == procSetattr || proc >= procWrite && proc <= procLink
}

// An availability error is silence for a change and JUKEBOX for a read, where
// it promises that nothing was proposed; a read that meets corruption is an I/O error, a change is not.
func TestAvailability(t *testing.T) {
	for _, c := range []struct {
		err          error
		read, change string // a status, or "" for silence
	}{
		{vfs.ErrBusy, "JUKEBOX", ""},
		{vfs.ErrNoQuorum, "JUKEBOX", ""},
		{fmt.Errorf("store: %w", vfs.ErrNotReady), "JUKEBOX", ""},
		{vfs.ErrUnknownOutcome, "", ""},
		{vfs.ErrShutdown, "", ""},
		{context.Canceled, "", ""},
		{errors.New("disk on fire"), "", ""},
		{fmt.Errorf("block 7: %w", vfs.ErrCorrupt), "IO", ""},
	} {
		p := newProgram(t, &oddFS{err: c.err, changeErr: c.err})
		for proc := uint32(1); proc < procCount; proc++ {
			want := c.read
			if changes(proc) {
				want = c.change
			}
			b, err := serve(t, p, root(), proc, validArgs()[proc][0])
			if want == "" {
				if !errors.Is(err, rpc.ErrDrop) {
					t.Errorf("%v, procedure %d: %v, want silence", c.err, proc, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%v, procedure %d: %v, want %s", c.err, proc, err, want)
				continue
			}
			if got, err := readable(proc, b); got != want+empty[proc] || err != nil {
				t.Errorf("%v, procedure %d: %q, %v, want %q", c.err, proc, got, err, want+empty[proc])
			}
		}
	}
}

// Before the volume is known nothing is asked of it, and NULL works. A change is
// left unanswered: its client has a handle, so the volume is there and this may
// be the repetition of a call that another node has taken.
func TestAvailability_NoVolumeYet(t *testing.T) {
	fs := &oddFS{volumeErr: vfs.ErrNotReady}
	p := newProgram(t, fs)
	if _, err := serve(t, p, root(), procNull, nil); err != nil {
		t.Errorf("NULL: %v", err)
	}
	for proc := uint32(1); proc < procCount; proc++ {
		b, err := serve(t, p, root(), proc, validArgs()[proc][0])
		if changes(proc) {
			if !errors.Is(err, rpc.ErrDrop) {
				t.Errorf("procedure %d: %v, want silence", proc, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("procedure %d: %v", proc, err)
			continue
		}
		if got, err := readable(proc, b); got != "JUKEBOX"+empty[proc] || err != nil {
			t.Errorf("procedure %d: %q, %v", proc, got, err)
		}
	}
	if fs.changes != 0 {
		t.Errorf("%d changes were proposed", fs.changes)
	}
}

// A change that is refused without being proposed has read only, so that what
// goes wrong with that is told as for a read.
func TestAvailability_CorruptWhileRefusing(t *testing.T) {
	p := newProgram(t, &oddFS{err: vfs.ErrCorrupt})
	b, err := serve(t, p, root(), procRemove, enc(rootRef, ""))
	if got, _ := readable(procRemove, b); err != nil || got != "IO before=- after=-" {
		t.Errorf("%q, %v", got, err)
	}
}

// A volume that gives data without attributes still gets its data through.
func TestRead_WithoutAttributes(t *testing.T) {
	p := newProgram(t, &oddFS{})
	b, err := serve(t, p, root(), procRead, enc(fileRef, uint64(0), 100))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readable(procRead, b); got != `OK obj=- count=4 eof=false data="data"` || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// Lines that calls cause are limited, errors are errors, and metrics count what
// the log leaves out.
func TestLogAndMetrics(t *testing.T) {
	var out bytes.Buffer
	metric := &recorder{}
	fs := &oddFS{err: vfs.ErrCorrupt}
	p := nfs3.New(nfs3.Config{FS: fs, Exports: table(t, open), Metrics: metric,
		Logger: slog.New(slog.NewTextHandler(&out, nil))})
	for range 100 {
		if _, err := serve(t, p, root(), procGetattr, enc(rootRef)); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "\n"); n < 1 || n > 3 {
		t.Errorf("%d lines for 100 calls", n)
	}
	if !strings.Contains(out.String(), "level=ERROR") || !strings.Contains(out.String(), "proc=getattr") {
		t.Errorf("log: %s", out.String())
	}
	if metric.proc != "getattr" || metric.status != "io" || metric.d <= 0 {
		t.Errorf("metrics: %+v", metric)
	}
	fs.err = vfs.ErrShutdown
	if _, err := serve(t, p, root(), procAccess, enc(rootRef, 1)); !errors.Is(err, rpc.ErrDrop) || metric.status != "dropped" || metric.proc != "access" {
		t.Errorf("%v, metrics: %+v", err, metric)
	}
	if _, err := serve(t, p, root(), procAccess, nil); !errors.Is(err, rpc.ErrGarbageArgs) || metric.status != "garbage_args" {
		t.Errorf("%v, metrics: %+v", err, metric)
	}
}

// Which addresses are one client, the configuration may say.
func TestCallID_Client(t *testing.T) {
	fs := &oddFS{}
	node := [16]byte{1, 0, 15: 9}
	p := nfs3.New(nfs3.Config{FS: fs, Exports: table(t, "*(rw,insecure)"), Client: func(a netip.Addr) [16]byte {
		if a != client.Addr() {
			t.Errorf("asked for %v", a)
		}
		return node
	}})
	if _, err := serveCall(t, p, call(procRemove, enc(rootRef, "f"))); err != nil {
		t.Fatal(err)
	}
	if got := fs.last.ID.Client; got != node {
		t.Errorf("client %v", got)
	}
}

// A retransmission has the identity of the call that it repeats, from whatever
// port; any other call has another.
func TestCallID(t *testing.T) {
	fs := &oddFS{}
	p := newProgram(t, fs)
	id := func(edit func(*rpc.Call)) vfs.CallID {
		k := call(procRemove, enc(rootRef, "f"))
		edit(k)
		if _, err := serveCall(t, p, k); err != nil {
			t.Fatal(err)
		}
		return fs.last.ID
	}
	first := id(func(*rpc.Call) {})
	if want := netip.MustParseAddr("::ffff:10.0.0.9").As16(); first.Client != want || first.XID != 5 || first.Proc&0xffff != procRemove || first.Sum == 0 {
		t.Errorf("identity %+v", first)
	}
	if again := id(func(k *rpc.Call) { k.Client = netip.MustParseAddrPort("[::ffff:10.0.0.9]:999") }); again != first {
		t.Errorf("repeated from another port: %+v, first %+v", again, first)
	}
	if again := id(func(k *rpc.Call) { k.CredBytes = []byte("diffcred") }); again != first {
		t.Errorf("repeated with another stamp: %+v, first %+v", again, first)
	}
	for name, edit := range map[string]func(*rpc.Call){
		"XID":         func(k *rpc.Call) { k.XID++ },
		"procedure":   func(k *rpc.Call) { k.Proc = procRmdir },
		"program":     func(k *rpc.Call) { k.Prog = 100021 },
		"host":        func(k *rpc.Call) { k.Client = netip.MustParseAddrPort("10.0.0.8:700") },
		"arguments":   func(k *rpc.Call) { k.Args = enc(rootRef, "g") },
		"credentials": func(k *rpc.Call) { k.CredBytes = []byte("stmpdred") },
		"flavor":      func(k *rpc.Call) { k.Cred.Flavor = rpc.AuthNone },
	} {
		if id(edit) == first {
			t.Errorf("another %s has the same identity", name)
		}
	}
}
