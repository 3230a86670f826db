package mounted

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/hashicorp/raft-wal/types"

	"twofold/raftlog/logstore/logstoretest"
)

// cacheFor is how long the kernel may keep names and attributes: nobody else
// changes them.
const cacheFor = time.Hour

// Serve runs the file system until in ends. Each line of in is a command, which one
// line of out answers.
func Serve(in io.Reader, out io.Writer) error {
	s := &server{disk: logstoretest.New()}
	defer s.unmount()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		answer, err := s.do(lines.Text())
		if err != nil {
			answer = "error " + err.Error()
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
	}
	return nil
}

type server struct {
	disk  *logstoretest.FS
	mount *fuse.Server // nil while not mounted
	dir   string
}

// do executes one command.
func (s *server) do(line string) (string, error) {
	var name, dir string
	var n, seed uint64
	if _, err := fmt.Sscanf(line, "%s %d %d %q", &name, &n, &seed, &dir); err != nil {
		return "", err
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	switch name {
	case "steps":
		return fmt.Sprint(s.disk.Steps()), nil
	case "off":
		return fmt.Sprint(s.disk.Off()), nil
	case "cutafter":
		s.disk.CutAfter(int(n))
	case "cut":
		s.disk.Cut()
	case "fail":
		s.unmount()
		s.disk = s.disk.PowerLoss(logstoretest.Fate(n), rng)
	case "kill":
		s.unmount()
		s.disk = s.disk.Killed()
	case "format":
		s.unmount()
		s.disk = logstoretest.New()
	case "lie":
		s.unmount()
		s.disk.Lie = func(_ int, kind logstoretest.Step) bool { return kind == logstoretest.StepSync }
		return "done", s.mountAt(dir)
	case "mount":
		return "done", s.mountAt(dir)
	default:
		return "", errors.New("unknown command")
	}
	return "done", nil
}

func (s *server) mountAt(dir string) error {
	keep := cacheFor
	m, err := fs.Mount(dir, &dirNode{disk: s.disk}, &fs.Options{
		EntryTimeout: &keep, AttrTimeout: &keep,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "crashable", Name: "crashable"},
	})
	s.mount, s.dir = m, dir
	return err
}

// unmount takes the directory away at once. A store that could not be opened may have
// left a file open, which must not hold it up: what that process still has of it
// ends with this one.
func (s *server) unmount() {
	if s.mount == nil {
		return
	}
	if err := syscall.Unmount(s.dir, syscall.MNT_DETACH); err != nil {
		fmt.Fprintln(os.Stderr, "unmount:", err)
	}
	s.mount = nil
}

// dirNode is the one directory.
type dirNode struct {
	fs.Inode
	disk *logstoretest.FS
}

var (
	_ fs.NodeLookuper  = (*dirNode)(nil)
	_ fs.NodeCreater   = (*dirNode)(nil)
	_ fs.NodeUnlinker  = (*dirNode)(nil)
	_ fs.NodeRenamer   = (*dirNode)(nil)
	_ fs.NodeReaddirer = (*dirNode)(nil)
	_ fs.NodeFsyncer   = (*dirNode)(nil)
)

// errno is what the kernel is told.
func errno(err error) syscall.Errno {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, os.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, os.ErrExist):
		return syscall.EEXIST
	}
	return syscall.EIO
}

// child returns the inode of a name that the disk has.
func (d *dirNode) child(ctx context.Context, name string) (*fs.Inode, *fileNode, error) {
	if c := d.GetChild(name); c != nil {
		return c, c.Operations().(*fileNode), nil
	}
	f, err := d.disk.OpenWriter("", name)
	if err != nil {
		return nil, nil, err
	}
	n := &fileNode{disk: d.disk, name: name, file: f}
	return d.NewInode(ctx, n, fs.StableAttr{Mode: syscall.S_IFREG}), n, nil
}

func (d *dirNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	c, n, err := d.child(ctx, name)
	if err != nil {
		return nil, errno(err)
	}
	n.attr(&out.Attr)
	return c, 0
}

func (d *dirNode) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	// The handle that created it would sync the directory with the file.
	if _, err := d.disk.Create("", name, 0); err != nil {
		return nil, nil, 0, errno(err)
	}
	c, n, err := d.child(ctx, name)
	if err != nil {
		return nil, nil, 0, errno(err)
	}
	n.attr(&out.Attr)
	return c, nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (d *dirNode) Unlink(_ context.Context, name string) syscall.Errno {
	return errno(d.disk.Unlink(name))
}

func (d *dirNode) Rename(_ context.Context, name string, _ fs.InodeEmbedder, newName string, _ uint32) syscall.Errno {
	err := d.disk.Rename(name, newName)
	if c := d.GetChild(name); c != nil && err == nil {
		c.Operations().(*fileNode).setName(newName)
	}
	return errno(err)
}

func (d *dirNode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	names, err := d.disk.ListDir("")
	var list []fuse.DirEntry
	for _, name := range names {
		list = append(list, fuse.DirEntry{Name: name, Mode: syscall.S_IFREG})
	}
	return fs.NewListDirStream(list), errno(err)
}

func (d *dirNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return errno(d.disk.SyncDir(""))
}

// fileNode is a file.
type fileNode struct {
	fs.Inode
	disk *logstoretest.FS
	file types.WritableFile

	mu   sync.Mutex
	name string
}

var (
	_ fs.NodeOpener    = (*fileNode)(nil)
	_ fs.NodeGetattrer = (*fileNode)(nil)
	_ fs.NodeSetattrer = (*fileNode)(nil)
	_ fs.NodeReader    = (*fileNode)(nil)
	_ fs.NodeWriter    = (*fileNode)(nil)
	_ fs.NodeFsyncer   = (*fileNode)(nil)
)

func (n *fileNode) setName(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.name = name
}

func (n *fileNode) attr(out *fuse.Attr) {
	n.mu.Lock()
	name := n.name
	n.mu.Unlock()
	out.Mode, out.Nlink = syscall.S_IFREG|0o600, 1
	out.Size = uint64(n.disk.Size(name))
	out.Blksize, out.Blocks = 4096, (out.Size+511)/512
}

func (n *fileNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (n *fileNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.attr(&out.Attr)
	return 0
}

func (n *fileNode) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		n.mu.Lock()
		name := n.name
		n.mu.Unlock()
		if err := n.disk.Truncate("", name, int64(size)); err != nil {
			return errno(err)
		}
	}
	n.attr(&out.Attr)
	return 0
}

func (n *fileNode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	k, err := n.file.ReadAt(dest, off)
	if err == io.EOF {
		err = nil
	}
	return fuse.ReadResultData(dest[:k]), errno(err)
}

func (n *fileNode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	k, err := n.file.WriteAt(data, off)
	return uint32(k), errno(err)
}

func (n *fileNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return errno(n.file.Sync())
}
