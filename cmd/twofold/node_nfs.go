package main

import (
	"context"
	"encoding/binary"
	"time"

	"twofold/metrics"
	"twofold/nfs"
	"twofold/nfs/export"
	"twofold/nfs/handle"
	"twofold/nfs/mount"
	"twofold/nfs/nfs3"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// openNFS puts the programs together that the NFS port serves. There is no
// lock manager yet: program 100021 is not in the table, so that the server
// answers PROG_UNAVAIL.
func (n *node) openNFS() error {
	table, err := n.cfg.exportTable()
	if err != nil {
		return err
	}
	exports := export.New(export.Config{Logger: n.log})
	n.exports = exports
	if err := exports.Set(table); err != nil {
		return err
	}
	n.mount, err = mount.New(mount.Config{FS: n.store, Exports: exports, Handle: handle.Encode, Logger: n.log})
	if err != nil {
		return err
	}
	files := nfs3.New(nfs3.Config{FS: n.store, Exports: exports, Metrics: n.metrics.nfs, Logger: n.log, Client: n.store.Client})
	n.nfs, err = nfs.NewServer(nfs.Config{
		Programs: []nfs.Program{
			{Number: nfs.ProgramNFS, Version: nfs.VersionNFS, Handler: files},
			{Number: nfs.ProgramMount, Version: nfs.VersionMount, Handler: observedMount{n.mount, n.metrics.nfs}},
		},
		Observer: n.metrics.nfs,
		Logger:   n.log,
		Admit:    exports.Admits,
	})
	return err
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
