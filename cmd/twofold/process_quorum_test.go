//go:build process

package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"twofold/nfs/client"
)

const (
	// leaderChanges is how many there are in the test of them.
	leaderChanges = 9
	// shortWait is the least wait_limit that a config may have.
	shortWait = minWaitLimit
)

// asker is one client that reads and writes at one node and counts the answers
// that ask it to try later.
type asker struct {
	caller
	file     client.FH
	jukebox  *atomic.Int64
	answered *atomic.Int64
}

func (a *asker) count(st client.Status, err error) (client.Status, error) {
	switch {
	case err != nil:
	case st == client.ErrJukebox:
		a.jukebox.Add(1)
	default:
		a.answered.Add(1)
	}
	return st, err
}

// round makes one change and two reads.
func (a *asker) round(i int) error {
	for _, f := range []call{
		func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Write(ctx, a.file, 0, content("asked", i, 512), client.FileSync)
			return a.count(res.Status, err)
		},
		func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Getattr(ctx, a.file)
			return a.count(res.Status, err)
		},
		func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Read(ctx, a.file, 0, 512)
			return a.count(res.Status, err)
		},
	} {
		if st, _, err := a.do(f); err != nil || st != client.OK {
			return errors.Join(err, errors.New(st.String()))
		}
	}
	return nil
}

// A leader that is killed, stopped properly, or paused is replaced without any
// client being told to try later: only silence or an answer, at either node.
//
// Seen red: with a wait limit of 100 ms there are some every time.
func TestProcess_LeaderChangesSendNoJukebox(t *testing.T) {
	c := newProcCluster(t)
	var jukebox, answered atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range 8 {
		node := i % 2
		conn, root := session(t, c.nfsAddrs()[node])
		made, err := conn.Create(t.Context(), root, "asked "+string(rune('a'+i)), client.CreateHow{})
		if err != nil || made.Status != client.OK {
			t.Fatal(made.Status, err)
		}
		a := &asker{caller: newCaller(c.nfsAddrs(), node, waits), file: made.FH, jukebox: &jukebox, answered: &answered}
		wg.Go(func() {
			defer a.close()
			for i := 0; !stop.Load(); i++ {
				if err := a.round(i); err != nil {
					t.Errorf("client of %s: %v", dataNames[node], err)
					return
				}
			}
		})
	}
	for i := range leaderChanges {
		leader := c.awaitHealthy()
		switch i % 3 {
		case 0:
			c.kill(leader)
		case 1:
			c.signal(syscall.SIGTERM, leader)
			c.running[leader].exit(t)
		case 2:
			c.signal(syscall.SIGSTOP, leader)
		}
		before := answered.Load()
		eventually(t, "clients are served by "+other(leader), func() bool { return answered.Load() > before+300 })
		if i%3 == 2 {
			c.signal(syscall.SIGCONT, leader)
		} else {
			c.start(leader)
		}
	}
	c.awaitHealthy()
	stop.Store(true)
	wg.Wait()
	t.Logf("%d changes of the leader, %d answers, %d of them JUKEBOX", leaderChanges, answered.Load(), jukebox.Load())
	if n := jukebox.Load(); n > 0 {
		t.Errorf("%d calls were told to try later", n)
	}
	c.checkDigests()
	c.stopAll()
}

// The quorum is lost: a read is told to try later after the wait limit, a MOUNT
// fails, and a change gets silence and a closed connection. The node says what is
// wrong. When the others are back all goes on, the same calls included.
func TestProcess_QuorumLost(t *testing.T) {
	c := formatted(t)
	for _, name := range dataNames {
		c.cfgs[name].NFS.WaitLimit = duration(shortWait)
		c.write(t, name)
	}
	c.startAll()
	leader := c.awaitHealthy()
	for _, left := range []string{leader, other(leader)} {
		c.loseQuorum(left)
	}
	c.checkDigests()
	c.stopAll()
}

// loseQuorum stops all nodes but one, looks at that one, and starts them again.
func (c *procCluster) loseQuorum(left string) {
	t := c.t
	t.Helper()
	conn, root := session(t, c.cfgs[left].NFS.Listen)
	w := &asker{caller: newCaller(c.nfsAddrs(), dataIndex(left), waits), jukebox: new(atomic.Int64), answered: new(atomic.Int64)}
	made, err := conn.Create(t.Context(), root, "quorum", client.CreateHow{})
	if err != nil || made.Status != client.OK {
		t.Fatal(made.Status, err)
	}
	w.file = made.FH
	if err := w.round(1); err != nil {
		t.Fatal(err)
	}
	c.kill(other(left), "w")
	// As long as its lease lasts nothing can have been acknowledged elsewhere, and
	// it reads its own copy.
	eventually(t, left+" holds no lease", func() bool {
		s := c.status(left)
		return s != nil && s.Lease != nil && !s.Lease.Held
	})

	done := make(chan error, 1)
	go func() { done <- w.round(2) }()
	begin := time.Now()
	read, err := conn.Getattr(t.Context(), made.FH)
	if d := time.Since(begin); err != nil || read.Status != client.ErrJukebox || d < shortWait || d > shortWait+3*time.Second {
		t.Errorf("GETATTR at %s without a quorum: %v, %v after %s", left, read.Status, err, d)
	}
	if res, err := conn.Mnt(t.Context(), "/"); err != nil || res.Status != client.MountErrServerFault {
		t.Errorf("MNT at %s without a quorum: %v, %v", left, res.Status, err)
	}
	c.checkQuorumLost(left)
	select {
	case err := <-done:
		t.Errorf("a change at %s is answered without a quorum: %v", left, err)
	default:
	}
	if n := w.answered.Load(); n != 3 {
		t.Errorf("%d answers at %s, want the 3 from before", n, left)
	}
	c.start(other(left))
	c.start("w")
	if err := <-done; err != nil {
		t.Errorf("the change at %s when the quorum is back: %v", left, err)
	}
	if len(w.losses) == 0 {
		t.Errorf("the change at %s never lost its connection", left)
	}
	if again, err := conn.Getattr(t.Context(), made.FH); err != nil || again.Status != client.OK {
		t.Errorf("the old connection to %s when the quorum is back: %v, %v", left, again.Status, err)
	}
	w.close()
	c.awaitHealthy()
	eventually(t, left+" says that the quorum is back", func() bool {
		return strings.Contains(c.running[left].stderr.String(), "the quorum is back")
	})
}

// checkQuorumLost holds a node to say that it has no quorum.
func (c *procCluster) checkQuorumLost(left string) {
	c.t.Helper()
	eventually(c.t, left+" says that the quorum is lost", func() bool {
		s := c.status(left)
		return s != nil && s.Health == noQuorum &&
			strings.Contains(c.running[left].stderr.String(), "level=WARN msg=\"no quorum")
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	base := "http://" + c.cfgs[left].HTTP.Listen
	if _, body, err := httpGet(ctx, base+"/metrics"); err != nil || !strings.Contains(string(body), "twofold_raft_leaderless 1\n") {
		c.t.Errorf("the metrics of %s do not show it: %v", left, err)
	}
	if code, body, err := httpGet(ctx, base+"/readyz"); err != nil || code != http.StatusServiceUnavailable {
		c.t.Errorf("/readyz of %s: %d, %v, %s", left, code, err, body)
	}
}
