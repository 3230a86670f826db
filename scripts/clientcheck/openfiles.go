package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// checkHardLinks gives a file more names and takes them away again.
func checkHardLinks(_ context.Context, s *setup) (string, error) {
	one, two, three := filepath.Join(s.A, "one"), filepath.Join(s.A, "two"), filepath.Join(s.A, "sub", "three")
	return "", steps(
		func() error { return os.Mkdir(filepath.Join(s.A, "sub"), 0o755) },
		func() error { return os.WriteFile(one, []byte("first"), 0o644) },
		func() error { return os.Link(one, two) },
		func() error { return os.Link(two, three) },
		func() error { return os.WriteFile(three, []byte("second"), 0o644) },
		func() error { return wantContent(one, "second") },
		forgetCached,
		func() error { return wantLinks(s.B, 3, "one", "two", "sub/three") },
		func() error { return wantContent(filepath.Join(s.B, "two"), "second") },
		func() error { return wantError("link over a file", os.Link(one, two), unix.EEXIST) },
		func() error {
			return wantError("link to a directory", os.Link(filepath.Join(s.A, "sub"), filepath.Join(s.A, "no")), unix.EPERM)
		},
		func() error { return os.Remove(one) },
		func() error { return os.Rename(two, three) }, // two names of one file: nothing happens
		forgetCached,
		func() error { return wantLinks(s.B, 2, "two", "sub/three") },
		func() error { return os.Remove(two) },
		forgetCached,
		func() error { return wantLinks(s.B, 1, "sub/three") },
		func() error { return wantContent(filepath.Join(s.B, "sub/three"), "second") },
		func() error { return wantNames(s.B, "sub") },
	)
}

// wantLinks checks that all names are one inode with this link count.
func wantLinks(dir string, links uint64, names ...string) error {
	var ino uint64
	for _, name := range names {
		st, err := statOf(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if ino == 0 {
			ino = st.Ino
		}
		if st.Ino != ino || st.Nlink != links {
			return fmt.Errorf("%s is inode %d with %d links, want %d with %d", name, st.Ino, st.Nlink, ino, links)
		}
	}
	return nil
}

// checkRenameOpen renames a file under its open descriptor, and another over an open one.
func checkRenameOpen(_ context.Context, s *setup) (string, error) {
	f, err := os.Create(filepath.Join(s.A, "before"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	over, err := os.Create(filepath.Join(s.A, "over"))
	if err != nil {
		return "", err
	}
	defer over.Close()
	return "", steps(
		func() error { return writeSync(f, "written before, ") },
		func() error { return writeSync(over, "replaced while open") },
		func() error { return os.Rename(f.Name(), filepath.Join(s.A, "after")) },
		func() error { return writeSync(f, "and after") },
		func() error { return wantAbsent(filepath.Join(s.B, "before")) },
		func() error { return wantContent(filepath.Join(s.B, "after"), "written before, and after") },
		// Now over a file that is open: its descriptor still reads the old content.
		func() error { return os.Rename(filepath.Join(s.A, "after"), filepath.Join(s.A, "over")) },
		func() error { return wantRead(over, "replaced while open") },
		func() error { return wantRead(f, "written before, and after") },
		func() error { return wantContent(filepath.Join(s.A, "over"), "written before, and after") },
		over.Close,
		func() error { return soon(func() error { return wantNames(s.B, "over") }) },
		func() error { return wantContent(filepath.Join(s.B, "over"), "written before, and after") },
	)
}

// checkUnlinkOpen removes an open file. NFSv3 has no open files, so the client renames it to a .nfs name until it is closed.
func checkUnlinkOpen(_ context.Context, s *setup) (string, error) {
	f, err := os.Create(filepath.Join(s.A, "gone"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	return "", steps(
		func() error { return writeSync(f, "still ") },
		func() error { return os.Remove(f.Name()) },
		func() error { return wantAbsent(f.Name()) },
		func() error { return writeSync(f, "here") },
		func() error { return wantRead(f, "still here") },
		forgetCached,
		func() error { return wantRead(f, "still here") },
		func() error {
			entries, err := os.ReadDir(s.B)
			if err == nil && (len(entries) != 1 || !strings.HasPrefix(entries[0].Name(), ".nfs")) {
				err = fmt.Errorf("the directory has %v, want one .nfs file", entries)
			}
			return err
		},
		f.Close,
		func() error { return soon(func() error { return wantNames(s.A) }) },
		func() error { return soon(func() error { return wantNames(s.B) }) },
		func() error { return os.Remove(s.B) },
		forgetCached,
		func() error { return wantAbsent(s.A) },
	)
}

// checkRenameDirectory moves a directory whose files are open, and tries the moves that must be refused.
func checkRenameDirectory(_ context.Context, s *setup) (string, error) {
	const count = 20
	in := func(names ...string) string { return filepath.Join(append([]string{s.A}, names...)...) }
	if err := os.MkdirAll(in("old", "deep"), 0o755); err != nil {
		return "", err
	}
	files := make([]*os.File, count)
	for i := range files {
		f, err := os.Create(in("old", "deep", fmt.Sprintf("file-%02d", i)))
		if err != nil {
			return "", err
		}
		defer f.Close()
		files[i] = f
	}
	writeAll := func(text string) error {
		for _, f := range files {
			if err := writeSync(f, text); err != nil {
				return err
			}
		}
		return nil
	}
	return "", steps(
		func() error { return writeAll("before ") },
		func() error { return os.MkdirAll(in("parent", "empty"), 0o755) },
		// Not os.Rename, which refuses an existing directory by itself.
		func() error { return unix.Rename(in("old"), in("parent", "empty")) },
		func() error { return writeAll("after") },
		func() error { return wantAbsent(in("old")) },
		forgetCached,
		func() error {
			for i, f := range files {
				moved := filepath.Join(s.B, "parent", "empty", "deep", fmt.Sprintf("file-%02d", i))
				if err := wantContent(moved, "before after"); err != nil {
					return err
				}
				if err := wantRead(f, "before after"); err != nil {
					return err
				}
			}
			return nil
		},
		func() error {
			return wantError("a directory into itself", unix.Rename(in("parent"), in("parent", "empty", "x")), unix.EINVAL)
		},
		func() error { return os.Mkdir(in("other"), 0o755) },
		func() error {
			return wantError("over a full directory", unix.Rename(in("other"), in("parent")), unix.ENOTEMPTY)
		},
		func() error {
			file := in("parent", "empty", "deep", "file-00")
			return wantError("a directory over a file", unix.Rename(in("other"), file), unix.ENOTDIR)
		},
		func() error { return wantError("remove of a full directory", unix.Rmdir(in("parent")), unix.ENOTEMPTY) },
		func() error { return wantSubdirectories(filepath.Join(s.B, "parent"), 1) },
	)
}

// wantSubdirectories checks a directory's link count, which tells how many directories it holds.
func wantSubdirectories(dir string, n uint64) error {
	st, err := statOf(dir)
	if err != nil {
		return err
	}
	if st.Nlink != n+2 {
		return fmt.Errorf("%s has %d links, want %d", dir, st.Nlink, n+2)
	}
	return nil
}

func writeSync(f *os.File, text string) error {
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.Sync()
}

// wantRead checks what an open descriptor reads from the beginning.
func wantRead(f *os.File, want string) error {
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("the descriptor of %s reads %q, want %q", f.Name(), clip(got), want)
	}
	return nil
}
