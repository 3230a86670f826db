package raftlog_test

import (
	"fmt"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/rafttest"
)

// Forty nodes take one another's place, and what the cluster knows of its members
// does not grow: another one can always be added, and none that went counts for
// anything.
func TestMembers_FortyReplaced(t *testing.T) {
	bubble(t, rafttest.Trio, func(t *testing.T, c *rafttest.Cluster) {
		c.Start()
		makeLeader(t, c, "a")
		c.Eventually(5*time.Second, "a is ready", func() bool { s, _ := c.Nodes["a"].Watch(); return s.Ready })
		dead := "b"
		var want []string
		for i := range 40 {
			by := raftlog.Server{Member: raftlog.Member{Name: fmt.Sprint("n", i), Role: raftlog.RoleData}, Identity: fmt.Sprint("id-", i), Addr: "x:1"}
			c.Crash(dead)
			change(t, c, func(n *raftlog.Node) error { return n.RemoveMember(t.Context(), dead) })
			change(t, c, func(n *raftlog.Node) error { return n.AddMember(t.Context(), by) })
			c.Join(by.Member)
			if err := c.Open(by.Name); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprint("entry ", i))
			mustPropose(t, c.Nodes["a"], want[i])
			have(t, c, by.Name, want)
			change(t, c, func(n *raftlog.Node) error { return n.PromoteMember(t.Context(), by.Name) })
			wantShape(t, c, fmt.Sprintf("A N%d=id-%d W", i, i), "a", "w")
			if latest, _, _ := c.Nodes["w"].Members(); len(latest.Servers) != 3 {
				t.Fatalf("%d members", len(latest.Servers))
			}
			if s := c.Nodes["a"].Status(); len(s.Peers) != 2 {
				t.Fatalf("a has links to %d members", len(s.Peers))
			}
			dead = by.Name
		}
	})
}
