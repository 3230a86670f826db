package metrics_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"twofold/metrics"
)

// all registers everything that a data node registers and gives each vector a
// series, since a vector without one is not gathered.
func all(t *testing.T) *prometheus.Registry {
	t.Helper()
	reg, err := metrics.NewRegistry("v0", "a", "data")
	if err != nil {
		t.Fatal(err)
	}
	n, err := metrics.NewNFS(reg)
	if err != nil {
		t.Fatal(err)
	}
	n.Observe("getattr", "ok", time.Millisecond)
	if _, err := metrics.NewRaft(reg); err != nil {
		t.Fatal(err)
	}
	r, err := metrics.NewReplica(reg)
	if err != nil {
		t.Fatal(err)
	}
	r.SetPeerLag("b", 1)
	r.SetFree("b", 1, true)
	r.SetClockSkew("b", 1, true)
	if _, err := metrics.NewGateway(reg); err != nil {
		t.Fatal(err)
	}
	return reg
}

func gather(t *testing.T, reg *prometheus.Registry) []*dto.MetricFamily {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// series returns the gauges and counters by name and label values in the order
// of the label names.
func series(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for _, f := range gather(t, reg) {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			out[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

// Every metric has a row in the operations page, and every row has a metric.
func TestMetrics_AreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/operations/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		rows[m[1]] = true
	}
	for _, f := range gather(t, all(t)) {
		name := f.GetName()
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if !rows[name] {
			t.Errorf("%s has no row in docs/operations/metrics.md", name)
		}
		delete(rows, name)
	}
	for name := range rows {
		t.Errorf("docs/operations/metrics.md has a row for %s, which nothing registers", name)
	}
}

// Names and help texts follow Prometheus' own conventions.
func TestMetrics_Lint(t *testing.T) {
	problems, err := promlint.NewWithMetricFamilies(gather(t, all(t))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "twofold_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// What comes from the wire cannot grow the number of series.
func TestNFS_UnknownProcedureIsOther(t *testing.T) {
	reg := prometheus.NewRegistry()
	n, err := metrics.NewNFS(reg)
	if err != nil {
		t.Fatal(err)
	}
	before := len(series(t, reg))
	n.Observe("proc-4711", "ok", time.Millisecond)
	n.Observe("proc-4712", "ok", time.Millisecond)
	if after := len(series(t, reg)); after != before {
		t.Errorf("%d series before two unknown procedures, %d after", before, after)
	}
	n.Observe("write", "nospc", time.Millisecond)
	n.CallStarted()
	n.CallStarted()
	n.CallEnded()
	got := series(t, reg)
	for key, want := range map[string]float64{
		"twofold_nfs_requests_total other ok":    2,
		"twofold_nfs_requests_total write nospc": 1,
		"twofold_nfs_requests_total write ok":    0,
		"twofold_nfs_requests_in_flight":         1,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
}

func TestNFS_Limits(t *testing.T) {
	reg := prometheus.NewRegistry()
	n, err := metrics.NewNFS(reg)
	if err != nil {
		t.Fatal(err)
	}
	before := len(series(t, reg))
	n.LimitUsed("calls", 7, 9)
	for range 3 {
		n.HeldBack("bytes_per_client")
	}
	n.LetGo("bytes_per_client", 1500*time.Millisecond)
	n.ConnCut("idle_time")
	n.ConnCut("unheard of")
	n.Paused(90 * time.Second)
	got := series(t, reg)
	if len(got) != before {
		t.Errorf("%d series before, %d after", before, len(got))
	}
	for key, want := range map[string]float64{
		"twofold_nfs_limit_used calls":                          7,
		"twofold_nfs_limit_max calls":                           9,
		"twofold_nfs_limit_waits_total bytes_per_client":        3,
		"twofold_nfs_limit_waiting bytes_per_client":            2,
		"twofold_nfs_limit_wait_seconds_total bytes_per_client": 1.5,
		"twofold_nfs_connections_cut_total idle_time":           1,
		"twofold_nfs_connections_cut_total other":               1,
		"twofold_nfs_pauses_total":                              1,
		"twofold_nfs_paused_seconds_total":                      90,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
}

func TestRaft_SetState(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metrics.NewRaft(reg)
	if err != nil {
		t.Fatal(err)
	}
	m.SetState(3, 40, 39, 41, true)
	got := series(t, reg)
	for key, want := range map[string]float64{
		"twofold_raft_term":          3,
		"twofold_raft_commit_index":  40,
		"twofold_raft_applied_index": 39,
		"twofold_raft_last_index":    41,
		"twofold_raft_is_leader":     1,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
}

func TestReplica_SetDuplicates(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metrics.NewReplica(reg)
	if err != nil {
		t.Fatal(err)
	}
	m.SetDuplicates(7, 700, 1000, 3, 2)
	m.SetDuplicates(5, 500, 900, 4, 0) // the last two are what came since
	got := series(t, reg)
	for key, want := range map[string]float64{
		"twofold_replica_duplicate_records":       5,
		"twofold_replica_duplicate_bytes":         500,
		"twofold_replica_duplicate_limit_bytes":   900,
		"twofold_replica_duplicate_evicted_total": 7,
		"twofold_replica_duplicate_hits_total":    2,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
}

// A package under test passes nil and must not care.
func TestNilReceivers(t *testing.T) {
	var n *metrics.NFS
	n.Observe("read", "ok", 0)
	n.ConnOpened()
	n.ConnClosed()
	n.CallStarted()
	n.CallEnded()
	n.LimitUsed("calls", 1, 2)
	n.HeldBack("calls")
	n.LetGo("calls", 0)
	n.ConnCut("record")
	n.Paused(0)
	var r *metrics.Raft
	r.ObserveAppend(1, 0)
	r.SetState(1, 1, 1, 1, false)
	r.LeaderChanged()
	r.SenderRefused()
	var s *metrics.Replica
	s.ObserveBatch(1, 1, 0)
	s.ObserveApply(0)
	s.Forwarded()
	s.ReadByLease()
	s.ReadConfirmed()
	s.ReadForwarded()
	s.ReadWaited(0)
	s.SetState(1, 1)
	s.SetDuplicates(1, 1, 1, 1, 1)
	s.SetPeerLag("b", 1)
}

// Two nodes of one process keep apart; the same registry twice is an error,
// not a panic.
func TestNew_RegistersOnTheGivenRegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	if _, err := metrics.NewRaft(reg); err != nil {
		t.Fatal(err)
	}
	if _, err := metrics.NewRaft(prometheus.NewRegistry()); err != nil {
		t.Errorf("second instance on its own registry: %v", err)
	}
	if _, err := metrics.NewRaft(reg); err == nil {
		t.Error("the same collectors were registered twice without an error")
	}
}

func TestObserve_DoesNotAllocate(t *testing.T) {
	n, err := metrics.NewNFS(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(100, func() { n.Observe("getattr", "ok", time.Millisecond) }); got != 0 {
		t.Errorf("%v allocations for each successful call, want none", got)
	}
}

// One of the port mapper's states is 1, and a table that is not the newest shows.
func TestGateway_Gauges(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metrics.NewGateway(reg)
	if err != nil {
		t.Fatal(err)
	}
	m.SetExports(7, 3, true)
	m.SetMapper("waiting", true)
	m.SetMapper("registered", false)
	got := series(t, reg)
	for name, want := range map[string]float64{
		"twofold_exports_version": 7, "twofold_exports_entries": 3, "twofold_exports_behind": 0, "twofold_rpcbind_failing": 0,
		"twofold_rpcbind_state registered": 1, "twofold_rpcbind_state waiting": 0, "twofold_rpcbind_state serving": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %t), want %v", name, v, ok, want)
		}
	}
	m.SetExports(7, 3, false)
	if got := series(t, reg)["twofold_exports_behind"]; got != 1 {
		t.Errorf("twofold_exports_behind is %v for a table that is not in force", got)
	}
}
