package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"twofold/raftlog/identity"
)

// A leader that stops while the other data node is gone, as it is when all are
// stopped at once, says so in plain words and warns of nothing.
func TestNode_StopsWithoutPeer(t *testing.T) {
	c := newTestCluster(t)
	nodes, logs := map[string]*testNode{}, map[string]*output{}
	for name, cfg := range c.cfgs {
		if _, err := identity.Init(cfg.Dir, cfg.identity()); err != nil {
			t.Fatal(err)
		}
		logs[name] = new(output)
		n, err := openNode(cfg, slog.New(slog.NewTextHandler(io.MultiWriter(logs[name], t.Output()), nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		tn := &testNode{node: n, stop: cancel, done: make(chan error, 1)}
		go func() { tn.done <- n.run(ctx) }()
		nodes[name] = tn
	}
	c.ready(t, "a")
	c.ready(t, "b")
	leader, other := "a", "b"
	if s, _ := nodes["a"].parts.Load().raft.Watch(); s.Leader == "b" {
		leader, other = other, leader
	}
	nodes[other].end(t)
	if _, err := nodes[leader].transferLeadership(t.Context(), ""); !errors.Is(err, errPeerGone) {
		t.Errorf("transfer: %v, want %v", err, errPeerGone)
	}
	nodes[leader].end(t)
	nodes["w"].end(t)
	text := logs[leader].String()
	if !strings.Contains(text, `level=INFO msg="drain: leadership stays: the other data node is stopping or cannot be reached"`) {
		t.Errorf("the leader does not say why it hands nothing over:\n%s", text)
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, "leadership") {
			t.Errorf("the leader warns: %s", line)
		}
	}
}
