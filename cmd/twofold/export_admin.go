package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"twofold/nfs/export"
	"twofold/replica/vfs"
)

// Limits of changing the export table.
const (
	// exportTries is how often a change is made anew because the table moved on
	// between reading and setting it.
	exportTries = 8
	// maxExportEdit bounds a request: a file in JSON, which takes up to six bytes
	// for one, with the rest.
	maxExportEdit = 6*export.MaxFile + 64<<10
)

// exportsReply is the answer to GET /exports. export list --json prints it; its
// names are part of the user's interface.
type exportsReply struct {
	Version uint64        `json:"version"` // 0: never set
	Time    time.Time     `json:"time"`
	By      string        `json:"by"`
	Source  string        `json:"source"`
	Exports []exportReply `json:"exports"`
	Node    string        `json:"node"`     // that answers
	InForce uint64        `json:"in_force"` // the version that Node enforces
	Problem string        `json:"problem,omitempty"`
}

// exportReply is one entry of the table.
type exportReply struct {
	Path    octets `json:"path"`
	Clients string `json:"clients"`
}

// editReply is the answer to POST /exports.
type editReply struct {
	Version uint64   `json:"version"` // of the table now; of the one compared with, if nothing was changed
	Diff    []string `json:"diff"`
	Changed bool     `json:"changed"`
	// Unknown says why it is not known whether the table was changed; the rest
	// is then what was asked for.
	Unknown string `json:"unknown,omitempty"`
}

// handleExports adds the commands on the export table to the admin server.
func (n *node) handleExports(mux *http.ServeMux) {
	mux.HandleFunc("GET /exports", func(w http.ResponseWriter, r *http.Request) {
		adminReply(w, func() (any, error) { return n.listExports(r.Context()) })
	})
	mux.HandleFunc("POST /exports", func(w http.ResponseWriter, r *http.Request) {
		adminReply(w, func() (any, error) {
			var e exportEdit
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxExportEdit)).Decode(&e); err != nil {
				return nil, fmt.Errorf("the request cannot be read: %w", err)
			}
			k, err := n.exportKeeper()
			if err != nil {
				return nil, err
			}
			return k.change(r.Context(), &e)
		})
	})
}

// exportKeeper is the keeper of a node that can read and change the table.
func (n *node) exportKeeper() (*exportKeeper, error) {
	if n.keeper == nil {
		data := otherData(n.memberList(), "")
		return nil, fmt.Errorf("node %s is the witness and has no volume: give the command at a data node, %s", n.cfg.Node, strings.Join(data, " or "))
	}
	if p := n.parts.Load(); p == nil {
		return nil, errors.New("this node has not met the other members yet: start them, or look at twofold status")
	}
	return n.keeper, nil
}

// listExports is the command GET /exports.
func (n *node) listExports(ctx context.Context) (*exportsReply, error) {
	k, err := n.exportKeeper()
	if err != nil {
		return nil, err
	}
	table, err := k.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("the export table cannot be read: %w: look at twofold status", err)
	}
	r := &exportsReply{Version: table.Version, Time: table.Time.Time(), By: table.By, Source: table.Source, Node: k.node}
	r.Exports = make([]exportReply, 0, len(table.Exports))
	for _, e := range table.Exports {
		r.Exports = append(r.Exports, exportReply{Path: octets(e.Path), Clients: e.Clients})
	}
	if now := k.now.Load(); now != nil {
		r.InForce, r.Problem = now.table.Version, now.problem
	}
	return r, nil
}

// change is the command POST /exports: it reads the table, changes it and sets
// it, and does so again if it moved on meanwhile.
func (k *exportKeeper) change(ctx context.Context, e *exportEdit) (*editReply, error) {
	for range exportTries {
		table, err := k.read(ctx)
		if err != nil {
			return nil, fmt.Errorf("the export table cannot be read: %w: nothing was changed: look at twofold status", err)
		}
		next, err := e.edit(table)
		if err != nil {
			return nil, err
		}
		reply := &editReply{Version: table.Version, Diff: diffExports(table.Exports, next)}
		// A table that was never set is set even to nothing: from then on no
		// exports file seeds it. And set may stand for another directory.
		if e.DryRun || len(reply.Diff) == 0 && table.Version > 0 && e.Action != exportSet {
			return reply, nil
		}
		res, err := k.set(ctx, table.Version, next, e.source())
		switch {
		case vfs.NeverProposed(err):
			return nil, fmt.Errorf("%w: nothing was changed: look at twofold status, and try again", err)
		case err != nil:
			reply.Unknown = err.Error()
			return reply, nil
		case res.Kind == vfs.OK:
			reply.Version, reply.Changed = table.Version+1, true
			return reply, nil
		case res.Kind != vfs.NotSync:
			return nil, refusedExports(res.Kind, next, res.Count)
		}
	}
	return nil, fmt.Errorf("the export table was changed by others %d times meanwhile: nothing was changed: try again", exportTries)
}
