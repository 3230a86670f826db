package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// checkRenames moves every kind of object over every kind at node a, and looks at names and link counts at node b.
func checkRenames(_ context.Context, s *setup) (string, error) {
	return "", steps(
		func() error { return renameRefused(s) },
		func() error { return renameReplaces(s) },
		func() error { return renameCountsLinks(s) },
		func() error { return renameMovesTimes(s) },
	)
}

// renameRefused tries what rename(2) must refuse, and checks that nothing moved.
func renameRefused(s *setup) error {
	in := inside(s.A, "refused")
	err := steps(
		func() error { return os.MkdirAll(in("dir", "sub", "deep"), 0o755) },
		func() error { return os.MkdirAll(in("full", "entry"), 0o755) },
		func() error { return os.WriteFile(in("file"), []byte("file"), 0o644) },
		func() error { return os.Symlink("dir", in("symlink")) },
	)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		from, to string
		want     unix.Errno
	}{
		{"dir", "file", unix.ENOTDIR},
		{"dir", "symlink", unix.ENOTDIR},
		{"file", "dir", unix.EISDIR},
		{"symlink", "dir", unix.EISDIR},
		{"dir", "full", unix.ENOTEMPTY},
		{"full", "dir", unix.ENOTEMPTY},
		{"dir", "dir/sub/inner", unix.EINVAL},
		{"dir", "dir/sub/deep", unix.EINVAL},
		{"dir/sub", "dir", unix.ENOTEMPTY},
		{"absent", "other", unix.ENOENT},
		{"absent", "absent", unix.ENOENT},
		{"file", "absent/name", unix.ENOENT},
		{"file", "file/name", unix.ENOTDIR},
		{"file", strings.Repeat("n", 256), unix.ENAMETOOLONG},
	} {
		what := fmt.Sprintf("rename %s to %s", c.from, c.to)
		if err := wantError(what, unix.Rename(in(c.from), in(c.to)), c.want); err != nil {
			return err
		}
	}
	b := inside(s.B, "refused")
	return steps(
		forgetCached,
		func() error { return wantNames(b(), "dir", "file", "full", "symlink") },
		func() error { return wantNames(b("dir", "sub"), "deep") },
		func() error { return wantNames(b("full"), "entry") },
		func() error { return wantContent(b("file"), "file") },
	)
}

// renameReplaces makes the moves that are allowed, onto themselves included.
func renameReplaces(s *setup) error {
	in, b := inside(s.A, "replaces"), inside(s.B, "replaces")
	longest := strings.Repeat("x", 255)
	return steps(
		func() error { return os.MkdirAll(in("dir", "entry"), 0o755) },
		func() error { return os.Mkdir(in("empty"), 0o755) },
		func() error { return os.WriteFile(in("file"), []byte("file"), 0o644) },
		func() error { return os.WriteFile(in("old"), []byte("old"), 0o644) },
		func() error { return os.Symlink("elsewhere", in("symlink")) },
		func() error { return unix.Mkfifo(in("fifo"), 0o644) },
		func() error { return os.Link(in("file"), in("second")) },
		func() error { return unix.Rename(in("file"), in("file")) },
		func() error { return unix.Rename(in("dir"), in("dir")) },
		func() error { return unix.Rename(in("file"), in("second")) }, // two names of one inode: both stay
		func() error { return wantLinks(in(), 2, "file", "second") },
		func() error { return unix.Rename(in("dir"), in("empty")) },
		func() error { return unix.Rename(in("file"), in("symlink")) },
		func() error { return unix.Rename(in("fifo"), in("old")) },
		func() error { return unix.Rename(in("second"), in(longest)) },
		forgetCached,
		func() error { return wantNames(b(), "empty", "old", "symlink", longest) },
		func() error { return wantNames(b("empty"), "entry") },
		func() error { return wantLinks(b(), 2, "symlink", longest) },
		func() error { return wantContent(b("symlink"), "file") },
		func() error { return wantMode(b("old"), unix.S_IFIFO|0o644) },
	)
}

// renameCountsLinks moves directories between parents. Each subdirectory counts in its parent's link count.
func renameCountsLinks(s *setup) error {
	in, b := inside(s.A, "counts"), inside(s.B, "counts")
	counts := func(left, right uint64) func() error {
		return func() error {
			return steps(forgetCached,
				func() error { return wantSubdirectories(b("left"), left) },
				func() error { return wantSubdirectories(b("right"), right) })
		}
	}
	return steps(
		func() error { return os.MkdirAll(in("left", "one", "below"), 0o755) },
		func() error { return os.MkdirAll(in("left", "two"), 0o755) },
		func() error { return os.MkdirAll(in("right", "empty"), 0o755) },
		func() error { return os.WriteFile(in("left", "file"), nil, 0o644) },
		counts(2, 1),
		func() error { return unix.Rename(in("left", "file"), in("right", "file")) },
		counts(2, 1),
		func() error { return unix.Rename(in("left", "two"), in("right", "two")) },
		counts(1, 2),
		func() error { return unix.Rename(in("left", "one"), in("right", "empty")) },
		counts(0, 2),
		func() error { return unix.Rename(in("right", "two"), in("right", "three")) },
		counts(0, 2),
		func() error { return wantSubdirectories(b("right", "empty"), 1) },
		// The moved directory's `..` is its new parent: by handle, as the server sees it.
		func() error { return wantSameInode(b("right", "empty", ".."), b("right")) },
		func() error { return unix.Rmdir(in("right", "empty", "below")) },
		func() error { return unix.Rmdir(in("right", "empty")) },
		counts(0, 1),
	)
}

// renameMovesTimes checks that a rename is a change of both directories and of the inode that moves (POSIX leaves the
// last to the system; Linux file systems do it).
func renameMovesTimes(s *setup) error {
	in := inside(s.A, "times")
	err := steps(
		func() error { return os.MkdirAll(in("from"), 0o755) },
		func() error { return os.Mkdir(in("to"), 0o755) },
		func() error { return os.WriteFile(in("from", "file"), nil, 0o644) },
	)
	if err != nil {
		return err
	}
	watched := []string{"from", "to", "from/file"}
	before, err := statAll(inside(s.B, "times")(), watched...)
	if err != nil {
		return err
	}
	if err := unix.Rename(in("from", "file"), in("to", "file")); err != nil {
		return err
	}
	after, err := statAll(inside(s.B, "times")(), "from", "to", "to/file")
	if err != nil {
		return err
	}
	for i, name := range watched {
		if !ctimeMoved(before[i], after[i]) || before[i].Ino != after[i].Ino {
			return fmt.Errorf("rename left %s with ctime %v and inode %d, before %v and %d",
				name, after[i].Ctim, after[i].Ino, before[i].Ctim, before[i].Ino)
		}
	}
	if before[0].Mtim == after[0].Mtim || before[1].Mtim == after[1].Mtim {
		return fmt.Errorf("rename left a directory's mtime as it was")
	}
	if before[2].Mtim != after[2].Mtim {
		return fmt.Errorf("rename changed the mtime of the file, from %v to %v", before[2].Mtim, after[2].Mtim)
	}
	return nil
}

// inside gives a function that makes names below a directory.
func inside(dir string, names ...string) func(...string) string {
	base := filepath.Join(append([]string{dir}, names...)...)
	return func(names ...string) string {
		return strings.Join(append([]string{base}, names...), "/") // not filepath.Join, which takes `..` away
	}
}
