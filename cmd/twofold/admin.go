package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// adminSocket is the name of the Unix socket in a node's directory. Whatever
// changes anything goes over it, so that the file's mode decides who may.
const adminSocket = "admin.sock"

// Limits of the admin server.
const (
	adminReadTimeout = 10 * time.Second
	// adminWriteTimeout is long: a digest reads the whole volume.
	adminWriteTimeout = 30 * time.Minute
	// maxSocketPath is what sockaddr_un holds, with its final zero.
	maxSocketPath = 107
	// maxAdminReply bounds what is read of an answer: the largest export table,
	// with its lines before and after a change, in JSON.
	maxAdminReply = 8 << 20
)

// adminServer answers commands on the Unix socket: HTTP with JSON, a path for
// each command.
type adminServer struct {
	listener net.Listener
	dir      *os.File // keeps the way to a socket with a long path open
	http     *http.Server
}

// digestReply is the answer to /digest.
type digestReply struct {
	Digest string `json:"digest"`
	Index  uint64 `json:"index"`
}

// newAdminServer binds the socket in the node's directory. The caller holds the
// directory's lock, so a socket that is there was left by a killed process.
func newAdminServer(dir string, n *node) (*adminServer, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, adminSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, f.Close())
	}
	l, err := net.Listen("unix", socketPath(f, dir))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("admin socket: %w", err), f.Close())
	}
	// The directory is 0700, so nobody else gets in before the mode is set.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close(), f.Close())
	}
	a := &adminServer{listener: l, dir: f}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /digest", func(w http.ResponseWriter, _ *http.Request) { adminReply(w, n.digest) })
	mux.HandleFunc("POST /scrub", func(w http.ResponseWriter, _ *http.Request) { adminReply(w, n.beginScrub) })
	mux.HandleFunc("GET /scrub", func(w http.ResponseWriter, _ *http.Request) { adminReply(w, n.scrubStatus) })
	n.handleExports(mux)
	n.handleLeader(mux)
	n.handleDrain(mux)
	n.handleMembers(mux)
	a.http = &http.Server{Handler: mux, ReadTimeout: adminReadTimeout, WriteTimeout: adminWriteTimeout}
	return a, nil
}

// socketPath is the socket's path, by way of the open directory if it would be
// too long for the kernel.
func socketPath(dir *os.File, path string) string {
	full := filepath.Join(path, adminSocket)
	if len(full) <= maxSocketPath {
		return full
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), adminSocket)
}

// serve answers until close.
func (a *adminServer) serve() error {
	if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close ends the server; commands in progress get until ctx ends.
func (a *adminServer) close(ctx context.Context) error {
	err := a.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, a.http.Close())
	}
	return errors.Join(err, a.dir.Close())
}

// maxAsk bounds what a command asks, but for the export table.
const maxAsk = 64 << 10

// decodeAsk reads what a command asks.
func decodeAsk(w http.ResponseWriter, r *http.Request, ask any) error {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAsk)).Decode(ask); err != nil {
		return fmt.Errorf("the request cannot be read: %w", err)
	}
	return nil
}

// adminReply runs a command and writes its result or its error.
func adminReply(w http.ResponseWriter, command func() (any, error)) {
	v, err := command()
	code := http.StatusOK
	if err != nil {
		code, v = http.StatusServiceUnavailable, map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the asker went away; nobody to tell
}

// digest is the command /digest.
func (n *node) digest() (any, error) {
	p := n.parts.Load()
	if p == nil || p.store == nil {
		return nil, errors.New("this node has no copy of the volume: ask a data node that runs")
	}
	sum, index, err := p.store.Digest()
	if err != nil {
		return nil, err
	}
	return digestReply{Digest: sum.String(), Index: index}, nil
}

var (
	// errNoNode is returned if a command could not be handed over: nobody
	// listens.
	errNoNode = errors.New("no node runs on this directory")
	// errUnanswered is returned if a command was handed over and its answer did
	// not come, or makes no sense: it says nothing of what the node did.
	errUnanswered = errors.New("no answer from the node")
)

// adminCall sends one command to the node of a directory.
func adminCall(ctx context.Context, dir, method, command string, reply any) error {
	return adminSend(ctx, dir, method, command, nil, reply)
}

// adminSend sends one command with what it asks, if that is not nil, as JSON.
func adminSend(ctx context.Context, dir, method, command string, ask, reply any) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoNode, err)
	}
	defer f.Close() // only read
	path := socketPath(f, dir)
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, "unix", path)
			if err != nil {
				err = fmt.Errorf("%w: %w: start the node, or give the config of one that runs, or its directory", errNoNode, err)
			}
			return c, err
		},
	}}
	var body bytes.Buffer
	if ask != nil {
		if err := json.NewEncoder(&body).Encode(ask); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://node/"+command, &body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	var sent *url.Error // "Get http://node/...", which means nothing to a user
	if errors.As(err, &sent) {
		err = sent.Err
	}
	if errors.Is(err, errNoNode) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUnanswered, err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxAdminReply))
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error string `json:"error"`
		}
		if err := dec.Decode(&e); err != nil {
			return fmt.Errorf("%w: %s", errUnanswered, resp.Status)
		}
		return errors.New(e.Error)
	}
	if err := dec.Decode(reply); err != nil {
		return fmt.Errorf("%w: %w", errUnanswered, err)
	}
	return nil
}

// freeBytes is what a user without privileges can still store below dir.
func freeBytes(dir string) (byteSize, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return byteSize(st.Bavail * uint64(st.Bsize)), nil
}
