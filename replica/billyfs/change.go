package billyfs

import (
	"math"
	"os"
	"syscall"
	"time"

	"twofold/replica/vfs"
)

// Chmod sets permission, setuid, setgid and sticky bits.
func (fs *FS) Chmod(name string, mode os.FileMode) error {
	set := vfs.SetAttr{Mask: vfs.SetMode, Mode: modeBits(mode)}
	return pathError("chmod", name, fs.setAttr(name, followLast, set))
}

// Chown sets owner and group; -1 leaves one as it is.
func (fs *FS) Chown(name string, uid, gid int) error {
	return fs.chown("chown", name, followLast, uid, gid)
}

// Lchown is Chown, but of a link itself.
func (fs *FS) Lchown(name string, uid, gid int) error {
	return fs.chown("lchown", name, keepLast, uid, gid)
}

func (fs *FS) chown(op, name string, last follow, uid, gid int) error {
	var set vfs.SetAttr
	for _, id := range []struct {
		value int
		field *uint32
		mask  vfs.SetMask
	}{{uid, &set.UID, vfs.SetUID}, {gid, &set.GID, vfs.SetGID}} {
		switch {
		case id.value == -1:
		case id.value < 0, int64(id.value) > math.MaxUint32:
			return pathError(op, name, syscall.EINVAL)
		default:
			*id.field = uint32(id.value)
			set.Mask |= id.mask
		}
	}
	return pathError(op, name, fs.setAttr(name, last, set))
}

// Chtimes sets the times of access and modification. As in os.Chtimes a zero
// time leaves one as it is.
func (fs *FS) Chtimes(name string, atime, mtime time.Time) error {
	const op = "chtimes"
	var set vfs.SetAttr
	for _, t := range []struct {
		value time.Time
		field *vfs.Time
		mask  vfs.SetMask
	}{{atime, &set.Atime, vfs.SetAtime}, {mtime, &set.Mtime, vfs.SetMtime}} {
		if t.value.IsZero() {
			continue
		}
		*t.field = vfs.TimeOf(t.value)
		if !t.field.Time().Equal(t.value) {
			return pathError(op, name, syscall.EINVAL) // Not in 64 bits of ns.
		}
		set.Mask |= t.mask
	}
	return pathError(op, name, fs.setAttr(name, followLast, set))
}

func (fs *FS) setAttr(name string, last follow, set vfs.SetAttr) error {
	p, err := fs.find(name, last)
	if err != nil {
		return err
	}
	fs.dirty.settle(p.attr.Ref, nil) // Or an older write would move mtime later.
	r, err := fs.mutate(&vfs.OpSetAttr{Ref: p.attr.Ref, Set: set})
	return pathVerdict(r.Kind, err)
}

// Mknod makes a device, fifo or socket, by the type bits of mode. Without
// type bits it makes a block device: so does go-nfs call it, for that type
// alone.
func (fs *FS) Mknod(name string, mode, major, minor uint32) error {
	op := vfs.OpMknod{Rdev: vfs.Device{Major: major, Minor: minor}}
	switch mode & syscall.S_IFMT {
	case syscall.S_IFBLK, 0:
		op.Type = vfs.TypeBlk
	case syscall.S_IFCHR:
		op.Type = vfs.TypeChr
	case syscall.S_IFIFO:
		op.Type = vfs.TypeFifo
	case syscall.S_IFSOCK:
		op.Type = vfs.TypeSock
	default:
		return pathError("mknod", name, syscall.EINVAL)
	}
	return pathError("mknod", name, fs.mknod(name, mode, op))
}

// Mkfifo makes a named pipe.
func (fs *FS) Mkfifo(name string, mode uint32) error {
	return pathError("mkfifo", name, fs.mknod(name, mode, vfs.OpMknod{Type: vfs.TypeFifo}))
}

// Socket makes the name of a socket, with the mode that bind(2) gives it.
func (fs *FS) Socket(name string) error {
	return pathError("socket", name, fs.mknod(name, 0o777, vfs.OpMknod{Type: vfs.TypeSock}))
}

func (fs *FS) mknod(name string, mode uint32, op vfs.OpMknod) error {
	p, err := fs.newName(name, noParents)
	if err != nil {
		return err
	}
	op.Dir, op.Name = p.dir, p.name
	op.Set = vfs.SetAttr{Mask: vfs.SetMode, Mode: mode & vfs.ModeMask &^ uint32(fs.umask)}
	r, err := fs.mutate(&op)
	return pathVerdict(r.Kind, err)
}
