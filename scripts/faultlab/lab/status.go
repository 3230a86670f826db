package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"
)

// Bounds of a question to a node.
const (
	askLimit      = 2 * time.Second
	digestLimit   = time.Minute
	maxReplyBytes = 1 << 20
	askEvery      = 20 * time.Millisecond
)

// Status is what a lab needs of a node's status page.
type Status struct {
	Health   string
	Problems []string
	Ready    bool
	Leader   string
	Members  []struct {
		Name       string
		InSync     bool `json:"in_sync"`
		Behind     uint64
		LogDamaged bool `json:"log_damaged"`
	}
	Integrity struct { // of a data node's copy
		Quarantine *struct{ Cause, Detail string }
		Refetch    string // how another copy comes along
		Refetched  int
	}
}

// Digest is a hash over a data node's replicated records.
type Digest struct {
	Digest string
	Index  uint64
}

// Status asks a node.
func (l *Lab) Status(ctx context.Context, n Node) (*Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var s Status
	url := fmt.Sprintf("http://%s:%d/status", l.network.nodeAddr(n), httpPort)
	return &s, ask(ctx, new(net.Dialer).DialContext, url, &s)
}

// Digest has a data node hash its state.
func (l *Lab) Digest(ctx context.Context, n Node) (d Digest, err error) {
	ctx, cancel := context.WithTimeout(ctx, digestLimit)
	defer cancel()
	socket := filepath.Join(l.stateDir(n), "admin.sock")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return d, ask(ctx, dial, "http://node/digest", &d)
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func ask(ctx context.Context, dial dialFunc, url string, reply any) error {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() // only read
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReplyBytes))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, reply); err != nil {
		return fmt.Errorf("%s: %w: %s", url, err, body)
	}
	return nil
}

// Leader returns the leader that both data nodes know, if both find nothing wrong.
func (l *Lab) Leader(ctx context.Context) (Node, error) {
	var leaders [2]string
	for _, n := range DataNodes {
		s, err := l.Status(ctx, n)
		if err != nil {
			return 0, err
		}
		if s.Health != "healthy" || !s.Ready {
			return 0, fmt.Errorf("%s says %s, ready %t: %v", n, s.Health, s.Ready, s.Problems)
		}
		leaders[n] = s.Leader
	}
	i := slices.Index([]string{A.String(), B.String()}, leaders[A])
	if i < 0 || leaders[A] != leaders[B] {
		return 0, fmt.Errorf("the leader is %q at a, %q at b", leaders[A], leaders[B])
	}
	return Node(i), nil
}

// AwaitHealthy waits until both data nodes find nothing wrong and know one leader.
func (l *Lab) AwaitHealthy(ctx context.Context, limit time.Duration) error {
	for end := time.Now().Add(limit); ; {
		_, err := l.Leader(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(end) {
			return fmt.Errorf("the cluster is not healthy after %s: %w", limit, err)
		}
		time.Sleep(askEvery)
	}
}

// CompareDigests compares the data nodes' digests at one index.
func (l *Lab) CompareDigests(ctx context.Context, limit time.Duration) error {
	for end := time.Now().Add(limit); ; {
		var d [2]Digest
		for _, n := range DataNodes {
			var err error
			if d[n], err = l.Digest(ctx, n); err != nil {
				return fmt.Errorf("digest of %s: %w", n, err)
			}
		}
		switch {
		case d[A] == d[B]:
			return nil
		case d[A].Index == d[B].Index:
			return fmt.Errorf("the nodes differ at index %d: digests %s and %s", d[A].Index, d[A].Digest, d[B].Digest)
		case time.Now().After(end):
			return fmt.Errorf("no digests at one index within %s: a at %d, b at %d", limit, d[A].Index, d[B].Index)
		}
		time.Sleep(askEvery)
	}
}
