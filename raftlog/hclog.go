package raftlog

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// bridge gives hashicorp/raft a logger. Its levels are lowered by one: what it
// calls an error is, as a rule, a peer that is away, and this package reports
// that itself, once.
type bridge struct {
	l    *slog.Logger
	args []any
}

var _ hclog.Logger = (*bridge)(nil)

func newBridge(l *slog.Logger) *bridge { return &bridge{l: l} }

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
	return &bridge{b.l.With(args...), append(append([]any(nil), b.args...), args...)}
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
