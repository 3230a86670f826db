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

// Member is one recorded member.
type Member struct {
	Name   string       `json:"name"`
	Role   raftlog.Role `json:"role"`
	NodeID NodeID       `json:"node_id"`
}

// Binding is a cluster: its members by identity, sorted by name.
type Binding struct {
	Cluster   string    `json:"cluster"`
	ClusterID ClusterID `json:"cluster_id"`
	Members   []Member  `json:"members"`
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
	again, err := NewBinding(b.Cluster, b.Members)
	if err != nil {
		return err
	}
	if again.ClusterID != b.ClusterID {
		return refuse(ErrInvalid, "cluster id %s is not that of its members, which is %s", b.ClusterID, again.ClusterID)
	}
	return nil
}

// Member returns the recorded member of that name.
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
	sum := sha256.Sum256(buf)
	return ClusterID(sum[:idBytes])
}
