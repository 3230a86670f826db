package transport

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"twofold/raftlog/identity"
)

// heard is what one member answered in one round of Meet.
type heard struct {
	id       identity.NodeID
	binding  *identity.Binding // nil if the member is unbound
	admitted bool              // the member is bound, and has this very node among the members
	roster   *Roster           // what it says of them then
	err      error             // set if there was no answer that counts
}

// Meet makes this node a member of its cluster, unless it is one already, and
// returns the cluster. It waits as long as it takes, until ctx ends.
// [ErrFormattedAnew], [ErrDisagree] and [ErrStranger] are final: a person has to
// act.
func (m *Mux) Meet(ctx context.Context) (identity.Binding, error) {
	if err := m.enter(); err != nil {
		return identity.Binding{}, err
	}
	defer m.wg.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(m.ctx, cancel)
	defer stop()
	for pause := meetPauseMin; ; pause = min(2*pause, meetPauseMax) {
		if b := m.Binding(); b != nil {
			return *b, nil
		}
		done, err := m.meetRound(ctx)
		if err != nil {
			return identity.Binding{}, err
		}
		if done {
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-m.kick:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			if m.ctx.Err() != nil {
				return identity.Binding{}, ErrClosed
			}
			return identity.Binding{}, context.Cause(ctx)
		}
	}
}

// enter makes Close wait for the caller.
func (m *Mux) enter() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return ErrClosed
	}
	m.wg.Add(1)
	return nil
}

// kickMeet shortens the pause of a Meet that waits, because a member has just
// shown that it is up. Once per member: two nodes that wait for a third would
// otherwise keep each other busy.
func (m *Mux) kickMeet(member string) {
	m.mu.Lock()
	p := m.mu.peers[member]
	first := !p.metUs
	p.metUs = true
	m.mu.Unlock()
	if !first {
		return
	}
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// meetRound asks all members once, and binds the node if that is enough.
func (m *Mux) meetRound(ctx context.Context) (done bool, err error) {
	answers := m.askAll(ctx, func(heard) {})
	if ctx.Err() != nil {
		return false, nil
	}
	b, err := decide(&m.cfg, answers)
	if err != nil {
		return false, err
	}
	select {
	case err := <-m.fatal:
		return false, err
	default:
	}
	m.logMeeting(answers, b)
	if b == nil {
		return false, nil
	}
	// The record comes first: a node that crashes after it spoke as a member
	// must still be that member.
	if err := m.cfg.Bind(*b); err != nil {
		return false, fmt.Errorf("record the cluster: %w", err)
	}
	m.mu.Lock()
	m.mu.binding = b
	m.mu.Unlock()
	for _, answer := range answers {
		if answer.admitted && answer.roster != nil && answer.binding.ClusterID == b.ClusterID {
			m.SetRoster(*answer.roster)
		}
	}
	m.cfg.Logger.Info("all members have met", slog.String("cluster", b.Cluster), slog.String("cluster_id", b.ClusterID.String()))
	return true, nil
}

// askAll sends a Meet to every other member at once and waits for all answers.
// It shows each one to seen as it comes, one at a time.
func (m *Mux) askAll(ctx context.Context, seen func(heard)) map[Member]heard {
	var mu sync.Mutex
	answers := map[Member]heard{}
	var wg sync.WaitGroup
	for _, k := range m.Roster().Members {
		p := k.Member
		if p.Name == m.cfg.Self.Name {
			continue
		}
		wg.Go(func() {
			answer := m.ask(ctx, p.Name)
			mu.Lock()
			defer mu.Unlock()
			answers[p] = answer
			seen(answer)
		})
	}
	wg.Wait()
	return answers
}

// ask sends one Meet.
func (m *Mux) ask(ctx context.Context, member string) heard {
	var answer heard
	err := m.converse(ctx, member, streamMeet, func(_, _ net.Conn, h *hello, refused *Refusal) error {
		// A bound member refuses a node that was formatted anew, and its
		// binding is the proof: that refusal is an answer. Another one is not.
		if refused != nil && (refused.Code != CodeNodeID || h.ClusterID.IsZero()) {
			return refused
		}
		if h.Join {
			return fmt.Errorf("node %s was formatted with --join, to be added to a cluster that there is already", h.Node)
		}
		var err error
		answer.id = h.NodeID
		answer.binding, err = h.binding()
		answer.admitted, answer.roster = refused == nil && answer.binding != nil, h.Roster
		return err
	})
	if err != nil {
		m.noteDialError(member, err)
		return heard{err: err}
	}
	m.setProblem(member, "")
	return answer
}

// logMeeting tells for whom the node waits, and who is not whom the cluster
// knows.
func (m *Mux) logMeeting(answers map[Member]heard, b *identity.Binding) {
	if b == nil && m.cfg.Join {
		m.log.write(slog.LevelInfo, "join", "", "waiting to be added: twofold member add, or replace, at a member of the cluster",
			slog.String("identity", m.cfg.Self.NodeID.String()))
	}
	for _, p := range sortedMembers(answers) {
		answer := answers[p]
		if answer.err != nil && b == nil {
			m.log.write(slog.LevelInfo, "waiting", p.Name, "waiting for member "+p.Name+" at "+p.Addr, slog.Any("err", answer.err))
		}
		if b == nil || answer.err != nil {
			continue
		}
		if recorded, ok := b.Member(p.Name); !ok || b.Joined != nil {
			continue // the log says who they are
		} else if recorded.NodeID != answer.id {
			m.log.write(slog.LevelWarn, "anew", p.Name, "member was formatted anew and is not part of the cluster any more",
				slog.String("node_id", answer.id.String()), slog.String("recorded", recorded.NodeID.String()))
		}
	}
}

// decide draws the conclusion from one round: the node's binding, or nil to wait,
// or an error that waiting does not mend. See "First meeting" in doc.go.
func decide(cfg *Config, answers map[Member]heard) (*identity.Binding, error) {
	self := cfg.Self
	var found, admits *identity.Binding
	var foundAt, strangerAt, strangerID string
	members := []identity.Member{self}
	complete := true
	for _, p := range sortedMembers(answers) {
		answer := answers[p]
		if answer.err != nil {
			complete = false
			continue
		}
		members = append(members, identity.Member{Name: p.Name, Role: p.Role, NodeID: answer.id})
		if answer.binding == nil {
			continue
		}
		if found != nil && found.ClusterID != answer.binding.ClusterID {
			return nil, fmt.Errorf("%w: node %s is bound to %s and node %s to %s; they were not formatted for one cluster: format those anew that hold nothing",
				ErrDisagree, foundAt, found.ClusterID, p.Name, answer.binding.ClusterID)
		}
		found, foundAt = answer.binding, p.Name
		if answer.admitted {
			admits = answer.binding
		} else if listed, _ := found.Member(self.Name); listed != self {
			strangerAt, strangerID = p.Name, listed.NodeID.String()
		}
	}
	if cfg.Join {
		return joined(self, admits), nil
	}
	if strangerAt != "" {
		return nil, fmt.Errorf("%w: the cluster of node %s knows node %s by the id %s, and this directory has %s: it was formatted after the cluster was formed and cannot join under this name; bring the old directory back, or replace the member by a new one (twofold init --join, then twofold member replace)",
			ErrFormattedAnew, strangerAt, self.Name, strangerID, self.NodeID)
	}
	if found != nil {
		return joined(self, found), nil
	}
	if !complete {
		return nil, nil
	}
	b, err := identity.NewBinding(cfg.ClusterName, members)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDisagree, err)
	}
	return &b, nil
}

// joined is the binding that a node records when a member of the cluster has it
// among the members, or nil.
func joined(self identity.Member, admits *identity.Binding) *identity.Binding {
	if admits == nil {
		return nil
	}
	b := admits.Join(self)
	return &b
}

// sortedMembers gives errors that do not depend on the order of a map.
func sortedMembers(answers map[Member]heard) []Member {
	return slices.SortedFunc(maps.Keys(answers), func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
}
