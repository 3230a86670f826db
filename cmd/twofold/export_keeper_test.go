package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"twofold/metrics"
	"twofold/replica/vfs"
)

const oneExport = "/ 10.0.0.0/8(rw)\n"

func exportsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "exports")
	writeFile(t, path, text)
	return path
}

// runKeeper runs a keeper in a bubble until the test's step is done.
func runKeeper(t *testing.T, k *exportKeeper, step func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.run(ctx) }()
	step()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

// A new cluster gets the leader's file; a node that does not lead waits for it,
// and says what won if its own file is another one.
func TestKeeper_Seed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		leader  bool
		version uint64
		old     string
		sets    int
		says    string
	}{
		{"leader of a new cluster", true, 0, "", 1, "export table in force"},
		{"the other node wins", true, 0, "other node", 1, "by=b source=\"export apply old\""},
		{"the leader has no file", false, 0, "", 1, "export table in force"},
		{"there is a table", true, 5, "/x *(ro)\n", 0, "this node's exports file is not what is in force"},
		{"the table is the file", true, 5, oneExport, 0, "export table in force"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := newFakeTable(tt.version, strings.Replace(tt.old, "other node", "", 1))
				k, log := newTestKeeper(t, table, exportsFile(t, oneExport))
				k.isLeader = func() bool { return tt.leader }
				if tt.old == "other node" {
					table.before = func(f *fakeTable) { f.putLocked(1, "b", "export apply old", parseExports("/x *(ro)\n")) }
				}
				runKeeper(t, k, func() { <-k.known })
				if table.sets != tt.sets || !strings.Contains(log.String(), tt.says) {
					t.Errorf("%d proposals, want %d; the log says\n%s", table.sets, tt.sets, log)
				}
			})
		})
	}
}

// A follower leaves the seeding to the leader while that may still do it.
func TestKeeper_FollowerWaitsForTheLeadersSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(0, "")
		k, log := newTestKeeper(t, table, exportsFile(t, oneExport))
		k.isLeader = func() bool { return false }
		runKeeper(t, k, func() {
			synctest.Wait()
			table.put(1, "b", "exports_file /etc/exports", parseExports("/x *(ro)\n"))
			<-k.known
		})
		if table.sets != 0 || !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "by=b") {
			t.Errorf("%d proposals; the log says\n%s", table.sets, log)
		}
	})
}

// A follower whose first proposal fails proposes again, and not in a busy loop: a
// leader without a file never will, and nobody is served before there is a table.
func TestKeeper_FollowerSeedsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(0, "")
		table.before = func(f *fakeTable) {
			if f.sets == 10 {
				f.answer = nil
			}
		}
		table.answer = func() (vfs.Result, error) { return vfs.Result{}, vfs.ErrNoQuorum }
		k, _ := newTestKeeper(t, table, exportsFile(t, oneExport))
		k.isLeader = func() bool { return false }
		begin := time.Now()
		runKeeper(t, k, func() {
			select {
			case <-k.known:
			case <-time.After(time.Minute):
				t.Errorf("no table after a minute and %d proposals", table.sets)
			}
		})
		if d := time.Since(begin); d < seedPatience+9*exportRetry {
			t.Errorf("%d proposals in %s", table.sets, d)
		}
	})
}

// A seed that the volume refuses lets nobody in, and says what to do; without a
// file that is said, too. An unknown outcome is tried again.
func TestKeeper_NoSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(0, "")
		table.answer = func() (vfs.Result, error) {
			if table.sets == 1 {
				return vfs.Result{}, vfs.ErrUnknownOutcome
			}
			return vfs.Result{Kind: vfs.NotExist}, nil
		}
		k, log := newTestKeeper(t, table, exportsFile(t, "/projects *(ro)\n"))
		runKeeper(t, k, func() { <-k.known })
		if s := log.String(); table.sets != 2 || !strings.Contains(s, "/projects: no such directory") || !strings.Contains(s, "twofold export set /") {
			t.Errorf("%d proposals; the log says\n%s", table.sets, s)
		}
		k, log = newTestKeeper(t, newFakeTable(0, ""), "")
		runKeeper(t, k, func() { <-k.known })
		if s := log.String(); !strings.Contains(s, "nobody may mount") || !strings.Contains(s, "twofold export set /") {
			t.Errorf("the log says\n%s", s)
		}
	})
}

// Without a quorum no table is known and nobody is served.
func TestKeeper_WaitsForTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(3, oneExport)
		table.readErr = vfs.ErrNoQuorum
		k, _ := newTestKeeper(t, table, "")
		runKeeper(t, k, func() {
			synctest.Wait()
			select {
			case <-k.known:
				t.Error("a table is in force without a quorum")
			default:
			}
			if k.status() != nil {
				t.Error("status tells of a table that is not known")
			}
			table.mu.Lock()
			table.readErr = nil
			table.mu.Unlock()
			<-k.known
		})
	})
}

// A table that does not compile leaves the one before in force, and the next one
// replaces it.
func TestKeeper_TableThatDoesNotCompile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, err := metrics.NewRegistry("v", "a", "data")
		if err != nil {
			t.Fatal(err)
		}
		table := newFakeTable(3, oneExport)
		k, log := newTestKeeper(t, table, "")
		if k.metrics, err = metrics.NewGateway(reg); err != nil {
			t.Fatal(err)
		}
		var enforced []uint64
		k.enforce = func(et vfs.ExportTable) error {
			if et.Version == 4 {
				return errors.New("an option of the future")
			}
			enforced = append(enforced, et.Version)
			return nil
		}
		runKeeper(t, k, func() {
			<-k.known
			table.put(4, "b", "export set /", parseExports("/x *(ro)\n"))
			synctest.Wait()
			s := k.status()
			if s.Version != 3 || !strings.Contains(s.Problem, "version 4 of the export table, set by b") || !strings.Contains(s.Problem, "option of the future") {
				t.Errorf("status is %+v", s)
			}
			table.put(5, "b", "export set /", parseExports("/x *(ro)\n"))
			synctest.Wait()
			if s := k.status(); s.Version != 5 || s.Problem != "" {
				t.Errorf("status is %+v", s)
			}
		})
		if len(enforced) != 2 || enforced[1] != 5 || !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("in force were %d; the log says\n%s", enforced, log)
		}
	})
}

// What a SIGHUP does, and what the log says of it.
func TestReload(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*fakeTable, string)
		says  []string
		sets  int
		path  string // that is exported afterwards, if any
	}{
		{"a new file", nil, []string{"in force now", "version=4"}, 1, "/"},
		{"an empty file", func(_ *fakeTable, file string) { _ = os.WriteFile(file, nil, 0o600) },
			[]string{"level=WARN", "in force now", "nobody may mount", "version=4"}, 1, ""},
		{"the same", func(f *fakeTable, _ string) { f.put(9, "b", "x", parseExports(oneExport)) }, []string{"says what is in force", "version=9"}, 0, "/"},
		{"bad line", func(_ *fakeTable, file string) { _ = os.WriteFile(file, []byte("\n/ *(fast)\n"), 0o600) },
			[]string{"level=ERROR", "exports:2: ", "stays as it is"}, 0, "/x"},
		{"gone", func(_ *fakeTable, file string) { _ = os.Remove(file) }, []string{"level=ERROR", "no such file"}, 0, "/x"},
		{"the other node is first", func(f *fakeTable, _ string) {
			f.before = func(f *fakeTable) { f.putLocked(4, "b", "SIGHUP /b", parseExports("/y *(ro)\n")) }
		}, []string{"level=WARN", "came first and holds", "version=4", "by=b", `source="SIGHUP /b"`}, 1, "/y"},
		{"the other node is first with the same", func(f *fakeTable, _ string) {
			f.before = func(f *fakeTable) { f.putLocked(4, "b", "SIGHUP /b", parseExports(oneExport)) }
		}, []string{"level=INFO", "came first, and says the same", "by=b"}, 1, "/"},
		{"no quorum", func(f *fakeTable, _ string) { f.readErr = vfs.ErrNoQuorum }, []string{"level=ERROR", "send SIGHUP again"}, 0, "/x"},
		{"never proposed", func(f *fakeTable, _ string) {
			f.answer = func() (vfs.Result, error) { return vfs.Result{}, vfs.ErrBusy }
		}, []string{"stays as it is", "send SIGHUP again"}, 1, "/x"},
		{"unknown outcome", func(f *fakeTable, _ string) {
			f.answer = func() (vfs.Result, error) { return vfs.Result{}, vfs.ErrUnknownOutcome }
		}, []string{"not known whether", "export list"}, 1, "/x"},
		{"no such directory", func(f *fakeTable, _ string) {
			f.answer = func() (vfs.Result, error) { return vfs.Result{Kind: vfs.NotExist}, nil }
		}, []string{"level=ERROR", "/: no such directory"}, 1, "/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newFakeTable(3, "/x *(ro)\n")
			file := exportsFile(t, oneExport)
			k, log := newTestKeeper(t, table, file)
			if tt.spoil != nil {
				tt.spoil(table, file)
			}
			k.reload(context.Background())
			for _, want := range tt.says {
				if !strings.Contains(log.String(), want) {
					t.Errorf("%q is not in the log:\n%s", want, log)
				}
			}
			now, _ := table.Exports()
			path := ""
			if len(now.Exports) > 0 {
				path = now.Exports[0].Path
			}
			if table.sets != tt.sets || path != tt.path {
				t.Errorf("%d proposals, want %d; the table is %+v", table.sets, tt.sets, now)
			}
		})
	}
}

// A signal is served when the table is known, and one without a file says so.
func TestReload_Signals(t *testing.T) {
	table := newFakeTable(3, oneExport)
	k, log := newTestKeeper(t, table, "")
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGHUP
	done := make(chan error, 1)
	go func() { done <- k.awaitReloads(ctx, signals) }()
	if log.String() != "" {
		t.Errorf("before the table is known the log says %s", log)
	}
	close(k.known)
	eventually(t, "the signal is served", func() bool { return strings.Contains(log.String(), "names no exports_file") })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A change that is answered is enforced: at a node that learns from the leader
// that it is made, before it has applied it, too.
//
// Seen red: with a set that does not wait for the table, and one that leaves it
// to run to bring the table into force.
func TestKeeper_AnsweredChangeIsInForce(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			table := newFakeTable(5, oneExport)
			k, _ := newTestKeeper(t, table, "")
			k.put(table.table)
			if late > 0 {
				table.answer = func() (vfs.Result, error) {
					time.AfterFunc(late, func() { table.put(6, "a", "test", nil) })
					return vfs.Result{}, nil
				}
			}
			res, err := k.set(t.Context(), 5, nil, "test")
			if err != nil || res.Kind != vfs.OK || k.now.Load().table.Version != 6 {
				t.Errorf("applied after %s: %v, %v, in force is version %d, want 6", late, res.Kind, err, k.now.Load().table.Version)
			}
		})
	}
}

// A node that is cut off right after its change was made says so in its log, and
// does not take the change back.
func TestKeeper_ChangeThatDoesNotArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFakeTable(5, oneExport)
		k, log := newTestKeeper(t, table, "")
		table.answer = func() (vfs.Result, error) { return vfs.Result{}, nil }
		if res, err := k.set(t.Context(), 5, nil, "test"); err != nil || res.Kind != vfs.OK {
			t.Errorf("%v, %v", res.Kind, err)
		}
		if want := "has not applied the change yet"; !strings.Contains(log.String(), want) {
			t.Errorf("the log says %q, want %q", log, want)
		}
	})
}
