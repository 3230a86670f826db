package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// slowOutput takes nothing until it is let go.
type slowOutput struct {
	output
	begun, let chan struct{}
}

func (s *slowOutput) Write(p []byte) (int, error) {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	<-s.let
	return s.output.Write(p)
}

func textHandler(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }

// Whoever writes to the log never waits for its reader. What there was no room
// for is told of when the reader goes on.
func TestLogWriter_ReaderHangs(t *testing.T) {
	out := &slowOutput{begun: make(chan struct{}, 1), let: make(chan struct{})}
	w := newLogWriter(out, textHandler)
	fmt.Fprintln(w, "first")
	<-out.begun
	for i := range maxLogLines + 10 {
		fmt.Fprintln(w, "line", i)
	}
	begin := time.Now()
	w.flush(10 * time.Millisecond)
	if d := time.Since(begin); d > logFlushLimit {
		t.Errorf("flush waited %s for a reader that hangs", d)
	}
	close(out.let)
	<-w.done
	got := out.String()
	if !strings.HasPrefix(got, "first\n") || strings.Count(got, "\n") != maxLogLines+2 || !strings.Contains(got, fmt.Sprintf("line %d\n", maxLogLines-1)) {
		t.Errorf("%d lines were written", strings.Count(got, "\n"))
	}
	if !strings.Contains(got, "lines=10\n") {
		t.Error("nothing is said of the lines that are missing")
	}
}

// At the end of the process everything is written.
func TestLogWriter_Flush(t *testing.T) {
	var out output
	w := newLogWriter(&out, textHandler)
	for i := range 1000 {
		fmt.Fprintln(w, "line", i)
	}
	w.flush(time.Minute)
	if got := strings.Count(out.String(), "\n"); got != 1000 {
		t.Errorf("%d lines of 1000", got)
	}
}
