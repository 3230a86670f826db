package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	plainPoint = "/mnt/plain"
	// servicesLimit is how long rpcbind may take to answer.
	servicesLimit = 20 * time.Second
	// lockLimit is how long one lock is left to wait.
	lockLimit = 1500 * time.Millisecond
)

// checkPlainMounts mounts both nodes as most people do, with no option but the version: the other node, which serves
// port 111 itself, and the node on this machine, which has registered with the rpcbind that serves this machine's own client.
// Such a mount asks for locks, so rpc.statd runs. There is no lock manager yet: the mounts succeed, and nobody gets a lock. A node
// that is the port mapper refuses them. Where rpcbind is, the client asks it for a lock manager every few seconds, or asks the one of
// the server's own kernel, which knows no exports of ours and does not answer: a program that wants a lock waits until it is killed.
func checkPlainMounts(ctx context.Context, s *setup) (detail string, err error) {
	services, err := startServices(ctx, s.Other)
	if err != nil {
		return "", err
	}
	defer services()
	stop, err := startNode(ctx, s)
	if err != nil {
		return "", err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, stop())
		}
	}()
	if err := awaitRegistered(ctx, true); err != nil {
		return "", err
	}
	var locks []string
	for i, source := range []string{s.Other + ":/", "127.0.0.1:/", s.Other + ":/projects", "127.0.0.1:/projects"} {
		some, err := checkPlainMount(ctx, source, i, !strings.HasPrefix(source, s.Other))
		if err != nil {
			return "", fmt.Errorf("%s: %w", source, err)
		}
		locks = append(locks, some...)
	}
	stopped = true
	if err := stop(); err != nil {
		return "", err
	}
	return strings.Join(locks, ", "), awaitRegistered(ctx, false)
}

// startServices starts what a client with locks needs on its own machine. The function that it gives ends it.
func startServices(ctx context.Context, other string) (stop func(), err error) {
	// rpc.statd asks for the name of each server, and there is no name server here.
	if err := appendLine("/etc/hosts", other+" other-node"); err != nil {
		return nil, err
	}
	var running []*exec.Cmd
	stop = func() {
		for _, cmd := range running {
			_ = cmd.Process.Kill() // the machine goes with its last case
			_ = cmd.Wait()
		}
	}
	for _, args := range [][]string{{"rpcbind", "-f", "-w"}, {"rpc.statd", "-F", "--no-notify"}} {
		cmd := exec.Command(args[0], args[1:]...)
		if err := cmd.Start(); err != nil {
			stop()
			return nil, err
		}
		running = append(running, cmd)
		if err := eventually(ctx, servicesLimit, func() error {
			_, err := tool(ctx, "/", "rpcinfo", "-p", "127.0.0.1")
			return err
		}); err != nil {
			stop()
			return nil, err
		}
	}
	return stop, nil
}

// eventually asks again until it gets no error.
func eventually(ctx context.Context, limit time.Duration, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(readyEvery):
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", limit, err)
		}
	}
}

// awaitRegistered waits until rpcbind knows the node's programs, or does not any more. What else is there must stay.
func awaitRegistered(ctx context.Context, want bool) error {
	return eventually(ctx, servicesLimit, func() error {
		list, err := tool(ctx, "/", "rpcinfo", "-p", "127.0.0.1")
		if err != nil {
			return err
		}
		for _, program := range []string{" 100003 ", " 100005 "} {
			if strings.Contains(list, program) != want {
				return fmt.Errorf("the programs of the node should be registered: %t; rpcbind lists\n%s", want, list)
			}
		}
		if !strings.Contains(list, " 100024 ") {
			return fmt.Errorf("rpc.statd is not registered any more:\n%s", list)
		}
		return nil
	})
}

// checkPlainMount mounts once, and works with a file and its locks.
func checkPlainMount(ctx context.Context, source string, number int, hasRpcbind bool) (locks []string, err error) {
	if err := os.MkdirAll(plainPoint, 0o755); err != nil {
		return nil, err
	}
	if _, err := tool(ctx, "/", "mount", "-t", "nfs", "-o", "vers=3", source, plainPoint); err != nil {
		return nil, err
	}
	defer func() {
		_, uerr := tool(ctx, "/", "umount", plainPoint)
		err = errors.Join(err, uerr)
	}()
	if strings.HasSuffix(source, ":/") {
		if err := os.MkdirAll(filepath.Join(plainPoint, "projects"), 0o755); err != nil {
			return nil, err
		}
	}
	name := filepath.Join(plainPoint, fmt.Sprintf("locked-%d", number))
	if err := os.WriteFile(name, []byte(source), 0o644); err != nil {
		return nil, err
	}
	if err := wantContent(name, source); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(source, ":/") {
		return nil, nil // its server has been asked already
	}
	for _, kind := range []string{"fcntl", "flock"} {
		got, err := tryLock(ctx, kind, name)
		if err != nil {
			return nil, err
		}
		if got != locksRefused && (got != locksWait || !hasRpcbind) {
			return nil, fmt.Errorf("%s: %s, want %s; the server's host has rpcbind: %t", kind, got, locksRefused, hasRpcbind)
		}
		locks = append(locks, kind+" "+got)
	}
	return locks, nil
}

// What becomes of a lock.
const (
	locksRefused = "ENOLCK"
	locksWait    = "waits until it is killed"
)

// tryLock asks for a lock in a process of its own, which can be killed.
func tryLock(ctx context.Context, kind, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, os.Args[0], "lock", kind, name).Output()
	if ctx.Err() != nil {
		return locksWait, nil
	}
	return strings.TrimSpace(string(out)), err
}

// lockOnce is the process of tryLock. It prints the name of the error.
func lockOnce(kind, name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written
	if kind == "flock" {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	} else {
		err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		fmt.Println("locked")
		return err
	}
	fmt.Println(unix.ErrnoName(errno))
	return nil
}
