package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"twofold/raftlog/identity"
	"twofold/raftlog/transport/transporttest"
)

// testNode is a node in the test's own process.
type testNode struct {
	*node
	stop context.CancelFunc
	done chan error
}

// openTestNode formats a node unless it is, and runs it.
func openTestNode(t *testing.T, cfg *config) *testNode {
	t.Helper()
	if _, err := identity.Init(cfg.Dir, cfg.identity()); err != nil && !errors.Is(err, identity.ErrNotEmpty) {
		t.Fatal(err)
	}
	n, err := openNode(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	tn := &testNode{node: n, stop: cancel, done: make(chan error, 1)}
	go func() { tn.done <- n.run(ctx) }()
	return tn
}

// end stops a node as serve does.
func (n *testNode) end(t *testing.T) {
	t.Helper()
	n.stop()
	if err := <-n.done; err != nil {
		t.Errorf("%s: run: %v", n.cfg.Node, err)
	}
	if err := n.close(); err != nil {
		t.Errorf("%s: close: %v", n.cfg.Node, err)
	}
}

// Three nodes of one process over mutual TLS: they serve at both data nodes,
// hand leadership over when the leader stops, have one digest, and leave no
// goroutine behind.
func TestNode_ThreeOverTLS(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	c := newTestCluster(t)
	ca, err := transporttest.NewCA(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]*testNode{}
	for name, cfg := range c.cfgs {
		files, err := ca.Issue(name)
		if err != nil {
			t.Fatal(err)
		}
		cfg.TLS = tlsConfig{Cert: files.Cert, Key: files.Key, CA: files.CA}
		nodes[name] = openTestNode(t, cfg)
	}
	c.ready(t, "a")
	c.ready(t, "b")
	mkdir(t, c.cfgs["a"].NFS.Listen, "x")
	checkDir(t, c.cfgs["b"].NFS.Listen, "x")
	checkAdmin(t, c)
	checkMetrics(t, c)

	leader, other := nodes["a"], nodes["b"]
	if s, _ := leader.parts.Load().raft.Watch(); s.Leader == "b" {
		leader, other = other, leader
	}
	start := time.Now()
	leader.end(t)
	if s, _ := other.parts.Load().raft.Watch(); s.Leader != other.cfg.Node {
		t.Errorf("%s did not hand leadership over to %s in %s: leader is %q", leader.cfg.Node, other.cfg.Node, time.Since(start), s.Leader)
	}
	checkDir(t, other.cfg.NFS.Listen, "x")
	other.end(t)
	nodes["w"].end(t)
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, leaks)
}

// checkAdmin compares the digests over the admin sockets, moves leadership,
// and looks at who may use the socket.
func checkAdmin(t *testing.T, c *testCluster) {
	t.Helper()
	ctx := context.Background()
	info, err := os.Stat(filepath.Join(c.cfgs["a"].Dir, adminSocket))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("admin socket: %v, %v, want 0600", info.Mode(), err)
	}
	eventually(t, "digests at the same index", func() bool {
		var a, b digestReply
		for name, reply := range map[string]*digestReply{"a": &a, "b": &b} {
			if err := adminCall(ctx, c.cfgs[name].Dir, http.MethodGet, "digest", reply); err != nil {
				t.Fatal(err)
			}
		}
		if a.Index != b.Index {
			return false
		}
		if a.Digest != b.Digest || len(a.Digest) != 32 {
			t.Fatalf("digests at %d are %s and %s", a.Index, a.Digest, b.Digest)
		}
		return true
	})
	err = adminCall(ctx, c.cfgs["w"].Dir, http.MethodGet, "digest", new(digestReply))
	if err == nil || !strings.Contains(err.Error(), "ask a data node") {
		t.Errorf("digest of the witness: %v", err)
	}
	var out, progress bytes.Buffer
	if err := scrub(ctx, c.cfgs["b"].Dir, false, &out, &progress); err != nil || !strings.Contains(out.String(), "sound: ") || strings.Contains(out.String(), "sound: 0") {
		t.Errorf("scrub: %v: %s%s", err, out.String(), progress.String())
	}
	for _, name := range []string{"a", "b"} { // one of them leads
		var r leaderReply
		err := adminSend(ctx, c.cfgs[name].Dir, http.MethodPost, "leader", leaderAsk{}, &r)
		if err != nil && !strings.Contains(err.Error(), "give the command there") {
			t.Errorf("move the lead away from %s: %v", name, err)
		}
		c.ready(t, "a")
		c.ready(t, "b")
	}
}

// checkMetrics looks for what a call and a change leave in the metrics.
func checkMetrics(t *testing.T, c *testCluster) {
	t.Helper()
	code, body, err := httpGet(context.Background(), "http://"+c.cfgs["a"].HTTP.Listen+"/metrics")
	if err != nil || code != http.StatusOK {
		t.Fatalf("/metrics: %d, %v", code, err)
	}
	for _, want := range []string{
		`twofold_nfs_requests_total{proc="mkdir",status="ok"} 1`,
		`twofold_nfs_requests_total{proc="mnt",status="ok"} 1`,
		`twofold_node_info{node="a",role="data"`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%s is not in /metrics", want)
		}
	}
	code, body, err = httpGet(context.Background(), "http://"+c.cfgs["w"].HTTP.Listen+"/metrics")
	if err != nil || code != http.StatusOK || strings.Contains(string(body), "twofold_nfs") {
		t.Errorf("/metrics of the witness: %d, %v", code, err)
	}
}

// A node that waits for the others says so, has no quorum, and can be stopped.
func TestServe_AloneBeforeTheFirstMeeting(t *testing.T) {
	c := newTestCluster(t)
	c.init(t, "a")
	p := c.serve(t, "a")
	addr := c.cfgs["a"].HTTP.Listen
	eventually(t, "the reason is told", func() bool {
		return strings.Contains(askReady(context.Background(), addr), "waiting for the first meeting")
	})
	if code := start(t, "status", "--config", c.paths["a"]).exit(t); code != exitNoQuorum {
		t.Errorf("status exits with %d, want %d", code, exitNoQuorum)
	}
	if code := p.stop(t, syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

// A member that lost its log has lost its votes: it must not begin a new one.
func TestServe_LostLogIsRefused(t *testing.T) {
	c := newTestCluster(t)
	var running []*program
	for _, m := range devMembers {
		c.init(t, m.Name)
		running = append(running, c.serve(t, m.Name))
	}
	c.ready(t, "a")
	for _, p := range running {
		p.stop(t, syscall.SIGTERM)
	}
	if err := os.RemoveAll(filepath.Join(c.cfgs["w"].Dir, logDir)); err != nil {
		t.Fatal(err)
	}
	p := c.serve(t, "w")
	if code := p.exit(t); code != exitError || !strings.Contains(p.stderr.String(), "holds no log") {
		t.Errorf("exit code %d, want %d and the reason", code, exitError)
	}
}

// A path that is too long for a socket address is no obstacle.
func TestAdmin_LongPath(t *testing.T) {
	c := newTestCluster(t)
	cfg := c.cfgs["a"]
	cfg.Dir = filepath.Join(c.dir, strings.Repeat("deep/", 40), "a")
	n := openTestNode(t, cfg)
	err := adminCall(context.Background(), cfg.Dir, http.MethodGet, "digest", new(digestReply))
	if err == nil || !strings.Contains(err.Error(), "no copy of the volume") {
		t.Errorf("got %v, want the node's own answer", err)
	}
	n.end(t)
}
