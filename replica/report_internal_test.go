package replica

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"twofold/replica/state"
)

// A cache that is too small is warned of at most once a minute, with all that
// was evicted since the last warning.
func TestReport_WarnsOfForcedEvictions(t *testing.T) {
	var log bytes.Buffer
	s := &Store{logger: slog.New(slog.NewTextHandler(&log, nil))}
	var r report
	at := time.Unix(1_700_000_000, 0)
	for _, step := range []struct {
		after  time.Duration
		forced uint64
		want   string
	}{
		{0, 0, ""},
		{time.Second, 5, "evicted=5 "},
		{time.Second, 50, ""},
		{warnEvery - time.Second, 60, "evicted=55 "},
		{time.Hour, 60, ""},
		{time.Second, 61, "evicted=1 "},
	} {
		at = at.Add(step.after)
		log.Reset()
		s.report(&r, state.Duplicates{Forced: step.forced}, at)
		if got := log.String(); !strings.Contains(got, step.want) || got != "" && step.want == "" {
			t.Errorf("%d forced after %s: logged %q, want %q", step.forced, step.after, got, step.want)
		}
	}
}
