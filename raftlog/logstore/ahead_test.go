package logstore_test

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"twofold/raftlog/logstore"
	"twofold/raftlog/logstore/logstoretest"
)

// What was begun can be read at once, and is durable only when the disk has it.
// Whatever changes the log otherwise waits for that.
func TestBegin_Disk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := logstoretest.New()
		s := mustOpen(t, logstore.Options{Dir: t.TempDir(), FS: disk, SegmentBytes: 64 << 10})
		defer mustClose(t, s)
		if err := s.StoreLogs(entries(1, 3, 1)); err != nil {
			t.Fatal(err)
		}
		disk.Hold()
		for i := uint64(4); i <= 300; i++ { // beyond what the cache holds
			if err := s.Begin(entries(i, i, 1)); err != nil {
				t.Fatal(err)
			}
		}
		var stored error
		done := make(chan struct{})
		go func() {
			stored = s.StoreLogs(entries(301, 301, 2))
			close(done)
		}()
		synctest.Wait()
		if last, _ := s.LastIndex(); last != 300 || s.Durable() != 3 {
			t.Errorf("the log ends at %d, and %d is durable, want 300 and 3", last, s.Durable())
		}
		for _, i := range []uint64{3, 4, 150, 300} {
			var l raft.Log
			if err := s.GetLog(i, &l); err != nil || string(l.Data) != string(entries(i, i, 1)[0].Data) {
				t.Errorf("entry %d is %q, %v", i, l.Data, err)
			}
		}
		select {
		case <-done:
			t.Error("StoreLogs did not wait for what was begun before it")
		default:
		}
		disk.Resume()
		if err := errors.Join(s.AwaitDurable(300), s.Drain()); err != nil {
			t.Fatal(err)
		}
		if <-done; stored != nil || s.Durable() != 301 {
			t.Errorf("%v, and %d is durable, want 301", stored, s.Durable())
		}
	})
}

// A write that fails is told to whoever waits for it, and nothing is stored after.
func TestBegin_Fails(t *testing.T) {
	failures := 0
	disk := logstoretest.New()
	s := mustOpen(t, logstore.Options{Dir: t.TempDir(), FS: disk, SegmentBytes: 64 << 10, OnFailure: func(error) { failures++ }})
	if err := s.StoreLogs(entries(1, 3, 1)); err != nil {
		t.Fatal(err)
	}
	disk.Cut()
	_ = s.Begin(entries(4, 5, 1)) // the disk tells when it is written
	if err := s.AwaitDurable(5); !errors.Is(err, logstore.ErrFailed) {
		t.Errorf("waiting for it: %v", err)
	}
	if err := s.Drain(); !errors.Is(err, logstore.ErrFailed) {
		t.Errorf("Drain: %v", err)
	}
	if err := s.Begin(entries(6, 6, 1)); !errors.Is(err, logstore.ErrFailed) {
		t.Errorf("Begin: %v", err)
	}
	if err := s.StoreLogs(entries(6, 6, 1)); !errors.Is(err, logstore.ErrFailed) {
		t.Errorf("StoreLogs: %v", err)
	}
	_ = s.Close() // the disk is gone; the writer has ended and told of the failure
	if s.Durable() != 3 || failures != 1 {
		t.Errorf("%d is durable, want 3; %d failures were reported, want 1", s.Durable(), failures)
	}
}

// Compaction has its turn at the disk while a leader begins one entry after the
// other, and leaves what is not on the disk.
//
// Seen red: with a writer that keeps the disk as long as something waits.
func TestBegin_CompactionHasItsTurn(t *testing.T) {
	s := mustOpen(t, logstore.Options{
		Dir: t.TempDir(), FS: logstoretest.New(), SegmentBytes: 64 << 10, KeepBytes: 1 << 10,
		Clamp: func() (free, may uint64) { return math.MaxUint64, math.MaxUint64 },
	})
	defer mustClose(t, s)
	var stop atomic.Bool
	var fed error
	var feeder sync.WaitGroup
	feeder.Go(func() {
		for i := uint64(1); !stop.Load() && fed == nil; i++ {
			fed = s.Begin([]*raft.Log{{Index: i, Term: 1, Data: make([]byte, 4<<10)}})
		}
	})
	for range 3 {
		before, _ := s.FirstIndex()
		if err := s.AwaitDurable(before + 20); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Compact() }()
		select {
		case err := <-done:
			if first, _ := s.FirstIndex(); err != nil || first <= before || first > s.Durable() {
				t.Errorf("the log begins at %d, before at %d; %v", first, before, err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("compaction does not get its turn")
		}
	}
	stop.Store(true)
	feeder.Wait()
	if fed != nil {
		t.Error(fed)
	}
}
