package transport

import (
	"slices"

	"twofold/raftlog"
	"twofold/raftlog/identity"
)

// checker decides whether a hello is welcome. It has no state of its own.
type checker struct {
	cfg     *Config
	binding *identity.Binding // nil if unbound
	roster  *Roster
	fromLog bool // the roster is the log's
}

// check judges a peer's hello: one that came in (dialled is empty), or the
// answer of the node that was dialled under that name. The order matters:
// whatever a person can mend in a configuration comes before identities, and of
// these the cluster comes before its members.
func (c checker) check(h *hello, dialled string, cert certificate) *Refusal {
	if r := c.checkFormat(h); r != nil {
		return r
	}
	if r := c.checkFence(h); r != nil {
		return r
	}
	if r := c.checkNames(h, dialled); r != nil {
		return r
	}
	if !cert.names(h.Node) {
		return refusal(CodeCertificate, "the certificate is made out to %s, but the node says that it is %q: give it the certificate of its own name",
			cert, h.Node)
	}
	if r := c.checkCluster(h); r != nil {
		return r
	}
	if r := c.checkConfiguration(h); r != nil {
		return r
	}
	if h.Kind != streamMeet && !knownKind(h.Kind) {
		return refusal(CodeKind, "streams of kind %d are unknown to this version: run the same version on all members", h.Kind)
	}
	return c.checkIdentity(h)
}

// checkFormat is about versions; decodeHello has compared the protocols.
func (c checker) checkFormat(h *hello) *Refusal {
	if !c.cfg.Format.Overlaps(h.Format) {
		return refusal(CodeFormat, "node %s works with format %s and node %s with %s: upgrade the older one",
			h.Node, h.Format, c.cfg.Self.Name, c.cfg.Format)
	}
	return nil
}

func (c checker) checkNames(h *hello, dialled string) *Refusal {
	self := c.cfg.Self.Name
	if h.Cluster != c.cfg.ClusterName {
		return refusal(CodeCluster, "node %s is of cluster %q and node %s of cluster %q: correct the cluster name or the member addresses",
			h.Node, h.Cluster, self, c.cfg.ClusterName)
	}
	if dialled != "" && h.Node != dialled {
		return refusal(CodeWrongNode, "the address of member %q leads to node %q: correct the member addresses of node %s", dialled, h.Node, self)
	}
	if h.Wanted != self {
		return refusal(CodeWrongNode, "node %s looks for member %q and has reached node %q: correct the member addresses of node %s",
			h.Node, h.Wanted, self, h.Node)
	}
	if h.Node == self {
		return refusal(CodeMember, "two nodes are named %q: correct the node name of one of them", self)
	}
	if _, ok := c.roster.find(h.Node); ok {
		return nil
	}
	if c.fromLog {
		return refusal(CodeMember, "node %q with the identity %s is not a member of cluster %q: it was removed, or not added yet (twofold member list)", h.Node, h.NodeID, h.Cluster)
	}
	return refusal(CodeMember, "node %q is not among the members that node %s is configured with", h.Node, self)
}

// checkFence refuses whoever is still of a cluster that this one was recovered
// from.
func (c checker) checkFence(h *hello) *Refusal {
	if c.binding == nil || !c.binding.DescendsFrom(h.ClusterID) {
		return nil
	}
	return refusal(CodeFenced, "cluster %q was recovered without node %s by an operator's word, and goes on under another id (%s): what node %s has was given up",
		h.Cluster, h.Node, c.binding.ClusterID, h.Node)
}

// checkCluster compares the clusters that two bound nodes recorded. A cluster's
// id is made of its members' names, roles and ids: where it differs the others
// do as well, and none of them is what is wrong.
func (c checker) checkCluster(h *hello) *Refusal {
	if c.binding == nil || h.ClusterID.IsZero() || h.ClusterID == c.binding.ClusterID {
		return nil
	}
	self := c.cfg.Self.Name
	return refusal(CodeClusterID, "nodes %s and %s have directories of two clusters, both named %q (cluster ids %s and %s): start each node with the directory of its own cluster, or correct the member addresses",
		h.Node, self, h.Cluster, h.ClusterID, c.binding.ClusterID)
}

// checkConfiguration compares roles and members. A difference found here, before
// the first meeting, is one that cannot become part of the cluster for ever.
func (c checker) checkConfiguration(h *hello) *Refusal {
	self := c.cfg.Self.Name
	m, _ := c.roster.find(h.Node)
	if m.Role != h.Role {
		return refusal(CodeRole, "node %s was formatted for role %q, but the configuration of node %s says %q: correct the configuration, or format it anew before it joins",
			h.Node, h.Role, self, m.Role)
	}
	if c.fromLog || c.cfg.Join || c.binding != nil && !h.ClusterID.IsZero() {
		return nil // the log says who the members are
	}
	theirs, ours := listMembers(h.Members), listMembers(c.cfg.plainMembers())
	if theirs != ours {
		return refusal(CodeMembers, "node %s lists the members %s and node %s lists %s: make the configurations equal", h.Node, theirs, self, ours)
	}
	return nil
}

// checkIdentity applies rule M6.
func (c checker) checkIdentity(h *hello) *Refusal {
	self := c.cfg.Self.Name
	if c.binding == nil {
		if h.Kind == streamMeet {
			return nil
		}
		return refusal(CodeNotMet, "node %s has not met all members yet", self)
	}
	recorded, _ := c.roster.find(h.Node)
	if recorded.NodeID != h.NodeID {
		return refusal(CodeNodeID,
			"node %s was formatted anew (its id is %s, the cluster recorded %s): it cannot rejoin under its old name; bring its old directory back, or replace the member by a new one",
			h.Node, h.NodeID, recorded.NodeID)
	}
	// checkCluster has let only this very cluster pass, or none.
	if !h.ClusterID.IsZero() || h.Kind == streamMeet {
		return nil
	}
	return refusal(CodeUnbound, "node %s has not recorded the cluster yet", h.Node)
}

// knownKind reports that kind is one that streams can have.
func knownKind(kind raftlog.StreamKind) bool {
	return slices.Contains([]raftlog.StreamKind{raftlog.StreamRaft, raftlog.StreamControl, raftlog.StreamPeer, raftlog.StreamCatchUp}, kind)
}
