package export_test

import (
	"slices"
	"testing"

	"twofold/nfs/export"
	"twofold/nfs/rpc"
)

// mustRule is the rule of a client with these options.
func mustRule(t *testing.T, options string) export.Rule {
	t.Helper()
	clients, err := export.ParseClients("*(" + options + ")")
	if err != nil {
		t.Fatal(err)
	}
	return clients[0].Rule
}

func TestRule_Options(t *testing.T) {
	def := export.DefaultRule()
	if def.ReadWrite || !def.RootSquash || def.AllSquash || !def.Secure || def.AnonUID != 65534 || def.AnonGID != 65534 {
		t.Errorf("defaults: %+v", def)
	}
	for options, want := range map[string]export.Rule{
		"":                             def,
		"ro,root_squash,secure":        def,
		"sync,no_subtree_check":        def,
		"sec=sys,no_wdelay,sync":       def,
		"rw":                           {ReadWrite: true, RootSquash: true, Secure: true, AnonUID: 65534, AnonGID: 65534},
		"insecure,no_root_squash":      {AnonUID: 65534, AnonGID: 65534},
		"all_squash,anonuid=0":         {RootSquash: true, AllSquash: true, Secure: true, AnonGID: 65534},
		"anongid=4294967294,anonuid=1": {RootSquash: true, Secure: true, AnonUID: 1, AnonGID: 4294967294},
	} {
		got := mustRule(t, options)
		if got != want {
			t.Errorf("%q: %+v", options, got)
		}
		if again := mustRule(t, got.String()); again != got {
			t.Errorf("%q is written as %q, which is %+v", options, got.String(), again)
		}
	}
}

func TestRule_Cred(t *testing.T) {
	const none = 1<<32 - 1
	squash := mustRule(t, "anonuid=99,anongid=98")
	trust := mustRule(t, "no_root_squash,anonuid=99,anongid=98")
	all := mustRule(t, "all_squash,no_root_squash,anonuid=99,anongid=98")
	for _, c := range []struct {
		name     string
		rule     export.Rule
		cred     rpc.Cred
		uid, gid uint32
		groups   []uint32
		squashed bool
	}{
		{"root is squashed", squash, rpc.Cred{Flavor: rpc.AuthSys, Groups: []uint32{4, 0, 5}}, 99, 98, []uint32{4, 98, 5}, true},
		{"root is trusted", trust, rpc.Cred{Flavor: rpc.AuthSys, Groups: []uint32{4, 0}}, 0, 0, []uint32{4, 0}, false},
		{"user in group 0", squash, rpc.Cred{Flavor: rpc.AuthSys, UID: 7}, 7, 98, nil, false},
		{"user", squash, rpc.Cred{Flavor: rpc.AuthSys, UID: 7, GID: 8, Groups: []uint32{9}}, 7, 8, []uint32{9}, false},
		{"AUTH_NONE, trusted", trust, rpc.Cred{Flavor: rpc.AuthNone, Groups: []uint32{0}}, 99, 98, nil, true},
		{"id -1", trust, rpc.Cred{Flavor: rpc.AuthSys, UID: none, GID: none, Groups: []uint32{none}}, 99, 98, []uint32{98}, true},
		{"unknown flavor", trust, rpc.Cred{Flavor: 6}, 99, 98, nil, true},
		{"all, a user", all, rpc.Cred{Flavor: rpc.AuthSys, UID: 7, GID: 8, Groups: []uint32{9}}, 99, 98, nil, true},
		{"all, root", all, rpc.Cred{Flavor: rpc.AuthSys}, 99, 98, nil, true},
	} {
		before := slices.Clone(c.cred.Groups)
		got := c.rule.Cred(c.cred)
		if got.UID != c.uid || got.GID != c.gid || !slices.Equal(got.Groups, c.groups) {
			t.Errorf("%s: %+v", c.name, got)
		}
		if !slices.Equal(before, c.cred.Groups) {
			t.Errorf("%s: the call's own group list was changed", c.name)
		}
		if got := c.rule.Squashes(c.cred); got != c.squashed {
			t.Errorf("%s: squashed: %v", c.name, got)
		}
	}
}

func TestRule_PlainUserDoesNotAllocate(t *testing.T) {
	r := mustRule(t, "rw")
	c := rpc.Cred{Flavor: rpc.AuthSys, UID: 7, GID: 8, Groups: []uint32{9, 10}}
	if n := testing.AllocsPerRun(100, func() { _ = r.Cred(c) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}
