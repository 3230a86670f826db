package export_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"twofold/nfs/export"
	"twofold/nfs/rpc"
)

func mustTable(t *testing.T, rules ...export.Rule) *export.Table {
	t.Helper()
	table, err := export.New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func mustRule(t *testing.T, clients string, options ...string) export.Rule {
	t.Helper()
	r, err := export.ParseRule(clients, options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFind_MostSpecificWins(t *testing.T) {
	table := mustTable(t,
		mustRule(t, "10.0.0.0/8", "ro", "insecure"),
		mustRule(t, "10.1.2.3", "rw", "no_root_squash"),
		mustRule(t, "10.1.0.0/16", "rw", "insecure"),
		mustRule(t, "fd00::/64", "rw", "insecure"),
		mustRule(t, "::ffff:192.168.1.0/120", "rw", "insecure"),
	)
	for _, c := range []struct {
		client string
		want   string // the rule's network, or "" for none
	}{
		{"10.9.9.9:40000", "10.0.0.0/8"},
		{"10.1.9.9:40000", "10.1.0.0/16"},
		{"[::ffff:10.1.9.9]:40000", "10.1.0.0/16"},
		{"10.1.2.3:1023", "10.1.2.3/32"},
		{"10.1.2.3:1024", ""}, // secure, and the wider rule is not tried
		{"11.0.0.1:1", ""},
		{"[fd00::1]:40000", "fd00::/64"},
		{"[fd00:0:0:1::1]:40000", ""},
		{"192.168.1.77:40000", "192.168.1.0/24"},
	} {
		r, ok := table.Find(netip.MustParseAddrPort(c.client))
		got := ""
		if ok {
			got = r.Clients.String()
		}
		if got != c.want {
			t.Errorf("%s: rule %q, want %q", c.client, got, c.want)
		}
	}
}

func TestFind_LinkLocalZoneIsIgnored(t *testing.T) {
	table := mustTable(t, mustRule(t, "fe80::/10", "insecure"))
	if _, ok := table.Find(netip.MustParseAddrPort("[fe80::1%eth0]:2000")); !ok {
		t.Error("a link-local client has no rule")
	}
}

func TestFind_EmptyTableAdmitsNobody(t *testing.T) {
	if _, ok := mustTable(t).Find(netip.MustParseAddrPort("127.0.0.1:1")); ok {
		t.Error("an empty table admits a client")
	}
}

func TestNew_Refuses(t *testing.T) {
	p := netip.MustParsePrefix
	anon := export.DefaultRule(p("10.0.0.0/8"))
	anon.AnonUID = 1<<32 - 1
	for _, c := range []struct {
		name  string
		rules []export.Rule
		want  string
	}{
		{"zero rule", []export.Rule{{}}, "without a client network"},
		{"same network twice", []export.Rule{export.DefaultRule(p("10.0.0.1/8")), export.DefaultRule(p("10.2.0.0/8"))}, "two export rules for 10.0.0.0/8"},
		{"anonymous id -1", []export.Rule{anon}, "is no id"},
		{"wide mapped network", []export.Rule{export.DefaultRule(p("::ffff:1.2.3.4/90"))}, "at least 96"},
		{"too many", make([]export.Rule, export.MaxRules+1), "at most 256"},
	} {
		_, err := export.New(c.rules)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestParseRule_Defaults(t *testing.T) {
	r := mustRule(t, "10.0.0.7")
	if r.ReadWrite || !r.RootSquash || !r.Secure || r.AnonUID != 65534 || r.AnonGID != 65534 {
		t.Errorf("defaults: %+v", r)
	}
	if r := mustRule(t, "fd00::7", "rw", "anonuid=99", "anongid=98"); r.Clients.Bits() != 128 || !r.ReadWrite || r.AnonUID != 99 || r.AnonGID != 98 {
		t.Errorf("options: %+v", r)
	}
}

func TestParseRule_Refuses(t *testing.T) {
	for _, c := range []struct {
		clients string
		options []string
		want    string
	}{
		{"", nil, "not an IP address"},
		{"host.example", nil, "not an IP address"},
		{"fe80::1%eth0", nil, "not an IP address"},
		{"*", nil, "0.0.0.0/0"},
		{"10.0.0.0/33", nil, "not a network"},
		{"10.0.0.0/8", []string{"sync"}, `unknown option "sync"`},
		{"10.0.0.0/8", []string{"rw=1"}, `unknown option "rw=1"`},
		{"10.0.0.0/8", []string{"rw", "ro"}, "exclude each other"},
		{"10.0.0.0/8", []string{"secure", "secure"}, "exclude each other"},
		{"10.0.0.0/8", []string{"anonuid=nobody"}, "not a user or group id"},
		{"10.0.0.0/8", []string{"anonuid=-1"}, "not a user or group id"},
		{"10.0.0.0/8", []string{"anongid=4294967295"}, "is no id"},
		{"10.0.0.0/8", []string{"anonuid"}, "unknown option"},
	} {
		_, err := export.ParseRule(c.clients, c.options)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: error %v, want one with %q", c.clients, c.options, err, c.want)
		}
	}
}

func TestCred_Squash(t *testing.T) {
	const none = 1<<32 - 1
	squash := mustRule(t, "10.0.0.0/8", "anonuid=99", "anongid=98")
	trust := mustRule(t, "10.0.0.0/8", "no_root_squash", "anonuid=99", "anongid=98")
	for _, c := range []struct {
		name     string
		rule     export.Rule
		cred     rpc.Cred
		uid, gid uint32
		groups   []uint32
	}{
		{"root is squashed", squash, rpc.Cred{Flavor: rpc.AuthSys, Groups: []uint32{4, 0, 5}}, 99, 98, []uint32{4, 98, 5}},
		{"root is trusted", trust, rpc.Cred{Flavor: rpc.AuthSys, Groups: []uint32{4, 0}}, 0, 0, []uint32{4, 0}},
		{"user in group 0", squash, rpc.Cred{Flavor: rpc.AuthSys, UID: 7}, 7, 98, nil},
		{"user", squash, rpc.Cred{Flavor: rpc.AuthSys, UID: 7, GID: 8, Groups: []uint32{9}}, 7, 8, []uint32{9}},
		{"AUTH_NONE, trusted", trust, rpc.Cred{Flavor: rpc.AuthNone, Groups: []uint32{0}}, 99, 98, nil},
		{"id -1", trust, rpc.Cred{Flavor: rpc.AuthSys, UID: none, GID: none, Groups: []uint32{none}}, 99, 98, []uint32{98}},
		{"unknown flavor", trust, rpc.Cred{Flavor: 6}, 99, 98, nil},
	} {
		before := slices.Clone(c.cred.Groups)
		got := c.rule.Cred(c.cred)
		if got.UID != c.uid || got.GID != c.gid || !slices.Equal(got.Groups, c.groups) {
			t.Errorf("%s: %+v", c.name, got)
		}
		if !slices.Equal(before, c.cred.Groups) {
			t.Errorf("%s: the call's own group list was changed", c.name)
		}
	}
}

func TestCred_PlainUserDoesNotAllocate(t *testing.T) {
	r := mustRule(t, "10.0.0.0/8")
	c := rpc.Cred{Flavor: rpc.AuthSys, UID: 7, GID: 8, Groups: []uint32{9, 10}}
	if n := testing.AllocsPerRun(100, func() { _ = r.Cred(c) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}
