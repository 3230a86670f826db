package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// manyFiles is how many files the one large directory gets.
const manyFiles = 20_000

// checkManyFiles fills one directory from both nodes at once, lists it at both, and empties it from both at once.
func checkManyFiles(ctx context.Context, s *setup) (string, error) {
	made := time.Now()
	err := fromBoth(ctx, s, func(dir string, i int) error {
		// Without O_EXCL, which would be two calls: an exclusive CREATE cannot bear attributes.
		f, err := os.OpenFile(filepath.Join(dir, manyName(i)), os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		return "", err
	}
	if err := forgetCached(); err != nil {
		return "", err
	}
	listed := time.Now()
	for _, dir := range []string{s.A, s.B} {
		if err := wantEachOnce(dir); err != nil {
			return "", err
		}
	}
	removed := time.Now()
	if err := fromBoth(ctx, s, func(dir string, i int) error {
		return os.Remove(filepath.Join(dir, manyName(i)))
	}); err != nil {
		return "", err
	}
	ended := time.Now()
	each := removed.Sub(listed) / (2 * manyFiles)
	detail := fmt.Sprintf("made in %.1f s, listed twice in %.1f s (%v an entry), removed in %.1f s",
		listed.Sub(made).Seconds(), removed.Sub(listed).Seconds(), each, ended.Sub(removed).Seconds())
	return detail, steps(
		forgetCached,
		func() error { return wantNames(s.A) },
		func() error { return wantNames(s.B) },
		func() error { return os.Remove(s.B) },
		forgetCached,
		func() error { return wantAbsent(s.A) },
	)
}

func manyName(i int) string { return fmt.Sprintf("a file with number %05d", i) }

// fromBoth does something for every file, for the even ones at node a and for the odd ones at node b.
func fromBoth(ctx context.Context, s *setup, do func(dir string, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for first, dir := range []string{s.A, s.B} {
		g.Go(func() error {
			for i := first; i < manyFiles && ctx.Err() == nil; i += 2 {
				if err := do(dir, i); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// wantEachOnce lists the large directory and checks that every file is there exactly once.
func wantEachOnce(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	seen := make(map[string]int, manyFiles)
	for _, n := range names {
		seen[n]++
	}
	for i := range manyFiles {
		if n := seen[manyName(i)]; n != 1 {
			return fmt.Errorf("%s lists %q %d times among %d names", dir, manyName(i), n, len(names))
		}
	}
	if len(names) != manyFiles {
		return fmt.Errorf("%s lists %d names, want %d", dir, len(names), manyFiles)
	}
	return nil
}

// checkSourceTree copies a source tree at node a with one process and compares it at node b.
func checkSourceTree(ctx context.Context, s *setup) (string, error) {
	started := time.Now()
	// cp makes files with their modes at once; its -a would set owner, mode and list of each again.
	if _, err := tool(ctx, s.A, "cp", "-r", "--no-dereference", "--preserve=timestamps", s.Source, "tree"); err != nil {
		return "", err
	}
	copied := time.Now()
	files, size, err := compareTrees(ctx, s.Source, filepath.Join(s.B, "tree"))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d files and directories, %d MiB, copied in %.1f s, compared in %.1f s",
		files, size>>20, copied.Sub(started).Seconds(), time.Since(copied).Seconds()), nil
}

// compareTrees checks that both trees have the same names, and that everything but links and inodes is the same.
func compareTrees(ctx context.Context, want, got string) (files int, size int64, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxParallel)
	err = filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		if info.Mode().IsRegular() {
			size += info.Size()
		}
		other := filepath.Join(got, strings.TrimPrefix(path, want))
		g.Go(func() error { return compareEntry(path, other, info) })
		return nil
	})
	return files, size, errors.Join(g.Wait(), err)
}

func compareEntry(want, got string, info fs.FileInfo) error {
	other, err := os.Lstat(got)
	if err != nil {
		return err
	}
	if info.Mode() != other.Mode() || !info.ModTime().Equal(other.ModTime()) {
		return fmt.Errorf("%s has mode %v and time %v, want %v and %v",
			got, other.Mode(), other.ModTime(), info.Mode(), info.ModTime())
	}
	switch {
	case info.IsDir():
		return compareNames(want, got)
	case info.Mode()&fs.ModeSymlink != 0:
		return compareLinks(want, got)
	case info.Size() != other.Size():
		return fmt.Errorf("%s has %d bytes, want %d", got, other.Size(), info.Size())
	}
	return compareContent(want, got)
}

func compareNames(want, got string) error {
	entries, err := os.ReadDir(want)
	if err != nil {
		return err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return wantNames(got, names...)
}

func compareLinks(want, got string) error {
	w, err := os.Readlink(want)
	if err != nil {
		return err
	}
	g, err := os.Readlink(got)
	if err == nil && g != w {
		err = fmt.Errorf("%s points to %q, want %q", got, g, w)
	}
	return err
}

func compareContent(want, got string) error {
	w, err := os.Open(want)
	if err != nil {
		return err
	}
	defer w.Close()
	g, err := os.Open(got)
	if err != nil {
		return err
	}
	defer g.Close()
	bufW, bufG := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		n, errW := io.ReadFull(w, bufW)
		m, errG := io.ReadFull(g, bufG)
		if !bytes.Equal(bufW[:n], bufG[:m]) {
			return fmt.Errorf("%s differs from %s", got, want)
		}
		if errW == io.EOF || errW == io.ErrUnexpectedEOF {
			return nil
		}
		if err := errors.Join(errW, errG); err != nil {
			return err
		}
	}
}
