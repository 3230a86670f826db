package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// checkOtherClient changes files and directories at one node while a client of the other has them open: handles follow an inode under
// all its names, and are stale only when it is gone.
func checkOtherClient(_ context.Context, s *setup) (string, error) {
	return "", steps(
		func() error { return renamedUnderneath(s) },
		func() error { return removedUnderneath(s) },
		func() error { return replacedUnderneath(s) },
		func() error { return removedDirectory(s) },
	)
}

// renamedUnderneath renames an open file and the directory in which a client works.
func renamedUnderneath(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	if err := os.MkdirAll(in("work", "deep"), 0o755); err != nil {
		return err
	}
	f, err := os.Create(in("work", "deep", "file"))
	if err != nil {
		return err
	}
	defer f.Close()
	dir, err := openDir(in("work", "deep"))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return steps(
		func() error { return writeSync(f, "before, ") },
		func() error { return os.Rename(b("work", "deep", "file"), b("work", "deep", "renamed")) },
		func() error { return os.Rename(b("work"), b("moved")) },
		func() error { return os.Mkdir(b("elsewhere"), 0o755) },
		func() error { return os.Rename(b("moved", "deep"), b("elsewhere", "deep")) },
		forgetCached,
		func() error { return writeSync(f, "after") },
		func() error { return wantRead(f, "before, after") },
		// Names from the directory's descriptor, as a process has its working directory.
		func() error { return unix.Mkdirat(dir, "made", 0o755) },
		func() error { return unix.Renameat(dir, "renamed", dir, "once more") },
		f.Close,
		forgetCached,
		func() error { return wantNames(b("elsewhere", "deep"), "made", "once more") },
		func() error { return wantContent(b("elsewhere", "deep", "once more"), "before, after") },
		func() error { return wantAbsent(in("work")) },
	)
}

// removedUnderneath removes an open file from another client: NFSv3 has no open files, so its handle is stale from then on. With
// another name left it is not.
func removedUnderneath(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	gone, err := os.Create(in("gone"))
	if err != nil {
		return err
	}
	defer gone.Close()
	kept, err := os.Create(in("kept"))
	if err != nil {
		return err
	}
	defer kept.Close()
	return steps(
		func() error { return writeSync(gone, "text") },
		func() error { return writeSync(kept, "text") },
		func() error { return os.Link(b("kept"), b("second name")) },
		func() error { return os.Remove(b("kept")) },
		func() error { return os.Remove(b("gone")) },
		forgetCached,
		func() error { return wantRead(kept, "text") },
		func() error { return writeSync(kept, " and more") },
		func() error { return wantContent(b("second name"), "text and more") },
		func() error { return wantError("fchmod", gone.Chmod(0o600), unix.ESTALE) },
		func() error {
			_, err := gone.ReadAt(make([]byte, 4), 0)
			return wantError("read", err, unix.ESTALE)
		},
		func() error {
			_, err := gone.WriteAt([]byte("x"), 100)
			return wantError("write", errors.Join(err, gone.Sync()), unix.ESTALE)
		},
		// A new file of that name is another inode, and the stale descriptor does not reach it.
		func() error { return os.WriteFile(b("gone"), []byte("a new file"), 0o644) },
		func() error { return wantError("fchmod", gone.Chmod(0o600), unix.ESTALE) },
		func() error { return wantContent(in("gone"), "a new file") },
	)
}

// replacedUnderneath replaces files by rename, as editors do, while the other client opens them by name: it sees the old content or the
// new one, or is told that what it opened is gone.
func replacedUnderneath(s *setup) error {
	const rounds = 50
	in, b := inside(s.A), inside(s.B)
	if err := os.WriteFile(b("edited"), []byte("version 000"), 0o644); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		for i := range rounds {
			if err := os.WriteFile(b("edited~"), fmt.Appendf(nil, "version %03d", i), 0o644); err != nil {
				done <- err
				return
			}
			if err := os.Rename(b("edited~"), b("edited")); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	last := -1
	for {
		var version int
		content, err := os.ReadFile(in("edited"))
		// The file may go between open and read, more than once. Only its handle is stale then: the name leads to the new file.
		for try := 0; try < rounds && errors.Is(err, unix.ESTALE); try++ {
			content, err = os.ReadFile(in("edited"))
		}
		if err == nil {
			_, err = fmt.Sscanf(string(content), "version %d", &version)
		}
		if err == nil && version < last {
			err = fmt.Errorf("version %d was read after version %d", version, last)
		}
		last = version
		select {
		case werr := <-done:
			if err = errors.Join(err, werr); err != nil {
				return err
			}
			return wantContent(in("edited"), fmt.Sprintf("version %03d", rounds-1))
		default:
		}
		if err != nil {
			return errors.Join(err, <-done)
		}
	}
}

// removedDirectory removes the directory in which a client works.
func removedDirectory(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	if err := os.Mkdir(in("dir"), 0o755); err != nil {
		return err
	}
	dir, err := openDir(in("dir"))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return steps(
		func() error { return os.Remove(b("dir")) },
		forgetCached,
		func() error {
			return wantError("mkdir in a removed directory", unix.Mkdirat(dir, "new", 0o755), unix.ESTALE, unix.ENOENT)
		},
		func() error { return wantError("stat", os.Chmod(in("dir"), 0o700), unix.ENOENT) },
		func() error { return os.Mkdir(b("dir"), 0o755) },
		func() error { return os.WriteFile(in("dir", "file"), []byte("new"), 0o644) },
		func() error { return wantContent(b("dir", "file"), "new") },
		func() error {
			return wantError("mkdir in a removed directory", unix.Mkdirat(dir, "new", 0o755), unix.ESTALE, unix.ENOENT)
		},
	)
}
