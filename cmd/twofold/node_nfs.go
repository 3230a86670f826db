package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"twofold/metrics"
	"twofold/nfs"
	"twofold/nfs/export"
	"twofold/nfs/groups"
	"twofold/nfs/handle"
	"twofold/nfs/mount"
	"twofold/nfs/nfs3"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// readExports reads the exports file, so that a bad one is found before the node
// runs.
func (n *node) readExports() error {
	if n.cfg.ExportsFile == "" {
		return nil
	}
	var err error
	if n.seed, err = readExportsFile(n.cfg.ExportsFile); err != nil {
		return fmt.Errorf("exports_file: %w: correct it", err)
	}
	return nil
}

// openNFS puts the programs together that the NFS port serves. There is no
// lock manager yet: program 100021 is not in the table, so that the server
// answers PROG_UNAVAIL.
func (n *node) openNFS() error {
	n.exports = export.New(export.Config{Logger: n.log})
	n.keeper = &exportKeeper{
		store:    n.store,
		enforce:  n.exports.Set,
		isLeader: n.isLeader,
		metrics:  n.metrics.gateway,
		node:     n.cfg.Node,
		file:     n.cfg.ExportsFile,
		seed:     n.seed,
		log:      n.log,
		known:    make(chan struct{}),
	}
	lookup, err := n.openGroups()
	if err != nil {
		return err
	}
	n.mount, err = mount.New(mount.Config{FS: n.store, Exports: n.exports, Handle: handle.Encode, Mounts: n.store, Logger: n.log})
	if err != nil {
		return err
	}
	files := nfs3.New(nfs3.Config{
		FS: n.store, Exports: n.exports, Groups: lookup, Metrics: n.metrics.nfs, Logger: n.log, Client: n.store.Client,
	})
	n.programs = []nfs.Program{
		{Number: nfs.ProgramNFS, Version: nfs.VersionNFS, Handler: files},
		{Number: nfs.ProgramMount, Version: nfs.VersionMount, Handler: observedMount{n.mount, n.metrics.nfs}},
	}
	n.nfs, err = n.newNFSServer()
	return err
}

// newNFSServer makes a server for the NFS port; one serves until it is drained.
func (n *node) newNFSServer() (*nfs.Server, error) {
	return nfs.NewServer(nfs.Config{
		Programs: n.programs,
		Limits:   n.cfg.NFS.Limits.limits(),
		MaxPause: time.Duration(n.cfg.NFS.MaxPause),
		Observer: n.metrics.nfs,
		Logger:   n.log,
		Admit:    n.exports.Admits,
		// A node of the cluster has one share of the limits, whichever of its
		// addresses it calls from.
		ClientOf: func(a netip.Addr) netip.Addr { return netip.AddrFrom16(n.store.Client(a)) },
		Hung: func() bool {
			p := n.parts.Load()
			return p != nil && p.raft.ReadsHang()
		},
	})
}

// openGroups returns the look-up of users' groups, or nil if the config does not
// ask for it.
func (n *node) openGroups() (nfs3.Groups, error) {
	if !n.cfg.NFS.ServerGroups {
		return nil, nil
	}
	source, err := groups.NewCommand("id")
	if err != nil {
		return nil, fmt.Errorf("nfs.server_groups: %w", err)
	}
	n.groups = groups.New(source, n.log)
	return n.groups.Lookup, nil
}

// serveClients starts what serves clients: the keeper of the export table, the
// NFS server once the first table is in force, and then the port mapper.
func (n *node) serveClients(ctx context.Context, p *nodeParts) {
	n.serve("members", func() error { return n.keepMembers(ctx, p) })
	n.serve("exports", func() error {
		if !awaitVolume(ctx, p.store) {
			return nil
		}
		return n.keeper.run(ctx)
	})
	n.serve("hangups", func() error { return n.keeper.awaitReloads(ctx, n.hangups) })
	n.serve("nfs", func() error {
		// Clients wait in the listener's queue meanwhile: whoever has a handle
		// knows a volume and an export that this node has yet to read in its log.
		select {
		case <-n.keeper.known:
		case <-ctx.Done():
			return nil
		}
		n.publishFirst(ctx, p)
		n.openFront(ctx)
		return nil
	})
}

// openFront begins to serve clients, unless the node was drained meanwhile.
func (n *node) openFront(ctx context.Context) {
	n.front.Lock()
	defer n.front.Unlock()
	addr := n.nfsListener.Addr()
	n.serve("port mapper", func() error { return n.mapper.run(ctx, addr) })
	if n.serving() {
		n.serveNFS()
	}
}

// isLeader reports that this node leads the log.
func (n *node) isLeader() bool {
	p := n.parts.Load()
	if p == nil {
		return false
	}
	state, _ := p.raft.Watch()
	return state.IsLeader
}

// ignoreHangups keeps SIGHUP from ending a witness.
func ignoreHangups(ctx context.Context, log *slog.Logger, signals <-chan os.Signal) error {
	for {
		select {
		case <-signals:
			log.Warn("SIGHUP: a witness has no exports file; send it to a data node")
		case <-ctx.Done():
			return nil
		}
	}
}

// observedMount counts the calls of the MOUNT program.
type observedMount struct {
	next    *mount.Program
	metrics *metrics.NFS
}

// mountProcs names the procedures by number (RFC 1813 section 5.2).
var mountProcs = [...]string{"null", "mnt", "dump", "umnt", "umntall", "export"}

// procMnt is the only procedure of MOUNT whose results begin with a status.
const procMnt = 1

// ReplySize is rpc.ReplySizer's.
func (o observedMount) ReplySize(call *rpc.Call) int { return o.next.ReplySize(call) }

// ServeRPC serves one call and counts it.
func (o observedMount) ServeRPC(ctx context.Context, call *rpc.Call, w *xdr.Writer) error {
	start, from := time.Now(), len(w.B)
	err := o.next.ServeRPC(ctx, call, w)
	name := "other"
	if int(call.Proc) < len(mountProcs) {
		name = mountProcs[call.Proc]
	}
	status := "ok"
	switch results := w.B[min(from, len(w.B)):]; {
	case err != nil:
		status = "error"
	case call.Proc == procMnt && (len(results) < 4 || binary.BigEndian.Uint32(results) != 0):
		status = "refused"
	}
	o.metrics.Observe(name, status, time.Since(start))
	return err
}
