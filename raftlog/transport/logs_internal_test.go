package transport

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Two nodes that refuse each other do it many times a second, in both
// directions. One line a minute tells it, for each member and reason.
func TestLimitedLog_Refusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		l := newLimitedLog(slog.New(slog.NewTextHandler(&buf, nil)))
		for range 10 * 60 * 3 { // three minutes
			for _, peer := range []string{"a", "b"} {
				l.refused(refusal(CodeClusterID, "other"), peer, "stream to peer refused")
				l.refused(refusal(CodeClusterID, "other"), peer, "stream from peer refused")
				l.refused(refusal(CodeNodeID, "anew"), peer, "stream from peer refused")
				l.refused(refusal(CodeNotMet, "wait"), peer, "stream to peer refused")
			}
			time.Sleep(time.Second / 10)
		}
		text := buf.String()
		if n := strings.Count(text, "\n"); n != 3*2*2 {
			t.Errorf("%d lines in three minutes, want one a minute for each of two members and two reasons:\n%s", n, text)
		}
		if !strings.Contains(text, "suppressed=1199") {
			t.Errorf("what was left out is not counted:\n%s", text)
		}
	})
}
