package replica

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"twofold/metrics"
	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/peer"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// volumeID is the short id of the one volume that there is for now.
const volumeID = 1

// Store is the volume on one data node. It implements vfs.FS, and
// raftlog.StateMachine for the log that drives it.
type Store struct {
	cfg      Config
	logger   *slog.Logger
	metrics  *metrics.Replica
	state    *state.State
	log      Log
	peers    *peer.Client
	server   *peer.Server
	disk     *diskWatch
	skew     *skewWatch
	clock    logClock      // owned by the propose goroutine
	instance uint64        // random, one per start of the process
	seq      atomic.Uint64 // of the last change that began here

	waiters   *waitTable
	inFlight  *semaphore.Weighted
	serving   *semaphore.Weighted // bytes of answers to the other nodes' reads
	touched   *touched
	applied   appliedIndex
	delivered atomic.Uint64              // index of the last entry that Commit took
	constants atomic.Pointer[vfs.Volume] // see volume

	queue     chan pending
	queued    atomic.Int64 // bytes in queue
	lingering linger
	held      []pending // owned by the propose goroutine, before queue
	resolver  resolver  // owned by the propose goroutine
	committed chan []raftlog.Entry

	appliedTerm raftlog.Term // owned by the apply goroutine
	seen        uint64       // the last entry that it was given
	group       group        // what it applies now
	replaying   bool         // it applies the log to a state that replaced a damaged one
	replayBegun atomic.Bool  // the same, for others

	integrity   *integrity
	quarantine  *quarantine
	checkpoints *checkpoints
	refetching  refetching
	face        *borrowed

	clients        atomic.Pointer[clientTable]
	membersChanged <-chan struct{} // owned by the apply goroutine

	// hurried is the highest index that this node asked the leader for, because a
	// read waits until it is applied.
	hurried  atomic.Uint64
	hurrying chan struct{} // capacity 1: hurried has grown

	others struct {
		sync.Mutex
		started bool
		names   []string
		gone    map[string]chan struct{} // by name; closed when it is a data node no more
	}
	catchUp  catchUp
	installs chan func() // runs on the apply goroutine

	started   atomic.Bool   // Start has set log, peers and server
	stopped   chan struct{} // closed by Stop
	closed    chan struct{} // closed by Close
	broken    chan struct{} // closed when the apply goroutine failed
	stopOnce  sync.Once
	breakOnce sync.Once
	running   sync.WaitGroup // what Start began
	applying  sync.WaitGroup // the apply goroutine
	fatal     chan error     // capacity 1
}

var (
	_ vfs.FS               = (*Store)(nil)
	_ raftlog.StateMachine = (*Store)(nil)
	_ peer.Handler         = (*Store)(nil)
	_ Log                  = (*raftlog.Node)(nil)
)

// Open opens the node's copy of the volume and begins to take committed
// entries. Serving begins with Start.
func Open(cfg Config) (*Store, error) {
	if err := cfg.withDefaults(); err != nil {
		return nil, err
	}
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("replica: random numbers: %w", err)
	}
	st, why, err := openState(&cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg:       cfg,
		logger:    cfg.Logger,
		metrics:   cfg.Metrics,
		state:     st,
		disk:      newDiskWatch(&cfg),
		skew:      newSkewWatch(&cfg),
		instance:  binary.BigEndian.Uint64(seed[:]),
		inFlight:  semaphore.NewWeighted(maxInFlightBytes),
		serving:   semaphore.NewWeighted(maxServedBytes),
		touched:   newTouched(),
		hurrying:  make(chan struct{}, 1),
		queue:     make(chan pending, maxQueuedOps),
		committed: make(chan []raftlog.Entry, maxCommitted),
		installs:  make(chan func()),
		stopped:   make(chan struct{}),
		closed:    make(chan struct{}),
		broken:    make(chan struct{}),
		fatal:     make(chan error, 1),

		integrity: newIntegrity(), quarantine: newQuarantine(), checkpoints: newCheckpoints(),
		face: newBorrowed(),
	}
	s.lingering.limit, s.lingering.queue, s.lingering.full = cfg.Linger, s.queue, make(chan struct{}, 1)
	if why != nil {
		s.quarantine.enter(*why)
		s.quarantine.note()
		s.metrics.SetQuarantined(true)
	}
	s.others.names, s.others.gone = cfg.Peers, make(map[string]chan struct{})
	s.clock = logClock{read: systemClock(), agree: s.skew.agree, logger: cfg.Logger}
	index, term := st.Applied()
	s.applied.advance(raftlog.Index(index))
	s.delivered.Store(index)
	s.appliedTerm = raftlog.Term(term)
	s.waiters = newWaitTable(term)
	s.refreshClients()
	if err := s.openCatchUp(); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	s.applying.Go(s.runApply)
	s.applying.Go(s.watchState)
	return s, nil
}

// Start begins to serve over log, which drives this Store as its state
// machine, and over net, which connects it with the other data node.
func (s *Store) Start(log Log, net raftlog.Net) {
	s.log = log
	s.peers = peer.NewClient(dialPeers(net))
	s.server = peer.NewServer(s, s.logger)
	s.started.Store(true)
	s.server.Serve(net.Listener(raftlog.StreamPeer))
	s.startCatchUp(net)
	s.running.Go(s.runPropose)
	s.running.Go(s.runLead)
	s.running.Go(s.runHurry)
	s.running.Go(func() { s.disk.run(s.stopped) })
	s.startPeers()
	s.running.Go(s.runReport)
	s.running.Go(s.runIntegrity)
	s.running.Go(s.runQuarantine)
}

func dialPeers(n raftlog.Net) peer.Dialer {
	return func(ctx context.Context, member string) (net.Conn, error) {
		return n.Dial(ctx, member, raftlog.StreamPeer)
	}
}

// Stop ends serving: calls that wait are answered with ErrShutdown. Committed
// entries are still taken until Close. It may be called more than once.
func (s *Store) Stop() {
	s.stopOnce.Do(func() {
		s.others.Lock()
		close(s.stopped)
		s.others.Unlock()
		s.catchUp.stop()
		if s.started.Load() {
			s.server.Close()
			s.peers.Close()
		}
	})
	s.running.Wait()
}

// Close stops the Store, makes its state durable and closes it. The log must
// be closed before, so that nothing is delivered any more.
func (s *Store) Close() error {
	s.Stop()
	select {
	case <-s.closed:
		return nil
	default:
	}
	flushErr := s.Flush()
	close(s.closed)
	s.applying.Wait()
	if err := s.state.Close(); err != nil {
		return err
	}
	return flushErr
}

// Fatal delivers the error after which this node must not go on: its state
// does not decode, or the log brought what no version of it can apply.
func (s *Store) Fatal() <-chan error { return s.fatal }

func (s *Store) fail(err error) {
	s.logger.Error("the state machine stops", "err", err)
	select {
	case s.fatal <- err:
	default:
	}
}

// Volume implements vfs.FS.
func (s *Store) Volume() (vfs.Volume, error) {
	if !s.started.Load() {
		return vfs.Volume{}, vfs.ErrNotReady
	}
	v, err := s.volume()
	if err != nil {
		return v, vfs.ErrNotReady
	}
	return v, nil
}

// Ready reports whether a client would be served now: a read is answered, here or
// by the leader, within the time that ctx allows.
func (s *Store) Ready(ctx context.Context) error {
	_, err := s.GetAttr(ctx, vfs.RootRef())
	return err
}

// Digest reads every replicated record of this node's copy and returns the
// digest of them, with the applied index to which it belongs. Two nodes at one
// index have one digest. Records that are not what was written are an error.
func (s *Store) Digest() (digest state.Digest, index uint64, err error) {
	r, err := s.state.ScanDigest()
	if err = errors.Join(err, r.Err()); err != nil {
		return state.Digest{}, 0, err
	}
	return r.Scanned, r.Index, nil
}

// Stats returns the inodes in use and the bytes stored.
func (s *Store) Stats() (inodes, bytes uint64) { return s.state.Stats() }

// DiskTight reports that this node's disk is down to its reserve.
func (s *Store) DiskTight() bool { return s.disk.tight() }

// Duplicates says how full the duplicate request cache is.
func (s *Store) Duplicates() state.Duplicates { return s.state.Duplicates() }

// newFormat makes the format command of a new volume.
func (s *Store) newFormat() (command.Format, error) {
	f := s.cfg.Format
	if _, err := rand.Read(f.UUID[:]); err != nil {
		return f, fmt.Errorf("replica: random numbers: %w", err)
	}
	if _, err := rand.Read(f.HandleKey[:]); err != nil {
		return f, fmt.Errorf("replica: random numbers: %w", err)
	}
	return f, nil
}
