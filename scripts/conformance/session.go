package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"time"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
)

// The exports of a server: one directory under three sets of options. A client's address chooses the set.
const (
	exportRW     = "rw"     // rw, no_root_squash
	exportRO     = "ro"     // ro, no_root_squash
	exportSquash = "squash" // rw, root_squash
)

// callTimeout is how long a server may take for one call.
const callTimeout = 30 * time.Second

// principals are the callers; doc.go says who they are.
var principals = map[string]rpc.Cred{
	"root":  client.Sys(0, 0),
	"alice": client.Sys(1000, 100, 200),
	"bob":   client.Sys(1001, 100),
	"carol": client.Sys(1002, 300),
	"dave":  client.Sys(1003, 300, 100),
	"anon":  client.Sys(65534, 65534),
	"many":  client.Sys(1004, 300, 301, 302, 303, 304, 305, 306, 307, 308, 309, 310, 311, 312, 313, 314, 315, 100), // as many groups as fit
	"wheel": client.Sys(1005, 0, 300, 0),
	"minus": client.Sys(1<<32-1, 1<<32-1, 100),
	"none":  {},
}

// target is a server, or several that serve one volume.
type target struct {
	nfs   []string // calls go to each in turn
	mount string   // where MOUNT is served; the first of nfs if empty
	path  string   // of the export
	bare  bool     // there is no second export yet
	// patient repeats a call that is answered JUKEBOX. It is for the kernel's server alone: the pair has to have a verdict.
	patient bool
	locals  map[string]netip.Addr // export to the client's address
}

// conns has connections to a target: by export, one for each server.
type conns map[string][]*client.Client

// session is a mounted target.
type session struct {
	target target
	top    conns
	mount  *client.Client
	root   client.FH
	other  client.FH // the root of the second export
}

// otherExport is the directory in the root that is an export of its own, for the same clients.
const otherExport = "other"

// dial connects under every export and mounts.
func dial(ctx context.Context, t target) (*session, error) {
	top, err := t.connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{target: t, top: top}
	addr := t.mount
	if addr == "" {
		addr = t.nfs[0]
	}
	if s.mount, err = connect(ctx, addr, t.locals[exportRW]); err == nil {
		s.root, err = s.mount.Root(ctx, t.path)
	}
	if err == nil && !t.bare {
		s.other, err = s.mount.Root(ctx, path.Join(t.path, otherExport))
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// connect makes connections under every export to every server.
func (t target) connect(ctx context.Context) (conns, error) {
	all := make(conns)
	for export, local := range t.locals {
		for _, addr := range t.nfs {
			c, err := connect(ctx, addr, local)
			if err != nil {
				return nil, errors.Join(err, all.close())
			}
			all[export] = append(all[export], c)
		}
	}
	return all, nil
}

func connect(ctx context.Context, addr string, local netip.Addr) (*client.Client, error) {
	return client.Dial(ctx, addr, client.WithLocalAddr(&net.TCPAddr{IP: local.AsSlice()}))
}

func (all conns) close() error {
	var errs []error
	for _, list := range all {
		for _, c := range list {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// lost reports that a server has closed one of the connections.
func (all conns) lost() bool {
	for _, list := range all {
		for _, c := range list {
			select {
			case <-c.Done():
				return true
			default:
			}
		}
	}
	return false
}

func (s *session) close() error {
	err := s.top.close()
	if s.mount != nil {
		err = errors.Join(err, s.mount.Close())
	}
	return err
}

// makeOther makes the directory of the second export.
func (s *session) makeOther(ctx context.Context) error {
	res, err := s.top[exportRW][0].Mkdir(ctx, s.root, otherExport, client.SetAttr{Mode: client.Ptr(uint32(0o777))})
	if err == nil {
		err = res.Status.Err()
	}
	return err
}

// waitFor dials until the server answers or ctx ends.
func waitFor(ctx context.Context, t target) (*session, error) {
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		s, err := dial(try, t)
		cancel()
		if err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%v does not serve %s: %w", t.nfs, t.path, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
