package replica

import (
	"log/slog"
	"strings"
	"testing"

	"twofold/replica/command"
)

// A difference is settled by a node that says of its own copy that it is the wrong
// one, and by nothing else.
func TestDispute_Settled(t *testing.T) {
	for _, c := range []struct {
		answers map[string]command.IntegrityStep
		want    bool
	}{
		{map[string]command.IntegrityStep{"a": command.ScanSound, "b": command.ScanDamaged}, true},
		{map[string]command.IntegrityStep{"a": command.ScanSound, "b": command.ScanSound}, false},
		{map[string]command.IntegrityStep{"a": command.ReplayNone, "b": command.ReplayDamaged}, false}, // of another question
		{nil, false},
	} {
		var log strings.Builder
		s := &Store{logger: slog.New(slog.NewTextHandler(&log, nil))}
		if got := s.settled(9, c.answers, command.ScanDamaged, "is damaged"); got != c.want || strings.Contains(log.String(), "damaged=b") != c.want {
			t.Errorf("%v: %t, %q", c.answers, got, log.String())
		}
	}
}
