package load_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"twofold/nfs/client"
	"twofold/nfs/load"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

func portOf(t load.Target) string { return strconv.Itoa(t.NFSPort) }

// Every workload makes as many operations as it is told to, all of them right, and leaves nothing behind.
func TestRun_Workloads(t *testing.T) {
	addr, _ := serve(t)
	b := open(t, config(t, addr))
	for _, w := range load.Workloads {
		t.Run(w.Name, func(t *testing.T) {
			res, err := b.Run(t.Context(), load.Cell{Workload: w.Name, Callers: 5, Ops: 60})
			if err != nil {
				t.Fatal(err)
			}
			if res.Failed() != 0 {
				t.Errorf("errors %v, lost %d", res.Errors, res.Lost)
			}
			// What writes whole files may make more.
			if res.Ops < 60 || res.Ops > 60 && w.Name != "seqwrite" {
				t.Errorf("%d operations", res.Ops)
			}
			if res.Seconds <= 0 || res.Latency.P50 <= 0 || res.Latency.Max < res.Latency.P99 || res.Calls < res.Ops {
				t.Errorf("%+v", res)
			}
			if w.Unit != "" && res.Units < res.Ops {
				t.Errorf("%d %s in %d operations", res.Units, w.Unit, res.Ops)
			}
		})
	}
}

// The calls of each workload are the ones that its description names.
func TestRun_CallsOfAnOperation(t *testing.T) {
	addr, _ := serve(t)
	b := open(t, config(t, addr))
	for name, want := range map[string][]string{
		"null": {"NULL"}, "getattr": {"GETATTR"}, "lookup": {"LOOKUP"}, "access": {"ACCESS"}, "read4k": {"READ"}, "readdirplus": {"READDIRPLUS"},
		"create": {"CREATE"}, "mkdir": {"MKDIR"}, "rename": {"RENAME"}, "remove": {"REMOVE"}, "seqread": {"READ"},
		"smallfile": {"LOOKUP", "CREATE", "WRITE", "GETATTR", "READ", "REMOVE"},
		"tree":      {"LOOKUP", "CREATE", "WRITE", "SETATTR"},
	} {
		res, err := b.Run(t.Context(), load.Cell{Workload: name, Callers: 2, Ops: 24})
		if err != nil {
			t.Fatal(err)
		}
		for _, proc := range want {
			if got := res.Procedures[proc].Calls; got < 24 || got > 24 && proc != "MKDIR" {
				t.Errorf("%s: %d %s in 24 operations", name, got, proc)
			}
		}
		for proc := range res.Procedures {
			// Directories are made as they fill; they are part of the time, not of the operation.
			if n := strings.Count(strings.Join(want, " ")+" MKDIR", proc); n == 0 {
				t.Errorf("%s: %s is none of its calls", name, proc)
			}
		}
	}
}

func TestRun_MixedProportions(t *testing.T) {
	addr, _ := serve(t)
	b := open(t, config(t, addr))
	const n = 4000
	res, err := b.Run(t.Context(), load.Cell{Workload: "mixed", Callers: 4, Ops: n})
	if err != nil {
		t.Fatal(err)
	}
	for proc, percent := range map[string]int64{"GETATTR": 40, "LOOKUP": 20, "ACCESS": 10, "READ": 15, "CREATE": 8, "WRITE": 8, "REMOVE": 5, "RENAME": 2} {
		got, want := res.Procedures[proc].Calls, n*percent/100
		if got < want*7/10 || got > want*13/10 {
			t.Errorf("%d %s, about %d are due", got, proc, want)
		}
	}
}

// A caller's calls follow from the seed.
func TestRun_SeedDecides(t *testing.T) {
	addr, _ := serve(t)
	counts := func(seed uint64) (all [8]int64) {
		cfg := config(t, addr)
		cfg.Seed = seed
		b, err := load.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		res, err := b.Run(t.Context(), load.Cell{Workload: "mixed", Callers: 1, Ops: 300})
		if err != nil {
			t.Fatal(err)
		}
		for i, proc := range []string{"GETATTR", "LOOKUP", "ACCESS", "READ", "CREATE", "WRITE", "REMOVE", "RENAME"} {
			all[i] = res.Procedures[proc].Calls
		}
		return all
	}
	if one := counts(1); one != counts(1) || one == counts(2) {
		t.Error("the seed does not decide")
	}
}

func TestRun_ForATimeAtTwoTargets(t *testing.T) {
	addr, sp := serve(t)
	cfg := config(t, addr, addr)
	var seen atomic.Int64
	cfg.Progress = func(p load.Progress) {
		if p.Stage == "measure" {
			seen.Store(p.Ops)
		}
	}
	var begun, ended int
	cfg.Window = func(begin bool) {
		if begin {
			begun++
		} else {
			ended++
		}
	}
	b := open(t, cfg)
	for _, w := range []string{"getattr", "remove"} {
		begun, ended = 0, 0
		res, err := b.Run(t.Context(), load.Cell{Workload: w, Callers: 6, Duration: 500 * time.Millisecond, Warmup: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if res.Failed() != 0 || res.Ops == 0 || res.Seconds < 0.5 || len(res.Targets) != 2 {
			t.Errorf("%+v", res)
		}
		if begun == 0 || begun != ended {
			t.Errorf("%s: %d windows were opened and %d closed", w, begun, ended)
		}
	}
	if sp.calls.Load() == 0 || seen.Load() == 0 {
		t.Error("no calls, or no progress")
	}
}

// status answers a procedure with a status, some of the times.
func status(proc uint32, s client.Status, when func(n int64) bool) func(context.Context, *rpc.Call, *xdr.Writer) (bool, error) {
	var n atomic.Int64
	return func(_ context.Context, call *rpc.Call, w *xdr.Writer) (bool, error) {
		if call.Proc != proc || !when(n.Add(1)) {
			return false, nil
		}
		w.Uint32(uint32(s))
		for range 4 { // no attributes, in whichever arm
			w.Uint32(0)
		}
		return true, nil
	}
}

// Failed calls are counted by their status, and not as operations.
func TestRun_CountsErrors(t *testing.T) {
	addr, sp := serve(t)
	b := open(t, config(t, addr))
	sp.with(status(client.ProcMkdir, client.ErrIO, func(n int64) bool { return n > 3 && n%3 == 0 }))
	res, err := b.Run(t.Context(), load.Cell{Workload: "mkdir", Callers: 1, Ops: 30})
	sp.with(nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := res.Errors["MKDIR NFS3ERR_IO"]
	if failed < 8 || len(res.Errors) != 1 || res.Ops > 30-failed+5 || res.Procedures["MKDIR"].Calls < res.Ops {
		t.Errorf("%d operations, errors %v", res.Ops, res.Errors)
	}
}

// Calls that are answered JUKEBOX are made again, and counted.
func TestRun_RepeatsJukebox(t *testing.T) {
	addr, sp := serve(t)
	b := open(t, config(t, addr))
	sp.with(status(client.ProcGetattr, client.ErrJukebox, func(n int64) bool { return n%4 == 0 }))
	res, err := b.Run(t.Context(), load.Cell{Workload: "getattr", Callers: 2, Ops: 60})
	if err != nil {
		t.Fatal(err)
	}
	if res.Ops != 60 || res.Failed() != 0 || res.Jukebox < 15 || res.Jukebox > 25 {
		t.Errorf("%d operations, errors %v, %d times JUKEBOX", res.Ops, res.Errors, res.Jukebox)
	}
}

// A call without an answer is lost, and no operation.
func TestRun_CountsLostCalls(t *testing.T) {
	addr, sp := serve(t)
	cfg := config(t, addr)
	cfg.Timeout = 300 * time.Millisecond
	b := open(t, cfg)
	var n atomic.Int64
	hold := make(chan struct{})
	sp.with(func(ctx context.Context, call *rpc.Call, _ *xdr.Writer) (bool, error) {
		if call.Proc == client.ProcAccess && n.Add(1) == 5 {
			select {
			case <-hold:
			case <-ctx.Done():
			}
		}
		return false, nil
	})
	res, err := b.Run(t.Context(), load.Cell{Workload: "access", Callers: 3, Ops: 50})
	close(hold)
	if err != nil {
		t.Fatal(err)
	}
	if res.Lost != 1 || res.Ops != 49 || res.Failed() != 1 {
		t.Errorf("%d operations, %d lost", res.Ops, res.Lost)
	}
}

// A READ that gives other data than were written is an error.
func TestRun_LooksAtData(t *testing.T) {
	addr, sp := serve(t)
	b := open(t, config(t, addr))
	sp.with(func(ctx context.Context, call *rpc.Call, w *xdr.Writer) (bool, error) {
		if call.Proc != client.ProcRead {
			return false, nil
		}
		err := sp.Handler.ServeRPC(ctx, call, w)
		w.B[len(w.B)-4096] ^= 1
		return true, err
	})
	res, err := b.Run(t.Context(), load.Cell{Workload: "smallfile", Callers: 2, Ops: 10})
	if err != nil {
		t.Fatal(err)
	}
	if res.Ops != 0 || res.Errors["READ gave other data than were written"] != 10 {
		t.Errorf("%d operations, errors %v", res.Ops, res.Errors)
	}
}

func TestRun_Stopped(t *testing.T) {
	addr, sp := serve(t)
	b := open(t, config(t, addr))
	ctx, cancel := context.WithCancel(t.Context())
	sp.with(func(context.Context, *rpc.Call, *xdr.Writer) (bool, error) {
		if sp.calls.Load() > 500 {
			cancel()
		}
		return false, nil
	})
	res, err := b.Run(ctx, load.Cell{Workload: "null", Callers: 2, Duration: time.Hour})
	if err != nil || !res.Stopped || res.Ops == 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

// When the connection fails its calls are repeated, and none is lost or counted twice.
func TestRun_RepeatsAfterAFailure(t *testing.T) {
	addr, sp := serve(t)
	b := open(t, config(t, addr))
	var mu sync.Mutex
	n, dropped := 0, map[uint32]bool{} // XIDs that did not come again yet
	sp.with(func(_ context.Context, call *rpc.Call, _ *xdr.Writer) (bool, error) {
		if call.Proc != client.ProcNull {
			return false, nil
		}
		mu.Lock()
		defer mu.Unlock()
		delete(dropped, call.XID)
		if n++; n%40 == 0 {
			dropped[call.XID] = true
		}
		return n%40 == 0, rpc.ErrDrop // closes the connection
	})
	res, err := b.Run(t.Context(), load.Cell{Workload: "null", Callers: 4, Ops: 200})
	if err != nil {
		t.Fatal(err)
	}
	if res.Ops != 200 || res.Failed() != 0 || res.Repeated < 5 {
		t.Errorf("%d operations, errors %v, %d lost, %d repeated", res.Ops, res.Errors, res.Lost, res.Repeated)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(dropped) != 0 {
		t.Errorf("%d calls did not come again under their XIDs", len(dropped))
	}
}

// A server that is gone ends the run.
func TestRun_ServerGone(t *testing.T) {
	addr, sp := serve(t)
	cfg := config(t, addr)
	cfg.Timeout = 300 * time.Millisecond
	b, err := load.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var once sync.Once
	sp.with(func(_ context.Context, call *rpc.Call, _ *xdr.Writer) (bool, error) {
		if call.Proc == client.ProcNull {
			once.Do(func() { go sp.server.Close() })
		}
		return false, nil
	})
	if _, err = b.Run(t.Context(), load.Cell{Workload: "null", Callers: 2, Duration: time.Hour}); err == nil || !strings.Contains(err.Error(), "the connection to") {
		t.Errorf("error %v", err)
	}
}

func TestRun_RefusesBadCells(t *testing.T) {
	addr, _ := serve(t)
	b := open(t, config(t, addr))
	for _, c := range []load.Cell{
		{Workload: "nothing", Callers: 1, Ops: 1},
		{Workload: "null", Callers: 0, Ops: 1},
		{Workload: "null", Callers: load.MaxCallers + 1, Ops: 1},
		{Workload: "null", Callers: 1},
		{Workload: "null", Callers: 1, Ops: -1},
	} {
		if _, err := b.Run(t.Context(), c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// The names of the JSON do not change without notice: other programs read them.
func TestResult_JSON(t *testing.T) {
	addr, _ := serve(t)
	b := open(t, config(t, addr))
	res, err := b.Run(t.Context(), load.Cell{Workload: "readdirplus", Callers: 1, Ops: 4})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"workload", "operation", "targets", "callers", "connections", "seconds", "ops", "ops_per_second", "unit", "units",
		"units_per_second", "calls", "latency_us", "procedures", "errors", "lost", "jukebox"} {
		if _, ok := doc[key]; !ok {
			t.Errorf("%s is missing: %s", key, text)
		}
	}
	if errs, ok := doc["errors"].(map[string]any); !ok || len(errs) != 0 {
		t.Errorf("errors: %v", doc["errors"])
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]load.Target{
		"host":                          {Host: "host", Path: "/"},
		"host/export/a":                 {Host: "host", Path: "/export/a"},
		"10.0.0.1:2049":                 {Host: "10.0.0.1", NFSPort: 2049, Path: "/"},
		"127.0.0.1:22149:22150/export":  {Host: "127.0.0.1", NFSPort: 22149, MountPort: 22150, Path: "/export"},
		"[::1]:2049:20048/with:a:colon": {Host: "::1", NFSPort: 2049, MountPort: 20048, Path: "/with:a:colon"},
	} {
		got, err := load.ParseTarget(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := load.ParseTarget(got.String()); err != nil || again != got {
			t.Errorf("%s: read again %+v, %v", got, again, err)
		}
	}
	for _, text := range []string{"", "/export", "host:0", "host:port", "host:1:2:3", "::1", "[::1", "[host]:1", "host:70000"} {
		if got, err := load.ParseTarget(text); err == nil {
			t.Errorf("%q is accepted: %+v", text, got)
		}
	}
}

func TestFloor(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	res, err := load.Floor(t.Context(), load.FloorConfig{Dirs: dirs, Bytes: 300, Ops: 20})
	if err != nil {
		t.Fatal(err)
	}
	if res.Ops != 20 || res.Latency.P50 < max(res.Sync[0].P50, res.Sync[1].P50)/2 || res.Sync[1].Max == 0 {
		t.Errorf("%+v", res)
	}
	if _, err = load.Floor(t.Context(), load.FloorConfig{Dirs: [2]string{dirs[0], "/nowhere/at/all"}, Bytes: 1, Ops: 1}); err == nil {
		t.Error("a directory that is not there is accepted")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stop"))
	if res, err = load.Floor(ctx, load.FloorConfig{Dirs: dirs, Bytes: 1, Duration: time.Hour}); err != nil || res.Ops != 0 {
		t.Errorf("%+v, %v", res, err)
	}
}
