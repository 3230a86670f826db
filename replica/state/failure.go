package state

import (
	"fmt"
	"log/slog"
	"sync"
)

// failure is the first error of the store's own work in the background: a flush
// or a compaction that failed. Pebble tries again without a pause, for ever and
// with a message each time; a disk that cannot take the state is not cured by
// that, and whoever waits for a flush would wait for ever. So the first error
// is the last word: the node stops, and replays its log when it is started on a
// disk that works.
type failure struct {
	log  *slog.Logger
	once sync.Once
	err  error         // set before done is closed
	done chan struct{} // closed at the first error
}

func newFailure(l *slog.Logger) *failure { return &failure{log: l, done: make(chan struct{})} }

func (f *failure) set(err error) {
	f.once.Do(func() {
		f.err = fmt.Errorf("state: the disk does not take the state: %w", asCorrupt(err))
		f.log.Error("store background error", "err", err.Error()) // without the stack that it has
		close(f.done)
	})
}

// Failed is closed when the store can no longer write out what it holds. A state
// that is installed in its place has another channel.
func (s *State) Failed() <-chan struct{} { return s.failure.Load().done }

// Failure tells why, after Failed is closed.
func (s *State) Failure() error {
	f := s.failure.Load()
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}
