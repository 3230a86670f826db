package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"twofold/raftlog"
)

// A node that cannot start says why in one line, exits with 1 and leaves the
// disk as it was.
func TestServe_Refusals(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, c *testCluster)
		want  string
	}{
		{"not formatted", func(t *testing.T, c *testCluster) {
			if err := os.RemoveAll(c.cfgs["a"].Dir); err != nil {
				t.Fatal(err)
			}
		}, "is not formatted: run"},
		{"other cluster", func(t *testing.T, c *testCluster) {
			c.cfgs["a"].Cluster = "other"
		}, `belongs to cluster "test", but the configuration says "other"`},
		{"other node", func(t *testing.T, c *testCluster) {
			c.init(t, "b")
			c.cfgs["a"].Dir = c.cfgs["b"].Dir
		}, `belongs to node "b", but the configuration says "a"`},
		{"other role", func(t *testing.T, c *testCluster) {
			cfg := c.cfgs["a"]
			cfg.Role, cfg.NFS.Listen, cfg.ExportsFile = raftlog.RoleWitness, "", ""
			cfg.Members[0].Role, cfg.Members[2].Role = raftlog.RoleWitness, raftlog.RoleData
		}, "was formatted for role"},
		{"newer identity", func(t *testing.T, c *testCluster) {
			rewrite(t, filepath.Join(c.cfgs["a"].Dir, "identity.json"), `"format": 1`, `"format": 99`)
		}, "has format 99, and this version knows formats up to"},
		{"newer state", func(t *testing.T, c *testCluster) {
			if err := os.WriteFile(filepath.Join(c.cfgs["a"].Dir, formatsFile), []byte(`{"state": 99}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "a newer twofold wrote it (state format 99, and this one knows"},
		{"other log store", func(t *testing.T, c *testCluster) {
			if err := os.MkdirAll(filepath.Join(c.cfgs["a"].Dir, "log", "wal"), 0o700); err != nil {
				t.Fatal(err)
			}
			c.cfgs["a"].LogStore = "boltdb"
		}, "its log is of the kind wal, but the config says log_store: boltdb: correct"},
		{"a file for a directory", func(t *testing.T, c *testCluster) {
			c.cfgs["a"].Dir = filepath.Join(c.cfgs["a"].Dir, "identity.json")
		}, "is not a directory: correct it"},
		{"several mistakes", func(t *testing.T, c *testCluster) {
			c.cfgs["a"].Node, c.cfgs["a"].LogStore = "q", "tape"
		}, `a.yaml: node: "q" is not in members: add it there, or correct the name; log_store: "tape" is not known`},
		{"not our address", func(t *testing.T, c *testCluster) {
			c.cfgs["a"].NFS.Listen = "192.0.2.1:12049" // TEST-NET-1, RFC 5737
		}, "choose an address of this machine"},
		{"nfs port in use", func(t *testing.T, c *testCluster) {
			occupy(t, c.cfgs["a"].NFS.Listen)
		}, "address already in use: stop what uses it"},
		{"http port in use", func(t *testing.T, c *testCluster) {
			occupy(t, c.cfgs["a"].HTTP.Listen)
		}, "http.listen: listen tcp"},
		{"node port in use", func(t *testing.T, c *testCluster) {
			occupy(t, c.cfgs["a"].Listen)
		}, "address already in use: stop what uses it"},
		{"too little disk", func(t *testing.T, c *testCluster) {
			c.cfgs["a"].Reserve = 1 << 60
		}, "and the log needs 262144TiB: make room"},
		{"bad certificate", func(t *testing.T, c *testCluster) {
			c.cfgs["a"].TLS = tlsConfig{Cert: "/nonexistent/c", Key: "/nonexistent/k", CA: "/nonexistent/ca"}
		}, "certificate /nonexistent/c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t)
			c.init(t, "a")
			tt.spoil(t, c)
			c.write(t, "a")
			before := tree(t, c.dir)
			p := c.serve(t, "a")
			if code := p.exit(t); code != exitError {
				t.Errorf("exit code %d, want %d", code, exitError)
			}
			checkOneLine(t, p.stderr.String(), tt.want)
			if after := tree(t, c.dir); !maps.Equal(before, after) {
				t.Errorf("the disk was changed: %d files before, %d after", len(before), len(after))
			}
		})
	}
}

// init refuses what is not an empty directory, and changes nothing.
func TestInit_Refusals(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, c *testCluster)
		want  string
	}{
		{"formatted", func(t *testing.T, c *testCluster) { c.init(t, "a") }, `is formatted already, as node "a" of cluster "test"`},
		{"not empty", func(t *testing.T, c *testCluster) {
			if err := os.MkdirAll(filepath.Join(c.cfgs["a"].Dir, "photos"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is not empty (it holds photos)"},
		{"too little disk", func(t *testing.T, c *testCluster) {
			c.cfgs["a"].Reserve = 1 << 60
			c.write(t, "a")
		}, "MiB are the minimum (reserve in the config): free some space"},
		{"bad config", func(t *testing.T, c *testCluster) {
			rewrite(t, c.paths["a"], "cluster: test", "clustre: test")
		}, `a.yaml:1: unknown key "clustre"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t)
			tt.spoil(t, c)
			before := tree(t, c.dir)
			p := start(t, "init", "--config", c.paths["a"])
			if code := p.exit(t); code != exitError {
				t.Errorf("exit code %d, want %d", code, exitError)
			}
			checkOneLine(t, p.stderr.String(), tt.want)
			if !maps.Equal(before, tree(t, c.dir)) {
				t.Error("the disk was changed")
			}
		})
	}
}

func TestServe_PrintConfig(t *testing.T) {
	c := newTestCluster(t)
	p := start(t, "serve", "--config", c.paths["a"], "--print-config")
	if code := p.exit(t); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	if out := p.stdout.String(); !strings.Contains(out, "cache: 64MiB") || !strings.Contains(out, "reserve: 256MiB") {
		t.Errorf("defaults are missing:\n%s", out)
	}
}

// A stop that hangs is given up.
func TestBounded(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	err := bounded(time.Millisecond, func() error { <-hang; return nil })
	if err == nil || !strings.Contains(err.Error(), "not finished after 1ms") {
		t.Errorf("got %v", err)
	}
	if err := bounded(time.Minute, func() error { return os.ErrClosed }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want the function's own error", err)
	}
}

func TestVersion(t *testing.T) {
	p := start(t, "version")
	if code := p.exit(t); code != exitOK || !strings.Contains(p.stdout.String(), "format identity") {
		t.Errorf("exit code %d\n%s", code, p.stdout.String())
	}
}

// checkOneLine checks that a program told one thing, in one line.
func checkOneLine(t *testing.T, stderr, want string) {
	t.Helper()
	if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "twofold: ") || !strings.Contains(stderr, want) {
		t.Errorf("stderr is\n%swant one line with %q", stderr, want)
	}
}

// rewrite replaces text in a file.
func rewrite(t *testing.T, path, old, text string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), old) {
		t.Fatalf("%s does not contain %q", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(content), old, text, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
