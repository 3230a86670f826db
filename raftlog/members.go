package raftlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// changeTimeout bounds how long a change of the members waits for the one before.
const changeTimeout = 10 * time.Second

// Members returns the newest configuration in this node's log, the newest that is
// known to be committed (with Index zero if none is), and a channel that is closed
// at the next change.
func (n *Node) Members() (latest, committed Configuration, changed <-chan struct{}) {
	m := n.membership
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.latest, m.mu.committed, m.mu.changed
}

// AddMember adds a member that does not vote yet, as the leader. ErrNotLeader means
// that nothing was changed, ErrUnknownOutcome that nobody knows.
func (n *Node) AddMember(ctx context.Context, s Server) error {
	addr, err := s.address()
	if err != nil {
		return err
	}
	return n.changeMembers(ctx, func(latest Configuration) (raft.Future, error) {
		if _, ok := latest.Server(s.Name); ok {
			return nil, fmt.Errorf("raftlog: member %q is there already", s.Name)
		}
		if len(latest.Servers) >= maxMembers {
			return nil, fmt.Errorf("raftlog: there are %d members, and that is the most", maxMembers)
		}
		return n.raft.AddNonvoter(raft.ServerID(s.Name), addr, uint64(latest.Index), changeTimeout), nil
	})
}

// PromoteMember gives a member its vote.
func (n *Node) PromoteMember(ctx context.Context, name string) error {
	return n.changeMembers(ctx, func(latest Configuration) (raft.Future, error) {
		s, ok := latest.Server(name)
		if !ok || s.Voter {
			return nil, fmt.Errorf("raftlog: %q is no member without a vote", name)
		}
		addr, err := s.address()
		if err != nil {
			return nil, err
		}
		return n.raft.AddVoter(raft.ServerID(name), addr, uint64(latest.Index), changeTimeout), nil
	})
}

// RemoveMember takes a member out, for ever under its identity. The leader cannot
// take itself out.
func (n *Node) RemoveMember(ctx context.Context, name string) error {
	return n.changeMembers(ctx, func(latest Configuration) (raft.Future, error) {
		if _, ok := latest.Server(name); !ok || name == n.cfg.Name {
			return nil, fmt.Errorf("raftlog: %q is not another member", name)
		}
		return n.raft.RemoveServer(raft.ServerID(name), uint64(latest.Index), changeTimeout), nil
	})
}

// changeMembers makes one change at a time and waits until it is committed. A
// change is based on the newest configuration, which must be committed itself:
// hashicorp/raft refuses it if there is a newer one by then, and waits until the
// one before is committed.
func (n *Node) changeMembers(ctx context.Context, change func(latest Configuration) (raft.Future, error)) error {
	if _, ok := n.ready(); !ok {
		return n.notLeader()
	}
	if !n.changing.TryLock() {
		return errors.New("raftlog: another change of the members is under way")
	}
	latest, _, _ := n.Members()
	f, err := change(latest)
	if err != nil {
		n.changing.Unlock()
		return err
	}
	done := make(chan error, 1)
	if !n.spawn(func() {
		err := f.Error()
		n.changing.Unlock() // before the answer, after which the next one may be asked for
		done <- err
	}) {
		n.changing.Unlock()
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, ErrClosed)
	}
	select {
	case err := <-done:
		if err != nil && strings.HasPrefix(err.Error(), "configuration changed since") {
			return fmt.Errorf("raftlog: %w: nothing was done: try again", err)
		}
		return outcome(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

// isVoter reports that a member votes, by the newest configuration.
func (n *Node) isVoter(name string) bool {
	latest, _ := n.membership.configurations()
	return latest.votes(name)
}

// peerSet is what this node has for each other member. It is replaced, not
// changed.
type peerSet struct {
	links   []*link // by name
	nudgers map[string]*nudger
}

// peers returns the links to the other members, by name.
func (n *Node) peers() []*link { return n.peerSet.Load().links }

// follow keeps a link to every member that is in the log, until ctx ends.
func (n *Node) follow() {
	for {
		_, _, changed := n.Members()
		n.syncPeers()
		select {
		case <-changed:
		case <-n.ctx.Done():
			return
		}
	}
}

// syncPeers begins and ends links. A member that was replaced under its name gets
// a new one: what the old one said is no news of it.
func (n *Node) syncPeers() {
	latest, committed := n.membership.configurations()
	old := n.peerSet.Load()
	next := &peerSet{nudgers: map[string]*nudger{}}
	for _, s := range latest.Servers {
		if s.Name == n.cfg.Name || s.Role == "" {
			continue
		}
		i := slices.IndexFunc(old.links, func(k *link) bool { return k.peer == s.Member && k.identity == s.Identity })
		if i >= 0 {
			next.links = append(next.links, old.links[i])
			next.nudgers[s.Name] = old.nudgers[s.Name]
			continue
		}
		k := newLink(s.Member, &n.cfg, n.log, n.Term, n.reached)
		k.identity = s.Identity
		ctx, cancel := context.WithCancel(n.ctx)
		k.stop = cancel
		if !n.spawn(func() { k.run(ctx) }) {
			cancel()
			return
		}
		next.links = append(next.links, k)
		next.nudgers[s.Name] = &nudger{}
	}
	n.peerSet.Store(next)
	for _, k := range old.links {
		if !slices.Contains(next.links, k) {
			k.stop()
			n.trans.forget(k.peer.Name)
		}
	}
	if n.cfg.OnMembers != nil {
		n.cfg.OnMembers(latest, committed)
	}
}
