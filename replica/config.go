package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"twofold/metrics"
	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/duplicate"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// Limits of a Store.
const (
	// maxQueuedOps bounds the changes that wait for the proposer.
	maxQueuedOps = 8192
	// maxEntryBytes is where an entry stops gathering; one change alone may
	// be larger (a WRITE of 1 MiB).
	maxEntryBytes = 1 << 20
	// maxInFlightBytes bounds the encoded changes that this node has taken
	// from its clients and not answered.
	maxInFlightBytes = 64 << 20
	// maxQueuedBytes bounds the encoded changes that wait for the proposer.
	// Some of them may be of callers that gave up.
	maxQueuedBytes = 2 * maxInFlightBytes
	// maxCommitted bounds the deliveries from the log that wait for apply. Each
	// may hold as many bytes as raftlog delivers at once, so it is small.
	maxCommitted = 8
)

// DefaultWaitLimit is how long a call waits for a quorum.
const DefaultWaitLimit = 5 * time.Second

// Config is what a Store needs. Its zero values mean the stated defaults.
type Config struct {
	// Dir holds the state.
	Dir string
	// Self is this node: its name and the identity of its directory. Without a
	// name a client on loopback is its address.
	Self vfs.Member
	// Peers are the names of the other data nodes at the start; see SetPeers.
	Peers []string
	// State tunes the state machine's storage.
	State state.Options
	// Format says how the volume is formatted if this node is the first
	// leader of a new cluster. UUID and HandleKey are made at random then.
	Format command.Format
	// WaitLimit bounds how long a call waits for a leader or for its outcome.
	// Default DefaultWaitLimit.
	WaitLimit time.Duration
	// Linger is how long the proposer waits at most for the callers that an entry
	// releases, if others wait for the next one already. Negative: not at all. Default 1 ms.
	Linger time.Duration
	// ReserveBytes is what this node keeps free on its disk: with no more than
	// that, at any data node, changes that need space are refused with NoSpace.
	// Default 256 MiB.
	ReserveBytes uint64
	// DuplicateBytes bounds the duplicate request cache, from
	// duplicate.MinBytes to duplicate.MaxBytes. It is a part of the state, so
	// the value of the node that leads holds at both: they should agree.
	// Default 128 MiB.
	DuplicateBytes uint64
	// FreeBytes tells what is free on the disk. Default: the file system that
	// holds Dir is asked. Tests have disks of their own.
	FreeBytes func() (uint64, error)
	// CatchUpRate bounds the bytes a second that this node sends to one that is
	// given its state. Default catchup.DefaultRate.
	CatchUpRate int64
	// Failpoint is told of each step of a transfer, and of what replaces a damaged
	// copy, before it is taken: tests crash there. It may be nil.
	Failpoint func(step string)
	// DigestEvery is how often the leader has the digests of both copies compared,
	// while anything changes. Default 5 s.
	DigestEvery time.Duration
	// ScrubRate bounds how many bytes of records in a second a scan of this node's
	// copy reads. Default 64 MiB.
	ScrubRate uint64
	// CheckpointEvery is the least time between two copies, which share the state's
	// files, from which a difference of the digests may be decided. Default 10 min.
	CheckpointEvery time.Duration
	// Refetch, if it is set, is asked before a good copy is asked for in place of this
	// node's, which is known to be damaged. An error puts that off. Tests look at a
	// quarantine that lasts.
	Refetch func(state.Quarantine) error
	Logger  *slog.Logger
	Metrics *metrics.Replica
}

func (c *Config) withDefaults() error {
	if c.Dir == "" {
		return errors.New("replica: no directory configured")
	}
	if c.WaitLimit == 0 {
		c.WaitLimit = DefaultWaitLimit
	}
	if c.Linger == 0 {
		c.Linger = time.Millisecond
	}
	if c.DigestEvery == 0 {
		c.DigestEvery = 5 * time.Second
	}
	if c.ScrubRate == 0 {
		c.ScrubRate = 64 << 20
	}
	if c.CheckpointEvery == 0 {
		c.CheckpointEvery = 10 * time.Minute
	}
	if c.ReserveBytes == 0 {
		c.ReserveBytes = 256 << 20
	}
	if c.DuplicateBytes == 0 {
		c.DuplicateBytes = duplicate.DefaultBytes
	}
	if c.DuplicateBytes < duplicate.MinBytes || c.DuplicateBytes > duplicate.MaxBytes {
		return fmt.Errorf("replica: a duplicate request cache of %d bytes: choose from %d to %d",
			c.DuplicateBytes, uint64(duplicate.MinBytes), uint64(duplicate.MaxBytes))
	}
	if c.FreeBytes == nil {
		dir := c.Dir
		c.FreeBytes = func() (uint64, error) { return freeBytes(dir) }
	}
	if c.Format.BlockSize == 0 {
		c.Format.BlockSize = state.DefaultBlockSize
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Log is what a Store needs of raftlog.Node.
type Log interface {
	Propose(data []byte) *raftlog.Proposal
	Watch() (raftlog.State, <-chan struct{})
	Term() raftlog.Term
	ReadIndex(ctx context.Context) (raftlog.Index, error)
	Lease() (raftlog.Term, bool)
	BeginRead() uint32
	EndRead(uint32)
	Nudge(peer string)
	GiveUpLease() (resume func())
	TransferLeadership(ctx context.Context, to string) error
	Entries(from, to raftlog.Index, f func(raftlog.Entry) error) error
}
