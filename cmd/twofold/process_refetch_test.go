//go:build process

package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"twofold/nfs/client"
	"twofold/replica/vfs"
)

// bulk is what makes a transfer at the lowest rate take some seconds.
const (
	refetchFiles = 8
	refetchBytes = 1 << 20
)

// slowTransfers is a cluster whose nodes give their states away slowly, with
// contents that no compression makes shorter. It returns the last of its files.
func slowTransfers(t *testing.T) (*procCluster, client.FH, []byte) {
	t.Helper()
	c := formatted(t)
	for _, name := range dataNames {
		c.cfgs[name].CatchUpRate = mebibyte
		c.write(t, name)
	}
	c.startAll()
	conn, root := session(t, c.nfsAddrs()[0])
	rng := rand.NewChaCha8([32]byte{1})
	var last client.FH
	data := make([]byte, refetchBytes)
	for i := range refetchFiles {
		made, err := conn.Create(t.Context(), root, "bulk"+string(rune('0'+i)), client.CreateHow{Mode: vfs.CreateGuarded})
		if err != nil || made.Status != client.OK {
			t.Fatalf("CREATE: %v, %v", made.Status, err)
		}
		last = made.FH
		_, _ = rng.Read(data) // it never fails
		for off := 0; off < len(data); off += 256 << 10 {
			res, err := conn.Write(t.Context(), made.FH, uint64(off), data[off:off+256<<10], client.FileSync)
			if err != nil || res.Status != client.OK {
				t.Fatalf("WRITE: %v, %v", res.Status, err)
			}
		}
	}
	return c, last, data
}

// integrity is what a node says of its copy; empty if it does not answer.
func (c *procCluster) integrity(name string) integrityStatus {
	if s := c.status(name); s != nil && s.Integrity != nil {
		return *s.Integrity
	}
	return integrityStatus{}
}

// A node whose copy cannot be opened starts, keeps the damaged copy, serves its
// clients and new mounts through the other node, is killed while it gets another
// copy, and comes back by itself.
func TestProcess_RefetchUnopened(t *testing.T) {
	c, _, _ := slowTransfers(t)
	l := newLoad(t, c)
	l.start()
	l.progress(warmUp, 0, 1)
	c.kill("b")
	dir := filepath.Join(c.cfgs["b"].Dir, volumeDir)
	removed := 0
	for _, path := range globbed(t, dir, "MANIFEST-*") {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		removed++
	}
	c.start("b")
	c.ready(t, "b")
	if i := c.integrity("b"); i.Quarantine == nil || !strings.Contains(i.Quarantine.Detail, dir+".damaged") {
		t.Errorf("%+v", i)
	}
	mkdir(t, c.nfsAddrs()[1], "mounted meanwhile") // MNT, and a change
	eventually(t, "a transfer has begun", func() bool {
		s := c.status("b")
		return s != nil && len(s.Transfers) > 0 && s.Transfers[0].Bytes > uint64(2*mebibyte) && s.Transfers[0].Rate > 0
	})
	c.kill("b")
	c.start("b")
	c.ready(t, "b")
	checkDir(t, c.nfsAddrs()[1], "mounted meanwhile")
	l.progress(afterwards, 0, 1)
	eventually(t, "b has another copy", func() bool { return c.integrity("b").Refetched == 1 })
	c.awaitHealthy()
	l.progress(afterwards, 0, 1)
	l.end()
	l.verify(t)
	c.checkDigests()
	if kept := globbed(t, dir+".damaged", "*.sst"); removed == 0 || len(kept) == 0 {
		t.Errorf("%d removed, kept are %v", removed, kept)
	}
	c.stopAll()
	c.startAll()
	l.verify(t)
	c.stopAll()
}

// Bytes that change on the disk of a running node, and that its memory does not have,
// are found by twofold scrub; its
// copy is replaced while clients work at both nodes.
func TestProcess_RefetchScrubbed(t *testing.T) {
	c, file, data := slowTransfers(t)
	c.awaitHealthy()
	far, root := session(t, c.nfsAddrs()[1])
	if res, err := far.Lookup(t.Context(), root, "bulk0"); err != nil || res.Status != client.OK { // b has applied what it has
		t.Fatalf("LOOKUP at b: %v, %v", res.Status, err)
	}
	c.running["b"].stop(t, syscall.SIGTERM) // which writes all out
	c.start("b")
	c.ready(t, "b")
	l := newLoad(t, c)
	l.start()
	l.progress(warmUp, 0, 1)
	flipped := 0
	for _, path := range globbed(t, filepath.Join(c.cfgs["b"].Dir, volumeDir), "*.sst") {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(b, data[refetchBytes/2+1000:refetchBytes/2+1100])
		if at < 0 {
			continue
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte{^data[refetchBytes/2+1000]}, int64(at))
		}
		if err != nil || f.Close() != nil {
			t.Fatal(err)
		}
		flipped++
	}
	if flipped == 0 {
		t.Fatal("the file is in no table")
	}
	var out, progress bytes.Buffer
	if err := scrub(context.Background(), c.cfgs["b"].Dir, false, &out, &progress); err == nil {
		t.Errorf("the scan found nothing: %s", out.String())
	}
	eventually(t, "b has another copy", func() bool { return c.integrity("b").Refetched == 1 })
	c.awaitHealthy()
	l.progress(afterwards, 0, 1)
	l.end()
	l.verify(t)
	c.checkDigests()
	n := newBothNodes(t, c)
	for i, conn := range n.conns {
		for off := 0; off < len(data); off += 256 << 10 {
			res, err := conn.Read(t.Context(), file, uint64(off), 256<<10)
			if err != nil || !bytes.Equal(res.Data, data[off:off+256<<10]) {
				t.Errorf("%s reads at %d: %s, %v", dataNames[i], off, difference(res.Data, data[off:off+256<<10]), err)
			}
		}
	}
	c.stopAll()
}

func globbed(t *testing.T, dir, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return all
}
