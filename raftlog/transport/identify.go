package transport

import (
	"context"
	"fmt"
	"net"
	"slices"

	"twofold/raftlog/identity"
)

// Identify asks a node that is to become a member who it is. The node must have
// been formatted to join this cluster and be of none yet: a directory that was a
// member once is refused, since what it promised was promised as that member.
func (m *Mux) Identify(ctx context.Context, candidate Member) (identity.Member, error) {
	var found identity.Member
	err := m.converseWith(ctx, Known{Member: candidate}, streamMeet, func(_, _ net.Conn, h *hello, refused *Refusal) error {
		switch {
		case refused != nil:
			return refused
		case !h.ClusterID.IsZero():
			return fmt.Errorf("node %s (%s) was a member of a cluster already: format a new directory with \"twofold init --join\"", h.Node, h.NodeID)
		case !h.Join:
			return fmt.Errorf("node %s was not formatted with \"twofold init --join\": format a new directory so", h.Node)
		}
		found = identity.Member{Name: h.Node, Role: h.Role, NodeID: h.NodeID}
		return nil
	})
	if err != nil {
		return identity.Member{}, fmt.Errorf("node %s at %s: %w", candidate.Name, candidate.Addr, err)
	}
	return found, nil
}

// judge returns the checker for a conversation with to, which has introduced
// itself. A node without a known identity need not be a member yet.
func (m *Mux) judge(to Known, h *hello) checker {
	c := m.checker()
	if !to.NodeID.IsZero() {
		return c
	}
	r := Roster{Index: c.roster.Index}
	r.Members = append(slices.DeleteFunc(slices.Clone(c.roster.Members), func(k Known) bool { return k.Name == to.Name }),
		Known{Member: to.Member, NodeID: h.NodeID})
	c.roster = &r
	return c
}
