package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkPermissions uses files as three users with and without a common group.
func checkPermissions(ctx context.Context, s *setup) (string, error) {
	return "", steps(
		func() error { return classesDecide(s) },
		func() error { return groupsDecide(s) },
		func() error { return openFilesStayUsable(s) },
		func() error { return executableIsReadable(ctx, s) },
		func() error { return ownersOnly(s) },
	)
}

// classesDecide checks that the first class that fits decides: owner, then group, then others.
func classesDecide(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	read := func(u user, name string) func() error {
		return func() error { return u.do(func() error { _, err := os.ReadFile(b(name)); return err }) }
	}
	denied := func(u user, name string) func() error {
		return func() error {
			return u.wantDenied("read "+name, func() error { _, err := os.ReadFile(b(name)); return err })
		}
	}
	make := func(name string, mode uint32) func() error {
		return func() error {
			return steps(func() error { return alice.create(in(name), "text", mode) },
				func() error { return os.Chown(in(name), -1, 3000) })
		}
	}
	return steps(
		make("owner only", 0o600), make("group only", 0o040), make("others only", 0o004), make("nobody", 0),
		forgetCached,
		read(alice, "owner only"), denied(bob, "owner only"), denied(carol, "owner only"),
		denied(alice, "group only"), read(bob, "group only"), denied(carol, "group only"),
		denied(alice, "others only"), denied(bob, "others only"), read(carol, "others only"),
		denied(alice, "nobody"), denied(bob, "nobody"), denied(carol, "nobody"),
		func() error { return wantContent(b("nobody"), "text") }, // root
	)
}

// groupsDecide checks the last of the 16 groups that a call can name.
func groupsDecide(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	many := user{uid: 2010, gid: 2010}
	for i := range 16 {
		many.groups = append(many.groups, 4000+i)
	}
	return steps(
		func() error { return os.Mkdir(in("of a group"), 0o755) },
		func() error { return os.Chown(in("of a group"), 0, 4015) },
		func() error { return unix.Chmod(in("of a group"), 0o070) },
		func() error {
			return many.do(func() error { return os.WriteFile(b("of a group", "file"), nil, 0o644) })
		},
		func() error {
			return carol.wantDenied("look into it", func() error { _, err := os.Stat(b("of a group", "file")); return err })
		},
		func() error {
			return carol.wantDenied("list it", func() error { _, err := os.ReadDir(b("of a group")); return err })
		},
		func() error {
			return carol.wantDenied("write there", func() error { return os.WriteFile(b("of a group", "hers"), nil, 0o644) })
		},
	)
}

// openFilesStayUsable takes all permissions from a file that its owner has open. The server does not know that it is open, so it lets the
// owner read and write whatever the mode; open(2) is refused by ACCESS all the same.
func openFilesStayUsable(s *setup) error {
	in := inside(s.A)
	return steps(
		func() error { return os.Mkdir(in("open"), 0o755) },
		func() error { return unix.Chmod(in("open"), 0o777) },
		func() error {
			return alice.do(func() error {
				f, err := os.OpenFile(in("open", "file"), os.O_CREATE|os.O_RDWR, 0o644)
				if err != nil {
					return err
				}
				defer f.Close()
				return steps(
					func() error { return writeSync(f, "before ") },
					func() error { return unix.Chmod(in("open", "file"), 0) },
					forgetCachedAs,
					func() error { return writeSync(f, "after") },
					func() error { return wantRead(f, "before after") },
					func() error { return f.Truncate(6) },
					func() error {
						_, err := os.ReadFile(in("open", "file"))
						return wantError("open after chmod 0", err, unix.EACCES)
					},
					func() error {
						return wantError("open for writing", overwrite(inside(s.B)("open", "file"), "x"), unix.EACCES)
					},
					f.Close,
				)
			})
		},
		// A file that is made without permissions is open for its maker (open(2), O_CREAT).
		func() error {
			return alice.do(func() error {
				f, err := os.OpenFile(in("open", "made with 0"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0)
				if err != nil {
					return err
				}
				return steps(
					func() error { return writeSync(f, "text") },
					func() error { return wantRead(f, "text") },
					f.Close)
			})
		},
		forgetCached,
		func() error { return wantContent(inside(s.B)("open", "file"), "before") },
		func() error { return wantMode(inside(s.B)("open", "made with 0"), unix.S_IFREG) },
	)
}

// forgetCachedAs is forgetCached for a thread that is not root where files are concerned.
func forgetCachedAs() error {
	done := make(chan error, 1)
	go func() { done <- forgetCached() }()
	return <-done
}

// executableIsReadable runs a program that may be executed and not read: to the server that is READ.
func executableIsReadable(ctx context.Context, s *setup) error {
	in := inside(s.A)
	program, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return steps(
		func() error { return os.WriteFile(in("program"), content, 0o711) },
		func() error { return unix.Chmod(in("program"), 0o711) },
		forgetCached,
		func() error {
			cmd := exec.CommandContext(ctx, inside(s.B)("program"))
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(carol.uid), Gid: uint32(carol.gid)}}
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("run a program with mode 0711: %w", err)
			}
			return nil
		},
		func() error {
			return carol.wantDenied("read it", func() error { _, err := os.ReadFile(in("program")); return err })
		},
	)
}

// ownersOnly checks what nobody but the owner and root may do, and what root alone may.
func ownersOnly(s *setup) error {
	in := inside(s.A)
	if err := alice.create(in("hers"), "text", 0o666); err != nil {
		return err
	}
	refused := func(u user, what string, call func() error) func() error {
		return func() error { return u.do(func() error { return wantError(what, call(), unix.EPERM) }) }
	}
	return steps(
		refused(bob, "chmod", func() error { return unix.Chmod(in("hers"), 0o600) }),
		refused(bob, "chown", func() error { return os.Chown(in("hers"), bob.uid, -1) }),
		refused(bob, "chgrp", func() error { return os.Chown(in("hers"), -1, 3000) }),
		refused(alice, "give away", func() error { return os.Chown(in("hers"), bob.uid, -1) }),
		refused(alice, "chgrp to a group that is not hers", func() error { return os.Chown(in("hers"), -1, 4000) }),
		func() error { return alice.do(func() error { return os.Chown(in("hers"), -1, 3000) }) },
		func() error { return alice.do(func() error { return unix.Chmod(in("hers"), 0o640) }) },
		refused(alice, "make a device", func() error {
			err := unix.Mknod(in("device"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
			if errors.Is(err, unix.EACCES) { // the directory is root's
				return unix.EPERM
			}
			return err
		}),
		forgetCached,
		func() error { return wantMode(inside(s.B)("hers"), unix.S_IFREG|0o640) },
		func() error { return wantOwner(inside(s.B)("hers"), alice.uid, 3000) },
	)
}
