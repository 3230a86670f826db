package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"twofold/raftlog"
	"twofold/raftlog/identity"
	"twofold/raftlog/transport"
)

// memberAsk is the body of POST /members.
type memberAsk struct {
	Action   string       `json:"action"` // add, remove, replace
	Name     string       `json:"name"`   // of the new member, or of the one that goes
	New      string       `json:"new,omitempty"`
	Role     raftlog.Role `json:"role,omitempty"`
	Addr     string       `json:"addr,omitempty"`
	Identity string       `json:"identity,omitempty"` // that the new member must have
}

// The actions.
const (
	memberAdd     = "add"
	memberRemove  = "remove"
	memberReplace = "replace"
)

// membersReply is the answer to GET and POST /members.
type membersReply struct {
	Node    string         `json:"node"` // that answers
	Index   uint64         `json:"index"`
	Leader  string         `json:"leader"`
	Members []memberStatus `json:"members"`
	Done    []string       `json:"done,omitempty"`
	Unknown string         `json:"unknown,omitempty"` // why it is not known whether the last step was done
}

func (n *node) handleMembers(mux *http.ServeMux) {
	mux.HandleFunc("GET /members", func(w http.ResponseWriter, r *http.Request) {
		adminReply(w, func() (any, error) { return n.listMembers(r.Context()) })
	})
	mux.HandleFunc("POST /members", func(w http.ResponseWriter, r *http.Request) {
		adminReply(w, func() (any, error) {
			var ask memberAsk
			if err := decodeAsk(w, r, &ask); err != nil {
				return nil, err
			}
			return n.changeMembers(r.Context(), ask)
		})
	})
}

// listMembers is the command GET /members.
func (n *node) listMembers(ctx context.Context) (*membersReply, error) {
	p := n.parts.Load()
	if p == nil {
		return nil, errNotMet
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	log := p.raft.FreshStatus(ctx)
	return &membersReply{Node: n.cfg.Node, Index: n.roster.Load().Index, Leader: log.State.Leader, Members: n.members(log)}, nil
}

// memberChange is one command under way.
type memberChange struct {
	node *node
	raft *raftlog.Node
	now  *membersReply
	done []string
}

// changeMembers is the command POST /members.
func (n *node) changeMembers(ctx context.Context, ask memberAsk) (*membersReply, error) {
	now, err := n.listMembers(ctx)
	if err != nil {
		return nil, err
	}
	if now.Leader != n.cfg.Node {
		return nil, fmt.Errorf("node %s does not lead, %s does: give the command there", n.cfg.Node, orNobody(now.Leader))
	}
	ctx, cancel := context.WithTimeout(ctx, 2*changeLimit)
	defer cancel()
	c := &memberChange{node: n, raft: n.parts.Load().raft, now: now}
	switch ask.Action {
	case memberAdd:
		err = c.add(ctx, ask)
	case memberRemove:
		err = c.remove(ctx, ask.Name)
	case memberReplace:
		err = c.replace(ctx, ask)
	default:
		err = fmt.Errorf("unknown action %q", ask.Action)
	}
	if err != nil && !errors.Is(err, raftlog.ErrUnknownOutcome) {
		return nil, c.explain(err)
	}
	if now, listErr := n.listMembers(context.WithoutCancel(ctx)); listErr == nil {
		c.now = now
	}
	c.now.Done = c.done
	if err != nil {
		c.now.Unknown = err.Error()
	}
	return c.now, nil
}

func orNobody(name string) string {
	if name == "" {
		return "nobody"
	}
	return name
}

// explain adds to an error what was done before it.
func (c *memberChange) explain(err error) error {
	if len(c.done) == 0 {
		return fmt.Errorf("%w: nothing was changed", err)
	}
	return fmt.Errorf("%w: but this was done: %v", err, c.done)
}

func (c *memberChange) did(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.done = append(c.done, text)
	c.node.log.Info("members: " + text)
}

func (c *memberChange) find(name string) (memberStatus, bool) {
	for _, m := range c.now.Members {
		if m.Name == name {
			return m, true
		}
	}
	return memberStatus{}, false
}

// add begins to take a member in. The cluster has two data nodes and one witness,
// so that there is room only after one has gone.
func (c *memberChange) add(ctx context.Context, ask memberAsk) error {
	if _, ok := c.find(ask.Name); ok {
		return fmt.Errorf("%q is a member: give another name, or use twofold member replace", ask.Name)
	}
	room := map[raftlog.Role]int{raftlog.RoleData: 2, raftlog.RoleWitness: 1}
	for _, m := range c.now.Members {
		room[m.Role]--
	}
	if room[ask.Role] <= 0 {
		return fmt.Errorf("a cluster has two data nodes and one witness, and there is no room for a further %s node: use twofold member replace", ask.Role)
	}
	found, err := c.identify(ctx, ask.Name, ask)
	if err != nil {
		return err
	}
	return c.admit(ctx, found, ask.Addr, "")
}

// identify asks the new node who it is.
func (c *memberChange) identify(ctx context.Context, name string, ask memberAsk) (identity.Member, error) {
	found, err := c.node.mux.Identify(ctx, transport.Member{Name: name, Role: ask.Role, Addr: ask.Addr})
	if err == nil && ask.Identity != "" && ask.Identity != found.NodeID.String() {
		err = fmt.Errorf("node %s at %s has the identity %s, not %s: is this the right machine?", name, ask.Addr, found.NodeID, ask.Identity)
	}
	return found, err
}

// admit adds a member that does not vote yet. The leader gives it its vote when it
// has caught up.
func (c *memberChange) admit(ctx context.Context, m identity.Member, addr, replaces string) error {
	err := c.raft.AddMember(ctx, raftlog.Server{
		Member:   raftlog.Member{Name: m.Name, Role: m.Role},
		Identity: m.NodeID.String(), Addr: addr, Replaces: replaces,
	})
	if err == nil {
		c.did("%s (%s, identity %s, %s) is a member and catches up", m.Name, m.Role, m.NodeID, addr)
	}
	return err
}

// remove takes a member out for ever.
func (c *memberChange) remove(ctx context.Context, name string) error {
	m, ok := c.find(name)
	if !ok {
		return fmt.Errorf("%q is not a member: look at twofold member list", name)
	}
	if name == c.node.cfg.Node {
		return fmt.Errorf("%s leads: move the lead first, with twofold leader move, and give the command there", name)
	}
	if err := c.survives(m); err != nil {
		return err
	}
	err := c.raft.RemoveMember(ctx, name)
	if err == nil {
		c.did("%s (identity %s) is removed for ever", name, m.Identity)
	}
	return err
}

// survives refuses a removal after which there would be no quorum, or no data node
// with everything.
func (c *memberChange) survives(gone memberStatus) error {
	voters, answering, data := 0, 0, 0
	for _, m := range c.now.Members {
		if m.Name == gone.Name || !m.Voter {
			continue
		}
		voters++
		if m.Answers {
			answering++
		}
		if m.Role == raftlog.RoleData && m.InSync {
			data++
		}
	}
	switch {
	case data == 0:
		return fmt.Errorf("without %s no data node would have everything: wait until twofold status shows another one in sync", gone.Name)
	case 2*answering <= voters:
		return fmt.Errorf("without %s only %d of the %d that vote would answer: bring the others back first", gone.Name, answering, voters)
	}
	return nil
}

// replace puts a new member in the place of one that is dead or alive (rule M7).
// A dead one goes first: it makes every quorum larger and brings nothing. A living
// one goes last, when the new one votes, which the leader sees to by itself.
func (c *memberChange) replace(ctx context.Context, ask memberAsk) error {
	old, ok := c.find(ask.Name)
	if !ok {
		return fmt.Errorf("%q is not a member: look at twofold member list", ask.Name)
	}
	name := ask.New
	if name == "" {
		name = ask.Name
	}
	_, taken := c.find(name)
	switch {
	case name != ask.Name && taken:
		return fmt.Errorf("%q is a member already: give the new node another name", name)
	case name == ask.Name && old.Answers:
		return fmt.Errorf("%s answers: stop it first, or give the new node another name", name)
	case !old.Answers && ask.Name == c.node.cfg.Node:
		return fmt.Errorf("%s leads", ask.Name)
	}
	ask.Role = old.Role
	found, err := c.identify(ctx, name, ask)
	if err != nil {
		return err
	}
	if old.Answers {
		return c.admit(ctx, found, ask.Addr, old.Identity)
	}
	if err := c.remove(ctx, ask.Name); err != nil {
		return err
	}
	return c.admit(ctx, found, ask.Addr, "")
}
