package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Bounds of what the nodes may take.
const (
	devReady   = 2 * time.Minute
	devStop    = time.Minute
	devPoll    = 100 * time.Millisecond
	askTimeout = 5 * time.Second
	maxAnswer  = 4 << 20
)

// dev is "twofold dev" at work.
type dev struct {
	cmd    *exec.Cmd
	done   chan error
	ended  bool
	out    bytes.Buffer // read once done has a value
	dir    string
	binary string
	nfs    []string
	http   []string
}

// startDev starts three fresh nodes with shipped defaults.
func startDev(ctx context.Context, o *options) (*dev, error) {
	d := &dev{done: make(chan error, 1), dir: o.dir, binary: o.binary, nfs: strings.Split(o.nfs, ","), http: strings.Split(o.http, ",")}
	if len(d.nfs) != 2 || len(d.http) != 3 {
		return nil, errors.New("-nfs needs two addresses and -http three")
	}
	if err := os.MkdirAll(filepath.Dir(o.dir), 0o755); err != nil {
		return nil, err
	}
	d.cmd = exec.Command(o.binary, "dev", "--fresh", "--dir", o.dir, "--nfs", o.nfs, "--http", o.http)
	d.cmd.Stderr = &d.out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM} // Ctrl-C is for us to pass on
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.done <- d.cmd.Wait() }()
	say("waiting for the nodes")
	deadline := time.Now().Add(devReady)
	for {
		if _, err := d.leader(ctx); err == nil && d.ready(ctx) {
			return d, nil
		}
		select {
		case err := <-d.done:
			d.ended = true
			return nil, fmt.Errorf("twofold dev ended: %w: %s", err, d.out.String())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), d.stop())
		case <-time.After(devPoll):
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(errors.New("the nodes do not become ready"), d.stop())
		}
	}
}

// ready asks both data nodes whether they serve.
func (d *dev) ready(ctx context.Context) bool {
	for _, addr := range d.http[:2] {
		if _, err := ask(ctx, "http://"+addr+"/readyz"); err != nil {
			return false
		}
	}
	return true
}

// leader finds out which data node leads.
func (d *dev) leader(ctx context.Context) (int, error) {
	for i, addr := range d.http[:2] {
		text, err := ask(ctx, "http://"+addr+"/metrics")
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(text) {
			if strings.TrimSpace(line) == "twofold_raft_is_leader 1" {
				return i, nil
			}
		}
	}
	return 0, errors.New("neither data node leads")
}

// ask makes one HTTP request.
func ask(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return string(text), err
}

// stop ends the nodes, once.
func (d *dev) stop() error {
	if d.ended {
		return nil
	}
	d.ended = true
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case err := <-d.done:
		return err
	case <-time.After(devStop):
		return errors.Join(errors.New("twofold dev does not stop"), d.cmd.Process.Kill())
	}
}

// ourDurability is what a reply of ours means.
const ourDurability = "every reply to a change: in the log of both data nodes (or of one and the witness while the other is away), fdatasync called"

// systems are the ways in which the pair is measured.
func (d *dev) systems(ctx context.Context, nodes string) ([]*system, error) {
	pids := make(map[string]int)
	for _, name := range []string{"a", "b", "w"} {
		text, err := os.ReadFile(filepath.Join(d.dir, name, "pid"))
		if err != nil {
			return nil, err
		}
		if pids[name], err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return nil, err
		}
	}
	version, err := exec.CommandContext(ctx, d.binary, "version").Output()
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(version), "\n")
	leader, err := d.leader(ctx)
	if err != nil {
		return nil, err
	}
	about := notes{Version: first, Durability: ourDurability,
		Settings: fmt.Sprintf("twofold dev: data nodes a and b (%c leads at the start) and witness w, shipped defaults, mTLS between them", "ab"[leader])}
	var list []*system
	for node := range strings.SplitSeq(nodes, ",") {
		locate, ok := d.locators()[node]
		if !ok {
			return nil, fmt.Errorf("-nodes %s: there are leader, other and both", node)
		}
		list = append(list, &system{name: "twofold, " + node, locate: locate, ours: true, notes: about, pids: pids,
			metrics: map[string]string{"a": d.http[0], "b": d.http[1], "w": d.http[2]}})
	}
	return list, nil
}

// locators say where the nodes are at the moment: the lead may change in a long run.
func (d *dev) locators() map[string]func(context.Context) (string, error) {
	at := func(offset int) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			leader, err := d.leader(ctx)
			return d.nfs[(leader+offset)%2] + "/", err
		}
	}
	return map[string]func(context.Context) (string, error){
		"leader": at(0),
		"other":  at(1),
		"both":   func(context.Context) (string, error) { return d.nfs[0] + "/," + d.nfs[1] + "/", nil },
	}
}
