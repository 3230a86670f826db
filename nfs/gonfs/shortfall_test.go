package gonfs_test

import (
	"bytes"
	"encoding/binary"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"
	stock "github.com/willscott/go-nfs"
	"github.com/willscott/go-nfs/helpers"

	"twofold/nfs/client"
	"twofold/replica/billyfs"
	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

// The tests of the shortfall_* files show what stock go-nfs does not do, and why
// its NFS procedures do not serve this gateway. Each is one row of the table in
// docs/nfs-conformance.md, and each fails when a version of go-nfs mends what it
// shows: that row, and perhaps the native code that it justifies, can then go.

const (
	// stockHandles is how many handles stock go-nfs remembers.
	stockHandles = 1024
	// silence is how long no answer is taken for an answer that does not come.
	silence = 200 * time.Millisecond
	// patience is how long an answer that has to come may take.
	patience = 10 * time.Second
)

// mended is the failure of these tests.
func mended(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Errorf("go-nfs has mended this, see docs/nfs-conformance.md: "+format, args...)
}

// probe is the volume as a billy file system, with hooks.
type probe struct {
	*billyfs.FS
	store vfs.FS
	held  string        // Lstat of this name ...
	began chan struct{} // closes this
	hold  chan struct{} // and waits for this

	syncs  atomic.Int64 // calls of Sync on files
	writes atomic.Int64 // calls of Write on files
}

// newProbe returns a new volume as root sees it: with all that billy can carry.
func newProbe() *probe {
	store := modelfs.New()
	return &probe{
		FS:    billyfs.New(store, vfs.Root),
		store: store,
		began: make(chan struct{}),
		hold:  make(chan struct{}),
	}
}

// Lstat is what go-nfs calls for GETATTR.
func (p *probe) Lstat(name string) (os.FileInfo, error) {
	if p.held != "" && name == p.held {
		close(p.began)
		<-p.hold
	}
	return p.FS.Lstat(name)
}

// OpenFile is what go-nfs calls for WRITE.
func (p *probe) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	f, err := p.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &probeFile{File: f, probe: p}, nil
}

// probeFile is a file that could be synced, as those of package os can.
type probeFile struct {
	billy.File
	probe *probe
}

func (f *probeFile) Write(b []byte) (int, error) {
	f.probe.writes.Add(1)
	return f.File.Write(b)
}

func (f *probeFile) Sync() error {
	f.probe.syncs.Add(1)
	return nil
}

// serveStock has stock go-nfs serve a handler and returns the address.
func serveStock(t *testing.T, h stock.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = stock.Serve(l, h) // always an error: the listener was closed
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-served
	})
	return l.Addr().String()
}

// dialStock connects as root and mounts.
func dialStock(t *testing.T, addr string) (*client.Client, client.FH) {
	t.Helper()
	c, err := client.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	root, err := c.Root(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	return c, root
}

// serveProbe serves fs with go-nfs's own caching handler.
func serveProbe(t *testing.T, fs *probe) string {
	t.Helper()
	return serveStock(t, helpers.NewCachingHandler(helpers.NewNullAuthHandler(fs), stockHandles))
}

// stockOn is serveProbe with a connection.
func stockOn(t *testing.T, fs *probe) (*client.Client, client.FH) {
	t.Helper()
	return dialStock(t, serveProbe(t, fs))
}

// ok fails the test for an error, or for a status that is not OK.
func ok(t *testing.T, st client.Status, err error) {
	t.Helper()
	if err == nil {
		err = st.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// create makes a file by the guarded mode, and returns its handle.
func create(t *testing.T, c *client.Client, dir client.FH, name string) client.FH {
	t.Helper()
	how := client.CreateHow{Mode: vfs.CreateGuarded, Attr: client.SetAttr{Mode: client.Ptr[uint32](0o644)}}
	res, err := c.Create(t.Context(), dir, name, how)
	ok(t, res.Status, err)
	return res.FH
}

// mkdir makes a directory and returns its handle.
func mkdir(t *testing.T, c *client.Client, dir client.FH, name string) client.FH {
	t.Helper()
	res, err := c.Mkdir(t.Context(), dir, name, client.SetAttr{Mode: client.Ptr[uint32](0o755)})
	ok(t, res.Status, err)
	return res.FH
}

// fill writes content at a file's start.
func fill(t *testing.T, c *client.Client, fh client.FH, content string) {
	t.Helper()
	res, err := c.Write(t.Context(), fh, 0, []byte(content), client.FileSync)
	ok(t, res.Status, err)
}

// getattr returns the attributes of an object.
func getattr(t *testing.T, c *client.Client, fh client.FH) client.Attr {
	t.Helper()
	res, err := c.Getattr(t.Context(), fh)
	ok(t, res.Status, err)
	return res.Attr
}

// status is the first word of results.
func status(t *testing.T, results []byte) client.Status {
	t.Helper()
	if len(results) < 4 {
		t.Fatalf("results of %d bytes", len(results))
	}
	return client.Status(binary.BigEndian.Uint32(results))
}

// The table in the documentation and the tests name each other, and the
// version that both speak of is the one that is built in.
func TestShortfalls_AreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "nfs-conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`willscott/go-nfs (v\S+)`).FindSubmatch(mod)
	if version == nil || !bytes.Contains(page, []byte("| go-nfs "+string(version[1])+" |")) {
		t.Errorf("go.mod has go-nfs %s, the table is about another version", version)
	}
	files, err := filepath.Glob("shortfall*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (TestStock_\w+)`).FindAllSubmatch(src, -1) {
			tests[string(m[1])] = true
		}
	}
	rows := make(map[string]bool)
	for _, m := range regexp.MustCompile("`(TestStock_\\w+)` \\|").FindAllSubmatch(page, -1) {
		rows[string(m[1])] = true
	}
	if !maps.Equal(tests, rows) {
		t.Errorf("tests %q\nrows %q", slices.Sorted(maps.Keys(tests)), slices.Sorted(maps.Keys(rows)))
	}
}
