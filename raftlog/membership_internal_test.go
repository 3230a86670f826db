package raftlog

import (
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

var testFounders = []Member{{"a", RoleData}, {"b", RoleData}, {"w", RoleWitness}}

// A server's record survives the way through Raft's configuration, and nothing that
// would break it gets in.
func TestServer_Record(t *testing.T) {
	role := newMembership(testFounders, nil).role
	for _, s := range []Server{
		{Member: Member{"a", RoleData}, Voter: true},
		{Member: Member{"c", RoleData}, Identity: "id", Addr: "[::1]:7400"},
		{Member: Member{"v", RoleWitness}, Voter: true, Identity: "id", Addr: "v:1", Replaces: "other"},
	} {
		addr, err := s.address()
		if err != nil {
			t.Fatal(err)
		}
		in := raft.Server{ID: raft.ServerID(s.Name), Address: addr, Suffrage: raft.Nonvoter}
		if s.Voter {
			in.Suffrage = raft.Voter
		}
		if out, err := parseServer(in, role); err != nil || out != s {
			t.Errorf("%+v became %+v, %v", s, out, err)
		}
	}
	for _, bad := range []Server{
		{Member: Member{"c", RoleData}, Addr: "a|b"},
		{Member: Member{"c", RoleData}, Addr: strings.Repeat("x", MaxServerText+1)},
	} {
		if _, err := bad.address(); err == nil {
			t.Errorf("%+v has an address", bad)
		}
	}
	for _, bad := range []raft.ServerAddress{"member2|c|data|id|addr|", "member1|d|data|id|addr|", "member1|c|boss|id|addr|"} {
		if _, err := parseServer(raft.Server{ID: "c", Address: bad}, role); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func configEntry(index uint64, voters ...string) *raft.Log {
	var c raft.Configuration
	for _, v := range voters {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(v), Address: raft.ServerAddress(v)})
	}
	return &raft.Log{Index: index, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)}
}

// Between the append of a configuration and its commit both must agree; one that is
// truncated never counted.
func TestMembership_Quorum(t *testing.T) {
	m := newMembership(testFounders, func(err error) { t.Error(err) })
	has := func(names ...string) bool {
		return m.quorum(func(n string) bool { return strings.Contains(strings.Join(names, " "), n) })
	}
	first, second := configEntry(1, "a", "b", "w"), configEntry(9, "a", "b", "v", "w")
	m.appended(first)
	m.delivered(first)
	if !has("a", "w") || has("a") {
		t.Error("of three, two are a quorum")
	}
	m.appended(second)
	if has("a", "v") || has("a", "v", "b") != true || has("a", "b") {
		t.Error("a majority of the old and of the new configuration is a quorum")
	}
	m.truncated(10)
	if has("a", "b") {
		t.Error("what is below the cut stays")
	}
	m.truncated(9)
	if !has("a", "b") {
		t.Error("a configuration that is gone counts")
	}
	m.appended(second)
	m.delivered(second)
	m.delivered(first) // again, after a restart
	if has("a", "b") || !has("a", "v", "w") {
		t.Error("after the commit the new configuration counts alone")
	}
}
