package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"twofold/metrics"
	"twofold/replica/vfs"
)

// Times of the export table's keeper.
const (
	// exportCallTimeout bounds one reading or change of the table. The store
	// gives up earlier by itself.
	exportCallTimeout = 15 * time.Second
	// exportRetry is the pause before a node that starts asks again.
	exportRetry = 200 * time.Millisecond
	// seedPatience is how long a node that does not lead leaves the seeding of
	// a new cluster to the leader, which may have no file.
	seedPatience = 3 * time.Second
)

// exportKeeper keeps the replicated export table in force at this node: it gives
// each new table to the programs that ask whether a client may. It also proposes
// this node's exports file: once for a new cluster, and on SIGHUP.
type exportKeeper struct {
	store    exportStore
	enforce  func(vfs.ExportTable) error // makes a table the one that calls are checked with
	isLeader func() bool
	metrics  *metrics.Gateway
	node     string
	file     string       // the config's exports_file; empty for none
	seed     []vfs.Export // what was in it when the node started
	log      *slog.Logger

	// putting is held while a table is brought into force, so that none is
	// replaced by an older one.
	putting sync.Mutex
	// known is closed once the first table is in force. No client is served
	// before: it would be refused by a table that is not the cluster's.
	known chan struct{}
	// now is what status shows.
	now atomic.Pointer[exportsInForce]
}

// exportsInForce is the table that this node enforces, and the newest one, if
// that cannot be enforced.
type exportsInForce struct {
	table   vfs.ExportTable
	problem string // why a newer table is not in force; empty if all is well
}

// run brings the table into force and keeps it there until ctx ends.
func (k *exportKeeper) run(ctx context.Context) error {
	if !k.begin(ctx) {
		return nil
	}
	for {
		select {
		case <-k.putNewest():
		case <-ctx.Done():
			return nil
		}
	}
}

// begin puts the first table into force: the one that the cluster has now, not
// the one that this node had when it was stopped. It seeds a cluster that never
// had one. It returns false if ctx ends first.
func (k *exportKeeper) begin(ctx context.Context) bool {
	patience := time.Now().Add(seedPatience)
	refused := false
	for ctx.Err() == nil {
		table, err := k.read(ctx)
		switch {
		case err != nil:
			k.log.Debug("the export table cannot be read yet", "err", err)
		case table.Version == 0 && k.file != "" && !refused:
			refused = k.trySeed(ctx, patience)
			if !refused {
				continue
			}
			fallthrough
		default:
			k.report(table)
			k.putNewest()
			close(k.known)
			return true
		}
		k.pause(ctx, nil)
	}
	return false
}

// pause waits until it is time to ask again, or until the table changed.
func (k *exportKeeper) pause(ctx context.Context, changed <-chan struct{}) {
	select {
	case <-changed:
	case <-time.After(exportRetry):
	case <-ctx.Done():
	}
}

// trySeed proposes the file of this node as the first table. The entry that is
// first in the log wins; who has won is told from the table itself. Until patience
// is up a node that does not lead only waits. It returns true if the file was
// refused for good.
func (k *exportKeeper) trySeed(ctx context.Context, patience time.Time) (refused bool) {
	if !k.isLeader() && time.Now().Before(patience) {
		_, changed := k.store.Exports()
		k.pause(ctx, changed)
		return false
	}
	res, err := k.set(ctx, 0, k.seed, "exports_file "+k.file)
	switch {
	case err != nil:
		k.log.Debug("a new cluster is not seeded with exports yet", "file", k.file, "err", err)
		k.pause(ctx, nil)
	case res.Kind != vfs.OK && res.Kind != vfs.NotSync:
		k.log.Error("the exports file cannot seed the cluster: nobody may mount",
			"file", k.file, "err", refusedExports(res.Kind, k.seed, res.Count),
			"todo", "twofold export set / 'CLIENT(rw,no_root_squash)', make the directories, then twofold export apply FILE")
		return true
	}
	return false
}

// report says once, at the start, which table is in force and who set it.
func (k *exportKeeper) report(table vfs.ExportTable) {
	switch {
	case table.Version == 0 && k.file == "":
		k.log.Warn("nobody may mount: the cluster has no export table",
			"todo", "twofold export set / 'CLIENT(rw)', or name an exports_file in the config and send SIGHUP")
	case table.Version == 0:
		// The file was refused, which has been told.
	case k.file != "" && !sameExports(k.seed, table.Exports):
		k.log.Warn("this node's exports file is not what is in force: the export table holds",
			append(tableAttrs(table), "file", k.file, "todo", "SIGHUP to this node proposes the file")...)
	default:
		k.log.Info("export table in force", tableAttrs(table)...)
	}
}

// tableAttrs are the attributes of an export table in the log.
func tableAttrs(t vfs.ExportTable) []any {
	return []any{"version", t.Version, "exports", len(t.Exports), "by", t.By, "source", t.Source}
}

// putNewest brings the newest table that this node has applied into force, and
// returns a channel that is closed when there is a newer one.
func (k *exportKeeper) putNewest() <-chan struct{} {
	k.putting.Lock()
	defer k.putting.Unlock()
	table, changed := k.store.Exports()
	k.put(table)
	return changed
}

// put makes a table the one in force; putting is held. One that does not
// compile, for instance since a newer program wrote it, leaves the old one where
// it is.
func (k *exportKeeper) put(table vfs.ExportTable) {
	last := k.now.Load()
	if last != nil && last.table.Version == table.Version && last.problem == "" {
		return
	}
	next := &exportsInForce{table: table}
	if err := k.enforce(table); err != nil {
		if last != nil {
			next.table = last.table
		} else {
			next.table = vfs.ExportTable{}
		}
		next.problem = exportsProblem(table, next.table, err)
		k.log.Error("the export table is not in force at this node", append(tableAttrs(table), "err", err, "in_force", next.table.Version)...)
	} else if last != nil {
		k.log.Info("export table in force", tableAttrs(table)...)
	}
	k.now.Store(next)
	k.metrics.SetExports(next.table.Version, len(next.table.Exports), next.problem == "")
}

// status is what twofold status shows; nil before the first table is known.
func (k *exportKeeper) status() *exportsStatus {
	now := k.now.Load()
	if now == nil {
		return nil
	}
	t := now.table
	return &exportsStatus{Version: t.Version, Entries: len(t.Exports), Time: t.Time.Time(), By: t.By, Source: t.Source, Problem: now.problem}
}

// exportsProblem says why a table is not in force, and which one is.
func exportsProblem(table, inForce vfs.ExportTable, err error) string {
	return fmt.Sprintf("version %d of the export table, set by %s, is not in force here, version %d is: %v: update this node's program, or set the table anew",
		table.Version, table.By, inForce.Version, err)
}

// read reads the table with all that was acknowledged.
func (k *exportKeeper) read(ctx context.Context) (vfs.ExportTable, error) {
	ctx, cancel := context.WithTimeout(ctx, exportCallTimeout)
	defer cancel()
	return k.store.ReadExports(ctx)
}

// set proposes a table. When it succeeds this node enforces the table already:
// a client that was just removed does not get through here, and one that was
// just allowed mounts the new export and not one above it.
func (k *exportKeeper) set(ctx context.Context, base uint64, entries []vfs.Export, source string) (vfs.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, exportCallTimeout)
	defer cancel()
	res, err := k.store.SetExports(ctx, base, entries, source[:min(len(source), vfs.MaxPath)])
	if err == nil && res.Kind == vfs.OK {
		k.awaitInForce(ctx, base+1)
	}
	return res, err
}

// awaitInForce waits until this node has applied a version of the table, and
// brings it into force. A node that does not lead knows from the leader that the
// change is made, which may be before it has applied it. If it is cut off from
// the leader meanwhile the change stands, and only this node does not have it yet.
func (k *exportKeeper) awaitInForce(ctx context.Context, version uint64) {
	for {
		table, changed := k.store.Exports()
		if table.Version >= version {
			k.putNewest()
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			k.log.Warn("the export table was changed, and this node has not applied the change yet", "version", version)
			return
		}
	}
}
