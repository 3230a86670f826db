package raftlog

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Limits of what hashicorp/raft may log.
const (
	// raftLogInterval is the shortest time between two of its warnings or errors
	// with the same words about the same member. It repeats some with every
	// heartbeat for as long as a member is away, or refused.
	raftLogInterval = time.Minute
	// maxRaftLines bounds the lines that are remembered for that. raft's texts
	// are constants and the members are configured: there are fewer.
	maxRaftLines = 256
)

// bridge gives hashicorp/raft a logger. Its levels are lowered by one: what it
// calls an error is, as a rule, a peer that is away, and this package reports
// that itself, once.
type bridge struct {
	l     *slog.Logger
	args  []any
	lines *lineLimit // shared by all that come of one newBridge
}

var _ hclog.Logger = (*bridge)(nil)

func newBridge(l *slog.Logger) *bridge {
	b := &bridge{l: l, lines: new(lineLimit)}
	b.lines.mu.last = map[lineKey]lineState{}
	return b
}

// lineLimit lets a line pass once per raftLogInterval.
type lineLimit struct {
	mu struct {
		sync.Mutex
		last map[lineKey]lineState
	}
}

type lineKey struct{ msg, member string }

type lineState struct {
	at      time.Time
	skipped int
}

// pass reports that the line may be written, and how many like it were not.
func (l *lineLimit) pass(key lineKey) (skipped int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	state, seen := l.mu.last[key]
	if seen && now.Sub(state.at) < raftLogInterval {
		state.skipped++
		l.mu.last[key] = state
		return 0, false
	}
	if !seen && len(l.mu.last) >= maxRaftLines {
		clear(l.mu.last)
	}
	l.mu.last[key] = lineState{at: now}
	return state.skipped, true
}

// memberOf returns the member that a line of raft is about, or "". These are
// the names that it gives to a server of the configuration.
func memberOf(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "server-id", "target":
			if s, ok := args[i+1].(raft.Server); ok {
				return string(s.ID)
			}
			return fmt.Sprint(args[i+1])
		}
	}
	return ""
}

func level(l hclog.Level) slog.Level {
	switch l {
	case hclog.Error, hclog.Warn:
		return slog.LevelInfo
	case hclog.Info:
		return slog.LevelDebug
	}
	return slog.LevelDebug - 4
}

// Log implements hclog.Logger.
func (b *bridge) Log(l hclog.Level, msg string, args ...any) {
	ctx := context.Background()
	if !b.l.Enabled(ctx, level(l)) {
		return
	}
	if l >= hclog.Warn {
		skipped, ok := b.lines.pass(lineKey{msg, memberOf(args)})
		if !ok {
			return
		}
		if skipped > 0 {
			args = append(args, "suppressed", skipped)
		}
	}
	for i, a := range args {
		switch v := a.(type) {
		case hclog.Format:
			if len(v) > 0 {
				if f, ok := v[0].(string); ok {
					args[i] = fmt.Sprintf(f, v[1:]...)
				}
			}
		case fmt.Stringer: // format now: the object may change
			args[i] = v.String()
		}
	}
	b.l.Log(ctx, level(l), "raft: "+msg, args...)
}

func (b *bridge) Trace(msg string, args ...any) { b.Log(hclog.Trace, msg, args...) }
func (b *bridge) Debug(msg string, args ...any) { b.Log(hclog.Debug, msg, args...) }
func (b *bridge) Info(msg string, args ...any)  { b.Log(hclog.Info, msg, args...) }
func (b *bridge) Warn(msg string, args ...any)  { b.Log(hclog.Warn, msg, args...) }
func (b *bridge) Error(msg string, args ...any) { b.Log(hclog.Error, msg, args...) }

func (b *bridge) enabled(l hclog.Level) bool { return b.l.Enabled(context.Background(), level(l)) }

func (b *bridge) IsTrace() bool { return b.enabled(hclog.Trace) }
func (b *bridge) IsDebug() bool { return b.enabled(hclog.Debug) }
func (b *bridge) IsInfo() bool  { return b.enabled(hclog.Info) }
func (b *bridge) IsWarn() bool  { return b.enabled(hclog.Warn) }
func (b *bridge) IsError() bool { return b.enabled(hclog.Error) }

func (b *bridge) ImpliedArgs() []any { return b.args }
func (b *bridge) With(args ...any) hclog.Logger {
	return &bridge{b.l.With(args...), append(append([]any(nil), b.args...), args...), b.lines}
}

func (b *bridge) Name() string                   { return "raft" }
func (b *bridge) Named(string) hclog.Logger      { return b }
func (b *bridge) ResetNamed(string) hclog.Logger { return b }
func (b *bridge) SetLevel(hclog.Level)           {}
func (b *bridge) GetLevel() hclog.Level          { return hclog.Trace }

func (b *bridge) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(b.l.Handler(), slog.LevelDebug)
}

func (b *bridge) StandardWriter(*hclog.StandardLoggerOptions) io.Writer {
	return b.StandardLogger(nil).Writer()
}
