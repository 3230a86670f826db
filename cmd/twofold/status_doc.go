package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"twofold/raftlog"
)

// Health is the verdict of a node about its cluster.
type health string

// The verdicts, and what status exits with for each.
const (
	healthy  health = "healthy"   // 0
	degraded health = "degraded"  // 1: clients are served, something is missing
	noQuorum health = "no quorum" // 2: nobody can be served, as far as the node knows
)

// exitStatus is the exit code of status for a verdict.
func (h health) exitStatus() int {
	switch h {
	case healthy:
		return 0
	case degraded:
		return 1
	}
	return exitNoQuorum
}

// exitNoQuorum is the exit code of status if nobody is served or answers.
const exitNoQuorum = 2

// fullCluster is how many members vote when all is well.
const fullCluster = 3

// inSyncEntries is how many committed entries a member may lack and still
// count as in sync: what it tells of itself is some time old.
const inSyncEntries = 512

// clusterStatus is what /status shows, and status --json prints. Its names are
// part of the user's interface.
type clusterStatus struct {
	Cluster       string             `json:"cluster"`
	Node          string             `json:"node"` // that gives this answer
	Role          raftlog.Role       `json:"role"`
	Version       string             `json:"version"`
	Health        health             `json:"health"`
	Problems      []string           `json:"problems"`
	Ready         bool               `json:"ready"`
	NotReady      string             `json:"not_ready,omitempty"` // why
	Term          uint64             `json:"term"`
	Leader        string             `json:"leader"` // empty if not known
	InsecurePeers bool               `json:"insecure_peers"`
	Protected     bool               `json:"protected"`               // the loss of any one machine loses nothing
	NotProtected  string             `json:"not_protected,omitempty"` // why
	Lease         *leaseStatus       `json:"lease,omitempty"`         // of a data node
	DiskShort     bool               `json:"disk_short"`              // this node's disk is down to its reserve
	Clocks        map[string]float64 `json:"clocks,omitempty"`        // seconds that other data nodes' clocks are ahead of this one's
	Members       []memberStatus     `json:"members"`
	Integrity     *integrityStatus   `json:"integrity,omitempty"` // of a data node
	Volume        *volumeStatus      `json:"volume,omitempty"`    // of a data node that has one
	Exports       *exportsStatus     `json:"exports,omitempty"`   // of a data node
	RPCBind       *rpcbindStatus     `json:"rpcbind,omitempty"`   // of a data node
	// Transfers are the states that this node gives and takes now.
	Transfers []transferStatus `json:"transfers,omitempty"`
}

// leaseStatus is what the answering node knows of leases.
type leaseStatus struct {
	Held    bool    `json:"held"`         // it reads its own copy, and asks nobody
	Left    float64 `json:"left_seconds"` // until it has to be renewed, which happens all the time
	Granted string  `json:"granted_to"`   // as the leader: who reads its own copy as well; empty for nobody
	Refused string  `json:"refused,omitempty"`
}

// line says where reads are answered.
func (l *leaseStatus) line(leads bool) string {
	switch {
	case leads && l.Granted != "":
		return "each data node answers them from its own copy"
	case leads:
		return "this node answers them from its own copy, the other data node asks it" + because(l.Refused)
	case l.Held:
		return "this node answers them from its own copy"
	}
	return "this node asks the leader"
}

// transferStatus is a state on its way from node to node.
type transferStatus struct {
	Direction string  `json:"direction"` // given, taken
	Bytes     uint64  `json:"bytes"`
	Rate      uint64  `json:"bytes_per_second"`
	Done      uint32  `json:"done"`         // parts of the volume that are alike again
	Of        uint32  `json:"of"`           // that differed
	Left      float64 `json:"left_seconds"` // estimate; -1 for none
}

// exportsStatus is the export table that the answering node enforces.
type exportsStatus struct {
	Version uint64    `json:"version"` // 0: none was ever set
	Entries int       `json:"entries"`
	Time    time.Time `json:"time"`
	By      string    `json:"by"`
	Source  string    `json:"source"`
	Problem string    `json:"problem,omitempty"` // why a newer one is not in force
}

// rpcbindStatus tells how clients learn the answering node's port.
type rpcbindStatus struct {
	Mode    string `json:"mode"`
	Doing   string `json:"doing"`
	Problem string `json:"problem,omitempty"` // to mend: clients may find another server
	Note    string `json:"note,omitempty"`    // why mode auto could do neither
}

// memberStatus is one member as the answering node knows it.
type memberStatus struct {
	Name  string       `json:"name"`
	Role  raftlog.Role `json:"role"`
	Addr  string       `json:"addr"`
	Voter bool         `json:"voter"` // false while a new member catches up
	// Replaces is the member whose place it takes.
	Replaces string `json:"replaces,omitempty"`
	Identity string `json:"identity"`
	Leader   bool   `json:"leader"`
	Answers  bool   `json:"answers"`
	Term     uint64 `json:"term"`
	Commit   uint64 `json:"commit_index"`
	Applied  uint64 `json:"applied_index"` // 0 on a witness
	Last     uint64 `json:"last_index"`
	Behind   uint64 `json:"behind"` // committed entries that it has not applied, or on a witness not stored
	InSync   bool   `json:"in_sync"`
	// DiskStalled says that it stands aside because its disk does not answer.
	DiskStalled bool `json:"disk_stalled"`
	// LogDamaged says that it has no vote until a leader has filled its log again, which
	// was damaged. Only the member itself says so.
	LogDamaged bool   `json:"log_damaged,omitempty"`
	Problem    string `json:"problem,omitempty"` // why it does not answer
}

// volumeStatus is the volume as the answering node has it.
type volumeStatus struct {
	FSID      string `json:"fsid"`
	BlockSize uint32 `json:"block_size"`
	Inodes    uint64 `json:"inodes"`
	Bytes     uint64 `json:"bytes"`
}

// measure fills in how far behind each member is.
func measure(members []memberStatus) {
	commit := uint64(0)
	for _, m := range members {
		if m.Answers {
			commit = max(commit, m.Commit)
		}
	}
	for i := range members {
		m := &members[i]
		has := m.Applied
		if m.Role == raftlog.RoleWitness {
			has = m.Last
		}
		m.Behind = commit - min(commit, has)
		m.InSync = m.Answers && m.Behind <= inSyncEntries
	}
}

// judge says what is wrong, and gives the verdict.
func (s *clusterStatus) judge() {
	s.Problems = []string{}
	answering, voters := 0, 0
	for _, m := range s.Members {
		if m.Voter {
			voters++
		} else {
			s.problem("%s has no vote yet: it catches up", m.Name)
		}
		switch {
		case !m.Answers:
			s.problem("%s does not answer%s", m.Name, because(m.Problem))
		case m.LogDamaged:
			s.problem("the log of %s was damaged: it has no vote until a leader has filled it again; start the other members, and if they are lost for good, see twofold recover", m.Name)
		case m.DiskStalled:
			s.problem("the disk of %s does not answer: it stands aside until it does", m.Name)
		case !m.InSync:
			s.problem("%s is %d entries behind", m.Name, m.Behind)
		}
		if m.Answers && m.Voter && !m.DiskStalled && !m.LogDamaged {
			answering++
		}
	}
	if voters < fullCluster {
		s.problem("only %d of %d members vote: add the missing ones (twofold member add)", voters, fullCluster)
	}
	if !s.Protected && s.NotProtected != "" {
		s.problem("not protected: %s", s.NotProtected)
	}
	for _, t := range s.Transfers {
		left := "not known yet"
		if t.Left >= 0 {
			left = time.Duration(t.Left * float64(time.Second)).Round(time.Second).String()
		}
		s.problem("a state is %s by %s: %d of %d parts, %s, %s/s, time left %s", t.Direction, s.Node, t.Done, t.Of, humanBytes(t.Bytes), humanBytes(t.Rate), left)
	}
	if s.Integrity != nil {
		s.Integrity.judge(s)
	}
	if s.Leader == "" {
		s.problem("no leader is known")
	}
	if !s.Ready {
		s.problem("%s would not serve%s", s.Node, because(s.NotReady))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Clocks)) {
		if ahead := s.Clocks[name]; math.Abs(ahead) > 1 {
			s.problem("the clock of %s is %.1f s ahead of that of %s: let both follow the same time server", name, ahead, s.Node)
		}
	}
	if s.DiskShort {
		s.problem("the disk of %s is down to its reserve: make room on it", s.Node)
	}
	if s.Exports != nil && s.Exports.Problem != "" {
		s.problem("%s", s.Exports.Problem)
	}
	if s.RPCBind != nil && s.RPCBind.Problem != "" {
		s.problem("rpcbind: clients of %s have to name the port: %s", s.Node, s.RPCBind.Problem)
	}
	switch {
	case s.Leader == "" || 2*answering <= voters:
		s.Health = noQuorum
	case len(s.Problems) > 0:
		s.Health = degraded
	default:
		s.Health = healthy
	}
}

func (s *clusterStatus) problem(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}
