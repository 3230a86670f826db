package nfs

import "sync"

// maxIdleWorkers bounds the goroutines that wait for a call.
const maxIdleWorkers = 256

// workers run tasks, each on a goroutine of its own. A goroutine that has run one
// waits for another: the stack of a new one has to grow several times on the way
// through a handler, which was an eighth of what a small change cost.
type workers struct {
	mu struct {
		sync.Mutex
		idle   []chan *task // of the goroutines that wait; the last one waits least
		closed bool
	}
}

// start runs t on a goroutine, and returns at once.
func (w *workers) start(t *task) {
	if next := w.idle(); next != nil {
		next <- t
		return
	}
	go w.work(t)
}

func (w *workers) work(t *task) {
	next := make(chan *task, 1)
	for t != nil {
		t.run()
		if !w.wait(next) {
			return
		}
		t = <-next
	}
}

// idle takes a goroutine that waits, or returns nil.
func (w *workers) idle() chan *task {
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

// wait has the next task sent to next, and reports false if there is to be none.
func (w *workers) wait(next chan *task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed || len(w.mu.idle) == maxIdleWorkers {
		return false
	}
	w.mu.idle = append(w.mu.idle, next)
	return true
}

// close ends the goroutines that wait, and each of the others after its task.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.closed = true
	for _, next := range w.mu.idle {
		close(next)
	}
	w.mu.idle = nil
}
