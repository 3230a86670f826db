package billyfs

import (
	"errors"
	iofs "io/fs"
	"syscall"

	"github.com/go-git/go-billy/v5"

	"twofold/replica/vfs"
)

// errnos has the error number of every verdict but OK.
var errnos = map[vfs.Kind]syscall.Errno{
	vfs.Perm:         syscall.EPERM,
	vfs.NotExist:     syscall.ENOENT,
	vfs.IO:           syscall.EIO,
	vfs.NXIO:         syscall.ENXIO,
	vfs.Access:       syscall.EACCES,
	vfs.Exist:        syscall.EEXIST,
	vfs.CrossDevice:  syscall.EXDEV,
	vfs.NotDir:       syscall.ENOTDIR,
	vfs.IsDir:        syscall.EISDIR,
	vfs.Invalid:      syscall.EINVAL,
	vfs.TooBig:       syscall.EFBIG,
	vfs.NoSpace:      syscall.ENOSPC,
	vfs.ReadOnly:     syscall.EROFS,
	vfs.TooManyLinks: syscall.EMLINK,
	vfs.NameTooLong:  syscall.ENAMETOOLONG,
	vfs.NotEmpty:     syscall.ENOTEMPTY,
	vfs.Quota:        syscall.EDQUOT,
	vfs.Stale:        syscall.ESTALE,
	vfs.BadHandle:    syscall.ESTALE,
	vfs.NotSync:      syscall.EAGAIN,
	vfs.BadCookie:    syscall.EINVAL,
	vfs.NotSupported: syscall.ENOTSUP,
	vfs.TooSmall:     syscall.EINVAL,
	vfs.BadType:      syscall.EINVAL,
}

// verdict turns the two ways in which a store answers into one error: an
// error number for a verdict, the store's own error where there is none.
func verdict(kind vfs.Kind, err error) error {
	switch {
	case err != nil:
		return err
	case kind == vfs.OK:
		return nil
	}
	if no, ok := errnos[kind]; ok {
		return no
	}
	return syscall.EIO
}

// pathVerdict is verdict for a call on a directory found by its path. If the
// directory is gone by now, so is the path.
func pathVerdict(kind vfs.Kind, err error) error {
	if kind == vfs.Stale {
		kind = vfs.NotExist
	}
	return verdict(kind, err)
}

// pathError says what was done to which path. A crossed boundary stays as it
// is: callers of billy compare it.
func pathError(op, name string, err error) error {
	if err == nil || errors.Is(err, billy.ErrCrossedBoundary) {
		return err
	}
	return &iofs.PathError{Op: op, Path: name, Err: err}
}
