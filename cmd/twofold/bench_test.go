package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"twofold/nfs/client"
	nfsload "twofold/nfs/load"
)

// Every workload runs against both nodes of a real pair, and all that was made is removed.
func TestBench_Pair(t *testing.T) {
	c := newTestCluster(t)
	pids := map[string]int{}
	for _, m := range devMembers {
		c.init(t, m.Name)
		pids[m.Name] = c.serve(t, m.Name).cmd.Process.Pid
	}
	c.ready(t, "a")
	c.ready(t, "b")
	a, b := c.cfgs["a"], c.cfgs["b"]
	p := start(t, "bench", a.NFS.Listen+"/,"+b.NFS.Listen, "--ops", "24", "--callers", "4", "--width", "8", "--file-size", "1MiB",
		"--watch", fmt.Sprintf("a=%d,b=%d", pids["a"], pids["b"]), "--metrics", "a="+a.HTTP.Listen, "--json", "-")
	if code := p.exit(t); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	var r nfsload.Report
	if err := json.Unmarshal([]byte(p.stdout.String()), &r); err != nil {
		t.Fatal(err)
	}
	if want := len(nfsload.Workloads); len(r.Results) != want || r.Schema != nfsload.ReportSchema || r.Error != "" {
		t.Fatalf("%d results, want %d: %+v", len(r.Results), want, r)
	}
	for _, m := range r.Results {
		if m.Ops == 0 || m.Failed() != 0 || len(m.Targets) != 2 {
			t.Errorf("%s at %d: %+v", m.Workload, m.Callers, m.Result)
		}
		if m.Workload == "create" {
			node := m.Processes["a"]
			if node.MemoryBytes == 0 || node.Metrics["twofold_raft_append_duration_seconds_count"] == 0 || m.Processes["b"].Metrics != nil {
				t.Errorf("what the nodes used: %+v", m.Processes)
			}
		}
	}
	if !strings.Contains(p.stderr.String(), "1/16 null, 4 callers: ") {
		t.Error("there are no lines of progress")
	}
	emptyRoot(t, b.NFS.Listen)

	p = start(t, "bench", a.NFS.Listen, "-w", "create", "-c", "2", "-d", "1h")
	eventually(t, "the bench creates files", func() bool { return hasEntries(t, b.NFS.Listen) })
	if code := p.stop(t, syscall.SIGINT); code != exitError || !strings.Contains(p.stderr.String(), "interrupted") {
		t.Errorf("after SIGINT: exit code %d", code)
	}
	emptyRoot(t, b.NFS.Listen)
}

func hasEntries(t *testing.T, addr string) bool {
	t.Helper()
	c, err := client.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	root, err := c.Root(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.ReadAll(t.Context(), root, false, 4096)
	if err != nil {
		t.Fatal(err)
	}
	return len(list) > 2
}

func emptyRoot(t *testing.T, addr string) {
	t.Helper()
	if hasEntries(t, addr) {
		t.Error("something is left")
	}
}

func TestBench_BadFlags(t *testing.T) {
	for _, c := range []struct {
		args string
		says string
	}{
		{"host:x", "no port"},
		{"a,b,c", "one target, or two"},
		{"host -w nothing", `workload "nothing"`},
		{"host -c 0", "0 callers"},
		{"host -c 257", "257 callers"},
		{"host -d 0s", "duration"},
		{"host --file-size lots", "--file-size"},
		{"host --width 0", "width 0"},
		{"host --connections 0", "0 connections"},
		{"host --procs 0", "--procs"},
		{"host --timeout 0s", "time for an answer"},
		{"127.0.0.1:1 --watch x", "--watch"},
		{"127.0.0.1:1 --watch bench=1", "--watch"},
		{"127.0.0.1:1 --metrics a=host", "--metrics"},
		{"floor", "--dirs"},
		{"floor --dirs /nowhere/at/all,/nowhere", "nowhere"},
	} {
		cmd := newBenchCmd()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(strings.Fields(c.args))
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("bench %s: %v", c.args, err)
		}
	}
}

func TestWatcher(t *testing.T) {
	w, err := newWatcher([]string{fmt.Sprintf("me=%d", os.Getpid())}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	w.window(true)
	for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); {
	}
	w.window(false)
	var m nfsload.Measured
	if err := w.used(&m); err != nil {
		t.Fatal(err)
	}
	if u := m.Processes["me"]; u.CPUSeconds <= 0 || u.CPUSeconds > 60 || u.MemoryBytes < 1<<20 || m.Processes[benchProcess].MemoryBytes == 0 || m.Disk != nil {
		t.Errorf("%+v", m)
	}
	w.reset()
	if err := w.used(&m); err != nil || len(m.Processes) != 0 {
		t.Errorf("after a reset: %+v, %v", m, err)
	}
}

func TestReadDisk(t *testing.T) {
	path := t.TempDir() + "/stat"
	writeFile(t, path, " 4611232 781462 133904058 2223430 54872670 4054126 1000 8773300 0 4938044 13816440 1891476 2067 1671935192 349904 77 2469804\n")
	if u, err := readDisk(path); err != nil || u.Flushes != 77 || u.WrittenBytes != 512000 {
		t.Errorf("%+v, %v", u, err)
	}
	writeFile(t, path, "1 2 3\n")
	if u, err := readDisk(path); err == nil {
		t.Errorf("too few fields: %+v", u)
	}
	if _, err := diskStatPath("/proc"); err == nil {
		t.Error("a file system without a disk is accepted")
	}
}

func TestParseMetrics(t *testing.T) {
	got := parseMetrics("# HELP x\ntwofold_raft_append_bytes_total 1.5e+06\ntwofold_raft_append_bytes_total_more 3\n" +
		"twofold_raft_append_duration_seconds_bucket{le=\"1\"} 4\ntwofold_raft_append_duration_seconds_count 42\nbroken\n")
	if len(got) != 2 || got["twofold_raft_append_bytes_total"] != 1.5e6 || got["twofold_raft_append_duration_seconds_count"] != 42 {
		t.Errorf("%v", got)
	}
}
