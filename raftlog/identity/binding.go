package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"twofold/raftlog"
)

// MaxMembers bounds the members of a cluster.
const MaxMembers = 16

// clusterIDTag is hashed first, so that another way to compute the id can never
// give the same one.
const clusterIDTag = "twofold cluster id 1"

// recoveredTag precedes the ancestors in the hash.
const recoveredTag = "recovered from"

// Member is one recorded member.
type Member struct {
	Name   string       `json:"name"`
	Role   raftlog.Role `json:"role"`
	NodeID NodeID       `json:"node_id"`
}

// MaxAncestors bounds how often a cluster can be recovered.
const MaxAncestors = 16

// Binding is a cluster, as one of its nodes recorded it: the members that founded
// it, sorted by name. Who its members are now, the log says.
type Binding struct {
	Cluster   string    `json:"cluster"`
	ClusterID ClusterID `json:"cluster_id"`
	Members   []Member  `json:"members"`
	// Joined is the node itself, if it is not among the founders.
	Joined *Member `json:"joined,omitempty"`
	// Ancestors are the clusters that this one was recovered from, the last one
	// at the end. Their other members are fenced.
	Ancestors []ClusterID `json:"ancestors,omitempty"`
}

// Recover returns the cluster that the survivor of another one founds alone.
func (b Binding) Recover(survivor Member) (Binding, error) {
	if len(b.Ancestors) >= MaxAncestors {
		return Binding{}, refuse(ErrInvalid, "cluster %q was recovered %d times, and that is the most that it can be", b.Cluster, MaxAncestors)
	}
	next := Binding{
		Cluster: b.Cluster, Members: []Member{survivor},
		Ancestors: append(slices.Clone(b.Ancestors), b.ClusterID),
	}
	next.ClusterID = next.computeID()
	return next, next.Validate()
}

// Join returns the binding of a node that joins the cluster.
func (b Binding) Join(self Member) Binding {
	b.Joined = nil
	if m, ok := b.Member(self.Name); !ok || m != self {
		b.Joined = &self
	}
	return b
}

// Lists reports that the binding is that of this very member.
func (b Binding) Lists(self Member) bool {
	if b.Joined != nil {
		return *b.Joined == self
	}
	m, ok := b.Member(self.Name)
	return ok && m == self
}

// DescendsFrom reports that the cluster was recovered from another one.
func (b Binding) DescendsFrom(id ClusterID) bool { return slices.Contains(b.Ancestors, id) }

// format is the version that the record needs.
func (b Binding) format() int {
	if b.Joined != nil || len(b.Ancestors) > 0 {
		return formatLater
	}
	return Format
}

// NewBinding computes the binding of a cluster whose members are all known.
func NewBinding(cluster string, members []Member) (Binding, error) {
	b := Binding{Cluster: cluster, Members: slices.Clone(members)}
	slices.SortFunc(b.Members, func(x, y Member) int { return strings.Compare(x.Name, y.Name) })
	if err := b.checkMembers(); err != nil {
		return Binding{}, err
	}
	b.ClusterID = b.computeID()
	return b, nil
}

// Validate checks that the members can be and that the id is theirs.
func (b Binding) Validate() error {
	if err := b.checkMembers(); err != nil {
		return err
	}
	if len(b.Ancestors) > MaxAncestors {
		return refuse(ErrInvalid, "a cluster with %d ancestors: %d are possible", len(b.Ancestors), MaxAncestors)
	}
	if id := b.computeID(); id != b.ClusterID {
		return refuse(ErrInvalid, "cluster id %s is not that of its members, which is %s", b.ClusterID, id)
	}
	if b.Joined == nil {
		return nil
	}
	return Binding{Cluster: b.Cluster, Members: []Member{*b.Joined}}.checkMembers()
}

// Member returns the founder of that name.
func (b Binding) Member(name string) (Member, bool) {
	for _, m := range b.Members {
		if m.Name == name {
			return m, true
		}
	}
	return Member{}, false
}

func (b Binding) checkMembers() error {
	if err := CheckName("cluster name", b.Cluster); err != nil {
		return err
	}
	if len(b.Members) == 0 || len(b.Members) > MaxMembers {
		return refuse(ErrInvalid, "a cluster of %d members: from 1 to %d are possible", len(b.Members), MaxMembers)
	}
	ids := make(map[NodeID]string, len(b.Members))
	for i, m := range b.Members {
		if err := CheckName("member name", m.Name); err != nil {
			return err
		}
		if err := checkRole(m.Name, m.Role); err != nil {
			return err
		}
		if i > 0 && b.Members[i-1].Name == m.Name {
			return refuse(ErrInvalid, "two members are named %q", m.Name)
		}
		if i > 0 && b.Members[i-1].Name > m.Name {
			return refuse(ErrInvalid, "the members are not sorted by name")
		}
		if m.NodeID.IsZero() {
			return refuse(ErrInvalid, "the node id of member %q is not known", m.Name)
		}
		if other, ok := ids[m.NodeID]; ok {
			return refuse(ErrInvalid,
				"members %q and %q have the same node id %s: one directory is a copy of the other; format one of them anew",
				other, m.Name, m.NodeID)
		}
		ids[m.NodeID] = m.Name
	}
	return nil
}

// computeID expects sorted members.
func (b Binding) computeID() ClusterID {
	var buf []byte
	put := func(s string) {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(s)))
		buf = append(buf, s...)
	}
	put(clusterIDTag)
	put(b.Cluster)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(b.Members)))
	for _, m := range b.Members {
		put(m.Name)
		put(string(m.Role))
		put(string(m.NodeID[:]))
	}
	if len(b.Ancestors) > 0 {
		put(recoveredTag)
		for _, a := range b.Ancestors {
			put(string(a[:]))
		}
	}
	sum := sha256.Sum256(buf)
	return ClusterID(sum[:idBytes])
}
