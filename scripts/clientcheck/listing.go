package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// dirent is one entry as getdents64(2) gives it. next is the position after it, what telldir(3) gives.
type dirent struct {
	name string
	ino  uint64
	next int64
}

// openDir opens a directory for list and for seeks.
func openDir(name string) (int, error) {
	return unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// list reads entries from the directory's present position to its end, or until stop says so.
func list(fd int, stop func(dirent) bool) ([]dirent, error) {
	var all []dirent
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n == 0 {
			return all, err
		}
		for rest := buf[:n]; len(rest) > 0; {
			e, length := parseDirent(rest)
			rest = rest[length:]
			all = append(all, e)
			if stop != nil && stop(e) {
				return all, nil
			}
		}
	}
}

// parseDirent reads a struct linux_dirent64 (getdents64(2)).
func parseDirent(b []byte) (e dirent, length int) {
	e.ino = binary.NativeEndian.Uint64(b)
	e.next = int64(binary.NativeEndian.Uint64(b[8:]))
	length = int(binary.NativeEndian.Uint16(b[16:]))
	name, _, _ := bytes.Cut(b[19:length], []byte{0})
	e.name = string(name)
	return e, length
}

// checkListing lists a directory at one node while the other one changes it: entries that stay are given exactly once.
func checkListing(ctx context.Context, s *setup) (string, error) {
	const stay = 400
	for i := range stay {
		// Without O_EXCL, which would be two calls: an exclusive CREATE cannot bear attributes.
		if err := os.WriteFile(inside(s.A)(fmt.Sprintf("stays-%04d", i)), nil, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan error, 1)
	changes := 0
	go func() { changed <- churn(ctx, inside(s.B), &changes) }()
	const rounds, leastChanges = 50, 20
	var err error
	for range rounds {
		if err = wantStayers(s.A, stay); err != nil {
			break
		}
	}
	cancel()
	err = errors.Join(err, <-changed)
	if err == nil && changes < leastChanges {
		err = fmt.Errorf("only %d changes were made meanwhile", changes)
	}
	return fmt.Sprintf("%d listings, %d changes meanwhile", rounds, changes), err
}

// churn makes, renames and removes entries until its context ends. Names come before and after those that stay, in every
// order that a server might keep.
func churn(ctx context.Context, in func(...string) string, changes *int) error {
	for i := 0; ctx.Err() == nil; i++ {
		name, other := in(fmt.Sprintf("%x-comes", i*7919%256)), in(fmt.Sprintf("z%x-goes", i))
		err := steps(
			func() error { return exclusive(name) },
			func() error { return os.Rename(name, other) },
			func() error { return os.Mkdir(name, 0o755) },
			func() error { return os.Remove(other) },
			func() error { return os.Remove(name) },
		)
		if err != nil {
			return err
		}
		*changes += 5
	}
	return nil
}

// wantStayers lists a directory from the server, not from the client's cache.
func wantStayers(dir string, stay int) error {
	if err := forgetCached(); err != nil {
		return err
	}
	fd, err := openDir(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	entries, err := list(fd, nil)
	if err != nil {
		return err
	}
	seen := make(map[string]int)
	for _, e := range entries {
		seen[e.name]++
	}
	for i := range stay {
		if name := fmt.Sprintf("stays-%04d", i); seen[name] != 1 {
			return fmt.Errorf("%s was listed %d times", name, seen[name])
		}
	}
	if seen["."] != 1 || seen[".."] != 1 {
		return fmt.Errorf("`.` was listed %d times, `..` %d times", seen["."], seen[".."])
	}
	return nil
}

// checkPositions goes on with a listing from remembered positions: at the same mount, at the other node, and after the entry before the
// position, or the one after it, is gone.
func checkPositions(_ context.Context, s *setup) (string, error) {
	const count = 250
	in := inside(s.A)
	for i := range count {
		if err := os.WriteFile(in(fmt.Sprintf("entry-%03d", i)), nil, 0o644); err != nil {
			return "", err
		}
	}
	a, err := openDir(s.A)
	if err != nil {
		return "", err
	}
	defer unix.Close(a)
	b, err := openDir(s.B)
	if err != nil {
		return "", err
	}
	defer unix.Close(b)
	all, err := list(a, nil)
	if err != nil {
		return "", err
	}
	if len(all) != count+2 {
		return "", fmt.Errorf("%d entries are listed, want %d and the two dots", len(all), count)
	}
	return "", steps(
		func() error { return wantRest(a, all, 0, 1, 2, 100, count, count+1) },
		func() error { return wantRest(b, all, count, 150, 3, 2, 1, 0) }, // the position moves to the other node
		func() error { return os.Remove(in(all[100].name)) },
		func() error { return os.Remove(in(all[101].name)) },
		func() error { return os.Rename(in(all[102].name), in("renamed")) },
		forgetCached,
		func() error { return wantRestOf(a, all[100].next, all[103:]) },
		func() error { return wantRestOf(b, all[100].next, all[103:]) },
		func() error { return wantRestOf(b, all[99].next, all[103:]) },
	)
}

// wantRest seeks to the positions after some entries, and checks that what follows is what followed them before.
func wantRest(fd int, all []dirent, after ...int) error {
	for _, i := range after {
		if err := wantRestOf(fd, all[i].next, all[i+1:]); err != nil {
			return fmt.Errorf("after entry %d, %q: %w", i, all[i].name, err)
		}
	}
	return nil
}

// wantRestOf checks that these entries come from a position on, in this order. New ones may come after them.
func wantRestOf(fd int, position int64, want []dirent) error {
	if _, err := unix.Seek(fd, position, unix.SEEK_SET); err != nil {
		return err
	}
	got, err := list(fd, nil)
	if err != nil {
		return err
	}
	same := func(x, y dirent) bool { return x.name == y.name && x.ino == y.ino }
	if len(got) < len(want) || !slices.EqualFunc(got[:len(want)], want, same) {
		return fmt.Errorf("position %d goes on with %d entries from %+v, want %d from %+v",
			position, len(got), got[:min(1, len(got))], len(want), want[:min(1, len(want))])
	}
	return nil
}
