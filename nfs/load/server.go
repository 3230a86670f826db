package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"

	"twofold/nfs/client"
)

// server is one target that is connected to.
type server struct {
	target  Target
	clients []*client.Client
	root    client.FH
	home    client.FH // of this server, below the run's directory
	ioSize  int       // bytes of one READ or WRITE of a stream
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
	for err == nil && len(s.clients) < cfg.Connections {
		var c *client.Client
		if c, err = dial(ctx, t.addr(t.NFSPort), cfg); err == nil {
			s.clients = append(s.clients, c)
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
	info, err := s.clients[0].Fsinfo(ctx, s.root)
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
	for _, c := range s.clients {
		_ = c.Close()
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
