//go:build process

package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"twofold/nfs/client"
)

const (
	witnessName    = "w"
	witnessDisk    = 96 << 20
	witnessReserve = minReserve
	// witnessFiles is how many files clients make in each state of the witness.
	witnessFiles = 6
	// witnessPause bounds a file's three changes while the witness is full.
	witnessPause = 3 * time.Second
)

// goOn makes files at both nodes, each at once and without an error.
func (s *fullSession) goOn(when string, nodes ...int) {
	s.t.Helper()
	for i := range witnessFiles {
		begun := time.Now()
		if st := s.add(nodes[i%len(nodes)]); st != client.OK {
			s.t.Fatalf("%s: %v at %s", when, st, dataNames[nodes[i%len(nodes)]])
		}
		if d := time.Since(begun); d > witnessPause {
			s.t.Errorf("%s: a file takes %s", when, d)
		}
	}
}

// goOnFor makes directories at both nodes for a time in which whatever looks at the
// members from time to time has looked, and returns their number.
func (s *fullSession) goOnFor(d time.Duration) (made int) {
	s.t.Helper()
	longest := time.Duration(0)
	for end := time.Now().Add(d); time.Now().Before(end); made++ {
		begun, node := time.Now(), made%2
		res, err := s.conns[node].Mkdir(context.Background(), s.root, fmt.Sprint("alone ", made), client.SetAttr{})
		if err != nil || res.Status != client.OK {
			s.t.Fatalf("MKDIR without the witness at %s: %v, %v", dataNames[node], res.Status, err)
		}
		longest = max(longest, time.Since(begun))
	}
	if s.t.Logf("%d directories without the witness, %s at most", made, longest); longest > witnessPause {
		s.t.Errorf("a directory takes %s", longest)
	}
	return made
}

// checkMade looks up the directories of goOnFor.
func (s *fullSession) checkMade(node, made int) {
	s.t.Helper()
	for i := range made {
		res, err := s.conns[node].Lookup(context.Background(), s.root, fmt.Sprint("alone ", i))
		if err != nil || res.Status != client.OK {
			s.t.Fatalf("LOOKUP of directory %d at %s: %v, %v", i, dataNames[node], res.Status, err)
		}
	}
}

// checkAll reads all files at a node. No change was refused, so that a file has
// the number of its attempt.
func (s *fullSession) checkAll(node int) {
	s.t.Helper()
	const read = 64 << 10
	for i, fh := range s.files {
		want := content("full", i+1, fullChunk)
		for off := 0; off < fullChunk; off += read {
			res, err := s.conns[node].Read(context.Background(), fh, uint64(off), read)
			if err != nil || res.Status != client.OK || !bytes.Equal(res.Data, want[off:off+read]) {
				s.t.Fatalf("file %d at %s from %d on: %d bytes, %v, %v", i, dataNames[node], off, len(res.Data), res.Status, err)
			}
		}
	}
}

// ended reports that a node's process is gone.
func (c *procCluster) ended(name string) bool {
	select {
	case <-c.running[name].done:
		return true
	default:
		return false
	}
}

// awaitProtected waits until both data nodes show the volume as protected. That
// is a matter of what would be lost, not of who is there: it is so without the
// witness, too, as all that is acknowledged is at both of them.
func (c *procCluster) awaitProtected(when string) {
	c.t.Helper()
	for _, name := range dataNames {
		eventuallySoon(c.t, name+" says that the volume is protected, "+when, func() bool {
			s := c.status(name)
			_, body, err := httpGet(context.Background(), "http://"+c.cfgs[name].HTTP.Listen+"/metrics")
			return s != nil && s.Protected && err == nil && strings.Contains(string(body), "\ntwofold_raft_protected 1\n")
		})
	}
}

// fillWitness fills the witness's disk in two steps, while clients go on, until
// it ends.
func fillWitness(c *procCluster, d *loopDisk, s *fullSession) {
	t := c.t
	t.Helper()
	d.fill(int64(witnessReserve) / 2)
	eventually(t, "the witness warns", func() bool {
		return strings.Contains(c.running[witnessName].stderr.String(), "crosses its reserve")
	})
	if st := c.status(witnessName); st == nil || !st.DiskShort || st.Health != degraded {
		t.Errorf("the status of the witness does not show that its disk is short: %+v", st)
	}
	s.goOn("down to the witness's reserve", 0, 1)
	if c.ended(witnessName) {
		t.Error("the witness ends while its disk has space")
	}
	d.fill(0)
	eventually(t, "the witness ends", func() bool {
		s.goOn("the witness has no space", 0, 1)
		return c.ended(witnessName)
	})
	p := c.running[witnessName]
	if code := p.exit(t); code != exitError || !strings.Contains(lastLine(p), "its disk is full") {
		t.Errorf("the witness ends with exit code %d and does not say why: %s", code, lastLine(p))
	}
}

// The disk of the witness fills: it warns, and ends when its log finds no space.
// Clients of both nodes notice nothing of that, and the status names the machine
// that is missing. The witness does not start on a full disk, and says what to do.
// With room on its disk it is a member like before: it and either data node have
// all that was acknowledged.
//
// Seen red: with a start that does not look at the free space, and with an error
// of the log that is passed on as it is, which names a sealed segment alone;
// and with data nodes that end when they have lost sight of the witness.
func TestProcess_WitnessDiskFull(t *testing.T) {
	c, disks := newDisksOf(t, []string{witnessName}, witnessDisk, func(c *config) {
		if !c.isData() {
			c.Reserve = witnessReserve
		}
	})
	c.awaitHealthy()
	c.awaitProtected("with three")
	s, disk := newFullSession(t, c), disks[witnessName]
	fillWitness(c, disk, s)
	for _, name := range dataNames {
		eventually(t, name+" misses the witness", func() bool {
			st := c.status(name)
			return st != nil && st.Health == degraded && strings.Contains(fmt.Sprint(st.Problems), witnessName+" does not answer")
		})
	}
	made := s.goOnFor(fullFor)
	c.awaitProtected("without the witness")

	c.start(witnessName)
	p := c.running[witnessName]
	if code := p.exit(t); code != exitError || !strings.Contains(lastLine(p), "make room, or lower reserve in the config") {
		t.Errorf("the witness starts on a full disk, or does not say what to do: exit code %d, %s", code, lastLine(p))
	}
	s.goOn("the witness does not start", 0, 1)

	disk.empty()
	c.start(witnessName)
	leader := c.awaitHealthy()
	c.awaitProtected("with three again")
	c.kill(leader)
	rest := dataIndex(other(leader))
	eventually(t, "the other data node leads", func() bool {
		st := c.status(dataNames[rest])
		return st != nil && st.Leader == dataNames[rest]
	})
	s.goOn("with the witness alone", rest)
	s.checkMade(rest, made)
	s.checkAll(rest)
	c.start(leader)
	c.awaitHealthy()
	s.conns[dataIndex(leader)], _ = session(t, c.cfgs[leader].NFS.Listen)
	s.checkMade(dataIndex(leader), made)
	s.checkAll(dataIndex(leader))
	c.checkDigests()
	c.stopAll()
}
