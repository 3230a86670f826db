//go:build process

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A byte of a killed node's log is changed: the follower's, the former leader's and
// the witness's in turn. It starts, is filled again, votes again when another member
// is away, and nothing that was acknowledged is lost (rule M3).
//
// Seen red: with a log that is never taken for filled, the cluster is not healthy again.
func TestProcess_DamagedLogIsFilled(t *testing.T) {
	c := formatted(t)
	c.startAll()
	lead := c.awaitHealthy()
	want := []string{}
	mkdirs := func(n int) {
		t.Helper()
		for range n {
			want = append(want, fmt.Sprintf("dir%d", len(want)))
			mkdir(t, c.nfsAddrs()[dataIndex(lead)], want[len(want)-1])
		}
	}
	for _, who := range []string{"follower", "leader", "w"} {
		mkdirs(5)
		name := map[string]string{"follower": other(lead), "leader": lead, "w": "w"}[who]
		c.kill(name)
		damageLog(t, filepath.Join(c.cfgs[name].Dir, logDir))
		c.start(name)
		lead = c.awaitHealthy()
		eventually(t, name+" has a sound log", func() bool {
			s := c.status(name)
			if s == nil {
				return false
			}
			for _, m := range s.Members {
				if m.Name == name && m.LogDamaged {
					return false
				}
			}
			_, err := os.Stat(filepath.Join(c.cfgs[name].Dir, logDir, "damaged"))
			return os.IsNotExist(err)
		})
		// Its vote is needed.
		gone := lead
		if name == lead {
			gone = other(lead)
		}
		c.kill(gone)
		lead = other(gone)
		mkdirs(2)
		c.start(gone)
		lead = c.awaitHealthy()
	}
	for _, addr := range c.nfsAddrs() {
		for _, name := range want {
			checkDir(t, addr, name)
		}
	}
	c.checkDigests()
}

// damageLog changes a byte in the first entry of a log's last segment.
func damageLog(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	path := files[len(files)-1]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const at = 60
	if b[at] == 0 && b[at+1] == 0 && b[at+2] == 0 {
		t.Fatalf("%s holds nothing at byte %d", path, at)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
