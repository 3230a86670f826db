package replica_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/replica"
	"twofold/replica/catchup"
	"twofold/replica/vfs"
)

// shortLogs has all nodes let go of their logs soon, and calls steps, which may be
// nil, before each step that b takes.
func shortLogs(steps *atomic.Pointer[func(string)]) func(string, *raftlog.Config, *replica.Config) {
	return func(name string, log *raftlog.Config, store *replica.Config) {
		log.KeepLogBytes, log.MaxLogBytes, log.LogSegmentBytes = 64<<10, 512<<10, 256<<10
		log.Timing.PingInterval, log.Timing.WatermarkInterval = 50*time.Millisecond, 50*time.Millisecond
		if name == "b" && steps != nil {
			at := func(step string) {
				if f := steps.Load(); f != nil {
					(*f)(step)
				}
			}
			log.Failpoint, store.Failpoint = at, at
		}
	}
}

// files makes small files at a node.
func files(t *testing.T, s *replica.Store, n int) (refs []vfs.Ref) {
	t.Helper()
	refs = make([]vfs.Ref, n)
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := w; i < n; i += 8 {
				res, err := s.Mutate(t.Context(), &vfs.Call{}, &vfs.OpCreate{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: fmt.Sprintf("f%d", i), Mode: vfs.CreateGuarded})
				if err != nil || res.Kind != vfs.OK {
					t.Errorf("create: %v, %v", res.Kind, err)
					return
				}
				refs[i] = res.Attr.Ref
			}
		})
	}
	group.Wait()
	return refs
}

// rewrite gives each file new contents of its own.
func rewrite(t *testing.T, s *replica.Store, refs []vfs.Ref, round int) {
	t.Helper()
	var group sync.WaitGroup
	for w := range 16 {
		group.Go(func() {
			for i := w; i < len(refs); i += 16 {
				res, err := s.Mutate(t.Context(), &vfs.Call{}, &vfs.OpWrite{Ref: refs[i], Data: contents(i, round)})
				if err != nil || res.Kind != vfs.OK {
					t.Errorf("write: %v, %v", res.Kind, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func contents(i, round int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("file %d round %d. ", i, round)), 100)
}

// leave stops b and writes until no log leads on from where it stopped.
func (p *pair) leave(refs []vfs.Ref, round int) (rounds int) {
	t := p.t.(*testing.T)
	t.Helper()
	for p.leader() != "a" {
		_ = p.nodes["b"].TransferLeadership(t.Context(), "a")
	}
	last := p.nodes["b"].Status().Last
	p.stop("b")
	for ; p.nodes["a"].Status().First <= last+1; round++ {
		rewrite(t, p.stores["a"], refs, round)
		if err := p.nodes["a"].WriteMarker(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return round
}

// synced waits until b reads its own copy: it is in sync then.
func (p *pair) synced() {
	p.t.Helper()
	p.await("b", func(context.Context, *replica.Store) error {
		if _, ok := p.nodes["b"].Lease(); !ok {
			return vfs.ErrNotReady
		}
		return nil
	})
	p.await("b", func(ctx context.Context, s *replica.Store) error { return s.Ready(ctx) })
}

// back waits until b has all that was acknowledged, and holds the copies against
// each other.
func (p *pair) back(refs []vfs.Ref, round int) {
	t := p.t.(*testing.T)
	t.Helper()
	p.synced()
	b := p.stores["b"]
	buf := make([]byte, 4096)
	for _, i := range []int{0, len(refs) / 2, len(refs) - 1} {
		r, err := b.Read(t.Context(), vfs.Root, refs[i], 0, buf)
		if err != nil || !bytes.Equal(buf[:r.N], contents(i, round)) {
			t.Fatalf("file %d at b: %.40q, %v", i, buf[:r.N], err)
		}
	}
	p.sameDigest()
}

// A node that missed 2,000 rewritten files, and the log of them, is back soon
// while clients go on at the other node, and serves what was acknowledged.
func TestCatchUp_StoreBeyondTheLog(t *testing.T) {
	p := newPairAs(t, nil, shortLogs(nil))
	refs := files(t, p.stores["a"], 2000)
	round := p.leave(refs, 1)
	busy, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	a := p.stores["a"]
	extra := files(t, a, 0)
	res := mustMutate(t, a, &vfs.OpCreate{Dir: rootRef(a), Name: "busy"})
	extra = append(extra, res.Attr.Ref)
	load.Go(func() {
		for i := 0; busy.Err() == nil; i++ {
			// Not so fast that the log outruns what is kept of it for b.
			time.Sleep(20 * time.Millisecond)
			if _, err := a.Mutate(t.Context(), &vfs.Call{}, &vfs.OpWrite{Ref: extra[0], Data: contents(0, i)}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	begun := time.Now()
	p.start("b")
	p.synced()
	took := time.Since(begun)
	stop()
	load.Wait()
	given, _ := p.stores["a"].Transfers()
	_, taken := p.stores["b"].Transfers()
	t.Logf("back after %v; given %d bytes, %d of %d buckets", took, given.Total, taken.Done, taken.Differ)
	if given.Total == 0 {
		t.Error("no state was brought")
	}
	p.back(refs, round-1)
}

// The node that takes a state is killed before each step of it, or the one that
// gives it is; what was on disk at that moment is started again.
func TestCatchUp_StoreKilledAtEachStep(t *testing.T) {
	steps := []string{
		catchup.StepStage, catchup.StepCompare, catchup.StepChange, catchup.StepFinish, catchup.StepReady,
		raftlog.StepPending, raftlog.StepSwap, raftlog.StepMarker, raftlog.StepReset,
	}
	for _, step := range steps {
		t.Run("b/"+step, func(t *testing.T) {
			t.Parallel()
			killAt(t, "b", step)
		})
	}
	for _, step := range []string{catchup.StepCompare, catchup.StepChange, catchup.StepReady, raftlog.StepSwap} {
		t.Run("a/"+step, func(t *testing.T) {
			t.Parallel()
			killAt(t, "a", step)
		})
	}
}

// copyDir copies a directory in which files may be removed meanwhile.
func copyDir(to, from string) (err error) {
	for range 20 {
		if err = os.RemoveAll(to); err != nil {
			return err
		}
		if err = os.CopyFS(to, os.DirFS(from)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

func killAt(t *testing.T, victim, step string) {
	var at atomic.Pointer[func(string)]
	p := newPairAs(t, nil, shortLogs(&at))
	refs := files(t, p.stores["a"], 256)
	round := p.leave(refs, 1)
	frozen := filepath.Join(t.TempDir(), victim)
	var once sync.Once
	reached := make(chan struct{})
	f := func(s string) {
		if s == step {
			once.Do(func() {
				if err := copyDir(frozen, filepath.Join(p.dir, victim)); err != nil {
					t.Error(err)
				}
				close(reached)
			})
		}
	}
	at.Store(&f)
	p.start("b")
	select {
	case <-reached:
	case <-time.After(patience):
		t.Fatal("the step was not reached")
	}
	p.stop(victim)
	dir := filepath.Join(p.dir, victim)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(frozen, dir); err != nil {
		t.Fatal(err)
	}
	p.start(victim)
	p.back(refs, round-1)
}
