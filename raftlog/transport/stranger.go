package transport

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"twofold/raftlog/identity"
)

// foreign is what the last conversation with a member showed: that it is of a
// cluster to which this node does not belong.
type foreign struct {
	cluster string
	id      identity.ClusterID
	why     *Refusal
}

// foreignness judges a dialled member's answer, and the refusal that it led to,
// whichever of the two nodes made it. Only what a bound member recorded counts:
// one that was wiped has no say in who belongs to the cluster. A node id that the
// cluster does not know is a matter for decide.
func (m *Mux) foreignness(h *hello, member string, refused *Refusal) *foreign {
	if refused == nil || h.Node != member || h.ClusterID.IsZero() {
		return nil
	}
	if b := m.Binding(); b != nil {
		if h.ClusterID == b.ClusterID || b.DescendsFrom(h.ClusterID) {
			return nil
		}
		return &foreign{h.Cluster, h.ClusterID, refused}
	}
	switch refused.Code {
	case CodeMember, CodeMembers:
		if m.cfg.Join {
			return nil // it was not added yet
		}
		return &foreign{h.Cluster, h.ClusterID, refused}
	case CodeCluster, CodeRole:
		return &foreign{h.Cluster, h.ClusterID, refused}
	}
	return nil
}

// noteForeign keeps the outcome of the last conversation with a member; nil for
// any other outcome. Once most members are found to be of one cluster that this
// node is not of, it can never take part in a quorum of theirs, nor have one
// without them: that is final. One member that is not where it belongs is never
// enough to end a node, nor are several of them that do not agree.
func (m *Mux) noteForeign(member string, f *foreign) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.mu.peers[member]
	if p == nil {
		return
	}
	p.foreign = f
	if f == nil {
		return
	}
	var names []string
	for name, p := range m.mu.peers {
		if p.foreign != nil && p.foreign.id == f.id {
			names = append(names, name)
		}
	}
	if len(names) < m.majority() {
		return
	}
	slices.Sort(names)
	select {
	case m.fatal <- m.stranger(names, f):
	default: // it is known already
	}
}

// majority is how many of the members, this node among them, decide; the caller
// holds the lock.
func (m *Mux) majority() int { return (len(m.mu.peers)+1)/2 + 1 }

// stranger words the error; the caller holds the lock.
func (m *Mux) stranger(names []string, f *foreign) error {
	who := fmt.Sprintf("nodes %s are of cluster %q (cluster id %s)", strings.Join(names, " and "), f.cluster, f.id)
	if b := m.mu.binding; b != nil {
		return fmt.Errorf("%w: %s, and this directory is of another one, %q (cluster id %s): give node %s its directory of their cluster, or correct the member addresses in its configuration",
			ErrStranger, who, b.Cluster, b.ClusterID, m.cfg.Self.Name)
	}
	return fmt.Errorf("%w: %s and do not take node %s in: %s", ErrStranger, who, m.cfg.Self.Name, f.why.Text)
}

// Fatal returns why this node can be no member of the cluster that it reaches.
// There is one error at most, and it is for one receiver.
func (m *Mux) Fatal() <-chan error { return m.fatal }

// Probe asks the other members whether this node can be one of them, before
// anything of it is opened. Its error is [ErrFormattedAnew], [ErrDisagree],
// [ErrStranger], [ErrRemoved] or [ErrFenced], or a mistake in the configuration. A member that does not
// answer is no error: Probe waits only a moment for it if the answers that there
// are will do, and never longer than ProbeTimeout. It neither listens nor logs.
func Probe(ctx context.Context, cfg Config) error {
	cfg.Logger = slog.New(slog.DiscardHandler)
	m, err := newMux(cfg)
	if err != nil {
		return err
	}
	defer m.cancel()
	ctx, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	// Whoever is up is left the time to answer: a hello that is broken off in the
	// middle is a warning at the other end.
	answers := m.probeAll(ctx, func() { time.AfterFunc(probeGrace, cancel) })
	select {
	case err := <-m.fatal:
		return err
	default:
	}
	if cfg.Binding != nil {
		return nil
	}
	_, err = decide(&m.cfg, answers)
	return err
}

// probeAll asks every other member at once and waits for all. It calls enough,
// perhaps more than once, when so many answered well that the others cannot make a
// stranger of a bound node.
func (m *Mux) probeAll(ctx context.Context, enough func()) map[Member]heard {
	m.mu.Lock()
	doubtful, majority := len(m.mu.peers), m.majority()
	m.mu.Unlock()
	return m.askAll(ctx, func(answer heard) {
		if answer.err == nil {
			doubtful--
		}
		if m.cfg.Binding != nil && doubtful < majority {
			enough()
		}
	})
}
