package nfs3

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"twofold/nfs/pace"
	"twofold/nfs/rpc"
)

// logInterval is the least time between two lines that calls cause, so that a
// broken disk under load does not fill another one with its complaints.
const logInterval = time.Second

// limitedLog writes at most one line per logInterval and counts the others.
type limitedLog struct {
	logger     *slog.Logger
	pace       rate.Sometimes
	suppressed atomic.Uint64 // lines not written since the last one
}

func (l *limitedLog) error(msg, proc string, call *rpc.Call, err error) {
	l.write(slog.LevelError, msg, proc, call, err)
}

func (l *limitedLog) warn(msg, proc string, call *rpc.Call, err error) {
	l.write(slog.LevelWarn, msg, proc, call, err)
}

func (l *limitedLog) write(level slog.Level, msg, proc string, call *rpc.Call, err error) {
	if !pace.Due(&l.pace) {
		l.suppressed.Add(1)
		return
	}
	l.logger.Log(context.Background(), level, msg, "proc", proc, "xid", call.XID,
		"client", call.Client, "err", err, "suppressed", l.suppressed.Swap(0))
}
