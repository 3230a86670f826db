package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The ioctls of fsfreeze(8), from include/uapi/linux/fs.h: _IOWR('X', 119, int) and _IOWR('X', 120, int).
const (
	ioctlFreeze = 0xc0045877
	ioctlThaw   = 0xc0045878
)

// loopNodes is how many /dev/loopN are made where the system made too few of them.
const loopNodes = 32

// disk is an ext4 file system in a sparse file.
type disk struct {
	image  string
	mount  string
	frozen bool
}

// newDisk makes a file system of the given size and mounts it.
func newDisk(dir string, node Node, bytes int64) (*disk, error) {
	d := &disk{image: filepath.Join(dir, node.String()+".img"), mount: filepath.Join(dir, node.String())}
	if err := os.Mkdir(d.mount, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(bytes), f.Close()); err != nil {
		return nil, err
	}
	if err := run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", d.image); err != nil {
		return nil, err
	}
	makeLoopNodes()
	// The loop device goes with the mount, and the mount with this namespace.
	return d, run("mount", "-o", "loop", d.image, d.mount)
}

// makeLoopNodes makes the device nodes that the kernel does not make in a container. If it cannot, mount says what is missing.
func makeLoopNodes() {
	for i := range loopNodes {
		_ = unix.Mknod(fmt.Sprintf("/dev/loop%d", i), unix.S_IFBLK|0o660, int(unix.Mkdev(7, uint32(i))))
	}
}

func (d *disk) freeze() error {
	if d.frozen {
		return nil
	}
	d.frozen = true
	return freezeIoctl(d.mount, ioctlFreeze)
}

// thaw ends a freeze; without one it does nothing.
func (d *disk) thaw() error {
	if !d.frozen {
		return nil
	}
	d.frozen = false
	return freezeIoctl(d.mount, ioctlThaw)
}

func freezeIoctl(mount string, request uint) error {
	f, err := os.Open(mount)
	if err != nil {
		return err
	}
	defer f.Close() // only a handle on the mount
	if err := unix.IoctlSetInt(int(f.Fd()), request, 0); err != nil {
		return fmt.Errorf("freeze or thaw %s: %w", mount, err)
	}
	return nil
}

// ballast is the file that fills a disk.
func (d *disk) ballast() string { return filepath.Join(d.mount, "ballast") }

// fill leaves so many bytes of the disk free.
func (d *disk) fill(leave int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(d.mount, &st); err != nil {
		return err
	}
	size := int64(st.Bavail)*st.Bsize - leave
	if size <= 0 {
		return nil
	}
	f, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	return errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, size), f.Close())
}

// empty ends fill.
func (d *disk) empty() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// close unmounts the disk.
func (d *disk) close() error {
	return errors.Join(d.thaw(), unix.Unmount(d.mount, 0))
}
