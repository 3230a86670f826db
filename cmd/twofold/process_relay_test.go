//go:build process

package main

import (
	"net"
	"slices"
	"sync"
	"testing"
)

// relay is the way from one node to another. While it is held nothing gets
// through, neither way, and nothing is lost: what a cable does that is pulled out
// and put back before TCP gives up.
type relay struct {
	l    net.Listener
	to   string
	held sync.RWMutex // held for writing while nothing gets through

	mu    sync.Mutex
	conns []net.Conn
}

// newRelay has one node reach another by way of a relay, from its next start.
func newRelay(t *testing.T, c *procCluster, from, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l, to: c.cfgs[to].Listen}
	cfg := c.cfgs[from]
	cfg.Members = slices.Clone(cfg.Members) // each node's config has the same ones
	for i := range cfg.Members {
		if cfg.Members[i].Name == to {
			cfg.Members[i].Addr = l.Addr().String()
		}
	}
	c.write(t, from)
	var running sync.WaitGroup
	running.Go(func() { r.accept(&running) })
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for _, conn := range r.conns {
			conn.Close()
		}
		r.mu.Unlock()
		running.Wait()
	})
	return r
}

func (r *relay) accept(running *sync.WaitGroup) {
	for {
		in, err := r.l.Accept()
		if err != nil {
			return
		}
		if !r.held.TryRLock() {
			running.Go(func() { r.park(in) })
			continue
		}
		r.held.RUnlock()
		out, err := net.Dial("tcp", r.to)
		if err != nil {
			in.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, in, out)
		r.mu.Unlock()
		running.Go(func() { r.copy(in, out) })
		running.Go(func() { r.copy(out, in) })
	}
}

// park holds a connection that nobody can make now, and lets it go when the way is
// free: whoever made it has given it up by then, or tries again.
func (r *relay) park(in net.Conn) {
	defer in.Close()
	r.held.RLock()
	defer r.held.RUnlock()
}

// copy ends when either end does, and ends both.
func (r *relay) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			r.held.RLock()
			_, writeErr := to.Write(buf[:n])
			r.held.RUnlock()
			if writeErr != nil {
				return
			}
		}
		if err != nil { // the end as well: a half-closed stream is of no use here
			return
		}
	}
}
