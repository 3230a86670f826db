//go:build process

package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"twofold/nfs/client"
)

// deltaCluster has logs that are soon let go of, and files that are rewritten while
// a node is away: it is given what its state lacks when it is back.
type deltaCluster struct {
	*procCluster
	files   []client.FH
	size    int
	version int // that all files have
}

// newDeltaCluster makes n files of a size. tune, which may be nil, changes the
// configs before.
func newDeltaCluster(t *testing.T, s seam, n, size int, tune func(*procCluster)) *deltaCluster {
	t.Helper()
	c := &deltaCluster{procCluster: formatted(t), size: size}
	if tune != nil {
		tune(c.procCluster)
	}
	c.seam = &s
	c.startAll()
	conn, root := session(t, c.nfsAddrs()[0])
	dir, err := conn.Mkdir(t.Context(), root, "delta", client.SetAttr{})
	if err != nil || dir.Status != client.OK {
		t.Fatal(dir.Status, err)
	}
	for i := range n {
		made, err := conn.Create(t.Context(), dir.FH, fmt.Sprint("f", i), client.CreateHow{})
		if err != nil || made.Status != client.OK {
			t.Fatal(made.Status, err)
		}
		c.files = append(c.files, made.FH)
	}
	return c
}

// deltaWriters is how many files are written or read at once.
const deltaWriters = 16

// each calls f for all files over one connection to a node.
func (c *deltaCluster) each(name string, f func(ctx context.Context, conn *client.Client, i int) error) {
	c.t.Helper()
	conn, _ := session(c.t, c.cfgs[name].NFS.Listen)
	group, ctx := errgroup.WithContext(c.t.Context())
	group.SetLimit(deltaWriters)
	for i := range c.files {
		group.Go(func() error { return f(ctx, conn, i) })
	}
	if err := group.Wait(); err != nil {
		c.t.Fatal(err)
	}
}

// rewrite gives all files their next version.
func (c *deltaCluster) rewrite(name string) {
	c.t.Helper()
	c.version++
	c.each(name, func(ctx context.Context, conn *client.Client, i int) error {
		w, err := conn.Write(ctx, c.files[i], 0, c.content(i), client.FileSync)
		if err == nil {
			err = w.Status.Err()
		}
		return err
	})
}

func (c *deltaCluster) content(i int) []byte { return content(fmt.Sprint("f", i), c.version, c.size) }

// verify reads all files at both nodes, and compares the digests.
func (c *deltaCluster) verify() {
	c.t.Helper()
	for _, name := range dataNames {
		c.verifyAt(name)
	}
	c.checkDigests()
}

// verifyAt reads all files at one node.
func (c *deltaCluster) verifyAt(name string) {
	c.t.Helper()
	c.each(name, func(ctx context.Context, conn *client.Client, i int) error {
		r, err := conn.Read(ctx, c.files[i], 0, uint32(c.size))
		if err == nil {
			err = r.Status.Err()
		}
		if want := c.content(i); err == nil && !bytes.Equal(r.Data, want) {
			err = fmt.Errorf("file %d at %s: %s", i, name, difference(r.Data, want))
		}
		return err
	})
}

// outage kills the follower, and rewrites the files until its log leads nowhere.
// It returns both data nodes.
func (c *deltaCluster) outage() (leader, away string) {
	c.t.Helper()
	leader = c.awaitHealthy()
	away = other(leader)
	c.kill(away)
	c.rewrite(leader)
	limit := uint64(len(c.files)*c.size) / 2 // an entry may be larger than what is kept
	eventually(c.t, "the logs of "+leader+" and the witness are cut", func() bool {
		return c.logBytes(leader) < limit && c.logBytes("w") < limit
	})
	return leader, away
}

// logBytes is the size of a node's log on disk.
func (c *deltaCluster) logBytes(name string) (n uint64) {
	c.t.Helper()
	err := filepath.WalkDir(filepath.Join(c.cfgs[name].Dir, logDir, "wal"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += uint64(info.Size())
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) { // a segment goes while it is looked at
		c.t.Fatal(err)
	}
	return n
}

// startHeld starts a node that stands still before the nth time of a step.
func (c *deltaCluster) startHeld(name, step string, nth int64) (held string) {
	c.t.Helper()
	old := *c.seam
	c.seam.At, c.seam.Nth, c.seam.Held = step, nth, filepath.Join(c.t.TempDir(), "held")
	held = c.seam.Held
	c.start(name)
	*c.seam = old
	return held
}

// awaitHeld waits until a node stands still.
func (c *deltaCluster) awaitHeld(held, what string) {
	c.t.Helper()
	eventually(c.t, what, func() bool { _, err := os.Stat(held); return err == nil })
}

// awaitInSync waits until the leader lets the other data node read its own copy, and
// returns when.
func (c *deltaCluster) awaitInSync(name string) time.Time {
	c.t.Helper()
	eventually(c.t, name+" is in sync", func() bool {
		s := c.status(other(name))
		if s != nil && s.Leader == name {
			mine := c.status(name)
			return mine != nil && mine.Lease != nil && mine.Lease.Granted == other(name)
		}
		return s != nil && s.Leader == other(name) && s.Lease != nil && s.Lease.Granted == name
	})
	return time.Now()
}

var loggedBytes = regexp.MustCompile(`msg="the transfer ended".* bytes=(\d+)`)

// given sums up what a process said that it sent to the other data node, in
// transfers that have ended.
func (p *program) given(t *testing.T) (bytes uint64, transfers int) {
	t.Helper()
	for _, m := range loggedBytes.FindAllStringSubmatch(p.stderr.String(), -1) {
		n, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		bytes, transfers = bytes+n, transfers+1
	}
	return bytes, transfers
}

// transfer is a node's own transfer in one direction; nil if there is none.
func (c *deltaCluster) transfer(name, direction string) *transferStatus {
	s := c.status(name)
	if s == nil {
		return nil
	}
	for i := range s.Transfers {
		if s.Transfers[i].Direction == direction {
			return &s.Transfers[i]
		}
	}
	return nil
}

// installed counts the states that a process has put in place of its own.
func (p *program) installed() int {
	return strings.Count(p.stderr.String(), `msg="a state was installed"`)
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
