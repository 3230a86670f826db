package nfs

import "testing"

// No more goroutines wait than the bound, none after close, and whoever is taken
// waits no more.
func TestWorkers_Waiting(t *testing.T) {
	var w workers
	var all []chan job
	for i := range maxIdleWorkers + 5 {
		next := make(chan job, 1)
		if got, want := w.wait(next), i < maxIdleWorkers; got != want {
			t.Fatalf("worker %d may wait: %t", i, got)
		}
		all = append(all, next)
	}
	if w.idle() != all[maxIdleWorkers-1] || w.idle() != all[maxIdleWorkers-2] {
		t.Error("the worker that waits least is not taken first")
	}
	if !w.wait(all[maxIdleWorkers]) {
		t.Error("a place that is free again cannot be had")
	}
	w.close()
	for i, next := range append(all[:maxIdleWorkers-2:maxIdleWorkers-2], all[maxIdleWorkers]) {
		if _, ok := <-next; ok {
			t.Errorf("worker %d of those that waited got a job at the end", i)
		}
	}
	if w.wait(make(chan job, 1)) || w.idle() != nil {
		t.Error("a worker waits after close")
	}
}
