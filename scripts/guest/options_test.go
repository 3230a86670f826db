package main

import (
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParseMount(t *testing.T) {
	for _, tt := range []struct {
		in      string
		server  string
		export  string
		point   string
		options string
	}{
		{"127.0.0.1:2049/=/mnt/a", "127.0.0.1:2049", "/", "/mnt/a",
			"vers=3,proto=tcp,port=2049,mountport=2049,mountproto=tcp,retry=0,nolock"},
		{"10.77.1.1:12049/some/dir=/mnt/b,ro,soft", "10.77.1.1:12049", "/some/dir", "/mnt/b",
			"vers=3,proto=tcp,port=12049,mountport=12049,mountproto=tcp,retry=0,nolock,ro,soft"},
		{"127.0.0.1:2049/=/mnt/a,mountport=2050,lock", "127.0.0.1:2049", "/", "/mnt/a",
			"vers=3,proto=tcp,port=2049,mountproto=tcp,retry=0,mountport=2050,lock"},
	} {
		m, err := parseMount(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if m.Server != netip.MustParseAddrPort(tt.server) || m.Export != tt.export || m.Point != tt.point {
			t.Errorf("%s: got %+v", tt.in, m)
		}
		if got := m.mountOptions(); got != tt.options {
			t.Errorf("%s: options %q, want %q", tt.in, got, tt.options)
		}
	}
}

func TestParseMount_Refused(t *testing.T) {
	for _, in := range []string{
		"", "127.0.0.1:2049", "127.0.0.1:2049/", "127.0.0.1/=/mnt/a", "localhost:2049/=/mnt/a", "127.0.0.1:2049/=mnt/a",
		"[::1]:2049/=/mnt/a", "127.0.0.1:2049=/mnt/a", "127.0.0.1:2049/=/mnt/a,mountport=none",
	} {
		if m, err := parseMount(in); err == nil {
			t.Errorf("%q: got %+v, want an error", in, m)
		}
	}
}

func TestParseOptions(t *testing.T) {
	share := t.TempDir()
	o, err := parseOptions([]string{"-memory", "512", "-limit", "30s", "-share", share,
		"-mount", "127.0.0.1:2049/=/mnt/a", "--", "ls", "-l"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.memory != 512 || o.limit != 30*time.Second || len(o.shares) != 1 || len(o.mounts) != 1 {
		t.Errorf("got %+v", o)
	}
	if got := strings.Join(o.command, " "); got != "ls -l" {
		t.Errorf("command is %q", got)
	}
}

func TestParseOptions_Refused(t *testing.T) {
	for _, args := range [][]string{
		{}, {"-memory", "1", "true"}, {"-limit", "0s", "true"}, {"-mount", "nonsense", "true"}, {"-unknown", "true"},
	} {
		if o, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%v: got %+v, want an error", args, o)
		}
	}
}

// TestTrouble keeps the filter of the kernel's log from hiding what matters, or crying at every boot.
func TestTrouble(t *testing.T) {
	for line, want := range map[string]bool{
		"nfs: server 10.77.1.1 not responding, still trying":                        true,
		"INFO: task clientcheck:52 blocked for more than 120 seconds.":              true,
		"Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b":   true,
		"Out of memory: Killed process 52 (clientcheck)":                            true,
		"RPC: Registered tcp transport module.":                                     false,
		"SGI XFS with ACLs, security attributes, realtime, quota, no debug enabled": false,
	} {
		if got := trouble.MatchString(line) && !boring.MatchString(line); got != want {
			t.Errorf("%q: reported is %v, want %v", line, got, want)
		}
	}
}
