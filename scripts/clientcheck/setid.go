package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// checkSetID checks when the set-user-ID and set-group-ID bits of a file go away: a program must not keep them when somebody
// changes it or gives it away. The Linux client leaves that to the server.
func checkSetID(_ context.Context, s *setup) (string, error) {
	in, b := inside(s.A), inside(s.B)
	writes := func(u user) func(string) error {
		return func(name string) error {
			return u.do(func() error { return overwrite(name, "changed") })
		}
	}
	// Without group execution the set-group-ID bit asks for mandatory locks and is no privilege.
	for i, c := range []struct {
		what         string
		mode, remain uint32
		change       func(name string) error
	}{
		{"a write by the owner", 0o6777, 0o777, writes(alice)},
		{"a write by another user", 0o6777, 0o777, writes(carol)},
		{"a write by the owner", 0o4700, 0o700, writes(alice)},
		{"a write by the owner", 0o2766, 0o2766, writes(alice)},
		{"a write by root", 0o6777, 0o6777, func(name string) error { return overwrite(name, "changed") }},
		{"chown", 0o6755, 0o755, func(name string) error { return os.Chown(name, bob.uid, -1) }},
		{"chown to the same owner", 0o6755, 0o755, func(name string) error { return os.Chown(name, alice.uid, -1) }},
		{"chgrp", 0o6755, 0o755, func(name string) error { return os.Chown(name, -1, 3000) }},
		{"chgrp by the owner", 0o6755, 0o755, func(name string) error {
			return alice.do(func() error { return os.Chown(name, -1, 3000) })
		}},
		{"chgrp", 0o6745, 0o2745, func(name string) error { return os.Chown(name, -1, 3000) }},
		{"chmod by an owner outside the group", 0o755, 0o4755, func(name string) error {
			return steps(
				func() error { return os.Chown(name, alice.uid, bob.gid) },
				func() error { return alice.do(func() error { return unix.Chmod(name, 0o6755) }) })
		}},
		{"a new time", 0o6755, 0o6755, func(name string) error { return unix.UtimesNanoAt(unix.AT_FDCWD, name, nil, 0) }},
		{"another name", 0o6755, 0o6755, func(name string) error { return os.Link(name, name+" too") }},
	} {
		name := fmt.Sprintf("file-%02d", i)
		err := steps(
			func() error { return alice.create(in(name), "original", c.mode) },
			func() error { return c.change(in(name)) },
			forgetCached,
			func() error { return wantPermissions(b(name), c.remain) },
		)
		if err != nil {
			return "", fmt.Errorf("%s, mode %o: %w", c.what, c.mode, err)
		}
	}
	return "", directoryKeepsBits(s)
}

// directoryKeepsBits checks that chown leaves a directory's bits, which are no privileges.
func directoryKeepsBits(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	return steps(
		func() error { return os.Mkdir(in("dir"), 0o755) },
		func() error { return unix.Chmod(in("dir"), 0o7755) },
		func() error { return os.Chown(in("dir"), bob.uid, bob.gid) },
		forgetCached,
		func() error { return wantMode(b("dir"), unix.S_IFDIR|0o7755) },
		func() error { return wantOwner(b("dir"), bob.uid, bob.gid) },
	)
}

// overwrite replaces the first bytes of a file and leaves its length.
func overwrite(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// checkSharedDirectories uses set-group-ID and sticky directories as several users do.
func checkSharedDirectories(_ context.Context, s *setup) (string, error) {
	return "", steps(
		func() error { return groupIsHandedOn(s) },
		func() error { return stickyProtects(s) },
	)
}

// groupIsHandedOn checks that what is made in a set-group-ID directory gets its group, and a subdirectory its bit as well.
func groupIsHandedOn(s *setup) error {
	const group = 3000
	in, b := inside(s.A, "team"), inside(s.B, "team")
	err := steps(
		func() error { return os.Mkdir(in(), 0o755) },
		func() error { return os.Chown(in(), 0, group) },
		func() error { return unix.Chmod(in(), 0o2777) },
		func() error {
			return carol.do(
				func() error { return os.WriteFile(in("file"), nil, 0o644) },
				func() error { return os.Mkdir(in("dir"), 0o755) },
				func() error { return os.Symlink("file", in("symlink")) },
				func() error { return unix.Mkfifo(in("fifo"), 0o644) },
				func() error { return exclusive(in("exclusive")) },
			)
		},
		forgetCached,
	)
	if err != nil {
		return err
	}
	for _, name := range []string{"file", "dir", "symlink", "fifo", "exclusive"} {
		if err := wantOwner(b(name), carol.uid, group); err != nil {
			return err
		}
	}
	return steps(
		func() error { return wantMode(b("dir"), unix.S_IFDIR|0o2755) },
		func() error { return wantMode(b("file"), unix.S_IFREG|0o644) },
		// Outside such a directory the caller's own group counts.
		func() error { return os.Mkdir(inside(s.A)("plain"), 0o755) },
		func() error { return unix.Chmod(inside(s.A)("plain"), 0o777) },
		func() error { return carol.do(func() error { return os.Mkdir(inside(s.A)("plain", "dir"), 0o755) }) },
		func() error { return wantOwner(inside(s.B)("plain", "dir"), carol.uid, carol.gid) },
	)
}

// stickyProtects checks that in a sticky directory only the owner of an entry, the owner of the directory and root take it away.
func stickyProtects(s *setup) error {
	in, b := inside(s.A, "tmp"), inside(s.B, "tmp")
	wantRefused := func(what string, call func() error) func() error {
		return func() error {
			return bob.do(func() error { return wantError(what, call(), unix.EPERM, unix.EACCES) })
		}
	}
	return steps(
		func() error { return os.Mkdir(in(), 0o755) },
		func() error { return os.Chown(in(), carol.uid, carol.gid) },
		func() error { return unix.Chmod(in(), 0o1777) },
		func() error { return alice.do(func() error { return os.WriteFile(in("hers"), nil, 0o666) }) },
		func() error { return alice.do(func() error { return os.WriteFile(in("second"), nil, 0o666) }) },
		func() error { return alice.do(func() error { return os.Mkdir(in("dir"), 0o777) }) },
		func() error { return bob.do(func() error { return os.WriteFile(in("his"), nil, 0o666) }) },
		forgetCached,
		wantRefused("unlink", func() error { return unix.Unlink(b("hers")) }),
		wantRefused("rmdir", func() error { return unix.Rmdir(b("dir")) }),
		wantRefused("rename", func() error { return unix.Rename(b("hers"), b("taken")) }),
		wantRefused("rename over", func() error { return unix.Rename(b("his"), b("hers")) }),
		func() error { return bob.do(func() error { return unix.Rename(b("his"), b("still his")) }) },
		func() error { return alice.do(func() error { return unix.Unlink(b("hers")) }) },
		func() error { return carol.do(func() error { return unix.Unlink(b("second")) }) }, // the directory's owner
		func() error { return unix.Unlink(b("still his")) },
		forgetCached,
		func() error { return wantNames(in(), "dir") },
	)
}

// exclusive makes a file that must not exist, as lock files are made.
func exclusive(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
