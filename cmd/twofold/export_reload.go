package main

import (
	"context"
	"os"

	"twofold/replica/vfs"
)

// awaitReloads proposes this node's exports file at each signal until ctx ends.
// It runs beside run, which must not wait for a quorum. A signal that comes
// while one is served is served after it; more of them are one.
func (k *exportKeeper) awaitReloads(ctx context.Context, signals <-chan os.Signal) error {
	select {
	case <-k.known:
	case <-ctx.Done():
		return nil
	}
	for {
		select {
		case <-signals:
			k.reload(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// reload proposes the file as one entry if it says something else than the table
// in force, and says in the log who won.
func (k *exportKeeper) reload(ctx context.Context) {
	if k.file == "" {
		k.log.Warn("SIGHUP: the config names no exports_file: there is nothing to read; twofold export changes the table")
		return
	}
	log := k.log.With("file", k.file)
	entries, err := readExportsFile(k.file)
	if err != nil {
		log.Error("SIGHUP: the exports file is bad: the export table stays as it is", "err", err)
		return
	}
	table, err := k.read(ctx)
	if err != nil {
		log.Error("SIGHUP: the export table cannot be read: it stays as it is; send SIGHUP again later", "err", err)
		return
	}
	if sameExports(entries, table.Exports) {
		log.Info("SIGHUP: the exports file says what is in force", tableAttrs(table)...)
		return
	}
	res, err := k.set(ctx, table.Version, keepRoots(entries, table.Exports), "SIGHUP "+k.file)
	switch {
	case vfs.NeverProposed(err):
		log.Error("SIGHUP: the export table stays as it is; send SIGHUP again later", "err", err)
	case err != nil:
		log.Error("SIGHUP: "+errOutcome.Error()+": twofold export list shows it", "err", err)
	case res.Kind == vfs.OK && len(entries) == 0:
		log.Warn("SIGHUP: the exports file is in force now, for the whole cluster: it exports nothing, nobody may mount", "version", table.Version+1)
	case res.Kind == vfs.OK:
		log.Info("SIGHUP: the exports file is in force now, for the whole cluster", "version", table.Version+1, "exports", len(entries))
	case res.Kind == vfs.NotSync:
		k.tellWinner(ctx, entries)
	default:
		log.Error("SIGHUP: the export table stays as it is", "err", refusedExports(res.Kind, entries, res.Count))
	}
}

// tellWinner says whose change came first, if this node's was too late.
func (k *exportKeeper) tellWinner(ctx context.Context, entries []vfs.Export) {
	table, err := k.read(ctx)
	if err != nil {
		k.log.Error("SIGHUP: another change of the export table came first; twofold export list shows it", "file", k.file, "err", err)
		return
	}
	attrs := append(tableAttrs(table), "file", k.file)
	if sameExports(entries, table.Exports) {
		k.log.Info("SIGHUP: another change of the export table came first, and says the same", attrs...)
		return
	}
	k.log.Warn("SIGHUP: another change of the export table came first and holds: this node's file is not in force; compare them, then send SIGHUP again", attrs...)
}
