package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// checkMapped writes a file through memory at one node and reads it at the other, through memory and by calls.
func checkMapped(_ context.Context, s *setup) (string, error) {
	const size = 200_000 // not a multiple of a page
	content := pattern(size)
	for i, mounts := range [][2]string{{s.A, s.B}, {s.B, s.A}} {
		from, to := inside(mounts[0]), inside(mounts[1])
		name := fmt.Sprintf("mapped-%d", i)
		err := steps(
			func() error { return os.WriteFile(from(name), make([]byte, size), 0o644) },
			func() error {
				return withMap(from(name), size, unix.PROT_READ|unix.PROT_WRITE, func(m []byte) error {
					copy(m, content)
					return unix.Msync(m[:4096], unix.MS_SYNC)
				})
			},
			func() error { return wantContent(to(name), string(content)) },
			func() error { return wantSize(to(name), size) },
			func() error {
				return withMap(to(name), size, unix.PROT_READ, func(m []byte) error {
					if !bytes.Equal(m, content) {
						return errors.New("the mapping has something else")
					}
					return nil
				})
			},
			// A write by a call shows in a mapping of the same mount, and one through the mapping in a read.
			func() error {
				return withMap(from(name), size, unix.PROT_READ|unix.PROT_WRITE, func(m []byte) error {
					if err := overwrite(from(name), "by a call"); err != nil {
						return err
					}
					if !bytes.HasPrefix(m, []byte("by a call")) {
						return fmt.Errorf("the mapping begins with %q", clip(m))
					}
					copy(m[50_000:], "by memory")
					f, err := os.Open(from(name))
					if err != nil {
						return err
					}
					defer f.Close()
					return wantReadAt(f, 50_000, []byte("by memory"))
				})
			},
		)
		if err != nil {
			return "", fmt.Errorf("%s: %w", from(name), err)
		}
	}
	return "", nil
}

// withMap maps a file, calls use, and takes mapping and descriptor away again. Closing is what writes it out.
func withMap(name string, size, protection int, use func([]byte) error) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	m, err := unix.Mmap(int(f.Fd()), 0, size, protection, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", name, err)
	}
	return errors.Join(use(m), unix.Munmap(m))
}

// checkDirect writes and reads past the page cache, aligned and not (the NFS client asks for no alignment), and mixes that with
// the cache of the other mount.
func checkDirect(_ context.Context, s *setup) (string, error) {
	const size = 1<<20 + 12345
	content := pattern(size)
	write, read := inside(s.A)("direct"), inside(s.B)("direct")
	out, err := unix.Open(write, unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT, 0o644)
	if err != nil {
		return "", err
	}
	defer unix.Close(out)
	in, err := unix.Open(read, unix.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(in)
	// Backwards, so that every write but the first lies before the end.
	lengths := []int{4096, 1, 100_000, 65_536, 3}
	for end, i := size, 0; end > 0; i++ {
		start := max(0, end-lengths[i%len(lengths)])
		if n, err := unix.Pwrite(out, content[start:end], int64(start)); err != nil || n != end-start {
			return "", fmt.Errorf("wrote %d of %d bytes: %w", n, end-start, err)
		}
		got := make([]byte, end-start)
		if n, err := unix.Pread(in, got, int64(start)); err != nil || n != len(got) || !bytes.Equal(got, content[start:end]) {
			return "", fmt.Errorf("read %d of %d bytes at %d at the other node: %w", n, len(got), start, err)
		}
		end = start
	}
	return "", steps(
		forgetCached,
		func() error { return wantContent(read, string(content)) },
		func() error { return wantContent(write, string(content)) },
		func() error { return unix.Ftruncate(out, 5000) },
		func() error {
			n, err := unix.Pread(in, make([]byte, 8192), 0)
			if err == nil && n != 5000 {
				err = fmt.Errorf("a truncated file gives %d bytes, want 5000", n)
			}
			return err
		},
	)
}
