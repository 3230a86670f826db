package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"

	"twofold/nfs/rpc"
)

// Program numbers and versions.
const (
	progNFS   = 100003
	progMount = 100005
	version3  = 3
)

// Client makes calls over one connection, under one credential.
type Client struct {
	conn *conn
	cred rpc.Cred
}

// Option changes how Dial connects.
type Option func(*options)

type options struct {
	cred   rpc.Cred
	local  net.Addr
	xid    uint32
	hasXID bool
}

// WithCred sets the credential. The default is AUTH_SYS as root.
func WithCred(c rpc.Cred) Option { return func(o *options) { o.cred = c } }

// WithLocalAddr sets the address to connect from, for a server that wants a
// source port below 1024.
func WithLocalAddr(a *net.TCPAddr) Option { return func(o *options) { o.local = a } }

// WithFirstXID sets the XID of the first call. The default is random, since a
// server takes a known XID for a call that it has seen.
func WithFirstXID(xid uint32) Option {
	return func(o *options) { o.xid, o.hasXID = xid, true }
}

// Sys returns an AUTH_SYS credential.
func Sys(uid, gid uint32, groups ...uint32) rpc.Cred {
	return rpc.Cred{Flavor: rpc.AuthSys, Machine: "twofold", UID: uid, GID: gid, Groups: groups}
}

// Dial connects to a server. The connection lasts until Close.
func Dial(ctx context.Context, addr string, opts ...Option) (*Client, error) {
	o := apply(opts)
	d := net.Dialer{LocalAddr: o.local}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return newClient(nc, o), nil
}

// New makes a Client on a connection that is open already. It owns nc from now on.
func New(nc net.Conn, opts ...Option) *Client { return newClient(nc, apply(opts)) }

func apply(opts []Option) options {
	o := options{cred: Sys(0, 0)}
	for _, set := range opts {
		set(&o)
	}
	if !o.hasXID {
		o.xid = rand.Uint32()
	}
	return o
}

func newClient(nc net.Conn, o options) *Client {
	return &Client{conn: newConn(nc, o.xid), cred: o.cred}
}

// As returns a Client with another credential on the same connection.
func (c *Client) As(cred rpc.Cred) *Client { return &Client{conn: c.conn, cred: cred} }

// Close ends the connection. Outstanding calls fail with ErrClosed.
func (c *Client) Close() error {
	c.conn.fail(ErrClosed)
	c.conn.ending.Wait()
	return nil
}

// Done returns a channel that is closed when the connection has failed or was
// closed.
func (c *Client) Done() <-chan struct{} { return c.conn.failed }

// LocalAddr returns the address that the server sees.
func (c *Client) LocalAddr() net.Addr { return c.conn.nc.LocalAddr() }

// NextXID takes the XID that the next call would have, for a [Request] that is
// to be sent more than once.
func (c *Client) NextXID() uint32 { return c.conn.xid.Add(1) - 1 }

// Request is one call in full.
type Request struct {
	XID  uint32
	Prog uint32
	Vers uint32
	Proc uint32
	Cred rpc.Cred
	Args []byte
}

// Do makes the call r as it is and returns its results, which nobody else holds.
// Of several outstanding calls with one XID the first gets the first reply.
func (c *Client) Do(ctx context.Context, r Request) ([]byte, error) { return c.conn.do(ctx, &r) }

// Call makes one call of any program and returns its results.
func (c *Client) Call(ctx context.Context, prog, vers, proc uint32, args []byte) ([]byte, error) {
	r := Request{XID: c.NextXID(), Prog: prog, Vers: vers, Proc: proc, Cred: c.cred, Args: args}
	return c.conn.do(ctx, &r)
}
