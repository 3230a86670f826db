package raftlog

import "fmt"

// Protection says whether whatever was acknowledged survives the loss of any one
// machine (rule W2): each data node is complete up to some index, and the
// witness's log begins at or before the entry after it.
type Protection struct {
	Protected bool
	// Reason says why not, for people.
	Reason string
}

// protection computes it from what the members last said. Durable indexes do not
// fall, and a log that is away keeps what it has.
func (n *Node) protection(s *Status) Protection {
	type member struct {
		name    string
		role    Role
		durable Index
		first   Index
		known   bool
	}
	all := []member{{s.Name, s.Role, s.Durable, n.logFirst(), true}}
	for _, p := range s.Peers {
		if !n.isVoter(p.Name) {
			continue // it is not counted on yet
		}
		all = append(all, member{p.Name, p.Role, p.Durable, p.First, p.First > 0})
	}
	first, witness := Index(0), ""
	for _, m := range all {
		if !m.known {
			return Protection{Reason: fmt.Sprintf("%s has not been heard of since this node started", m.name)}
		}
		if m.role == RoleWitness {
			first, witness = m.first, m.name
		}
	}
	if witness == "" {
		return Protection{Reason: "there is no witness"}
	}
	for _, m := range all {
		if m.role == RoleData && first > m.durable+1 {
			return Protection{Reason: fmt.Sprintf("the log of %s begins at %d, but %s is complete only up to %d: until it is further, there is one full copy", witness, first, m.name, m.durable)}
		}
	}
	return Protection{Protected: true}
}

// logFirst returns the first index that this node's log has, or would have next.
func (n *Node) logFirst() Index {
	first, _ := n.store.FirstIndex() // reads memory and never fails
	if first > 0 {
		return Index(first)
	}
	return n.markers.limit() + 1
}

// watchProtection reports a change of the verdict, and a log of the witness that
// lets go of what a data node lacks.
func (k *keep) watchProtection() {
	n := k.n
	s := n.Status()
	n.cfg.Metrics.SetProtected(s.Protection.Protected)
	if k.said != nil && *k.said == s.Protection {
		return
	}
	switch {
	case s.Protection.Protected:
		n.log.Info("the volume is protected: it survives the loss of any one machine")
	case k.said == nil || k.said.Protected:
		n.log.Warn("the volume is not protected", "reason", s.Protection.Reason)
	}
	k.said = &s.Protection
}
