package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"
)

const plainPoint = "/mnt/plain"

// lockWait is how long a lock is waited for that nobody serves.
const lockWait = 4 * time.Second

// checkPlainMount mounts a node on another machine as people do, without naming a port and with locks. That node is its machine's
// port mapper; here rpcbind runs, which the programs for locks need. Locks over the network are not served: the mount succeeds, and no
// lock is ever granted. Linux is told PROG_UNAVAIL, and then repeats the UNLOCK that cleans up after it until it is killed
// (nlmclnt_unlock_callback in fs/lockd/clntproc.c gives up at EACCES and EIO only).
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
	return "", wantNoLocks(ctx, filepath.Join(plainPoint, "file"))
}

func wantNoLocks(ctx context.Context, name string) error {
	if err := os.WriteFile(name, []byte("text"), 0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	// In a process of its own, since the call may have to be killed.
	if _, err := tool(ctx, "/", "flock", "--nonblock", name, "true"); err == nil {
		return errors.New("a lock was granted, by whom?")
	}
	return steps(
		func() error { return wantContent(name, "text") },
		func() error { return os.Remove(name) },
	)
}
