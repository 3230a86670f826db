package billyfs

import (
	"context"
	"os"
	"path"

	"github.com/go-git/go-billy/v5"

	"twofold/replica/vfs"
)

// Default permissions, as in billy's osfs.
const (
	defaultUmask      os.FileMode = 0o022
	defaultFileMode   os.FileMode = 0o666
	defaultParentMode os.FileMode = 0o777 // less the umask
	tempFileMode      os.FileMode = 0o600
)

// FS is the volume, or a directory of it, as one caller sees it.
type FS struct {
	store vfs.FS
	cred  vfs.Cred
	ctx   context.Context
	umask os.FileMode
	locks *lockTable
	dirty *dirtyTable

	// parent is the file system that Chroot was called on; nil at the volume's
	// root. base is the cleaned path of this root in it.
	parent *FS
	base   string
}

var (
	_ billy.Filesystem = (*FS)(nil)
	_ billy.Change     = (*FS)(nil)
	_ billy.Capable    = (*FS)(nil)
)

// Option changes what [New] makes.
type Option func(*FS)

// WithUmask sets the permission bits that new files and directories lack.
func WithUmask(umask os.FileMode) Option {
	return func(fs *FS) { fs.umask = umask & os.ModePerm }
}

// WithContext sets the context of every call to the store, since billy's
// methods take none. After it ends every call fails.
func WithContext(ctx context.Context) Option {
	return func(fs *FS) { fs.ctx = ctx }
}

// New returns the volume behind store as cred may use it.
func New(store vfs.FS, cred vfs.Cred, opts ...Option) *FS {
	fs := &FS{
		store: store,
		cred:  cred,
		ctx:   context.Background(),
		umask: defaultUmask,
		locks: newLockTable(),
		dirty: newDirtyTable(),
	}
	for _, o := range opts {
		o(fs)
	}
	return fs
}

// Chroot returns the directory name as a file system of its own. It need not
// exist yet: as in billy's osfs, the first file made in it makes it.
func (fs *FS) Chroot(name string) (billy.Filesystem, error) {
	rel, err := clean(name)
	if err != nil {
		return nil, err
	}
	sub := *fs
	sub.parent, sub.base = fs, rel
	return &sub, nil
}

// Root returns the path of the file system's root in the volume.
func (fs *FS) Root() string {
	if fs.parent == nil {
		return "/"
	}
	return path.Join(fs.parent.Root(), fs.base)
}

// Join joins path elements and cleans the result.
func (fs *FS) Join(elem ...string) string { return path.Join(elem...) }

// Capabilities reports that files can be read, written, sought in, truncated
// and (within this process, see the package's documentation) locked.
func (fs *FS) Capabilities() billy.Capability { return billy.AllCapabilities }

// mutate hands one change to the store.
func (fs *FS) mutate(op vfs.Op) (vfs.Result, error) {
	return fs.store.Mutate(fs.ctx, &vfs.Call{Cred: fs.cred}, op)
}

// newAttr are the attributes of a new object with this mode.
func (fs *FS) newAttr(mode os.FileMode) vfs.SetAttr {
	return vfs.SetAttr{Mask: vfs.SetMode, Mode: modeBits(mode &^ fs.umask)}
}
