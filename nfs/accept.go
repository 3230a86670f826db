package nfs

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"
)

// isTemporary reports whether accept may succeed later: the process or the host
// is out of descriptors or buffers, or the client was gone already.
func isTemporary(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Bounds of the pause after an accept that failed.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// acceptBackoff doubles its pause with each failure in a row.
type acceptBackoff struct{ pause time.Duration }

func (b *acceptBackoff) reset() { b.pause = 0 }

func (b *acceptBackoff) wait(ctx context.Context) {
	b.pause = min(max(2*b.pause, acceptPauseMin), acceptPauseMax)
	t := time.NewTimer(b.pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Bounds of what is logged about events that clients can cause at will.
const (
	logBurst  = 10
	logWindow = 10 * time.Second
)

// logLimit lets a burst of messages through in each window of time.
type logLimit struct {
	mu    sync.Mutex
	start time.Time
	count int
}

func (l *logLimit) allow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.start) > logWindow {
		l.start, l.count = now, 0
	}
	l.count++
	return l.count <= logBurst
}
