package raftlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"twofold/raftlog/logstore"
)

// snapshotNever turns raft's own snapshots and compaction off: the keeper does
// both.
const snapshotNever = math.MaxInt64

// Open starts a node. sm is nil on a witness and only there.
func Open(cfg Config, sm StateMachine) (*Node, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("raftlog: config: %w", err)
	}
	if cfg.Clock == nil {
		var err error
		if cfg.Clock, err = newClock(); err != nil {
			return nil, fmt.Errorf("raftlog: %w", err)
		}
	}
	if (sm == nil) != (cfg.Role == RoleWitness) {
		return nil, errors.New("raftlog: a data node needs a state machine, a witness has none")
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &Node{
		cfg:     cfg,
		log:     cfg.Logger.With("node", cfg.Name),
		sm:      sm,
		members: cfg.sortedMembers(),
		markers: &markers{dir: cfg.Dir},
		doubt:   &doubt{dir: cfg.Dir},
		signals: make(chan raft.Observation, 1),
		kick:    make(chan struct{}, 1),
		slots:   make(chan struct{}, maxProposals),
		fatal:   make(chan error, 1),
		probed:  make(chan struct{}),
		ctx:     ctx,
		cancel:  cancel,
	}
	n.peerSet.Store(&peerSet{})
	n.membership = newMembership(n.members, n.fail)
	n.stalls = newStalls(&cfg.Timing)
	n.markers.stalls = n.stalls
	n.markers.admit = n.admit
	n.markers.last = func() uint64 { return n.store.Durable() }
	n.openLeases()
	n.fsm = &fsm{sm: sm, queue: n.queue, fail: n.fail, committed: n.committed, own: func(i Index) error { return n.store.AwaitDurable(uint64(i)) }, install: n.install, marks: n.markers, stalls: n.stalls}
	if err := n.openDisk(); err != nil {
		cancel()
		return nil, err
	}
	if n.sm != nil {
		last, _ := n.store.LastIndex() // reads memory and never fails
		n.sm.Recovered(Index(last))
	}
	if err := n.openRaft(); err != nil {
		cancel()
		return nil, errors.Join(err, n.probe.Close(), n.store.Close(), n.vote.Close())
	}
	n.start()
	return n, nil
}

// openLeases begins with a promise to nobody (rule R2).
func (n *Node) openLeases() {
	n.promises = newPromises(n.cfg.Clock, n.cfg.Timing.Promise)
	l := newLeases(&n.cfg, n.promises)
	l.term, l.leads, l.configurations = n.Term, n.leads, n.membership.configurations
	l.data = func(name string) bool {
		k := n.link(name)
		return k != nil && k.peer.Role == RoleData && n.isVoter(name) // rule M7
	}
	l.granting = func() { signal(n.kick) }
	l.moved = func() {} // a witness shows nothing
	if n.sm != nil {
		n.queue = newDelivery(n.sm, l, n.cfg.Timing.Promise/renewals)
		l.moved = n.queue.moved
	}
	l.mu.follow.incarnation = rand.Uint64()
	n.leases = l
}

func (n *Node) openDisk() error {
	if err := os.MkdirAll(n.cfg.Dir, 0o700); err != nil {
		return err
	}
	var err error
	// First the vote: its file lock keeps a second process out of the rest.
	if n.vote, err = logstore.OpenVote(n.cfg.Dir, n.cfg.LogFS); err != nil {
		return err
	}
	if err = n.doubt.read(); err != nil {
		return errors.Join(err, n.vote.Close())
	}
	n.store, err = logstore.Open(logstore.Options{
		Dir:           n.cfg.Dir,
		Kind:          n.cfg.LogKind,
		SegmentBytes:  n.cfg.LogSegmentBytes,
		FS:            n.cfg.LogFS,
		KeepBytes:     n.cfg.KeepLogBytes,
		MaxBytes:      n.cfg.MaxLogBytes,
		Tight:         n.cfg.Tight,
		TightMaxBytes: n.maxLogBytes(true),
		Clamp:         n.clamp,
		Committed:     n.fsm.delivered.Load,
		OnAppend:      n.cfg.Metrics.ObserveAppend,
		OnStore:       n.appended,
		OnTruncate:    n.truncated,
		OnWrite:       func() func() { return n.stalls.begin(opLog) },
		OnFailure:     n.fail,
		OnDamage:      n.damagedLog,
		Logger:        newBridge(n.log),
	})
	if err == nil {
		if err = n.recoverMarker(); err != nil {
			err = errors.Join(err, n.store.Close())
		} else if n.probe, err = logstore.OpenProbe(n.cfg.Dir, n.cfg.LogFS); err != nil {
			err = errors.Join(err, n.store.Close())
		}
	}
	if err != nil {
		return errors.Join(err, n.vote.Close())
	}
	return nil
}

// maxLogBytes is how much of the log is kept for members that are away. A data node
// whose disk is short of space has a state to give them instead. A witness has not:
// its log is the second copy of what a data node lacks, so that it keeps it as long
// as there is space, and the volume stays protected (W1).
func (n *Node) maxLogBytes(tight bool) uint64 {
	return logstore.Kept(n.cfg.MaxLogBytes, tight && n.cfg.Role == RoleData)
}

// clamp tells how much of the log may be cut: free, what nobody needs, and may,
// what can be done without if the log is too long. A data node never cuts what
// its own state lacks on disk (M2), nor what a follower continues from. It keeps
// its log for everybody, the witness for the data nodes (W1).
func (n *Node) clamp() (free, may uint64) {
	if own := uint64(n.markers.limit()); own > 0 {
		may = own - 1 // raft looks the marker's own entry up
	}
	if n.started.Load() {
		may = min(may, uint64(n.pinned()))
	}
	free = n.fsm.watermark.Load()
	if n.cfg.Role == RoleWitness {
		free = max(free, n.fsm.dataMark.Load())
	}
	return free, may
}

// recoverMarker decides where raft begins to deliver, and refuses what does not
// fit together.
func (n *Node) recoverMarker() error {
	m, err := readMarker(n.cfg.Dir)
	if err != nil {
		return err
	}
	if m, err = n.settleInstall(m); err != nil {
		return err
	}
	if err := n.excuse(m); err != nil {
		return err
	}
	first, _ := n.store.FirstIndex() // these two read memory and never fail
	last, _ := n.store.LastIndex()
	if err := n.checkVote(last); err != nil {
		return err
	}
	if m != nil {
		n.markers.mu.index = Index(m.Index)
		n.fsm.watermark.Store(m.Watermark)
		n.fsm.dataMark.Store(m.DataMark)
		if m.Index > last && !n.doubt.is() && !m.excuses(m.Index, last) {
			return fmt.Errorf("%w: the log in %s ends at %d, but %d was applied: the log was lost", ErrCorrupt, n.cfg.Dir, last, m.Index)
		}
	} else if first > 1 {
		return fmt.Errorf("%w: the log in %s begins at %d, but its marker file is missing", ErrCorrupt, n.cfg.Dir, first)
	}
	if n.sm == nil || n.stateless() {
		return n.beginWithout(m, last)
	}
	err = n.checkState(m, first, last)
	if errors.Is(err, errStateLost) && n.disowned(err) {
		return n.beginWithout(m, last)
	}
	if err != nil {
		return err
	}
	durable, term := n.sm.Durable()
	n.fsm.skip = durable
	if m != nil && Index(m.Index) > durable {
		// The state is older than the marker says, but the log still reaches
		// down to it: begin there.
		old := *m
		old.Index, old.Term = uint64(durable), uint64(term)
		m = &old
		if durable == 0 {
			m = nil
		} else if m.ConfigIndex > m.Index {
			return fmt.Errorf("%w: the state is of %d, before the configuration of %d", ErrCorrupt, durable, m.ConfigIndex)
		}
	}
	n.beginAt(m)
	return nil
}

// termKey is where raft keeps its current term in the stable store.
var termKey = []byte("CurrentTerm")

// votedTerm returns the term of a stable store, zero if it has none.
func votedTerm(vote *logstore.Vote) (uint64, error) {
	term, err := vote.GetUint64(termKey)
	if err != nil && err.Error() != "not found" { // what raft itself knows it by
		return 0, fmt.Errorf("raftlog: %w", err)
	}
	return term, nil
}

// checkVote refuses a stable store that is older than the log: a vote may be lost
// with what it lacks.
func (n *Node) checkVote(last uint64) error {
	of, ok := n.store.Term(last)
	if !ok {
		return nil
	}
	term, err := votedTerm(n.vote)
	if err != nil {
		return err
	}
	if term < of {
		return fmt.Errorf("%w: the stable store in %s is of term %d, the log's last entry is of term %d: this node may have forgotten a vote; replace it by a new one", ErrCorrupt, n.cfg.Dir, term, of)
	}
	return nil
}

// errStateLost marks a state that the log does not reach back to.
var errStateLost = errors.New("the log does not continue the state")

// checkState holds the state against the log.
func (n *Node) checkState(m *marker, first, last uint64) error {
	durable, term := n.sm.Durable()
	if uint64(durable) > last && !n.doubt.is() && !m.excuses(uint64(durable), last) {
		return fmt.Errorf("%w: the log in %s ends at %d, but the state is of %d: the log was lost, or belongs to another state", ErrCorrupt, n.cfg.Dir, last, durable)
	}
	if uint64(durable)+1 < first {
		return fmt.Errorf("%w: %w: the state is of %d, but the log in %s begins at %d: the state was lost, or belongs to another log; if its disk is mounted this node has to be replaced", ErrCorrupt, errStateLost, durable, n.cfg.Dir, first)
	}
	if t, ok := n.store.Term(uint64(durable)); ok && Term(t) != term {
		return fmt.Errorf("%w: entry %d is of term %d in the log and of term %d in the state", ErrCorrupt, durable, t, term)
	}
	return nil
}

// beginAt has raft deliver from the entry after the marker.
func (n *Node) beginAt(m *marker) {
	n.markers.begin(m)
	// What the state has already may have been shown.
	n.leases.mu.released = n.fsm.skip
	if m != nil {
		n.fsm.delivered.Store(m.Index)
	}
}

func (n *Node) raftConfig() *raft.Config {
	t := n.cfg.Timing
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.cfg.Name)
	c.HeartbeatTimeout = t.HeartbeatTimeout
	c.ElectionTimeout = t.ElectionTimeout
	c.LeaderLeaseTimeout = t.LeaderLeaseTimeout
	c.CommitTimeout = t.CommitTimeout
	c.MaxAppendEntries = maxAppendEntries
	c.ShutdownOnRemove = false
	c.TrailingLogs = snapshotNever
	c.SnapshotThreshold = snapshotNever
	c.NoSnapshotRestoreOnStart = true
	c.NoLegacyTelemetry = true
	c.Logger = newBridge(n.log)
	return c
}

func (n *Node) openRaft() error {
	c := n.raftConfig()
	n.trans = newTransport(&n.cfg, n.log, n.promises, n.leases)
	fail := func(err error) error { return errors.Join(err, n.trans.Close()) }
	if err := n.bootstrap(c); err != nil {
		return fail(err)
	}
	n.wireTransport()
	log := ownLog{n.store, n.store, n.stalls, n.dispatches}
	vote := timedVote{n.vote, n.store, n.stalls, n.trans.mute}
	r, err := raft.NewRaft(c, n.fsm, log, soundVote{vote, n.doubt}, n.markers, n.trans)
	if err != nil {
		return fail(fmt.Errorf("raftlog: %w", err))
	}
	n.raft = r
	if err := n.beginMembers(); err != nil {
		// First the transport: raft's goroutines may wait in it.
		return errors.Join(err, n.trans.Close(), r.Shutdown().Error())
	}
	return nil
}

// wireTransport gives the transport what it asks of the node. Its calls come
// only after start, when raft exists.
func (n *Node) wireTransport() {
	n.trans.term, n.trans.leads, n.trans.stalled = n.Term, n.leads, n.stalls.silent.Load
	n.trans.reached = n.reached
	n.trans.doubtful = n.doubt.is
	n.trans.campaigning = func(t Term) bool { return n.raft.State() == raft.Candidate && n.Term() <= t }
	n.trans.caughtUp, n.trans.lazily = n.Nudge, n.lazily
	n.trans.listed = n.membership.lists
	n.trans.role = n.role
	n.trans.written = n.store.Written
	n.trans.sendState = n.sendState
	if n.cfg.Role == RoleWitness {
		n.trans.gate = newGate(n.cfg.Timing.CampaignGrace)
		n.trans.gate.lastLog = func() (index, term uint64) {
			index = n.raft.LastIndex()
			return index, n.termAt(index)
		}
		n.trans.gate.contact = func() (t time.Time) { return n.raft.LastContact() }
	}
}

// bootstrap writes the first entry of a fresh log.
func (n *Node) bootstrap(c *raft.Config) error {
	exists, err := raft.HasExistingState(n.store, n.vote, n.markers)
	if err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	if last, _ := n.store.LastIndex(); exists && (last > 0 || n.markers.now() != nil) {
		return nil
	}
	if n.doubt.is() {
		n.cfg.Join = true // a leader sends the first entry too
		return nil
	}
	fresh, err := n.vote.Fresh()
	if err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	if n.cfg.Join && fresh {
		return nil // the leader sends the first entry too
	}
	if !n.cfg.Bootstrap || !fresh {
		return fmt.Errorf("raftlog: %s holds no log: a member that lost its log and its vote cannot come back under its old name", n.cfg.Dir)
	}
	// An earlier bootstrap may have got no further than the term.
	if err := n.vote.SetUint64(termKey, 0); err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	var servers []raft.Server
	for _, m := range n.members {
		servers = append(servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(m.Name), Address: raft.ServerAddress(m.Name)})
	}
	if err := raft.BootstrapCluster(c, n.store, n.vote, n.markers, n.trans, raft.Configuration{Servers: servers}); err != nil {
		return fmt.Errorf("raftlog: bootstrap: %w", err)
	}
	return nil
}

// beginMembers takes the members from the log.
func (n *Node) beginMembers() error {
	if err := n.membership.begin(n.store, n.markers.now()); err != nil {
		return err
	}
	if err := n.alone(); err != nil {
		return err
	}
	if name, ok := n.membership.unknown(); ok && !n.cfg.Join { // who joins reads old news first
		return fmt.Errorf("raftlog: the role of member %q in the log of %s is not known", name, n.cfg.Dir)
	}
	return nil
}

// start begins to take part in the cluster.
func (n *Node) start() {
	n.control = newControlServer(n.cfg.Net.Listener(StreamControl), n.answer)
	n.raft.RegisterObserver(raft.NewObserver(n.signals, false, nil))
	n.refresh()
	n.cfg.Metrics.LogDamaged(n.doubt.is())
	n.started.Store(true)
	n.trans.start()
	n.control.start()
	n.syncPeers()
	n.spawn(n.follow)
	if n.queue != nil {
		go n.queue.run() // Close ends it, after raft
	}
	n.spawn(n.observer)
	n.spawn(n.pinger)
	go n.stallWatch()
	go n.prober() // Close waits for it if the disk answers
	n.spawn(n.pacer)
	n.spawn(n.keeper)
}
