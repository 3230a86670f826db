package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/logstore"
	"twofold/replica/vfs"
)

// Names in a node's directory, beside those of package identity.
const (
	logDir = "log"
	// logBegun is made once the node has its log. From then on an empty log
	// directory is a loss: a member that forgot its votes must not vote.
	logBegun = "log-begun"
)

// logFiles is what each kind of log has in the log's directory.
var logFiles = map[logstore.Kind]string{logstore.WAL: "wal", logstore.Bolt: "log.db"}

// checkLogKind refuses a config that asks for another kind of log than there is.
// The log would refuse that as well, but only when it is opened.
func checkLogKind(cfg *config) error {
	for kind, name := range logFiles {
		if kind == logstore.Kind(cfg.LogStore) {
			continue
		}
		if _, err := os.Stat(filepath.Join(cfg.Dir, logDir, name)); err == nil {
			return fmt.Errorf("directory %s: its log is of the kind %s, but the config says log_store: %s: correct the config", cfg.Dir, kind, cfg.LogStore)
		}
	}
	return nil
}

// openLog makes the node take part in the log, and a data node serve. The
// members have met by now.
func (n *node) openLog() error {
	begun := filepath.Join(n.cfg.Dir, logBegun)
	_, err := os.Stat(begun)
	first := errors.Is(err, os.ErrNotExist)
	if err != nil && !first {
		return err
	}
	members := make([]raftlog.Member, 0, len(n.binding.Members))
	for _, m := range n.binding.Members {
		members = append(members, raftlog.Member{Name: m.Name, Role: m.Role})
	}
	cfg := raftlog.Config{
		Name:      n.cfg.Node,
		Dir:       filepath.Join(n.cfg.Dir, logDir),
		Role:      n.cfg.Role,
		Members:   members,
		Net:       n.mux,
		Bootstrap: first && n.binding.Joined == nil,
		Join:      n.binding.Joined != nil,
		OnMembers: n.onMembers,
		LogKind:   logstore.Kind(n.cfg.LogStore),

		MaxLogBytes: uint64(n.cfg.LogMaxBytes),
		Tight:       n.diskTight,

		LogSegmentBytes: logSegment(n.cfg.Reserve),
		Logger:          n.base,
		Metrics:         n.metrics.raft,
	}
	if n.cfg.Role == raftlog.RoleWitness {
		cfg.MaxLogBytes = uint64(n.cfg.WitnessMax)
	}
	if n.cfg.tuneLog != nil {
		n.cfg.tuneLog(&cfg)
	}
	var sm raftlog.StateMachine
	if n.store != nil {
		sm = n.store // a nil *Store in the interface would not be nil
	}
	raft, err := raftlog.Open(cfg, sm)
	if err != nil {
		return err
	}
	if first {
		if err := replaceFile(begun, nil); err != nil {
			return errors.Join(err, raft.Close())
		}
	}
	if n.store != nil {
		n.store.Start(raft, n.mux)
	}
	// Only now: the HTTP server uses the parts from here on, and a Store
	// answers nobody before its Start.
	n.parts.Store(&nodeParts{raft: raft, store: n.store})
	return nil
}

// ready returns nil if a client would be served now.
func (n *node) ready(ctx context.Context) error {
	if why := n.refusal.Load(); why != nil {
		return errors.New(*why)
	}
	p := n.parts.Load()
	if p == nil {
		return errors.New("waiting for the first meeting of all members")
	}
	if err := p.raft.Stalled(); err != nil {
		return err
	}
	if p.store == nil {
		if state, _ := p.raft.Watch(); state.Leader == "" {
			return errors.New("no leader is known")
		}
		return nil
	}
	switch _, err := p.store.Volume(); {
	case errors.Is(err, vfs.ErrNotReady):
		return errors.New("waiting for the log: no volume is known yet")
	case err != nil:
		return fmt.Errorf("no volume: %w", err)
	}
	select {
	case <-n.keeper.known:
	default:
		return errors.New("waiting for the export table")
	}
	err := p.store.Ready(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no quorum has confirmed a read in time: %w", err)
	}
	return err
}

// errPeerGone is returned by transferLeadership if nobody is there to lead. When
// all nodes are stopped at once, one of them finds that.
var errPeerGone = errors.New("the other data node is stopping or cannot be reached")

// peerCheckTimeout bounds the question whether the other data node is there.
const peerCheckTimeout = 500 * time.Millisecond

// transferTries is how often a transfer is tried, and transferPause what lies
// between. One is given up when the other node has not caught up in time, as on a
// busy machine, and a node that has just started cannot take the lead for as long as
// a promise lasts.
const (
	transferTries = 25
	transferPause = 20 * time.Millisecond
)

// isOtherData reports that a member is a data node, and not this one.
func (n *node) isOtherData(name string) bool {
	return slices.Contains(otherData(n.memberList(), n.cfg.Node), name)
}

// transferWithin is transferLeadership to whom it may concern, with a bound.
func (n *node) transferWithin(limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return n.transferLeadership(ctx, "")
}

// transferLeadership hands leadership, if this node has it, to a data node, or to
// the other one if none is named. It returns who has been chosen.
func (n *node) transferLeadership(ctx context.Context, to string) (target string, err error) {
	p := n.parts.Load()
	if p == nil {
		return "", errNotMet
	}
	for _, m := range n.memberList() {
		if to == "" && m.Voter && n.isOtherData(m.Name) {
			to = m.Name
		}
	}
	for try := range transferTries {
		if try > 0 {
			select {
			case <-time.After(transferPause):
			case <-ctx.Done():
			}
		}
		if !n.isLeader() {
			return to, nil
		}
		err = p.raft.TransferLeadership(ctx, to)
		if err == nil || ctx.Err() != nil {
			return to, err
		}
		if !n.answers(to) {
			return to, fmt.Errorf("%w: %w", errPeerGone, err)
		}
	}
	return to, err
}

// answers reports that a member can be reached now. How a transfer failed does
// not tell: one that only took too long may be worth another try.
func (n *node) answers(member string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), peerCheckTimeout)
	defer cancel()
	conn, err := n.mux.Dial(ctx, member, raftlog.StreamControl)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was sent
	return true
}
