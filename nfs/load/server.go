package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"twofold/nfs/client"
)

// server is one target that is connected to.
type server struct {
	target Target
	links  []*link
	root   client.FH
	home   client.FH // of this server, below the run's directory
	ioSize int       // bytes of one READ or WRITE of a stream
}

// Bounds of what a target may ask of a stream (FSINFO).
const (
	minIOSize = 4 << 10
	maxIOSize = 1 << 20
)

// connect connects to a target and mounts it.
func connect(ctx context.Context, t Target, cfg *Config) (*server, error) {
	if err := t.locate(ctx); err != nil {
		return nil, err
	}
	s := &server{target: t}
	err := s.mount(ctx, cfg)
	for err == nil && len(s.links) < cfg.Connections {
		l := &link{addr: t.addr(t.NFSPort), cfg: cfg}
		if l.c, err = dial(ctx, l.addr, cfg); err == nil {
			s.links = append(s.links, l)
		}
	}
	if err == nil {
		err = s.probe(ctx)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	return s, nil
}

func (s *server) mount(ctx context.Context, cfg *Config) error {
	m, err := dial(ctx, s.target.addr(s.target.MountPort), cfg)
	if err != nil {
		return err
	}
	defer m.Close()
	s.root, err = m.Root(ctx, s.target.Path)
	if errors.Is(err, client.MountErrAcces) && !cfg.ReservedPort {
		err = fmt.Errorf("%w: if the server wants a source port below 1024, use --reserved-port", err)
	}
	return err
}

// probe sees that the handle of MOUNT is good for NFS, since two servers on one host may have overwritten one another's
// entries of the port mapper.
func (s *server) probe(ctx context.Context) error {
	info, err := s.client().Fsinfo(ctx, s.root)
	if err == nil {
		err = info.Status.Err()
	}
	if err != nil {
		return fmt.Errorf("FSINFO of the export's root: %w: does MOUNT, at port %d, belong to this server?", err, s.target.MountPort)
	}
	s.ioSize = max(minIOSize, min(maxIOSize, int(info.Wtpref), int(info.Rtpref)))
	return nil
}

// close ends the connections.
func (s *server) close() {
	for _, l := range s.links {
		_ = l.client().Close()
	}
}

// client is the first connection, for a call now and then. One that failed meanwhile is made anew.
func (s *server) client() *client.Client {
	c := s.links[0].client()
	select {
	case <-c.Done():
		var never atomic.Bool
		if again, err := s.links[0].renew(c, &never); err == nil {
			return again
		}
	default:
	}
	return c // its error says what is wrong
}

// link is a connection to a server that is made anew when it fails.
type link struct {
	addr string
	cfg  *Config

	mu sync.Mutex
	c  *client.Client
}

func (l *link) client() *client.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.c
}

// renewPause is how long to wait between two tries to connect.
const renewPause = 100 * time.Millisecond

// renew returns a connection in place of one that failed. It tries for Config.Timeout.
func (l *link) renew(failed *client.Client, halt *atomic.Bool) (*client.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c != failed {
		return l.c, nil // another caller was here before
	}
	_ = failed.Close()
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Timeout)
	defer cancel()
	for {
		if halt.Load() {
			return nil, errStopped
		}
		c, err := dial(ctx, l.addr, l.cfg)
		if err == nil {
			l.c = c
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the connection to %s failed, and there is no other: %w", l.addr, err)
		}
		time.Sleep(renewPause)
	}
}

// Ports from which only root can connect (bindresvport(3)).
const (
	firstReserved = 600
	endReserved   = 1024
	reservedTries = 64
)

// dial connects, from a reserved port if that is wanted.
func dial(ctx context.Context, addr string, cfg *Config) (*client.Client, error) {
	opts := []client.Option{client.WithCred(client.Sys(cfg.UID, cfg.GID))}
	if !cfg.ReservedPort {
		return client.Dial(ctx, addr, opts...)
	}
	first := rand.IntN(endReserved - firstReserved)
	var err error
	for i := range reservedTries {
		port := firstReserved + (first+i)%(endReserved-firstReserved)
		var c *client.Client
		c, err = client.Dial(ctx, addr, append(opts, client.WithLocalAddr(&net.TCPAddr{Port: port}))...)
		if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return c, err
		}
	}
	return nil, fmt.Errorf("no reserved port is free: %w", err)
}
