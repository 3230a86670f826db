package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// checkTimes sets times in every way that utimensat(2) knows, and checks which times each change of an inode moves.
func checkTimes(_ context.Context, s *setup) (string, error) {
	return "", steps(
		func() error { return timesAreSet(s) },
		func() error { return timesByOthers(s) },
		func() error { return ctimeMoves(s) },
		func() error { return directoryTimeMoves(s) },
		func() error { return exclusiveTimes(s) },
	)
}

var (
	timeOmitted = unix.Timespec{Nsec: unix.UTIME_OMIT}
	timeNow     = unix.Timespec{Nsec: unix.UTIME_NOW}
)

// timesAreSet sets atime and mtime together and alone, to a given time and to the server's.
func timesAreSet(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	first := unix.Timespec{Sec: 1_000_000_000, Nsec: 999_999_999}
	second := unix.Timespec{Sec: 1_100_000_000, Nsec: 1}
	third := unix.Timespec{Sec: 1, Nsec: 500} // at 0 the client drops the nanoseconds (timestamp_truncate in Linux)
	if err := os.WriteFile(in("file"), []byte("text"), 0o644); err != nil {
		return err
	}
	if err := os.Symlink("file", in("symlink")); err != nil {
		return err
	}
	for _, name := range []string{"file", "symlink"} {
		var atime, mtime unix.Timespec
		for _, set := range [][2]unix.Timespec{
			{first, second}, {timeOmitted, first}, {third, timeOmitted}, {second, third}, {timeNow, timeOmitted}, {timeOmitted, timeNow},
			{third, timeNow}, {timeNow, second}, {timeNow, timeNow}, {timeOmitted, timeOmitted},
		} {
			earliest := time.Now().Add(-maxSkew)
			err := unix.UtimesNanoAt(unix.AT_FDCWD, in(name), []unix.Timespec{set[0], set[1]}, unix.AT_SYMLINK_NOFOLLOW)
			if err != nil {
				return err
			}
			st, err := statAll(b(), name)
			if err != nil {
				return err
			}
			atime, err = wantTime("atime", st[0].Atim, set[0], atime, earliest)
			if err != nil {
				return fmt.Errorf("%s after utimensat(%v): %w", name, set, err)
			}
			mtime, err = wantTime("mtime", st[0].Mtim, set[1], mtime, earliest)
			if err != nil {
				return fmt.Errorf("%s after utimensat(%v): %w", name, set, err)
			}
		}
	}
	return nil
}

// maxSkew is how far the guest's clock may be from its host's.
const maxSkew = 5 * time.Second

// wantTime checks one time after it was set, and gives it. last is what it was before.
func wantTime(what string, timespec syscall.Timespec, set, last unix.Timespec, earliest time.Time) (unix.Timespec, error) {
	got := unix.Timespec(timespec)
	switch set {
	case timeNow:
		if at := time.Unix(got.Unix()); at.Before(earliest) || at.After(time.Now().Add(maxSkew)) {
			return got, fmt.Errorf("%s is %v, want now", what, at)
		}
	case timeOmitted:
		if got != last {
			return got, fmt.Errorf("%s went from %v to %v, want it left alone", what, last, got)
		}
	default:
		if got != set {
			return got, fmt.Errorf("%s is %v, want %v", what, got, set)
		}
	}
	return got, nil
}

// timesByOthers checks who may set times: whoever may write sets them to now, only the owner to anything else.
func timesByOthers(s *setup) error {
	in := inside(s.A)
	old := []unix.Timespec{{Sec: 12345}, {Sec: 12345}}
	set := func(name string, times []unix.Timespec) func() error {
		return func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, in(name), times, 0) }
	}
	return steps(
		func() error { return alice.create(in("writable"), "", 0o666) },
		func() error { return alice.create(in("readable"), "", 0o644) },
		func() error { return carol.do(set("writable", nil)) },
		func() error {
			return carol.do(func() error { return wantError("set a given time", set("writable", old)(), unix.EPERM) })
		},
		func() error { return carol.wantDenied("set the time to now", set("readable", nil)) },
		func() error { return alice.do(set("readable", old)) },
		func() error { return unix.Chmod(in("readable"), 0) },
		func() error { return alice.do(set("readable", nil)) },
	)
}

// ctimeMoves checks that every change of an inode moves its ctime, also where one follows the other at once: a client
// decides by it whether what it has cached still holds.
func ctimeMoves(s *setup) error {
	in, b := inside(s.A), inside(s.B)
	if err := os.WriteFile(in("changed"), []byte("text"), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(in("elsewhere"), 0o755); err != nil {
		return err
	}
	last, err := statOf(in("changed"))
	if err != nil {
		return err
	}
	for _, c := range []struct {
		what string
		call func() error
	}{
		{"chmod", func() error { return unix.Chmod(in("changed"), 0o600) }},
		{"chmod to the same", func() error { return unix.Chmod(b("changed"), 0o600) }},
		{"chown", func() error { return os.Chown(in("changed"), 1, 1) }},
		{"utimensat", func() error { return os.Chtimes(b("changed"), time.Unix(1, 0), time.Unix(2, 0)) }},
		{"link", func() error { return os.Link(in("changed"), in("elsewhere", "name")) }},
		{"rename", func() error { return os.Rename(b("elsewhere", "name"), b("elsewhere", "other")) }},
		{"unlink of one name", func() error { return os.Remove(in("elsewhere", "other")) }},
		{"truncate", func() error { return os.Truncate(b("changed"), 1) }},
		{"write", func() error { return overwrite(in("changed"), "T") }},
	} {
		if err := c.call(); err != nil {
			return err
		}
		now, err := statAll(b(), "changed")
		if err != nil {
			return err
		}
		if !ctimeMoved(last, now[0]) {
			return fmt.Errorf("%s left the ctime at %v, from %v", c.what, now[0].Ctim, last.Ctim)
		}
		last = now[0]
	}
	return nil
}

// directoryTimeMoves checks that each change of an entry moves mtime and ctime of its directory.
func directoryTimeMoves(s *setup) error {
	in, b := inside(s.A, "directory"), inside(s.B, "directory")
	if err := os.Mkdir(in(), 0o755); err != nil {
		return err
	}
	last, err := statOf(in())
	if err != nil {
		return err
	}
	for _, c := range []struct {
		what string
		call func() error
	}{
		{"create", func() error { return exclusive(in("file")) }},
		{"mkdir", func() error { return os.Mkdir(b("dir"), 0o755) }},
		{"symlink", func() error { return os.Symlink("file", in("symlink")) }},
		{"mkfifo", func() error { return unix.Mkfifo(b("fifo"), 0o644) }},
		{"link", func() error { return os.Link(in("file"), in("name")) }},
		{"rename", func() error { return os.Rename(b("name"), b("other")) }},
		{"rename over", func() error { return os.Rename(in("symlink"), in("other")) }},
		{"unlink", func() error { return os.Remove(b("other")) }},
		{"rmdir", func() error { return unix.Rmdir(in("dir")) }},
	} {
		if err := c.call(); err != nil {
			return err
		}
		now, err := statAll(s.B, "directory")
		if err != nil {
			return err
		}
		if !ctimeMoved(last, now[0]) || now[0].Mtim.Nano() <= last.Mtim.Nano() {
			return fmt.Errorf("%s left the directory's times at %v and %v, from %v and %v",
				c.what, now[0].Mtim, now[0].Ctim, last.Mtim, last.Ctim)
		}
		last = now[0]
	}
	return nil
}

// exclusiveTimes checks that the verifier of an exclusive create is not left in the times, where some servers keep it.
func exclusiveTimes(s *setup) error {
	earliest := time.Now().Add(-maxSkew)
	if err := exclusive(inside(s.A)("new")); err != nil {
		return err
	}
	st, err := statAll(s.B, "new")
	if err != nil {
		return err
	}
	if _, err := wantTime("atime of a new file", st[0].Atim, timeNow, timeNow, earliest); err != nil {
		return err
	}
	if _, err := wantTime("mtime of a new file", st[0].Mtim, timeNow, timeNow, earliest); err != nil {
		return err
	}
	return wantMode(inside(s.B)("new"), unix.S_IFREG|0o644)
}
