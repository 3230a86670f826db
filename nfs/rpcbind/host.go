package rpcbind

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// Ports below 1024 tell rpcbind, and our own server, that root calls. Those from
// firstReserved on are used by convention (bindresvport(3)).
const (
	firstReserved = 600
	endReserved   = 1024
	// reservedTries is how many are tried.
	reservedTries = 32
)

var (
	// errNoRpcbind is the error when nobody listens where a rpcbind would.
	errNoRpcbind = errors.New("rpcbind: none runs on this host")
	// errRefused is the error when rpcbind answers FALSE.
	errRefused = errors.New("rpcbind: refused by the host's rpcbind")
)

// host is a connection to the host's rpcbind.
type host struct{ c *client.Client }

// dialHost connects to the AF_UNIX socket, over which rpcbind sees our user id,
// or to the loopback port, where it sees our port only.
func dialHost(ctx context.Context, cfg *Config) (*host, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", cfg.Socket)
	if isAbsent(err) {
		nc, err = dialReserved(ctx, cfg.TCP)
	}
	if isAbsent(err) {
		return nil, errNoRpcbind
	}
	if err != nil {
		return nil, fmt.Errorf("rpcbind: connect to the host's rpcbind: %w", err)
	}
	return &host{c: client.New(nc, client.WithCred(rpc.Cred{Flavor: rpc.AuthNone}))}, nil
}

// isAbsent reports whether nobody listens: a socket that is not there, or that a
// rpcbind left behind.
func isAbsent(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)
}

// dialReserved connects from a reserved port if this process may.
func dialReserved(ctx context.Context, addr string) (net.Conn, error) {
	first := os.Getpid() // processes begin at different ports
	for i := range reservedTries {
		port := firstReserved + (first+i)%(endReserved-firstReserved)
		d := net.Dialer{LocalAddr: &net.TCPAddr{Port: port}}
		nc, err := d.DialContext(ctx, "tcp", addr)
		switch {
		case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL):
			continue
		case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		default:
			return nc, err
		}
		break
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

func (h *host) close() { _ = h.c.Close() }

// dump returns all entries.
func (h *host) dump(ctx context.Context) ([]entry, error) {
	res, err := h.c.Call(ctx, program, version4, procDump, nil)
	if err != nil {
		return nil, fmt.Errorf("rpcbind: list the entries: %w", err)
	}
	list, err := readDump(xdr.NewReader(res))
	if err != nil {
		return nil, fmt.Errorf("rpcbind: list the entries: %w", err)
	}
	return list, nil
}

// set registers an entry. rpcbind answers TRUE, too, if it has the very same one.
func (h *host) set(ctx context.Context, e entry) error { return h.change(ctx, procSet, "register", e) }

// unset removes an entry. For root rpcbind does so whoever owns it.
func (h *host) unset(ctx context.Context, e entry) error {
	return h.change(ctx, procUnset, "remove", e)
}

func (h *host) change(ctx context.Context, proc uint32, what string, e entry) error {
	e.owner = strconv.Itoa(os.Geteuid()) // rpcbind finds out for itself
	var w xdr.Writer
	e.append(&w)
	res, err := h.c.Call(ctx, program, version4, proc, w.B)
	if err == nil {
		r := xdr.NewReader(res)
		if ok := r.Bool(); r.Err() != nil {
			err = r.Err()
		} else if !ok {
			err = errRefused
		}
	}
	var auth rpc.AuthError
	if errors.As(err, &auth) {
		err = fmt.Errorf("%w: %w; it takes registrations over %s, which this process must be able to reach", errRefused, err, defaultSocket)
	}
	if err != nil {
		return fmt.Errorf("rpcbind: %s program %d version %d (%s): %w", what, e.program, e.version, e.netid, err)
	}
	return nil
}
