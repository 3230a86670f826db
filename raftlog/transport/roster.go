package transport

import (
	"errors"
	"fmt"
	"slices"

	"twofold/raftlog/identity"
)

// Errors that end a node's part in its cluster for ever.
var (
	// ErrRemoved comes from Fatal when the cluster goes on without this node.
	ErrRemoved = errors.New("transport: removed from the cluster")
	// ErrFenced comes from Fatal when the cluster was recovered without this node.
	ErrFenced = errors.New("transport: left behind by a recovery")
)

// Known is a member by its identity.
type Known struct {
	Member
	NodeID identity.NodeID
}

// Roster is who belongs to the cluster: a committed configuration of the log.
// Whoever is not in it is refused, for ever, since identities are never used
// again.
type Roster struct {
	Index   uint64 // of the configuration's entry
	Members []Known
}

// find returns the member of that name.
func (r *Roster) find(name string) (Known, bool) {
	for _, k := range r.Members {
		if k.Name == name {
			return k, true
		}
	}
	return Known{}, false
}

// validate checks the form of a roster that came over the wire.
func (r *Roster) validate() error {
	if len(r.Members) > identity.MaxMembers {
		return fmt.Errorf("%d members in the roster", len(r.Members))
	}
	for _, k := range r.Members {
		if err := identity.CheckName("member name", k.Name); err != nil {
			return err
		}
		if len(k.Role) > maxRole || len(k.Addr) > maxAddr || k.NodeID.IsZero() {
			return fmt.Errorf("member %q of the roster is not valid", k.Name)
		}
	}
	return nil
}

// foundingRoster is what the config and the binding say, as long as the log has
// said nothing.
func foundingRoster(cfg *Config, b *identity.Binding) *Roster {
	r := &Roster{}
	for _, m := range cfg.Members {
		k := Known{Member: m}
		if b != nil {
			founder, _ := b.Member(m.Name)
			k.NodeID = founder.NodeID
		}
		if m.Name == cfg.Self.Name {
			k.NodeID = cfg.Self.NodeID
		}
		r.Members = append(r.Members, k)
	}
	return r
}

// Roster returns who belongs to the cluster, as far as this node knows.
func (m *Mux) Roster() Roster {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.rosterLocked()
}

// rosterLocked is never nil, and what it returns never changes.
func (m *Mux) rosterLocked() *Roster {
	if m.mu.roster != nil {
		return m.mu.roster
	}
	return foundingRoster(&m.cfg, m.mu.binding)
}

// known returns a member of the cluster.
func (m *Mux) known(name string) (Known, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rosterLocked().find(name)
}

// SetRoster says who belongs to the cluster from now on. The streams of whoever
// does not any more are cut. A roster that is older than the one in force changes
// nothing.
func (m *Mux) SetRoster(r Roster) {
	r.Members = slices.Clone(r.Members)
	for _, s := range m.replaceRoster(&r) {
		s.Close()
	}
}

// replaceRoster returns the streams to cut.
func (m *Mux) replaceRoster(r *Roster) (cut []*stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.roster != nil && r.Index < m.mu.roster.Index {
		return nil
	}
	old := m.rosterLocked()
	m.mu.roster = r
	for name, p := range m.mu.peers {
		was, _ := old.find(name)
		if now, ok := r.find(name); ok && now.NodeID == was.NodeID {
			continue
		}
		for s := range p.open {
			cut = append(cut, s)
		}
		delete(m.mu.peers, name)
	}
	for _, k := range r.Members {
		if k.Name != m.cfg.Self.Name && m.mu.peers[k.Name] == nil {
			m.mu.peers[k.Name] = newPeerState()
		}
	}
	return cut
}

// noteOutcast looks whether a refusal means that this node is out of the cluster
// for good. Only a node that this one knows as a member, by its identity, can say so.
//
// That it is not among the members is final if the other one refers to a committed
// configuration that is newer than any in which this node was a member: an older
// one may only not know it yet.
func (m *Mux) noteOutcast(h *hello, dialled string) {
	if h.Refused == nil || h.ClusterID.IsZero() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.mu.binding
	if b == nil {
		return
	}
	roster := m.rosterLocked()
	if k, ok := roster.find(h.Node); !ok || h.Node != dialled || k.NodeID != h.NodeID {
		return
	}
	var err error
	switch h.Refused.Code {
	case CodeMember, CodeNodeID:
		if h.ClusterID == b.ClusterID && h.ConfigIndex > roster.Index {
			err = fmt.Errorf("%w: node %s says, by entry %d of the log: %s", ErrRemoved, h.Node, h.ConfigIndex, h.Refused.Text)
		}
	case CodeFenced:
		theirs, invalid := h.binding()
		if invalid == nil && theirs != nil && theirs.DescendsFrom(b.ClusterID) {
			err = fmt.Errorf("%w: node %s says: %s", ErrFenced, h.Node, h.Refused.Text)
		}
	}
	if err == nil {
		return
	}
	select {
	case m.fatal <- err:
	default: // it is known already
	}
}
