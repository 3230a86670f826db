package replica

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// The skew is measured from the middle of a round trip, a slow one says nothing,
// and more than a second is warned of, once a minute, until it ends.
func TestSkewWatch(t *testing.T) {
	var log bytes.Buffer
	w := newSkewWatch(&Config{Peers: []string{"b"}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if w.agree() || len(w.all()) > 0 {
		t.Error("a clock that nobody asked agrees")
	}
	now := time.Now().Add(-2 * time.Second)
	round := func(ahead, took time.Duration) {
		wall := now.Add(took / 2).Add(ahead).UnixNano()
		w.heard("b", wall, now, now.Add(took))
		w.heard("c", wall, now, now.Add(took)) // a stranger
		now = now.Add(took)
	}
	round(900*time.Millisecond, 20*time.Millisecond)
	if got := w.all()["b"]; got != 900*time.Millisecond || !w.agree() || len(w.all()) != 1 {
		t.Errorf("ahead by %s, agrees %t", got, w.agree())
	}
	round(-time.Hour, 501*time.Millisecond)
	if got := w.all()["b"]; got != 900*time.Millisecond {
		t.Errorf("a slow round trip counts: ahead by %s", got)
	}
	for range 20 {
		round(-time.Hour, time.Millisecond)
	}
	if got := w.all()["b"]; got != -time.Hour || w.agree() {
		t.Errorf("ahead by %s, agrees %t", got, w.agree())
	}
	if n := strings.Count(log.String(), "clocks of the data nodes differ"); n != 1 {
		t.Errorf("%d warnings", n)
	}
	round(0, time.Millisecond)
	if !strings.Contains(log.String(), "agree again") || !w.agree() {
		t.Errorf("the end is not told of: %s", log.String())
	}
	now = now.Add(-time.Hour) // an old measurement
	round(0, time.Millisecond)
	if w.agree() || len(w.all()) > 0 {
		t.Error("an old measurement holds on")
	}
}
