package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// checkAttributes sets everything that an inode has at node a and reads it at node b.
func checkAttributes(_ context.Context, s *setup) (string, error) {
	mtime := time.Date(1999, 12, 31, 23, 59, 59, 123456789, time.UTC)
	atime := mtime.Add(time.Hour)
	file := filepath.Join(s.A, "file")
	err := steps(
		func() error { return os.WriteFile(file, []byte("0123456789"), 0o600) },
		func() error { return os.Truncate(file, 5) },
		func() error { return os.Truncate(file, 1<<32) }, // a hole of 4 GiB
		func() error { return os.Chown(file, 1234, 5678) },
		func() error { return unix.Chmod(file, 0o6751) },
		func() error { return os.Chtimes(file, atime, mtime) },
		func() error { return os.Mkdir(filepath.Join(s.A, "dir"), 0o755) },
		func() error { return unix.Chmod(filepath.Join(s.A, "dir"), 0o1777) },
		func() error { return os.Symlink("../some/where", filepath.Join(s.A, "symlink")) },
		func() error { return unix.Mkfifo(filepath.Join(s.A, "fifo"), 0o640) },
		func() error { return mknod(s, "char", unix.S_IFCHR|0o620, unix.Mkdev(5, 1)) },
		func() error { return mknod(s, "block", unix.S_IFBLK|0o660, unix.Mkdev(8, 17)) },
		func() error { return mknod(s, "socket", unix.S_IFSOCK|0o777, 0) },
		forgetCached,
	)
	if err != nil {
		return "", err
	}
	for _, want := range []struct {
		name string
		mode uint32
		rdev uint64
	}{
		{"file", unix.S_IFREG | 0o6751, 0},
		{"dir", unix.S_IFDIR | 0o1777, 0},
		{"symlink", unix.S_IFLNK | 0o777, 0},
		{"fifo", unix.S_IFIFO | 0o640, 0},
		{"char", unix.S_IFCHR | 0o620, unix.Mkdev(5, 1)},
		{"block", unix.S_IFBLK | 0o660, unix.Mkdev(8, 17)},
		{"socket", unix.S_IFSOCK | 0o777, 0},
	} {
		st, err := statOf(filepath.Join(s.B, want.name))
		if err != nil {
			return "", err
		}
		if st.Mode != want.mode || want.rdev != 0 && st.Rdev != want.rdev {
			return "", fmt.Errorf("%s has mode %o and device %x, want %o and %x", want.name, st.Mode, st.Rdev, want.mode, want.rdev)
		}
	}
	if to, err := os.Readlink(filepath.Join(s.B, "symlink")); err != nil || to != "../some/where" {
		return "", fmt.Errorf("the symbolic link holds %q: %v", to, err)
	}
	return "", checkFileAttributes(filepath.Join(s.B, "file"), atime, mtime)
}

func mknod(s *setup, name string, mode uint32, device uint64) error {
	path := filepath.Join(s.A, name)
	if err := unix.Mknod(path, mode, int(device)); err != nil {
		return fmt.Errorf("mknod %s: %w", path, err)
	}
	return unix.Chmod(path, mode&0o7777) // the umask took its bits
}

func checkFileAttributes(name string, atime, mtime time.Time) error {
	st, err := statOf(name)
	if err != nil {
		return err
	}
	if st.Uid != 1234 || st.Gid != 5678 || st.Size != 1<<32 || st.Nlink != 1 {
		return fmt.Errorf("%s has owner %d:%d, size %d, %d links", name, st.Uid, st.Gid, st.Size, st.Nlink)
	}
	if st.Blocks > 128 {
		return fmt.Errorf("%s uses %d sectors, but is a hole after 5 bytes", name, st.Blocks)
	}
	if got := time.Unix(st.Mtim.Unix()); !got.Equal(mtime) {
		return fmt.Errorf("%s was modified %v, want %v", name, got, mtime)
	}
	if got := time.Unix(st.Atim.Unix()); !got.Equal(atime) {
		return fmt.Errorf("%s was read %v, want %v", name, got, atime)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 10)
	if _, err := f.ReadAt(head, 0); err != nil || string(head) != "01234\x00\x00\x00\x00\x00" {
		return fmt.Errorf("%s begins with %q: %v", name, head, err)
	}
	return nil
}
