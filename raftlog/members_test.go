package raftlog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

var (
	joinC = raftlog.Server{Member: raftlog.Member{Name: "c", Role: raftlog.RoleData}, Identity: "id-c", Addr: "c.example:1"}
	joinV = raftlog.Server{Member: raftlog.Member{Name: "v", Role: raftlog.RoleWitness}, Identity: "id-v", Addr: "v.example:1"}
)

// shape is what a node's log says of the members: voters in capitals, and the
// identities of those that have one.
func shape(n *raftlog.Node) string {
	latest, _, _ := n.Members()
	var parts []string
	for _, s := range latest.Servers {
		p := s.Name
		if s.Voter {
			p = strings.ToUpper(p)
		}
		if s.Identity != "" {
			p += "=" + s.Identity
		}
		parts = append(parts, p)
	}
	return strings.Join(parts, " ")
}

// wantShape waits until nodes have a configuration, committed.
func wantShape(t *testing.T, c *rafttest.Cluster, want string, names ...string) {
	t.Helper()
	for _, name := range names {
		c.Eventually(10*time.Second, name+" has "+want, func() bool {
			latest, committed, _ := c.Nodes[name].Members()
			return shape(c.Nodes[name]) == want && latest.Index == committed.Index
		})
	}
}

// change makes one change of the members at the leader, whoever that is.
func change(t *testing.T, c *rafttest.Cluster, f func(n *raftlog.Node) error, but ...string) {
	t.Helper()
	for range 20 {
		err := f(c.Nodes[c.Leader(but...)])
		if err == nil {
			return
		}
		if !errors.Is(err, raftlog.ErrNotLeader) {
			t.Fatal(err)
		}
	}
	t.Fatal("no leader stays")
}

// A dead data node is removed and another one takes its place: it catches up by
// the log, and only then votes. The same with the witness. Proposals go on.
func TestMembers_ReplaceTheDead(t *testing.T) {
	for _, tt := range []struct {
		dead string
		by   raftlog.Server
		end  string
	}{
		{"b", joinC, "A C=id-c W"},
		{"w", joinV, "A B V=id-v"},
		{"b", raftlog.Server{Member: raftlog.Member{Name: "b", Role: raftlog.RoleData}, Identity: "id-b2", Addr: "b.example:2"}, "A B=id-b2 W"},
	} {
		t.Run(tt.dead+" by "+tt.by.Identity, func(t *testing.T) {
			bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
				c.Start()
				makeLeader(t, c, "a")
				for _, s := range number(1, 50) {
					mustPropose(t, c.Nodes["a"], s)
				}
				c.Crash(tt.dead)
				c.Leader()
				change(t, c, func(n *raftlog.Node) error { return n.RemoveMember(t.Context(), tt.dead) })
				change(t, c, func(n *raftlog.Node) error { return n.AddMember(t.Context(), tt.by) })
				if err := c.Nodes["a"].AddMember(t.Context(), tt.by); err == nil || errors.Is(err, raftlog.ErrUnknownOutcome) {
					t.Errorf("added twice: %v", err)
				}
				c.Join(tt.by.Member)
				if err := c.Open(tt.by.Name); err != nil {
					t.Fatal(err)
				}
				mustPropose(t, c.Nodes["a"], "entry 51")
				if tt.by.Role == raftlog.RoleData {
					have(t, c, tt.by.Name, number(1, 51))
				}
				c.Eventually(5*time.Second, "the new one knows the leader", func() bool {
					s, _ := c.Nodes[tt.by.Name].Watch()
					return s.Leader == "a"
				})
				change(t, c, func(n *raftlog.Node) error { return n.PromoteMember(t.Context(), tt.by.Name) })
				wantShape(t, c, tt.end, running(c)...)
				mustPropose(t, c.Nodes["a"], "entry 52")
				restartAndLead(t, c, tt.by, tt.end)
			})
		})
	}
}

// restartAndLead restarts the new member, and then loses another one: with the
// new one there is a quorum.
func restartAndLead(t *testing.T, c *rafttest.Cluster, by raftlog.Server, end string) {
	t.Helper()
	c.Stop(by.Name)
	if err := c.Open(by.Name); err != nil {
		t.Fatal(err)
	}
	wantShape(t, c, end, by.Name)
	third := "w"
	if by.Role == raftlog.RoleWitness {
		third = "b"
	}
	c.Crash(third)
	lead := c.Leader()
	mustPropose(t, c.Nodes[lead], "entry 53")
	if _, err := c.Nodes[lead].ReadIndex(t.Context()); err != nil {
		t.Error(err)
	}
	for name := range c.Machines {
		if c.Nodes[name] != nil {
			have(t, c, name, number(1, 53))
		}
	}
}

// A member without a vote counts for nothing: it makes no quorum, neither for an
// entry nor for a read, and is never handed the lead.
func TestMembers_NonVoterCountsForNothing(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		n := makeLeader(t, c, "a")
		if err := n.AddMember(t.Context(), joinC); err != nil {
			t.Fatal(err)
		}
		c.Join(joinC.Member)
		if err := c.Open("c"); err != nil {
			t.Fatal(err)
		}
		mustPropose(t, n, "1")
		have(t, c, "c", []string{"1"})
		if err := n.TransferLeadership(t.Context(), "c"); err == nil {
			t.Error("the lead goes to a member without a vote")
		}
		c.Net.Between(c.Net.Hold, "a", "b", "w")
		p := n.Propose([]byte("2"))
		read := make(chan error, 1)
		go func() {
			_, err := n.ReadIndex(t.Context())
			read <- err
		}()
		select {
		case <-p.Done():
			if p.Err() == nil {
				t.Error("an entry is committed by a member without a vote")
			}
		case err := <-read:
			if err == nil {
				t.Error("a read is confirmed by a member without a vote")
			}
		case <-time.After(300 * time.Millisecond): // before the leader gives up
		}
		c.Net.Between(c.Net.Release, "a", "b", "w")
		<-p.Done()
		<-read
	})
}

// A living data node is replaced: the new one votes before the old one goes.
func TestMembers_ReplaceTheLiving(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		n := makeLeader(t, c, "a")
		for _, s := range number(1, 20) {
			mustPropose(t, n, s)
		}
		by := joinC
		by.Replaces = "b"
		if err := n.AddMember(t.Context(), by); err != nil {
			t.Fatal(err)
		}
		c.Join(by.Member)
		if err := c.Open("c"); err != nil {
			t.Fatal(err)
		}
		have(t, c, "c", number(1, 20))
		for _, f := range []func() error{
			func() error { return n.PromoteMember(t.Context(), "c") },
			func() error { return n.RemoveMember(t.Context(), "b") },
		} {
			if err := f(); err != nil {
				t.Fatal(err)
			}
			mustPropose(t, n, fmt.Sprint(time.Now().UnixNano()))
		}
		wantShape(t, c, "A C=id-c W", "a", "c", "w")
		latest, _, _ := n.Members()
		if s, _ := latest.Server("c"); s != (raftlog.Server{Member: by.Member, Voter: true, Identity: "id-c", Addr: "c.example:1", Replaces: "b"}) {
			t.Errorf("c is %+v", s)
		}
		if err := n.RemoveMember(t.Context(), "a"); err == nil {
			t.Error("the leader takes itself out")
		}
		// The removed one disturbs nobody, although nothing here keeps it away.
		term := n.Term()
		time.Sleep(5 * time.Second)
		if s, _ := n.Watch(); !s.Ready || n.Term() != term {
			t.Errorf("the removed member ended the term: %+v", s)
		}
	})
}

func running(c *rafttest.Cluster) (names []string) {
	for name := range c.Nodes {
		names = append(names, name)
	}
	return names
}
