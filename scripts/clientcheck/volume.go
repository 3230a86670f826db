package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// checkFigures checks what statfs(2) says of the volume while a file comes and goes, and the limits that it states.
func checkFigures(_ context.Context, s *setup) (string, error) {
	const size = 16 << 20
	var before, during, after unix.Statfs_t
	err := steps(
		func() error { return unix.Statfs(s.B, &before) },
		func() error { return os.WriteFile(inside(s.A)("file"), pattern(size), 0o644) },
		func() error { return unix.Statfs(s.B, &during) },
		func() error { return os.Remove(inside(s.A)("file")) },
		func() error { return unix.Statfs(s.B, &after) },
	)
	if err != nil {
		return "", err
	}
	used := func(f unix.Statfs_t) int64 { return int64(f.Blocks-f.Bfree) * f.Bsize }
	if grown := used(during) - used(before); grown < size/2 {
		return "", fmt.Errorf("a file of %d bytes made the volume %d larger", size, grown)
	}
	if before.Bavail == 0 || before.Bavail > before.Bfree || before.Bfree > before.Blocks || before.Files == 0 || before.Ffree > before.Files {
		return "", fmt.Errorf("the figures do not fit together: %+v", before)
	}
	if before.Namelen != 255 {
		return "", fmt.Errorf("names may have %d bytes, want 255", before.Namelen)
	}
	return "", namesAndTargets(s)
}

// namesAndTargets uses the longest names and symbolic links, and names of bytes that are no text.
func namesAndTargets(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	longest, odd := strings.Repeat("n", 255), "\xff\xfe\x01\n \\ü*"
	target := strings.Repeat("t/", 2047) + "t"
	if err := os.Symlink(target, in("symlink")); err != nil {
		return err
	}
	return steps(
		func() error { return exclusive(in(longest)) },
		func() error { return os.Mkdir(in(odd), 0o755) },
		func() error { return wantError("a longer name", exclusive(in(longest+"n")), unix.ENAMETOOLONG) },
		func() error { return wantError("a longer name", os.Mkdir(in(longest+"n"), 0o755), unix.ENAMETOOLONG) },
		forgetCached,
		func() error { return wantNames(b(), longest, "symlink", odd) },
		func() error {
			got, err := os.Readlink(b("symlink"))
			if err == nil && got != target {
				err = fmt.Errorf("a symbolic link of %d bytes came back with %d", len(target), len(got))
			}
			return err
		},
	)
}

// checkLibnfsTree copies this project's scripts to a place from which a client of another kind reads them, when this
// program has ended (scripts/client-test).
func checkLibnfsTree(ctx context.Context, s *setup) (string, error) {
	root := filepath.Dir(s.A)
	if err := os.Mkdir(filepath.Join(root, "libnfs-copies"), 0o755); err != nil {
		return "", err
	}
	source, tree := filepath.Join(s.Repository, "scripts"), filepath.Join(root, "libnfs-tree")
	if _, err := tool(ctx, "/", "cp", "-r", "--preserve=timestamps", source, tree); err != nil {
		return "", err
	}
	files, _, err := compareTrees(ctx, source, filepath.Join(filepath.Dir(s.B), "libnfs-tree"))
	return fmt.Sprintf("%d files and directories", files), err
}
