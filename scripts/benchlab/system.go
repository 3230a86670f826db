package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// system is one server, or several that serve one volume, as it is measured.
type system struct {
	name    string
	target  string                                // of a peer
	locate  func(context.Context) (string, error) // finds the target of ours
	ours    bool
	notes   notes
	pids    map[string]int
	metrics map[string]string // HTTP addresses of our nodes
}

// notes say what a system is.
type notes struct {
	Version    string            `json:"version"`
	Settings   string            `json:"settings"`
	Durability string            `json:"durability"`
	Processes  map[string]string `json:"processes"`
}

// readPeers reads the list of peers and what is known of them.
func readPeers(list, notesFile string) ([]*system, error) {
	known := map[string]notes{}
	if notesFile != "" {
		text, err := os.ReadFile(notesFile)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &known); err != nil {
			return nil, fmt.Errorf("%s: %w", notesFile, err)
		}
	}
	var peers []*system
	for _, text := range strings.Fields(list) {
		name, target, ok := strings.Cut(text, "=")
		if !ok || name == "" || target == "" {
			return nil, fmt.Errorf("peer %q: write NAME=host[:port[:mountport]][/export]", text)
		}
		n, ok := known[name]
		if !ok {
			say("nothing is known of %s: name it in a file of notes, so that readers know what they compare with", name)
		}
		delete(known, name)
		peers = append(peers, &system{name: name, target: target, notes: n})
	}
	for name := range known {
		return nil, fmt.Errorf("%s has notes of %s, which is none of the peers", notesFile, name)
	}
	return peers, nil
}

// find finds the processes of a peer.
func (s *system) find() error {
	if s.ours {
		return nil
	}
	s.pids = make(map[string]int)
	for name, text := range s.notes.Processes {
		if file, err := os.ReadFile(text); err == nil {
			text = string(file)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("%s: process %s: %q is neither a pid nor a file that holds one", s.name, name, text)
		}
		s.pids[name] = pid
	}
	if len(s.pids) > 0 {
		return nil
	}
	pid, err := listener(s.target)
	if err != nil {
		return err
	}
	if pid == 0 {
		say("%s: no process of this host listens at %s, so its CPU and memory are not measured", s.name, s.target)
		return nil
	}
	s.pids["server"] = pid
	return nil
}

// stateListen is TCP_LISTEN in /proc/net/tcp.
const stateListen = "0A"

// listener finds the process that listens on a target's port; 0 if it is not on this host, or no port is given.
func listener(target string) (int, error) {
	addr, _, _ := strings.Cut(target, "/")
	host, ports, _ := strings.Cut(addr, ":")
	port, _, _ := strings.Cut(ports, ":")
	ip, err := netip.ParseAddr(host)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || !ip.IsLoopback() {
		return 0, nil // not one of this host that could be found
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue // a kernel without this family
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && fields[3] == stateListen && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", n)) {
				inodes["socket:["+fields[9]+"]"] = true
			}
		}
		_ = f.Close() // only read
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, err
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && inodes[to] {
			return strconv.Atoi(strings.Split(l, "/")[2])
		}
	}
	return 0, nil
}

// watch gives the flags that have a bench measure the system's processes.
func (s *system) watch() []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(s.pids)) {
		args = append(args, "--watch", fmt.Sprintf("%s=%d", name, s.pids[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.metrics)) {
		args = append(args, "--metrics", name+"="+s.metrics[name])
	}
	return args
}
