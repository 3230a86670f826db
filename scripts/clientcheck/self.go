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
	"time"

	"golang.org/x/sys/unix"
)

const (
	// selfFactor is how many times this machine's memory is written and read.
	selfFactor = 2
	// readyLimit is how long the node may take to serve.
	readyLimit = 60 * time.Second
	// stopLimit is how long it may take to stop.
	stopLimit = 30 * time.Second

	// readyEvery is how often it is asked.
	readyEvery = 100 * time.Millisecond
	// maxPage bounds a page of its status or metrics, in bytes.
	maxPage = 1 << 20

	selfPoint = "/mnt/self"
)

// checkSelf runs a data node on this machine, mounts it here, and writes several times the machine's memory. Most of the
// memory is then dirty pages of the mount, and each page that the node itself needs must be won by writing such
// pages back through the node. A gateway that waits for that memory while it holds up the write-back hangs, and with it
// everything else on the machine.
func checkSelf(ctx context.Context, s *setup) (detail string, err error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return "", err
	}
	memory := int64(info.Totalram) * int64(info.Unit)
	stop, err := startNode(ctx, s)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := os.MkdirAll(selfPoint, 0o755); err != nil {
		return "", err
	}
	options := fmt.Sprintf("vers=3,proto=tcp,port=%d,mountport=%d,mountproto=tcp,retry=0,nolock", s.NFSPort, s.NFSPort)
	if _, err := tool(ctx, "/", "mount", "-t", "nfs", "-o", options, "127.0.0.1:/", selfPoint); err != nil {
		return "", err
	}
	defer func() {
		_, uerr := tool(ctx, "/", "umount", selfPoint)
		err = errors.Join(err, uerr)
	}()
	return writeAndRead(ctx, memory)
}

func writeAndRead(ctx context.Context, memory int64) (string, error) {
	size := selfFactor * memory / bigChunk * bigChunk
	name := filepath.Join(selfPoint, "big")
	started := time.Now()
	sum, err := writeRandom(ctx, name, size)
	if err != nil {
		return "", err
	}
	written := time.Now()
	if err := forgetCached(); err != nil {
		return "", err
	}
	if err := wantSum(ctx, name, size, sum); err != nil {
		return "", err
	}
	read := time.Now()
	return fmt.Sprintf("%d MiB of memory, %d MiB written at %s, read at %s", memory>>20, size>>20,
		rate(size, written.Sub(started)), rate(size, read.Sub(written))), os.Remove(name)
}

// startNode starts the node, and waits until it serves. The function that it gives stops it.
func startNode(ctx context.Context, s *setup) (stop func() error, err error) {
	if err := formatNode(ctx, s); err != nil {
		return nil, err
	}
	node := exec.Command(s.Twofold, "serve", "--config", s.Config)
	log, err := os.OpenFile(s.NodeLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the node has its own descriptor
	node.Stdout, node.Stderr = log, log
	if err := node.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Wait() }()
	stop = func() error {
		if err := node.Process.Signal(unix.SIGTERM); err != nil {
			return err
		}
		select {
		case err := <-ended:
			return err
		case <-time.After(stopLimit):
			return errors.Join(fmt.Errorf("the node does not stop within %v of SIGTERM", stopLimit), node.Process.Kill())
		}
	}
	if err := waitReady(ctx, s.Ready, ended); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// formatNode formats the node's directory, the first time.
func formatNode(ctx context.Context, s *setup) error {
	formatted := s.Config + ".formatted"
	if _, err := os.Stat(formatted); err == nil {
		return nil
	}
	if _, err := tool(ctx, "/", s.Twofold, "init", "--config", s.Config); err != nil {
		return err
	}
	return os.WriteFile(formatted, nil, 0o644)
}

// waitReady asks the node until it says that it would serve a client.
func waitReady(ctx context.Context, url string, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		last := askReady(ctx, url)
		if last == nil {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-ended:
			return fmt.Errorf("the node ended before it was ready: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("the node is not ready: %w", last)
		}
	}
}

func askReady(ctx context.Context, url string) error {
	_, err := get(ctx, url)
	return err
}

// get asks a node for a page.
func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(body))
	}
	return body, err
}
