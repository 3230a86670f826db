package identity_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"twofold/raftlog"
	"twofold/raftlog/identity"
)

func nodeID(b byte) identity.NodeID {
	var id identity.NodeID
	for i := range id {
		id[i] = b
	}
	return id
}

func three() []identity.Member {
	return []identity.Member{
		{Name: "a", Role: raftlog.RoleData, NodeID: nodeID(1)},
		{Name: "b", Role: raftlog.RoleData, NodeID: nodeID(2)},
		{Name: "w", Role: raftlog.RoleWitness, NodeID: nodeID(3)},
	}
}

func mustBinding(t *testing.T, cluster string, members []identity.Member) identity.Binding {
	t.Helper()
	b, err := identity.NewBinding(cluster, members)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The cluster id is part of the format: it must never change for given members.
func TestNewBinding_GoldenID(t *testing.T) {
	const want = "09d35d0c7cb68d82b2ce8f11934b8e11"
	if got := mustBinding(t, "c1", three()).ClusterID.String(); got != want {
		t.Errorf("cluster id %s, want %s", got, want)
	}
}

func TestNewBinding_DependsOnMembersOnly(t *testing.T) {
	m := three()
	base := mustBinding(t, "c1", m).ClusterID
	for _, p := range [][]int{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		got := mustBinding(t, "c1", []identity.Member{m[p[0]], m[p[1]], m[p[2]]})
		if got.ClusterID != base {
			t.Errorf("order %v gives another id", p)
		}
	}
	if mustBinding(t, "c2", m).ClusterID == base {
		t.Error("another cluster name gives the same id")
	}
	for name, edit := range map[string]func(*identity.Member){
		"name": func(m *identity.Member) { m.Name = "x" },
		"role": func(m *identity.Member) { m.Role = raftlog.RoleData },
		"id":   func(m *identity.Member) { m.NodeID = nodeID(9) },
	} {
		m := three()
		edit(&m[2])
		if mustBinding(t, "c1", m).ClusterID == base {
			t.Errorf("another %s gives the same id", name)
		}
	}
}

func TestNewBinding_Refused(t *testing.T) {
	tests := map[string]func([]identity.Member) []identity.Member{
		"none":         func([]identity.Member) []identity.Member { return nil },
		"same name":    func(m []identity.Member) []identity.Member { m[1].Name = "a"; return m },
		"same id":      func(m []identity.Member) []identity.Member { m[1].NodeID = nodeID(1); return m },
		"unknown id":   func(m []identity.Member) []identity.Member { m[1].NodeID = identity.NodeID{}; return m },
		"unknown role": func(m []identity.Member) []identity.Member { m[1].Role = ""; return m },
		"bad name":     func(m []identity.Member) []identity.Member { m[1].Name = "b b"; return m },
		"too many":     func(m []identity.Member) []identity.Member { return make([]identity.Member, identity.MaxMembers+1) },
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := identity.NewBinding("c1", edit(three()))
			wantRefusal(t, err, identity.ErrInvalid)
		})
	}
}

// openAs formats and opens a directory and returns the binding of its node with
// b and w.
func openAs(t *testing.T, dir string) (*identity.Dir, identity.Binding) {
	t.Helper()
	id := mustInit(t, dir, config("a"))
	d, err := identity.Open(dir, config("a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	m := three()
	m[0].NodeID = id.NodeID
	return d, mustBinding(t, "c1", m)
}

func TestBind_OnceAndDurable(t *testing.T) {
	dir := t.TempDir()
	d, b := openAs(t, dir)
	for range 2 {
		if err := d.Bind(b); err != nil {
			t.Fatal(err)
		}
	}
	m := three()
	m[0].NodeID = d.Identity().NodeID
	m[1].NodeID = nodeID(7)
	wantRefusal(t, d.Bind(mustBinding(t, "c1", m)), identity.ErrBound, b.ClusterID.String())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Bind(b); err == nil {
		t.Error("bound after Close")
	}

	d, err := identity.Open(dir, config("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got := d.Binding(); got == nil || got.ClusterID != b.ClusterID || len(got.Members) != 3 {
		t.Fatalf("reopened with %+v, want %+v", got, b)
	}
	wantNames(t, dir, "cluster.json", "identity.json", "lock")
}

func TestBind_RefusesWithoutThisNode(t *testing.T) {
	d, b := openAs(t, t.TempDir())
	wantRefusal(t, d.Bind(mustBinding(t, "c1", three())), identity.ErrInvalid, "does not list this node")
	wantRefusal(t, d.Bind(mustBinding(t, "c2", b.Members)), identity.ErrInvalid)
	forged := b
	forged.ClusterID[0] ^= 1
	wantRefusal(t, d.Bind(forged), identity.ErrInvalid)
	if d.Binding() != nil {
		t.Error("a refused binding was kept")
	}
}

// A cluster.json of another directory, or a damaged one, is never believed.
func TestOpen_ForeignBinding(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	d, b := openAs(t, dir)
	if err := d.Bind(b); err != nil {
		t.Fatal(err)
	}
	d.Close()
	mustInit(t, other, config("a"))
	raw, err := os.ReadFile(filepath.Join(dir, "cluster.json"))
	if err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, filepath.Join(other, "cluster.json"), string(raw))
	_, err = identity.Open(other, config("a"))
	wantRefusal(t, err, identity.ErrDamaged, "not of one directory")

	writeTestFile(t, filepath.Join(dir, "cluster.json"), strings.Replace(string(raw), `"witness"`, `"data"`, 1))
	_, err = identity.Open(dir, config("a"))
	wantRefusal(t, err, identity.ErrDamaged, "checksum")

	// What a crash before the rename leaves behind counts for nothing.
	if err := os.Rename(filepath.Join(dir, "cluster.json"), filepath.Join(dir, "cluster.json.tmp")); err != nil {
		t.Fatal(err)
	}
	d, err = identity.Open(dir, config("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Binding() != nil {
		t.Error("bound by a file that was never renamed")
	}
	if err := d.Bind(b); err != nil {
		t.Error(err)
	}
}

func TestID_Text(t *testing.T) {
	id := nodeID(0xab)
	raw, _ := id.MarshalText()
	if string(raw) != strings.Repeat("ab", 16) {
		t.Errorf("text %q", raw)
	}
	var back identity.NodeID
	if err := back.UnmarshalText(raw); err != nil || back != id {
		t.Errorf("back %v, %v", back, err)
	}
	for _, bad := range []string{"ab", strings.Repeat("a", 31), strings.Repeat("g", 32), hex.EncodeToString(make([]byte, 17))} {
		if err := back.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if err := back.UnmarshalText(nil); err != nil || !back.IsZero() {
		t.Errorf("empty text: %v, %v", back, err)
	}
}
