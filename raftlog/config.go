package raftlog

import (
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"time"

	"twofold/raftlog/logstore"
)

// Limits of this package.
const (
	// MaxEntryBytes bounds what one Propose may carry.
	MaxEntryBytes = 4<<20 - 1<<10
	// maxAppendBytes bounds the payload of one AppendEntries. One entry always
	// fits.
	maxAppendBytes = 4 << 20
	// maxAppendEntries bounds the entries of one AppendEntries and of one batch
	// for the state machine. hashicorp/raft reads that many from the log before
	// maxAppendBytes cuts the request, so that it is kept small.
	maxAppendEntries = 16
	// maxProposals bounds the proposals in flight; more of them wait.
	maxProposals = 256
	// maxMembers bounds the cluster.
	maxMembers = 7
	// maxControlPerPeer bounds the control streams that a node serves for one other
	// member, which has use for one: further ones are left of before an outage.
	maxControlPerPeer = 8
	// maxPings bounds the unanswered pings on one control stream.
	maxPings = 64

	// maxPromise bounds Timing.Promise.
	maxPromise = time.Minute
	// DefaultPromise is how long promises last: Timing.Promise.
	DefaultPromise = 350 * time.Millisecond

	// DefaultKeepLogBytes is how much of the log stays after compaction.
	DefaultKeepLogBytes = 256 << 20
	// DefaultMaxLogBytes is how much of it is kept for members that are away.
	DefaultMaxLogBytes = 4 << 30
)

// Timing holds the durations of a node. Zero fields get defaults that depend
// on the role and are meant for a LAN and for machines that stall for a few
// hundred milliseconds now and then.
type Timing struct {
	// Promise is how long a member that hears of a leader lets nobody else have
	// its vote, and so what leases last at most. It must be the same on every
	// member; a member with another one is refused. It cannot be changed while
	// any member runs: a member that starts waits for one promise of the length
	// that it knows.
	Promise time.Duration
	// HeartbeatTimeout is how long a follower hears nothing of its leader
	// before it looks for a new one: 1.2 promises on a data node, one on a
	// witness, which must have forgotten the old leader by the time a data
	// node asks for its vote (hashicorp/raft refuses to vote while it knows a
	// leader).
	HeartbeatTimeout time.Duration
	// ElectionTimeout is how long a candidate waits before it tries again.
	ElectionTimeout time.Duration
	// LeaderLeaseTimeout is how long a leader goes on without a quorum.
	LeaderLeaseTimeout time.Duration
	// CommitTimeout is how long a follower may be left without the latest
	// commit index while nothing else is sent. See Nudge.
	CommitTimeout time.Duration
	// DiskTimeout is how long a write of the log, the vote or the marker may
	// take before this node stalls: it gives up leading and leases until its
	// disk answers (rule R13).
	DiskTimeout time.Duration
	// ProbeInterval is how long the log is not written before its disk is probed by a
	// write of 4 KiB, again and again until the log is written. A disk that hangs is
	// found one ProbeInterval and one DiskTimeout later, whether or not anybody
	// changes anything.
	ProbeInterval time.Duration
	// ApplyTimeout is the same as DiskTimeout for the state machine's next step, FlushTimeout
	// for the flush of its whole state, which a disk that works may take seconds
	// for.
	ApplyTimeout, FlushTimeout time.Duration
	// ReadTimeout is the same for a read of the state that the application told of
	// (Node.BeginRead); it is found late after up to a third more.
	ReadTimeout time.Duration
	// RPCTimeout bounds one Raft message and its answer, with the follower's
	// disk write in it.
	RPCTimeout time.Duration
	// DialTimeout bounds an attempt to open a stream.
	DialTimeout time.Duration
	// RetryPause is between attempts to reach a member that is away.
	RetryPause time.Duration
	// PingInterval is between the pings that feed Status and the watermark.
	PingInterval time.Duration
	// CampaignGrace is how long a witness leaves elections to the data nodes.
	CampaignGrace time.Duration
	// WitnessHold is for how long entries for the witness may be held back while
	// the other data node has a lease and acknowledges them in time.
	WitnessHold time.Duration
	// WatermarkInterval is between watermark entries while the log is short.
	WatermarkInterval time.Duration
}

func (t *Timing) setDefaults(role Role) {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Promise, DefaultPromise)
	heartbeat := t.Promise * 6 / 5
	if role == RoleWitness {
		heartbeat = t.Promise
	}
	def(&t.HeartbeatTimeout, heartbeat)
	def(&t.ElectionTimeout, t.HeartbeatTimeout)
	def(&t.LeaderLeaseTimeout, t.HeartbeatTimeout*9/10)
	def(&t.CommitTimeout, 50*time.Millisecond)
	def(&t.DiskTimeout, 700*time.Millisecond)
	def(&t.ProbeInterval, 250*time.Millisecond)
	def(&t.ApplyTimeout, time.Second)
	def(&t.FlushTimeout, 10*time.Second)
	def(&t.ReadTimeout, time.Second)
	def(&t.RPCTimeout, 2*time.Second)
	def(&t.DialTimeout, 500*time.Millisecond)
	def(&t.RetryPause, 50*time.Millisecond)
	def(&t.PingInterval, time.Second)
	def(&t.WitnessHold, 50*time.Millisecond)
	def(&t.CampaignGrace, 2*time.Second)
	def(&t.WatermarkInterval, 10*time.Second)
}

func (t *Timing) validate() error {
	for _, d := range []struct {
		name   string
		d, min time.Duration
	}{
		{"Promise", t.Promise, 10 * time.Millisecond},
		{"HeartbeatTimeout", t.HeartbeatTimeout, 50 * time.Millisecond},
		{"ElectionTimeout", t.ElectionTimeout, t.HeartbeatTimeout},
		{"LeaderLeaseTimeout", t.LeaderLeaseTimeout, 10 * time.Millisecond},
		{"CommitTimeout", t.CommitTimeout, time.Millisecond},
		{"DiskTimeout", t.DiskTimeout, 10 * time.Millisecond},
		{"ProbeInterval", t.ProbeInterval, 10 * time.Millisecond},
		{"ApplyTimeout", t.ApplyTimeout, 10 * time.Millisecond},
		{"FlushTimeout", t.FlushTimeout, 10 * time.Millisecond},
		{"ReadTimeout", t.ReadTimeout, 10 * time.Millisecond},
		{"RPCTimeout", t.RPCTimeout, 100 * time.Millisecond},
		{"DialTimeout", t.DialTimeout, 10 * time.Millisecond},
		{"RetryPause", t.RetryPause, time.Millisecond},
		{"PingInterval", t.PingInterval, 10 * time.Millisecond},
		{"CampaignGrace", t.CampaignGrace, 0},
		{"WitnessHold", t.WitnessHold, 0},
		{"WatermarkInterval", t.WatermarkInterval, t.PingInterval},
	} {
		if d.d < d.min {
			return fmt.Errorf("%s %v is below %v", d.name, d.d, d.min)
		}
	}
	if t.Promise > maxPromise {
		return fmt.Errorf("the Promise of %v is above %v", t.Promise, maxPromise)
	}
	if t.LeaderLeaseTimeout > t.HeartbeatTimeout {
		return fmt.Errorf("LeaderLeaseTimeout %v is above HeartbeatTimeout %v", t.LeaderLeaseTimeout, t.HeartbeatTimeout)
	}
	return nil
}

// Metrics is told what happens. It is called from many goroutines and must not
// block. metrics.Raft implements it.
type Metrics interface {
	ObserveAppend(bytes int, d time.Duration)
	SetState(term, commit, applied, last uint64, isLeader bool)
	LeaderChanged()
	SetProtected(protected bool)
	SetLease(held bool)
	// Stalled is called when the node stalls and when it is back.
	Stalled(bool)
	// Leaderless is called when the quorum is lost and when it is back.
	Leaderless(bool)
	// SenderRefused is called for each message in the name of another member than
	// the one that its stream comes from.
	SenderRefused()
	// LogDamaged is called when the node begins to vote again after damage in its log
	// was filled, and at the start with whether it was found.
	LogDamaged(bool)
}

type noMetrics struct{}

func (noMetrics) ObserveAppend(int, time.Duration)                      {}
func (noMetrics) SetState(term, commit, applied, last uint64, led bool) {}
func (noMetrics) LeaderChanged()                                        {}
func (noMetrics) SetProtected(bool)                                     {}
func (noMetrics) SetLease(bool)                                         {}
func (noMetrics) Stalled(bool)                                          {}
func (noMetrics) SenderRefused()                                        {}
func (noMetrics) Leaderless(bool)                                       {}
func (noMetrics) LogDamaged(bool)                                       {}

// Config describes one node.
type Config struct {
	// Name is the node's member name: its Raft server id and address.
	Name string
	// Dir is the node's own directory for log, vote and marker.
	Dir string
	// Role must be the one that Members gives to Name.
	Role Role
	// Members are the founders, all voters, the same at every node: whoever else
	// is a member now, the log says. This node is among them unless it joined
	// later.
	Members []Member
	// Join lets a node begin with an empty log that others fill. It is for one
	// that never was a member, and has no vote until the log gives it one.
	Join bool
	// OnMembers is told of the members at the start and after each change, one
	// call at a time: by the newest configuration, and by the newest that is known
	// to be committed. It may be nil.
	OnMembers func(latest, committed Configuration)
	// Net connects the members. Open takes its StreamRaft and StreamControl
	// listeners; Close closes them.
	Net Net
	// Bootstrap allows to begin a log in an empty directory. Every member of a
	// fresh cluster does so once, with the same Members. Without it an empty
	// directory is refused: a member that forgot its vote must not vote again.
	Bootstrap bool
	// LogKind chooses the log on disk; logstore.WAL if empty.
	LogKind logstore.Kind
	// LogSegmentBytes is the segment size of a WAL; zero for the default.
	LogSegmentBytes int
	// LogFS is the file system below a WAL's segments, and below the vote if it is
	// a logstore.Disk; nil is the operating
	// system's. Tests use one in memory that loses power.
	LogFS logstore.FS
	// KeepLogBytes is how much of the log compaction leaves, at least;
	// DefaultKeepLogBytes if zero.
	KeepLogBytes uint64
	// MaxLogBytes is how much of it is kept for members that are away;
	// DefaultMaxLogBytes if zero. A member that is away for longer is given a
	// state instead, and with a witness that lets go the volume is not protected.
	MaxLogBytes uint64
	// Failpoint is told of each step of an installation before it is taken: tests
	// crash there. It may be nil.
	Failpoint func(step string)
	// Tight tells that this node's disk is short of space: compaction then leaves
	// no more than a part of KeepLogBytes, on a data node no more than a part of
	// MaxLogBytes either, and is due earlier. nil means never.
	Tight  func() bool
	Timing Timing
	// Clock measures promises and leases; CLOCK_BOOTTIME if nil. Tests use
	// others.
	Clock   Clock
	Logger  *slog.Logger // slog.Default if nil
	Metrics Metrics      // may be nil
}

func (c *Config) setDefaults() {
	c.Timing.setDefaults(c.Role)
	if c.LogKind == "" {
		c.LogKind = logstore.WAL
	}
	if c.KeepLogBytes == 0 {
		c.KeepLogBytes = DefaultKeepLogBytes
	}
	if c.MaxLogBytes == 0 {
		c.MaxLogBytes = max(DefaultMaxLogBytes, c.KeepLogBytes)
	}
	if c.Tight == nil {
		c.Tight = func() bool { return false }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Failpoint == nil {
		c.Failpoint = func(string) {}
	}
	if c.Metrics == nil {
		c.Metrics = noMetrics{}
	}
}

// Validate checks the configuration as Open would.
func (c Config) Validate() error {
	c.setDefaults()
	if err := c.validate(); err != nil {
		return fmt.Errorf("raftlog: config: %w", err)
	}
	return nil
}

func (c *Config) validate() error {
	if c.Dir == "" {
		return errors.New("no directory")
	}
	if c.Net == nil {
		return errors.New("no net")
	}
	if c.MaxLogBytes < c.KeepLogBytes {
		return fmt.Errorf("MaxLogBytes %d is below KeepLogBytes %d", c.MaxLogBytes, c.KeepLogBytes)
	}
	if len(c.Members) == 0 || len(c.Members) > maxMembers {
		return fmt.Errorf("%d members; 1 to %d are possible", len(c.Members), maxMembers)
	}
	seen := map[string]Role{}
	data := 0
	for _, m := range c.Members {
		if m.Name == "" {
			return errors.New("a member has no name")
		}
		if _, dup := seen[m.Name]; dup {
			return fmt.Errorf("member %q is listed twice", m.Name)
		}
		switch m.Role {
		case RoleData:
			data++
		case RoleWitness:
		default:
			return fmt.Errorf("member %q has unknown role %q", m.Name, m.Role)
		}
		seen[m.Name] = m.Role
	}
	if data == 0 {
		return errors.New("no member is a data node")
	}
	if role, ok := seen[c.Name]; !ok && c.Join {
		if c.Role != RoleData && c.Role != RoleWitness {
			return fmt.Errorf("this node has unknown role %q", c.Role)
		}
	} else if !ok {
		return fmt.Errorf("this node, %q, is not among the members", c.Name)
	} else if role != c.Role && !c.Join {
		return fmt.Errorf("this node, %q, has role %q here and %q among the members", c.Name, c.Role, role)
	}
	return c.Timing.validate()
}

// sortedMembers returns the members by name: every node must write the same
// first entry.
func (c *Config) sortedMembers() []Member {
	ms := append([]Member(nil), c.Members...)
	sort.Slice(ms, func(i, j int) bool { return ms[i].Name < ms[j].Name })
	return ms
}
