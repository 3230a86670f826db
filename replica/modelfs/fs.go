package modelfs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"twofold/replica/vfs"
)

// Gen is the generation of every inode but the root's. Numbers are never
// reused, so one generation is enough to tell a wrong handle.
const Gen uint32 = 1

// rootRef names the root directory. Its generation is 0, so that a front end
// can name the root before it has seen any attributes.
var rootRef = vfs.Ref{Ino: vfs.RootIno}

// totalBytes and totalInodes are what StatFS tells of a volume that has no
// limits of its own.
const (
	totalBytes  = 1 << 50
	totalInodes = 1 << 40
)

// FS is one volume in memory.
type FS struct {
	clock  func() vfs.Time
	volume vfs.Volume
	root   rootOptions

	mu struct {
		sync.Mutex
		inodes  map[vfs.Ino]*inode
		lastIno vfs.Ino  // the highest number ever given out
		last    vfs.Time // the time of the latest change
	}
}

var _ vfs.FS = (*FS)(nil)

// inode is one object. The fields after data are for one type each.
type inode struct {
	attr vfs.Attr

	data   content // TypeReg
	target string  // TypeLnk

	// TypeDir. Entries are looked for by name; ReadDir sorts by cookie.
	entries    map[string]entry
	nextCookie vfs.Cookie
	parent     vfs.Ino

	// hasVerf says that verf is the verifier of the EXCLUSIVE CREATE which
	// made the file, and that no SETATTR came since (RFC 1813 section 3.3.8).
	hasVerf bool
	verf    [8]byte
}

type entry struct {
	ino    vfs.Ino
	cookie vfs.Cookie
}

type rootOptions struct{ uid, gid, mode uint32 }

// Option changes what [New] makes.
type Option func(*FS)

// WithClock sets the source of time. The default is the system's clock. A
// clock that stands still or goes back does no harm: each change has a later
// time than the one before.
func WithClock(clock func() vfs.Time) Option {
	return func(fs *FS) { fs.clock = clock }
}

// WithRoot sets owner, group and mode of the root directory. The default is
// 0:0 and 0755.
func WithRoot(uid, gid, mode uint32) Option {
	return func(fs *FS) { fs.root = rootOptions{uid, gid, mode & vfs.ModeMask} }
}

// WithVolume sets the constants of the volume. The default has block size
// 4096.
func WithVolume(v vfs.Volume) Option {
	return func(fs *FS) { fs.volume = v }
}

// New returns an empty volume.
func New(opts ...Option) *FS {
	fs := &FS{
		clock:  func() vfs.Time { return vfs.TimeOf(time.Now()) },
		volume: vfs.Volume{ID: 1, UUID: [16]byte{1: 1, 15: 2}, HandleKey: [16]byte{3}, BlockSize: 4096},
		root:   rootOptions{mode: 0o755},
	}
	for _, o := range opts {
		o(fs)
	}
	fs.mu.inodes = make(map[vfs.Ino]*inode)
	fs.mu.lastIno = vfs.RootIno
	now := fs.tickLocked()
	fs.mu.inodes[vfs.RootIno] = &inode{
		attr: vfs.Attr{
			Ref: rootRef, Type: vfs.TypeDir, Mode: fs.root.mode, Nlink: 2,
			UID: fs.root.uid, GID: fs.root.gid, Size: vfs.DirSize, Used: vfs.DirSize,
			Atime: now, Mtime: now, Ctime: now,
		},
		entries:    make(map[string]entry),
		nextCookie: vfs.CookieFirst,
		parent:     vfs.RootIno,
	}
	return fs
}

// Volume returns the constants of the volume.
func (fs *FS) Volume() (vfs.Volume, error) { return fs.volume, nil }

// tickLocked returns the time of a new change: the clock's, but always later
// than the last, so that no change leaves a ctime as it was.
func (fs *FS) tickLocked() vfs.Time {
	fs.mu.last = max(fs.clock(), fs.mu.last+1)
	return fs.mu.last
}

// getLocked finds an inode by its handle; nil means Stale.
func (fs *FS) getLocked(ref vfs.Ref) *inode {
	n := fs.mu.inodes[ref.Ino]
	if n == nil || n.attr.Gen != ref.Gen {
		return nil
	}
	return n
}

// getDirLocked finds a directory by its handle.
func (fs *FS) getDirLocked(ref vfs.Ref) (*inode, vfs.Kind) {
	n := fs.getLocked(ref)
	switch {
	case n == nil:
		return nil, vfs.Stale
	case n.attr.Type != vfs.TypeDir:
		return n, vfs.NotDir
	default:
		return n, vfs.OK
	}
}

// alive reports an ended context as the contract of vfs.FS wants it.
func alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", vfs.ErrBusy, err)
	}
	return nil
}
