package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"twofold/nfs/load"
)

// planted is a table of two systems and two cells, with three rounds.
func planted() *table {
	ours := &system{name: "twofold, leader", ours: true, notes: notes{Version: "v1", Durability: "two disks"}, pids: map[string]int{"a": 1, "b": 2}, metrics: map[string]string{"a": "x", "b": "y"}}
	peer := &system{name: "peer", notes: notes{Version: "v2"}, pids: map[string]int{"server": 3}}
	t := &table{
		options: &options{rounds: 3, duration: time.Second, fileSize: "1MiB"},
		cells:   []cell{{"create", 1}, {"seqwrite", 16}}, systems: []*system{ours, peer},
		measured: map[key][]*load.Measured{}, failures: map[key]error{},
	}
	one := func(rate float64, unit string) *load.Measured {
		m := &load.Measured{Disk: &load.DiskUsage{Flushes: 120}, Processes: map[string]load.Usage{
			"a":     {CPUSeconds: 0.002, WrittenBytes: 4096, MemoryBytes: 3 << 20, Metrics: map[string]float64{flushMetric: 50}},
			"bench": {CPUSeconds: 0.001},
		}}
		m.Ops, m.OpsRate, m.Unit, m.UnitRate = 100, rate, unit, rate*1e6
		m.Latency.P50 = 300
		return m
	}
	for i := range 3 {
		t.measured[key{t.cells[0], ours}] = append(t.measured[key{t.cells[0], ours}], one(float64(900-300*i), ""))
		t.measured[key{t.cells[0], peer}] = append(t.measured[key{t.cells[0], peer}], one(float64(100+100*i), ""))
		t.measured[key{t.cells[1], ours}] = append(t.measured[key{t.cells[1], ours}], one(float64(50+i), "bytes"))
	}
	t.failures[key{t.cells[1], peer}] = fmt.Errorf("planted")
	t.floors = []*load.FloorResult{{Latency: load.Latency{P50: 200}}, {Latency: load.Latency{P50: 100}}, {Latency: load.Latency{P50: 150}}}
	return t
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	planted().render(&b)
	for _, want := range []string{
		"| create | 1 | 600 (300-900) | 200 (100-300) | 3.00 |",
		"| seqwrite | 16 | 51.0 (50.0-52.0) | failed | - |",
		"| create | twofold, leader | 300 | 2.00 |",
		"| create | 1 | twofold, leader | a 20.0, b 0.0, bench 10.0 | a 41, b 0 | a 0.500, b 0.000 | 1.200 | a 3, b 0, bench 0 |",
		"| peer | v2 | not stated | not stated |",
		"- seqwrite at 16, peer: a round failed twice: planted",
		"The floor is 150 us",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, b.String())
		}
	}
}

func TestBetween(t *testing.T) {
	got, err := between([]byte("head\n"+markBegin+"\nold\n"+markEnd+"\ntail\n"), []byte("new\n"))
	if want := "head\n" + markBegin + "\n\nnew\n\n" + markEnd + "\ntail\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := between([]byte("no marks"), nil); err == nil {
		t.Error("a document without marks is accepted")
	}
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := between(text, nil); err != nil {
		t.Error(err)
	}
}

func TestMiddle(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := middle(c.values); got != c.want {
			t.Errorf("median of %v: %v", c.values, got)
		}
	}
}

func TestReadPeers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(file, []byte(`{"one": {"version": "1.0", "processes": {"main": "12"}}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	peers, err := readPeers(" one=127.0.0.1:1/x  two=h:2:3/y", file)
	if err != nil || len(peers) != 2 || peers[0].notes.Version != "1.0" || peers[1].target != "h:2:3/y" {
		t.Fatalf("%+v, %v", peers, err)
	}
	if err := peers[0].find(); err != nil || peers[0].pids["main"] != 12 {
		t.Errorf("%v, %v", peers[0].pids, err)
	}
	for list, notes := range map[string]string{"one": "", "=x": "", "one=": "", "two=x": file, "x=y": "/nowhere"} {
		if got, err := readPeers(list, notes); err == nil {
			t.Errorf("%q with %q is accepted: %+v", list, notes, got)
		}
	}
}

func TestListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if pid, err := listener(l.Addr().String() + "/export"); err != nil || pid != os.Getpid() {
		t.Errorf("pid %d, %v; want %d", pid, err, os.Getpid())
	}
	for _, target := range []string{"192.0.2.1:2049/x", "host/x", "127.0.0.1/x"} {
		if pid, err := listener(target); err != nil || pid != 0 {
			t.Errorf("%s: pid %d, %v", target, pid, err)
		}
	}
}

func TestCells(t *testing.T) {
	o := &options{rounds: 3, workloads: "null,create", callers: "1,16"}
	cells, err := o.cells()
	if err != nil || len(cells) != 4 || cells[3] != (cell{"create", 16}) {
		t.Errorf("%v, %v", cells, err)
	}
	o.rounds = 2
	if _, err := o.cells(); err == nil {
		t.Error("two rounds are accepted")
	}
}
