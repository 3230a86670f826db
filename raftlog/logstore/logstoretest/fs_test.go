package logstoretest_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"twofold/raftlog/logstore/logstoretest"
)

// contents returns a file's bytes, nil if there is none.
func contents(fs *logstoretest.FS, name string) []byte {
	f, err := fs.OpenReader("", name)
	if err != nil {
		return nil
	}
	buf := make([]byte, 1<<16)
	n, _ := f.ReadAt(buf, 0)
	return buf[:n]
}

// The weakest that POSIX allows: bytes and names are durable after a sync of
// their own, and not before.
func TestFS_WhatIsLost(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	fs := logstoretest.New()
	f, err := fs.Create("", "f", 8)
	if err != nil {
		t.Fatal(err)
	}
	check := func(fs *logstoretest.FS, fate logstoretest.Fate, want string, exists bool) {
		t.Helper()
		got := contents(fs.PowerLoss(fate, rng), "f")
		if (got != nil) != exists || string(bytes.TrimRight(got, "\x00")) != want {
			t.Errorf("fate %d: found %q (%v), want %q", fate, got, got != nil, want)
		}
	}
	check(fs, logstoretest.Lost, "", false)
	check(fs, logstoretest.Kept, "", true)
	f.WriteAt([]byte("one"), 0)
	if err := f.Sync(); err != nil { // the first one: the name too
		t.Fatal(err)
	}
	f.WriteAt([]byte("two"), 3)
	check(fs, logstoretest.Lost, "one", true)
	check(fs, logstoretest.Kept, "onetwo", true)

	// What a killed process wrote is there, and is not durable.
	killed := fs.Killed()
	if got := contents(killed, "f"); string(got[:6]) != "onetwo" {
		t.Errorf("after kill -9: %q", got)
	}
	check(killed, logstoretest.Lost, "one", true)
	g, err := killed.OpenWriter("", "f")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Sync(); err != nil {
		t.Fatal(err)
	}
	check(killed, logstoretest.Lost, "onetwo", true)

	// A file that was only opened does not sync its name.
	fs = logstoretest.New()
	if _, err := fs.Create("", "f", 0); err != nil {
		t.Fatal(err)
	}
	if f, err = fs.OpenWriter("", "f"); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	check(fs, logstoretest.Lost, "", false)
	if err := fs.SyncDir(""); err != nil {
		t.Fatal(err)
	}
	check(fs, logstoretest.Lost, "", true)
}

// What was not synced is cut off or torn at many places; synced bytes are not
// harmed.
func TestFS_TornWrites(t *testing.T) {
	fs := logstoretest.New()
	f, err := fs.Create("", "f", 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt(bytes.Repeat([]byte("s"), 700), 0)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	f.WriteAt(bytes.Repeat([]byte("u"), 3000), 700)
	for _, fate := range []logstoretest.Fate{logstoretest.Short, logstoretest.Torn} {
		found := map[string]bool{}
		for seed := range uint64(50) {
			b := contents(fs.PowerLoss(fate, rand.New(rand.NewPCG(seed, 1))), "f")
			if len(b) < 700 || bytes.Count(b[:700], []byte("s")) != 700 {
				t.Fatalf("fate %d: synced bytes are lost", fate)
			}
			found[fmt.Sprint(len(b), bytes.Count(b, []byte("u")))] = true
		}
		if len(found) < 5 {
			t.Errorf("fate %d: only %d outcomes", fate, len(found))
		}
	}
}

// From the step at which the power fails on, nothing succeeds; a step that waits
// for Hold fails at Cut. A lie says that it did what it did not.
func TestFS_CutAndLie(t *testing.T) {
	fs := logstoretest.New()
	fs.Lie = func(_ int, kind logstoretest.Step) bool { return kind == logstoretest.StepSync }
	f, err := fs.Create("", "f", 0)
	if err != nil {
		t.Fatal(err)
	}
	fs.CutAfter(4) // a write, a sync of the file and of the directory, and then
	f.WriteAt([]byte("lied"), 0)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 4); !errors.Is(err, logstoretest.ErrPower) || !fs.Off() {
		t.Fatalf("the fourth step: %v", err)
	}
	if err := f.Sync(); !errors.Is(err, logstoretest.ErrPower) {
		t.Fatalf("after it: %v", err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	if got := contents(fs.PowerLoss(logstoretest.Lost, rng), "f"); got == nil || len(got) > 0 {
		t.Errorf("after a lie: %q", got)
	}
	if got := contents(fs.PowerLoss(logstoretest.Kept, rng), "f"); string(got) != "liedx" {
		t.Errorf("the write at which the power failed: %q", got)
	}

	fs = logstoretest.New()
	fs.Hold()
	done := make(chan error)
	go func() {
		_, err := fs.Create("", "f", 0)
		done <- err
	}()
	fs.Cut()
	if err := <-done; !errors.Is(err, logstoretest.ErrPower) || contents(fs, "f") != nil {
		t.Errorf("a step that was held: %v", err)
	}
}
