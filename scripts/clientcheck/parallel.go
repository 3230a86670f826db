package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// bothDo runs a function for each mount at the same time.
func bothDo(ctx context.Context, s *setup, do func(ctx context.Context, who int, in func(...string) string) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for who, dir := range []string{s.A, s.B} {
		g.Go(func() error { return do(ctx, who, inside(dir)) })
	}
	return g.Wait()
}

// checkOverlap writes one file from both mounts at once. With O_DIRECT a write is one WRITE call, and each is atomic; neighbours
// do not disturb each other, whatever block they share.
func checkOverlap(ctx context.Context, s *setup) (string, error) {
	const (
		rounds = 30
		whole  = 100_000 // both write all of these bytes, from no block boundary on
		offset = 1234
		slot   = 500 // and then slots in turn
	)
	fds, err := openBoth(s, "file")
	if err != nil {
		return "", err
	}
	defer func() { unix.Close(fds[0]); unix.Close(fds[1]) }()
	for round := range rounds {
		if err := bothDo(ctx, s, func(_ context.Context, who int, _ func(...string) string) error {
			return writeWhole(fds[who], bytes.Repeat([]byte{byte('A' + who)}, whole), offset)
		}); err != nil {
			return "", err
		}
		if err := wantOneWriter(fds[round%2], whole, offset); err != nil {
			return "", fmt.Errorf("round %d: %w", round, err)
		}
	}
	if err := bothDo(ctx, s, func(_ context.Context, who int, _ func(...string) string) error {
		for i := who; i < 200; i += 2 {
			if err := writeWhole(fds[who], bytes.Repeat([]byte{byte(i)}, slot), int64(i*slot)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return "", err
	}
	got := make([]byte, 200*slot)
	if _, err := unix.Pread(fds[0], got, 0); err != nil {
		return "", err
	}
	for i := range 200 {
		if !bytes.Equal(got[i*slot:(i+1)*slot], bytes.Repeat([]byte{byte(i)}, slot)) {
			return "", fmt.Errorf("slot %d is not what its writer wrote", i)
		}
	}
	return fmt.Sprintf("%d rounds", rounds), nil
}

// openBoth opens one file at each mount, past the page cache.
func openBoth(s *setup, name string) (fds [2]int, err error) {
	for i, dir := range []string{s.A, s.B} {
		fds[i], err = unix.Open(inside(dir)(name), unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT, 0o644)
		if err != nil {
			return fds, err
		}
	}
	return fds, nil
}

func writeWhole(fd int, content []byte, offset int64) error {
	n, err := unix.Pwrite(fd, content, offset)
	if err == nil && n != len(content) {
		err = fmt.Errorf("wrote %d of %d bytes", n, len(content))
	}
	return err
}

func wantOneWriter(fd, length int, offset int64) error {
	got := make([]byte, length)
	if n, err := unix.Pread(fd, got, offset); err != nil || n != length {
		return fmt.Errorf("read %d of %d bytes: %w", n, length, err)
	}
	if !bytes.Equal(got, bytes.Repeat(got[:1], length)) {
		return fmt.Errorf("two writes are mixed: %d bytes of A, %d of B", bytes.Count(got, []byte("A")), bytes.Count(got, []byte("B")))
	}
	return nil
}

// turnLines is how many lines each of two clients appends.
const turnLines = 40

// checkTurns has two clients append to one file in turns. NFS has no append of its own: each must see all that the other wrote before it
// gave the lock back. The lock is a file, made with O_EXCL, and then by link(2), as mail programs do.
func checkTurns(ctx context.Context, s *setup) (string, error) {
	for _, c := range []struct {
		name string
		lock func(ctx context.Context, who int, in func(...string) string) error
	}{
		{"exclusive", lockExclusive},
		{"link", lockByLink},
	} {
		err := bothDo(ctx, s, func(ctx context.Context, who int, in func(...string) string) error {
			for i := range turnLines {
				err := steps(
					func() error { return c.lock(ctx, who, in) },
					func() error { return addLine(in(c.name), fmt.Sprintf("%d %d\n", who, i)) },
					func() error { return os.Remove(in("lock")) },
				)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		if err := wantAllLines(inside(s.B)(c.name)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d turns", 4*turnLines), nil
}

// lockExclusive takes the lock as soon as the file can be made.
func lockExclusive(ctx context.Context, _ int, in func(...string) string) error {
	for ctx.Err() == nil {
		if err := exclusive(in("lock")); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return ctx.Err()
}

// lockByLink links a file of one's own to the lock's name. That its link count is two says that it worked, whatever link(2)
// answered (open(2), O_EXCL).
func lockByLink(ctx context.Context, who int, in func(...string) string) error {
	own := in(fmt.Sprintf("own-%d", who))
	if err := os.WriteFile(own, nil, 0o644); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := os.Link(own, in("lock")); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		st, err := statOf(own)
		if err != nil {
			return err
		}
		if st.Nlink == 2 {
			return os.Remove(own)
		}
	}
	return ctx.Err()
}

func addLine(name, line string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// wantAllLines checks that the lines of both clients are there, each client's in its order.
func wantAllLines(name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	var next [2]int
	for _, line := range lines {
		var who, i int
		if _, err := fmt.Sscanf(line, "%d %d", &who, &i); err != nil || who > 1 || who < 0 || i != next[who] {
			return fmt.Errorf("%s has %q where line %v is next", name, line, next)
		}
		next[who]++
	}
	if next != [2]int{turnLines, turnLines} {
		return fmt.Errorf("%s has %v lines, want %d of each", name, next, turnLines)
	}
	return nil
}

// checkRaces has both clients make the same names at once: one of them succeeds, and the other is told that the name exists.
func checkRaces(ctx context.Context, s *setup) (string, error) {
	const names = 40
	for _, c := range []struct {
		what string
		make func(in func(...string) string, name string, who int) error
	}{
		{"exclusive", func(in func(...string) string, name string, _ int) error { return exclusive(in(name)) }},
		{"mkdir", func(in func(...string) string, name string, _ int) error { return os.Mkdir(in(name), 0o755) }},
		{"symlink", func(in func(...string) string, name string, _ int) error { return os.Symlink("to", in(name)) }},
		{"link", func(in func(...string) string, name string, who int) error {
			return os.Link(in(fmt.Sprintf("source-%d", who)), in(name))
		}},
		{"mkfifo", func(in func(...string) string, name string, _ int) error { return unix.Mkfifo(in(name), 0o644) }},
	} {
		var won, lost atomic.Int64
		err := bothDo(ctx, s, func(_ context.Context, who int, in func(...string) string) error {
			if err := os.WriteFile(in(fmt.Sprintf("source-%d", who)), nil, 0o644); err != nil {
				return err
			}
			for i := range names {
				err := c.make(in, fmt.Sprintf("%s-%02d", c.what, i), who)
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, fs.ErrExist):
					lost.Add(1)
				default:
					return err
				}
			}
			return nil
		})
		if err != nil {
			return "", err
		}
		if won.Load() != names || lost.Load() != names {
			return "", fmt.Errorf("%s: %d calls succeeded and %d were told that it exists, want %d of each",
				c.what, won.Load(), lost.Load(), names)
		}
	}
	return "", nil
}
