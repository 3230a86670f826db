package nfs

import "sync"

// maxIdleWorkers bounds the goroutines that wait for a call.
const maxIdleWorkers = 256

// job is a call, or a turn at reading a connection's calls.
type job interface{ run() }

// workers run jobs, each on a goroutine of its own. A goroutine that has run one
// waits for another: the stack of a new one has to grow several times on the way
// through a handler, which was an eighth of what a small change cost.
type workers struct {
	mu struct {
		sync.Mutex
		idle   []chan job // of the goroutines that wait; the last one waits least
		closed bool
	}
}

// start runs j on a goroutine, and returns at once.
func (w *workers) start(j job) {
	if next := w.idle(); next != nil {
		next <- j
		return
	}
	go w.work(j)
}

func (w *workers) work(j job) {
	next := make(chan job, 1)
	for j != nil {
		j.run()
		if !w.wait(next) {
			return
		}
		j = <-next
	}
}

// idle takes a goroutine that waits, or returns nil.
func (w *workers) idle() chan job {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.mu.idle) - 1
	if last < 0 {
		return nil
	}
	next := w.mu.idle[last]
	w.mu.idle[last] = nil
	w.mu.idle = w.mu.idle[:last]
	return next
}

// wait has the next job sent to next, and reports false if there is to be none.
func (w *workers) wait(next chan job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed || len(w.mu.idle) == maxIdleWorkers {
		return false
	}
	w.mu.idle = append(w.mu.idle, next)
	return true
}

// close ends the goroutines that wait, and each of the others after its job.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.closed = true
	for _, next := range w.mu.idle {
		close(next)
	}
	w.mu.idle = nil
}
