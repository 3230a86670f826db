package transport

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// logKey is an event with a peer. The peer is a member's name or empty, never a
// name from the wire, so that the number of keys is bounded.
type logKey struct{ event, peer string }

// limitedLog writes one line per event and peer in an interval.
type limitedLog struct {
	log *slog.Logger
	mu  struct {
		sync.Mutex
		last map[logKey]logState
	}
}

type logState struct {
	at      time.Time
	skipped int
}

func newLimitedLog(log *slog.Logger) *limitedLog {
	l := &limitedLog{log: log}
	l.mu.last = make(map[logKey]logState)
	return l
}

// write logs an event, at most once per logInterval.
func (l *limitedLog) write(level slog.Level, event, peer, msg string, attrs ...slog.Attr) {
	l.writeEvery(logInterval, level, event, peer, msg, attrs...)
}

func (l *limitedLog) writeEvery(interval time.Duration, level slog.Level, event, peer, msg string, attrs ...slog.Attr) {
	key := logKey{event, peer}
	now := time.Now()
	l.mu.Lock()
	state, seen := l.mu.last[key]
	if seen && now.Sub(state.at) < interval {
		state.skipped++
		l.mu.last[key] = state
		l.mu.Unlock()
		return
	}
	l.mu.last[key] = logState{at: now}
	l.mu.Unlock()
	if peer != "" {
		attrs = append(attrs, slog.String("peer", peer))
	}
	if state.skipped > 0 {
		attrs = append(attrs, slog.Int("suppressed", state.skipped))
	}
	l.log.LogAttrs(context.Background(), level, msg, attrs...)
}

// refused logs a refusal, whoever made it. Those that end by themselves while
// the cluster starts are worth no warning. Two nodes that refuse each other do it
// in both directions many times a second: that is one event.
func (l *limitedLog) refused(r *Refusal, peer, msg string, attrs ...slog.Attr) {
	level := slog.LevelWarn
	if r.Transient() {
		level = slog.LevelDebug
	}
	attrs = append(attrs, slog.String("code", string(r.Code)), slog.String("why", r.Text))
	l.writeEvery(refusalInterval, level, "refused "+string(knownCode(r.Code)), peer, msg, attrs...)
}

// knownCode maps what is not one of our codes to one key.
func knownCode(c Code) Code {
	switch c {
	case CodeMalformed, CodeProtocol, CodeFormat, CodeCluster, CodeMember, CodeWrongNode, CodeCertificate,
		CodeRole, CodeMembers, CodeNodeID, CodeClusterID, CodeUnbound, CodeNotMet, CodeKind, CodeNoConsumer, CodeBusy:
		return c
	}
	return "other"
}
