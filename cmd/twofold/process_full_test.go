//go:build process

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"twofold/nfs/client"
)

const (
	fullDisk    = 320 << 20
	fullReserve = 48 * mebibyte
	fullRoom    = 24 << 20 // left to clients above the reserve
	fullChunk   = 512 << 10
	fullFor     = 3 * time.Second // how long clients go on at a full disk
)

func fillable(c *config) {
	c.Reserve = fullReserve
	c.Memory.Memtable = minMemtable
}

// fill writes a file beside the node's directory until no more than left bytes
// are free.
func (d *loopDisk) fill(left int64) {
	d.t.Helper()
	free, err := freeBytes(d.mount)
	if err != nil {
		d.t.Fatal(err)
	}
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	zeros := make([]byte, 1<<20)
	for n := int64(free) - left; n > 0; n -= int64(len(zeros)) {
		if _, err := f.Write(zeros[:min(n, int64(len(zeros)))]); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *loopDisk) filler() string { return filepath.Join(d.mount, "filler") }

func (d *loopDisk) empty() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
}

// fullSession is a client of each node in a directory of its own.
type fullSession struct {
	t     *testing.T
	conns [2]*client.Client
	root  client.FH
	files []client.FH // of fullChunk bytes each, named by their number
	gone  int         // how many of them are removed
	tries int
}

func newFullSession(t *testing.T, c *procCluster) *fullSession {
	t.Helper()
	s := &fullSession{t: t}
	for i, addr := range c.nfsAddrs() {
		s.conns[i], s.root = session(t, addr)
	}
	made, err := s.conns[0].Mkdir(t.Context(), s.root, fmt.Sprint("full ", time.Now().UnixNano()), client.SetAttr{})
	if err != nil || made.Status != client.OK {
		t.Fatal(made.Status, err)
	}
	s.root = made.FH
	return s
}

// add makes a file and returns the status of its WRITE, or of its CREATE.
func (s *fullSession) add(node int) client.Status {
	s.t.Helper()
	ctx := context.Background()
	s.tries++
	made, err := s.conns[node].Create(ctx, s.root, fmt.Sprint("try ", s.tries), client.CreateHow{})
	if err != nil {
		s.t.Fatal(err)
	}
	if made.Status != client.OK {
		return made.Status
	}
	wrote, err := s.conns[node].Write(ctx, made.FH, 0, content("full", s.tries, fullChunk), client.FileSync)
	if err != nil {
		s.t.Fatal(err)
	}
	to, name := "kept ", len(s.files)
	if wrote.Status != client.OK {
		to, name = "empty ", s.tries
	} else {
		s.files = append(s.files, made.FH)
	}
	moved, err := s.conns[node].Rename(ctx, s.root, fmt.Sprint("try ", s.tries), s.root, fmt.Sprint(to, name))
	if err != nil || moved.Status != client.OK {
		s.t.Fatal(moved.Status, err)
	}
	return wrote.Status
}

// shrink removes a file, cuts another one and reads a third, which a full disk
// must not prevent.
func (s *fullSession) shrink(node int) {
	s.t.Helper()
	ctx, c := context.Background(), s.conns[node]
	res, err := c.Remove(ctx, s.root, fmt.Sprint("kept ", s.gone))
	if err != nil || res.Status != client.OK {
		s.t.Fatalf("REMOVE at %s: %v, %v", dataNames[node], res.Status, err)
	}
	s.gone++
	cut, err := c.Setattr(ctx, s.files[len(s.files)-1], client.SetAttr{Size: client.Ptr(uint64(fullChunk / 2))}, nil)
	if err != nil || cut.Status != client.OK {
		s.t.Fatalf("SETATTR of the size at %s: %v, %v", dataNames[node], cut.Status, err)
	}
	read, err := c.Read(ctx, s.files[s.gone], 0, 4096)
	if err != nil || read.Status != client.OK || len(read.Data) != 4096 {
		s.t.Fatalf("READ at %s: %v, %v", dataNames[node], read.Status, err)
	}
}

// The disk of one data node fills: both nodes say NOSPC alike, before the log or
// the state has no space, and go on with what frees space. When the disk has
// room again, so has the volume.
//
// Seen red: with a reserve that is not looked at (diskWatch.verdict returns 0),
// nothing is refused.
func TestProcess_FullDisk(t *testing.T) {
	c, disks := newDiskCluster(t, fullDisk, fillable)
	for _, role := range []string{"leader", "follower"} {
		victim := c.awaitHealthy()
		if role == "follower" {
			victim = other(victim)
		}
		s := newFullSession(t, c)
		disks[victim].fill(int64(fullReserve) + fullRoom)
		eventually(t, "both nodes say that nothing is free", func() bool {
			s.add(len(s.files) % 2)
			return s.free(0) == 0 && s.free(1) == 0
		})
		if t.Logf("the disk of %s, %s, took %d files of %d KiB", victim, role, len(s.files), fullChunk>>10); len(s.files) > 2*fullRoom/fullChunk {
			t.Errorf("more files than there was room for")
		}
		refused := 0
		for end := time.Now().Add(fullFor); time.Now().Before(end) && s.gone < len(s.files)/4; {
			for node := range dataNames {
				if s.add(node) == client.ErrNoSpc {
					refused++
				}
				s.shrink(node)
			}
		}
		if free, err := freeBytes(disks[victim].mount); err != nil || free < fullReserve/2 || refused == 0 {
			t.Errorf("%s are free on the disk of %s, %d changes were refused, %v", free, victim, refused, err)
		}
		if log := c.running[victim].stderr.String(); !strings.Contains(log, "down to its reserve") {
			t.Errorf("%s does not say that its disk is full", victim)
		}
		disks[victim].empty()
		for node := range dataNames {
			eventually(t, dataNames[node]+" takes data again", func() bool { return s.add(node) == client.OK })
		}
		c.checkDigests()
	}
	c.stopAll()
}

// free is what FSSTAT says at a node.
func (s *fullSession) free(node int) uint64 {
	s.t.Helper()
	res, err := s.conns[node].Fsstat(context.Background(), s.root)
	if err != nil || res.Status != client.OK {
		s.t.Fatal(res.Status, err)
	}
	return res.Abytes
}

// Something else fills a node's disk to the last byte. The node does not start
// then, and says why; the other one goes on, and takes data again once the full
// one is silent. With room on its disk the node comes back.
func TestProcess_DiskFilledByAnother(t *testing.T) {
	c, disks := newDiskCluster(t, fullDisk, fillable)
	victim := c.awaitHealthy()
	s := newFullSession(t, c)
	rest := dataIndex(other(victim))
	for range 8 {
		if st := s.add(rest); st != client.OK {
			t.Fatal(st)
		}
	}
	disks[victim].fill(0)
	eventually(t, "there is no space", func() bool { return s.add(rest) == client.ErrNoSpc })
	s.shrink(rest)
	select {
	case <-c.running[victim].done: // its log or its state found no space
	default:
		c.kill(victim)
	}
	c.start(victim)
	if code := c.running[victim].exit(t); code != exitError {
		t.Errorf("%s starts on a full disk and ends with exit code %d", victim, code)
	}
	if log := c.running[victim].stderr.String(); !strings.Contains(log, "make room, or lower reserve") {
		t.Errorf("%s does not say why: %s", victim, log)
	}
	eventually(t, "the other node takes data", func() bool { return s.add(rest) == client.OK })
	disks[victim].empty()
	c.start(victim)
	c.awaitHealthy()
	s.conns[dataIndex(victim)], _ = session(t, c.cfgs[victim].NFS.Listen)
	eventually(t, "there is space", func() bool { return s.add(dataIndex(victim)) == client.OK })
	c.checkDigests()
	c.stopAll()
}
