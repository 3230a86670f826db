package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const plainPoint = "/mnt/plain"

// checkPlainMount mounts a node on another machine as people do, without naming a port and with locks. That node is its machine's
// port mapper; here rpcbind runs, which the programs for locks need. Locks over the network are not served: the mount succeeds, and
// each lock fails at once. (Where the port mapper knew nothing of locks, Linux would ask it again every 3 s without an end,
// since 6.1.28: call_bind_status in net/sunrpc/clnt.c.)
func checkPlainMount(ctx context.Context, s *setup) (detail string, err error) {
	stop, err := startNode(ctx, s)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := os.MkdirAll(plainPoint, 0o755); err != nil {
		return "", err
	}
	if _, err := tool(ctx, "/", "rpcbind"); err != nil {
		return "", err
	}
	if _, err := tool(ctx, "/", "mount", "-t", "nfs", "-o", "vers=3,retry=0", s.Other+":/", plainPoint); err != nil {
		return "", err
	}
	defer func() {
		_, uerr := tool(ctx, "/", "umount", plainPoint)
		err = errors.Join(err, uerr)
	}()
	return "", locksRefused(filepath.Join(plainPoint, "file"))
}

// locksRefused tries both kinds of lock. NLM is PROG_UNAVAIL, which the client passes on as EPFNOSUPPORT.
func locksRefused(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	record := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	return steps(
		func() error { return writeSync(f, "text") },
		func() error {
			return wantError("fcntl", unix.FcntlFlock(f.Fd(), unix.F_SETLK, &record), unix.EPFNOSUPPORT)
		},
		func() error {
			return wantError("flock", unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EPFNOSUPPORT)
		},
		f.Close,
		func() error { return wantContent(name, "text") },
		func() error { return os.Remove(name) },
	)
}
