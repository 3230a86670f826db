package mount

import (
	"sync/atomic"
	"time"
)

// linePause is the least time between two lines of one kind in the log that
// clients can cause, so that one in a loop does not fill it.
const linePause = time.Second

// limiter says when a line may be written.
type limiter struct {
	next atomic.Int64 // Unix nanoseconds
}

func (l *limiter) may() bool {
	now, next := time.Now().UnixNano(), l.next.Load()
	return now >= next && l.next.CompareAndSwap(next, now+int64(linePause))
}
