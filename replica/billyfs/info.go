package billyfs

import (
	"os"
	"time"

	"twofold/replica/vfs"
)

// fileInfo is an os.FileInfo. Its Sys is what package os gives on the same
// system, so that programs which know it (go-git's index, go-nfs) find inode
// number, links, owner, group and times.
type fileInfo struct {
	name string
	attr vfs.Attr
	dev  uint64
}

func (fs *FS) info(name string, attr vfs.Attr) os.FileInfo {
	i := &fileInfo{name: name, attr: attr}
	if v, err := fs.store.Volume(); err == nil {
		i.dev = v.FSID()
	}
	return i
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return int64(i.attr.Size) }
func (i *fileInfo) Mode() os.FileMode  { return fileMode(&i.attr) }
func (i *fileInfo) ModTime() time.Time { return i.attr.Mtime.Time() }
func (i *fileInfo) IsDir() bool        { return i.attr.Type == vfs.TypeDir }
func (i *fileInfo) Sys() any           { return sys(i) }

// specialBits are the mode bits that package os keeps elsewhere than Unix.
var specialBits = []struct {
	unix uint32
	mode os.FileMode
}{
	{vfs.ModeSetuid, os.ModeSetuid},
	{vfs.ModeSetgid, os.ModeSetgid},
	{vfs.ModeSticky, os.ModeSticky},
}

// typeBits are the types of package os. A regular file has none.
var typeBits = map[vfs.FileType]os.FileMode{
	vfs.TypeDir:  os.ModeDir,
	vfs.TypeLnk:  os.ModeSymlink,
	vfs.TypeBlk:  os.ModeDevice,
	vfs.TypeChr:  os.ModeDevice | os.ModeCharDevice,
	vfs.TypeFifo: os.ModeNamedPipe,
	vfs.TypeSock: os.ModeSocket,
}

// fileMode is type and mode as package os has them.
func fileMode(a *vfs.Attr) os.FileMode {
	mode := os.FileMode(a.Mode)&os.ModePerm | typeBits[a.Type]
	for _, b := range specialBits {
		if a.Mode&b.unix != 0 {
			mode |= b.mode
		}
	}
	return mode
}

// modeBits are the twelve bits of Unix.
func modeBits(mode os.FileMode) uint32 {
	bits := uint32(mode & os.ModePerm)
	for _, b := range specialBits {
		if mode&b.mode != 0 {
			bits |= b.unix
		}
	}
	return bits
}
