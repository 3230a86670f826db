package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// user is a caller as AUTH_SYS names one.
type user struct {
	uid, gid int
	groups   []int
}

// Three users: two that share a group, and one with neither.
var (
	alice = user{uid: 2001, gid: 2001, groups: []int{3000}}
	bob   = user{uid: 2002, gid: 2002, groups: []int{3000}}
	carol = user{uid: 2003, gid: 2003}
)

// do makes system calls with the user's rights.
func (u user) do(calls ...func() error) error {
	done := make(chan error, 1)
	go func() {
		// Credentials belong to a thread in Linux. The thread is not given back: it ends with this goroutine.
		runtime.LockOSThread()
		if err := u.become(); err != nil {
			done <- fmt.Errorf("become user %d: %w", u.uid, err)
			return
		}
		done <- steps(calls...)
	}()
	return <-done
}

// become changes what this thread may do in file systems. Leaving uid 0 takes root's rights over files away as well
// (capabilities(7), "Effect of user ID changes on capabilities"). The calls are raw because Go's own change all threads.
func (u user) become() error {
	if err := setGroups(u.groups); err != nil {
		return err
	}
	// setfsuid(2) and setfsgid(2) report no failure, but give what was set before.
	for _, id := range []struct{ call, value uintptr }{
		{unix.SYS_SETFSGID, uintptr(u.gid)}, {unix.SYS_SETFSUID, uintptr(u.uid)},
	} {
		unix.RawSyscall(id.call, id.value, 0, 0)
		if now, _, _ := unix.RawSyscall(id.call, id.value, 0, 0); now != id.value {
			return unix.EPERM
		}
	}
	return nil
}

// wantDenied checks that this user is refused.
func (u user) wantDenied(what string, call func() error) error {
	return u.do(func() error { return wantError(fmt.Sprintf("%s by user %d", what, u.uid), call(), unix.EACCES) })
}

// create makes a file that belongs to the user.
func (u user) create(name string, content string, mode uint32) error {
	return steps(
		func() error { return os.WriteFile(name, []byte(content), 0o600) },
		func() error { return os.Chown(name, u.uid, u.gid) },
		func() error { return unix.Chmod(name, mode) },
	)
}
