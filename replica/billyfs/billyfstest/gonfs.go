package billyfstest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sort"
	"syscall"
	"testing"

	nfsclient "github.com/willscott/go-nfs-client/nfs"
	"github.com/willscott/go-nfs-client/nfs/rpc"

	"github.com/willscott/go-nfs"
	"github.com/willscott/go-nfs/helpers"

	"twofold/replica/vfs"
)

// nfsHandles is how many file handles go-nfs remembers.
const nfsHandles = 1024

// testGoNFS lets stock go-nfs serve the volume to an NFS client.
func testGoNFS(t *testing.T, store vfs.FS) {
	fs := subtree(t, store)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() {
		served <- nfs.Serve(listener, helpers.NewCachingHandler(helpers.NewNullAuthHandler(fs), nfsHandles))
	}()
	defer func() {
		must(t, listener.Close())
		<-served // Always an error: the listener was closed.
	}()
	// The client picks its source port at random, without asking if it is free.
	conn, err := rpc.DialTCP("tcp", listener.Addr().String(), false)
	for try := 0; try < 20 && errors.Is(err, syscall.EADDRINUSE); try++ {
		conn, err = rpc.DialTCP("tcp", listener.Addr().String(), false)
	}
	must(t, err)
	defer conn.Close()
	mount := nfsclient.Mount{Client: conn}
	target, err := mount.Mount("/", rpc.AuthNull)
	must(t, err)
	defer func() { must(t, mount.Unmount()) }()

	_, err = target.Mkdir("/dir", 0o750)
	must(t, err)
	_, err = target.Create("/dir/file", 0o640)
	must(t, err)
	fi, err := fs.Stat("dir/file")
	must(t, err)
	if fi.Mode() != 0o640 {
		t.Errorf("mode of the new file: %v", fi.Mode())
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	nfsWrite(t, target, "/dir/file", data)
	if got := nfsRead(t, target, "/dir/file"); !bytes.Equal(got, data) {
		t.Errorf("read over NFS: %d bytes, want %d", len(got), len(data))
	}
	if got := readFile(t, fs, "dir/file"); got != string(data) {
		t.Errorf("read beside NFS: %d bytes, want %d", len(got), len(data))
	}
	attr, err := target.Getattr("/dir/file")
	must(t, err)
	if st := stat(t, fi); attr.Fileid != st.ino || attr.Nlink != 1 || attr.Filesize != uint64(len(data)) {
		t.Errorf("attributes: %+v, want fileid %d", attr, st.ino)
	}
	must(t, target.Symlink("file", "/dir/link"))
	must(t, target.Rename("/dir/file", "/moved"))
	wantNames(t, target, "/", "dir", "moved")
	wantNames(t, target, "/dir", "link")
	if got := readFile(t, fs, "moved"); got != string(data) {
		t.Error("the renamed file differs")
	}
	if err := target.RmDir("/dir"); err == nil {
		t.Error("a full directory was removed")
	}
	must(t, target.Remove("/dir/link"))
	must(t, target.RmDir("/dir"))
	must(t, target.Remove("/moved"))
	wantNames(t, target, "/")
	if _, err := fs.Stat("moved"); !os.IsNotExist(err) {
		t.Errorf("after the removal: %v", err)
	}
}

func nfsWrite(t *testing.T, target *nfsclient.Target, name string, data []byte) {
	t.Helper()
	f, err := target.OpenFile(name, 0o640)
	must(t, err)
	_, err = f.Write(data)
	must(t, err)
	must(t, f.Close())
}

func nfsRead(t *testing.T, target *nfsclient.Target, name string) []byte {
	t.Helper()
	f, err := target.Open(name)
	must(t, err)
	b, err := io.ReadAll(f)
	must(t, err)
	must(t, f.Close())
	return b
}

func wantNames(t *testing.T, target *nfsclient.Target, dir string, want ...string) {
	t.Helper()
	entries, err := target.ReadDirPlus(dir)
	must(t, err)
	var got []string
	for _, e := range entries {
		if e.Name() != "." && e.Name() != ".." {
			got = append(got, e.Name())
		}
	}
	sort.Strings(got)
	if len(got) != len(want) {
		t.Fatalf("%s has %q, want %q", dir, got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s has %q, want %q", dir, got, want)
		}
	}
}
