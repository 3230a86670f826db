package identity_test

import (
	"path/filepath"
	"testing"

	"twofold/raftlog"
	"twofold/raftlog/identity"
)

func joinConfig(node string) identity.Config {
	cfg := config(node)
	cfg.Join = true
	return cfg
}

// A node that joins records the founders, and itself beside them, also under the
// name of one of them.
func TestBinding_Join(t *testing.T) {
	first := founders(t, "a", "b")
	for _, name := range []string{"b", "c"} {
		dir := filepath.Join(t.TempDir(), "s")
		id := mustInit(t, dir, joinConfig(name))
		if !id.Join {
			t.Fatalf("%+v was formatted to join", id)
		}
		joined := first.Join(id.Member())
		if joined.ClusterID != first.ClusterID || !joined.Lists(id.Member()) || first.Lists(id.Member()) {
			t.Fatalf("%s: %+v", name, joined)
		}
		d, err := identity.Open(dir, config(name))
		if err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, d.Bind(first), identity.ErrInvalid, "does not list this node")
		if err := d.Bind(joined); err != nil {
			t.Fatal(err)
		}
		d.Close()
		again, err := identity.LoadBinding(dir, id)
		if err != nil || again == nil || again.Joined == nil || *again.Joined != id.Member() {
			t.Fatalf("%s: %+v, %v", name, again, err)
		}
	}
	if b := first.Join(first.Members[0]); b.Joined != nil {
		t.Errorf("a founder joined: %+v", b)
	}
}

// The survivor of a cluster founds another one, which names the old one. Nobody
// goes from a cluster to any other one.
func TestDir_Rebind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	id := mustInit(t, dir, config("a"))
	old, err := identity.NewBinding("c1", []identity.Member{id.Member(), {Name: "b", Role: raftlog.RoleData, NodeID: identity.NodeID{2}}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := identity.Open(dir, config("a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Bind(old); err != nil {
		t.Fatal(err)
	}
	next, err := old.Recover(id.Member())
	if err != nil || next.ClusterID == old.ClusterID || !next.DescendsFrom(old.ClusterID) || len(next.Members) != 1 {
		t.Fatalf("%+v, %v", next, err)
	}
	wantRefusal(t, d.Bind(next), identity.ErrBound, "bound to cluster")
	second, err := next.Recover(id.Member())
	if err != nil || second.ClusterID == next.ClusterID || !second.DescendsFrom(old.ClusterID) {
		t.Fatalf("%+v, %v", second, err)
	}
	wantRefusal(t, d.Rebind(second), identity.ErrBound, "bound to cluster")
	if err := d.Rebind(next); err != nil {
		t.Fatal(err)
	}
	if err := d.Rebind(next); err != nil { // as a repeated recovery does
		t.Fatal(err)
	}
	d.Close()
	again, err := identity.LoadBinding(dir, id)
	if err != nil || again.ClusterID != next.ClusterID || again.Validate() != nil {
		t.Fatalf("%+v, %v", again, err)
	}
	forged := next
	forged.Ancestors = []identity.ClusterID{{9}}
	wantRefusal(t, forged.Validate(), identity.ErrInvalid, "is not that of its members")
}

// A fenced directory is never opened again, and says why.
func TestDir_Fence(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	mustInit(t, dir, config("a"))
	d, err := identity.Open(dir, config("a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{"it was removed", "another reason"} {
		if err := d.Fence(why); err != nil {
			t.Fatal(err)
		}
	}
	d.Close()
	_, err = identity.Open(dir, config("a"))
	wantRefusal(t, err, identity.ErrFenced, dir, "it was removed", "init --join")
	_, err = identity.Load(dir, config("a"))
	wantRefusal(t, err, identity.ErrFenced, "it was removed")
}

func founders(t *testing.T, names ...string) identity.Binding {
	t.Helper()
	var members []identity.Member
	for i, n := range names {
		members = append(members, identity.Member{Name: n, Role: raftlog.RoleData, NodeID: identity.NodeID{byte(i + 1)}})
	}
	b, err := identity.NewBinding("c1", members)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
