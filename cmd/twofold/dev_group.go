package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// childGroup starts, watches and stops the child processes. Its methods are
// called from one goroutine.
type childGroup struct {
	// exits delivers each node once, when its process is gone.
	exits chan *devNode

	nodes    map[*devNode]bool // running; an entry goes when exits delivered it
	launches chan func()
	waits    sync.WaitGroup
}

// newChildGroup starts the goroutine that launches children. It keeps its
// thread until close, because the kernel ends the children with that thread.
func newChildGroup() *childGroup {
	g := &childGroup{
		exits:    make(chan *devNode),
		nodes:    map[*devNode]bool{},
		launches: make(chan func()),
	}
	go func() {
		runtime.LockOSThread()
		for launch := range g.launches {
			launch()
		}
	}()
	return g
}

// start launches a node.
func (g *childGroup) start(n *devNode) error {
	result := make(chan error, 1)
	g.launches <- func() { result <- n.launch() }
	if err := <-result; err != nil {
		return err
	}
	g.watch(n)
	return nil
}

// watch begins to wait for the end of a node that runs.
func (g *childGroup) watch(n *devNode) {
	g.nodes[n] = true
	g.waits.Go(func() {
		n.wait()
		g.exits <- n
	})
}

// gone notes that a node's end was delivered and dealt with.
func (g *childGroup) gone(n *devNode) {
	delete(g.nodes, n)
	_ = n.log.Close() // the child wrote it, through a descriptor of its own
}

// alive counts the nodes whose end was not delivered.
func (g *childGroup) alive() int { return len(g.nodes) }

// stop asks every node to stop, kills what does not within the limit, and
// returns an error for each that did not end well.
func (g *childGroup) stop(limit time.Duration) error {
	g.signal(syscall.SIGTERM)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var errs []error
	for g.alive() > 0 {
		select {
		case n := <-g.exits:
			if !n.clean() {
				errs = append(errs, fmt.Errorf("node %s: %s, see %s", n.name, n.ended, n.logPath()))
			}
			g.gone(n)
		case <-timer.C:
			g.signal(syscall.SIGKILL)
		}
	}
	return errors.Join(errs...)
}

func (g *childGroup) signal(s syscall.Signal) {
	for n := range g.nodes {
		_ = n.cmd.Process.Signal(s) // it may be gone already, which is the aim
	}
}

// close ends the goroutines. Every child must have been stopped.
func (g *childGroup) close() {
	close(g.launches)
	g.waits.Wait()
}

// waitReady waits until every data node says that it serves clients. What a
// node lacks is told when it changes. A child that dies meanwhile is an error.
func waitReady(ctx context.Context, g *childGroup, nodes []*devNode, progress io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, devReadyTimeout, errNotReadyInTime)
	defer cancel()
	tick := time.NewTicker(devPollEvery)
	defer tick.Stop()
	told := map[string]string{}
	for {
		waiting := false
		for _, n := range nodes {
			if !n.cfg.isData() {
				continue
			}
			reason := askReady(ctx, n.cfg.HTTP.Listen)
			waiting = waiting || reason != ""
			if reason != told[n.name] && reason != "" {
				fmt.Fprintf(progress, "waiting for %s: %s\n", n.name, reason)
			}
			told[n.name] = reason
		}
		if !waiting {
			return nil
		}
		select {
		case n := <-g.exits:
			defer g.gone(n)
			return fmt.Errorf("node %s did not start (%s): %s", n.name, n.ended, strings.Join(n.lastLines(1), ""))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

var errNotReadyInTime = fmt.Errorf("the nodes were not ready within %s: their logs say more", devReadyTimeout)

// askReady returns why the node would not serve a client, or nothing.
func askReady(ctx context.Context, addr string) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	code, body, err := httpGet(ctx, "http://"+reachable(addr)+"/readyz")
	switch {
	case err != nil:
		return "no answer yet"
	case code != http.StatusOK:
		return strings.TrimSpace(string(body))
	}
	return ""
}

// maxHTTPBody bounds what is read of a node's answer.
const maxHTTPBody = 1 << 20

// httpGet reads one page.
func httpGet(ctx context.Context, url string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHTTPBody))
	return resp.StatusCode, body, err
}
