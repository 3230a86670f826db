package main

import (
	"bytes"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// maxLogLines bounds the lines that wait to be written.
	maxLogLines = 4096
	// logFlushLimit bounds the wait for them at the end of the process.
	logFlushLimit = time.Second
)

// logWriter hands lines to a goroutine that writes them. Where the log goes may
// hang: a file on the very disk that does not answer, or a pipe whose reader
// stopped. A node that waited for that could not even step aside.
type logWriter struct {
	out     io.Writer
	lines   chan []byte
	dropped atomic.Int64 // lines that found no room
	quit    chan struct{}
	done    chan struct{}
}

// newLogWriter begins to write. handler formats what it has to say itself.
func newLogWriter(out io.Writer, handler func(io.Writer) slog.Handler) *logWriter {
	w := &logWriter{out: out, lines: make(chan []byte, maxLogLines), quit: make(chan struct{}), done: make(chan struct{})}
	go w.run(slog.New(handler(out)))
	return w
}

// Write implements io.Writer. It never blocks and never fails.
func (w *logWriter) Write(p []byte) (int, error) {
	select {
	case w.lines <- bytes.Clone(p):
	default:
		w.dropped.Add(1)
	}
	return len(p), nil
}

func (w *logWriter) run(own *slog.Logger) {
	defer close(w.done)
	for {
		select {
		case line := <-w.lines:
			w.write(own, line)
			continue
		default:
		}
		select {
		case line := <-w.lines:
			w.write(own, line)
		case <-w.quit:
			if len(w.lines) == 0 {
				return
			}
		}
	}
}

func (w *logWriter) write(own *slog.Logger, line []byte) {
	_, _ = w.out.Write(line) // there is nobody to tell
	if n := w.dropped.Swap(0); n > 0 {
		own.Warn("lines of this log are missing: whoever takes it was too slow", "lines", n)
	}
}

// flush writes what is waiting, as far as that is possible in time.
func (w *logWriter) flush(limit time.Duration) {
	close(w.quit)
	select {
	case <-w.done:
	case <-time.After(limit):
	}
}
