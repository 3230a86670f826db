package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// maxFileSize is the largest size of a file that the server states (FSINFO).
const maxFileSize = 1<<43 - 1

// sectors is how many 512-byte sectors n bytes are, as st_blocks counts them.
func sectors(n int64) int64 { return (n + 511) / 512 }

// checkSparse makes holes in every way and checks what they read as and what they take.
func checkSparse(_ context.Context, s *setup) (string, error) {
	return "", steps(
		func() error { return holesAreFree(s) },
		func() error { return truncates(s) },
		func() error { return largestFile(s) },
	)
}

// holesAreFree writes islands into a large file: it uses what the islands take, and reads as zeros between them.
func holesAreFree(s *setup) error {
	const island, stride, islands = 8 << 10, 1 << 30, 5
	in, b := inside(s.A), inside(s.B)
	f, err := os.Create(in("islands"))
	if err != nil {
		return err
	}
	defer f.Close()
	for i := range int64(islands) {
		if _, err := f.WriteAt(bytes.Repeat([]byte{byte('a' + i)}, island), i*stride); err != nil {
			return err
		}
	}
	if err := errors.Join(f.Close(), forgetCached()); err != nil {
		return err
	}
	g, err := os.Open(b("islands"))
	if err != nil {
		return err
	}
	defer g.Close()
	for i := range int64(islands) {
		want := append(bytes.Repeat([]byte{byte('a' + i)}, island), make([]byte, island)...)
		if i == islands-1 {
			want = want[:island]
		}
		if err := wantReadAt(g, i*stride, want); err != nil {
			return err
		}
	}
	return steps(
		func() error { return wantReadAt(g, stride-island, make([]byte, island)) },
		func() error { return wantSize(b("islands"), (islands-1)*stride+island) },
		func() error { return wantUsed(b("islands"), island*islands, 2*island*islands) },
	)
}

// truncates takes sizes down and up again: what was cut off never comes back.
func truncates(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	text := bytes.Repeat([]byte("truncate "), 20_000) // 180,000 bytes
	if err := os.WriteFile(in("cut"), text, 0o644); err != nil {
		return err
	}
	for _, size := range []int64{100_001, 200_000, 65_536, 65_537, 4096, 4095, 300_000, 1, 0, 5000} {
		if err := os.Truncate(in("cut"), size); err != nil {
			return err
		}
		text = append(text[:min(size, int64(len(text)))], make([]byte, max(0, size-int64(len(text))))...)
		err := steps(forgetCached,
			func() error { return wantSize(b("cut"), size) },
			func() error { return wantContent(b("cut"), string(text)) })
		if err != nil {
			return fmt.Errorf("truncated to %d: %w", size, err)
		}
	}
	return steps(
		func() error { return wantUsed(b("cut"), 0, 0) },
		// From the other mount, which has the file open, and then through this one past the new end.
		func() error {
			f, err := os.OpenFile(in("cut"), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			if err := os.Truncate(b("cut"), 10); err != nil {
				return err
			}
			if _, err := f.WriteAt([]byte("end"), 20); err != nil {
				return err
			}
			return f.Close()
		},
		forgetCached,
		func() error { return wantContent(b("cut"), string(make([]byte, 20))+"end") },
	)
}

// largestFile writes the last byte that a file may have, and is refused the next.
func largestFile(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	f, err := os.Create(in("largest"))
	if err != nil {
		return err
	}
	defer f.Close()
	return steps(
		func() error { _, err := f.WriteAt([]byte{'z'}, maxFileSize-1); return err },
		f.Sync,
		func() error {
			_, err := f.WriteAt([]byte{'z'}, maxFileSize)
			return wantError("write beyond", err, unix.EFBIG)
		},
		func() error { return wantError("truncate beyond", f.Truncate(maxFileSize+1), unix.EFBIG) },
		func() error { return f.Truncate(maxFileSize) },
		f.Close,
		forgetCached,
		func() error { return wantSize(b("largest"), maxFileSize) },
		func() error { return wantUsed(b("largest"), 1, 64<<10) },
		func() error {
			g, err := os.Open(b("largest"))
			if err != nil {
				return err
			}
			defer g.Close()
			return wantReadAt(g, maxFileSize-4, []byte{0, 0, 0, 'z'})
		},
		func() error { return os.Truncate(b("largest"), 0) },
		func() error { return wantUsed(b("largest"), 0, 0) },
	)
}

// wantUsed checks what a file takes, in bytes.
func wantUsed(name string, least, most int64) error {
	st, err := statOf(name)
	if err != nil {
		return err
	}
	if st.Blocks < sectors(least) || st.Blocks > sectors(most) {
		return fmt.Errorf("%s uses %d sectors, want %d to %d", name, st.Blocks, sectors(least), sectors(most))
	}
	return nil
}

// wantReadAt checks what a descriptor reads at an offset.
func wantReadAt(f *os.File, offset int64, want []byte) error {
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, offset); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s reads %q at %d, want %q", f.Name(), clip(got), offset, clip(want))
	}
	return nil
}

// checkEnds reads around the end of files of many sizes, through the page cache and past it: a READ must give
// what is there, no more, and say at the right place that the file ends.
func checkEnds(_ context.Context, s *setup) (string, error) {
	sizes := []int64{0, 1, 511, 4095, 4096, 4097, 65536, 1<<20 - 1, 1 << 20, 1<<20 + 1}
	for _, size := range sizes {
		name := fmt.Sprintf("file-%d", size)
		content := pattern(size)
		if err := os.WriteFile(inside(s.A)(name), content, 0o644); err != nil {
			return "", err
		}
		for _, flag := range []int{0, unix.O_DIRECT} {
			if err := wantEnds(inside(s.B)(name), flag, content); err != nil {
				return "", err
			}
		}
	}
	return "", nil
}

func wantEnds(name string, flag int, content []byte) error {
	fd, err := unix.Open(name, unix.O_RDONLY|flag, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	size := int64(len(content))
	buf := make([]byte, 8192)
	offsets := []int64{0, size - 4097, size - 4096, size - 1, size, size + 1, size + 4096, size + 1<<40}
	for _, offset := range slices.Compact(offsets) {
		if offset < 0 {
			continue
		}
		for _, length := range []int{1, 4096, 8192} {
			n, err := unix.Pread(fd, buf[:length], offset)
			if err != nil {
				return err
			}
			want := content[min(offset, size):min(offset+int64(length), size)]
			if !bytes.Equal(buf[:n], want) {
				return fmt.Errorf("%s (flags %#x): %d bytes at %d gave %d bytes, want %d", name, flag, length, offset, n, len(want))
			}
		}
	}
	return nil
}

// pattern gives bytes that tell their offset.
func pattern(size int64) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	return b
}
