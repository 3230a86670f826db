package billyfs

import (
	"syscall"

	"golang.org/x/sys/unix"

	"twofold/replica/vfs"
)

// sectorSize is the unit of st_blocks.
const sectorSize = 512

var formatBits = map[vfs.FileType]uint32{
	vfs.TypeReg:  syscall.S_IFREG,
	vfs.TypeDir:  syscall.S_IFDIR,
	vfs.TypeLnk:  syscall.S_IFLNK,
	vfs.TypeBlk:  syscall.S_IFBLK,
	vfs.TypeChr:  syscall.S_IFCHR,
	vfs.TypeFifo: syscall.S_IFIFO,
	vfs.TypeSock: syscall.S_IFSOCK,
}

// sys makes the *syscall.Stat_t of a file.
func sys(i *fileInfo) any {
	a := &i.attr
	st := &syscall.Stat_t{
		Dev:  i.dev,
		Ino:  uint64(a.Ino),
		Mode: formatBits[a.Type] | a.Mode,
		Uid:  a.UID,
		Gid:  a.GID,
		Rdev: unix.Mkdev(a.Rdev.Major, a.Rdev.Minor),
		Size: int64(a.Size),
		Atim: syscall.NsecToTimespec(int64(a.Atime)),
		Mtim: syscall.NsecToTimespec(int64(a.Mtime)),
		Ctim: syscall.NsecToTimespec(int64(a.Ctime)),
	}
	// The width of these two depends on the architecture.
	setInt(&st.Nlink, uint64(a.Nlink))
	setInt(&st.Blksize, vfs.MaxIO)
	st.Blocks = int64((a.Used + sectorSize - 1) / sectorSize)
	return st
}

func setInt[T ~int32 | ~int64 | ~uint32 | ~uint64](p *T, v uint64) { *p = T(v) }
