package matrix_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"twofold/scripts/faultlab/lab"
	"twofold/scripts/faultlab/matrix"
	"twofold/scripts/faultlab/probe"
)

func TestDocument(t *testing.T) {
	down, cut := find(t, "A down"), find(t, "A cut off from both, W down")
	served := matrix.Observed{Healing: 7 * time.Millisecond}
	for k := range probe.Kinds {
		served.Served[k], served.Pause[k] = true, time.Duration(500+k)*time.Millisecond
	}
	page := matrix.Document([]*matrix.Result{
		{Row: cut, Expected: cut.Expect(), Healed: time.Second},
		{Row: down, Expected: down.Expect(), Observed: [2]matrix.Observed{{}, served}, Healed: 300 * time.Millisecond, Answers: 5},
	})
	for _, want := range []string{
		"2 rows, 0 failed. 5 calls were answered",
		"| A crashes (row 1) | silent | serves 500 / 501 / 502 | 1s | 7 ms, 0.3 s |",
		"| 1 | A down | silent | serves 500 / 501 / 502 | 1s | 7 ms, 0.3 s |",
		"| A cut off from both, W down | refuses | refuses |  | 0 ms, 1.0 s |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

// The page names tests for what no row brings about: they are there.
func TestEvents_TestsExist(t *testing.T) {
	want := map[string]bool{}
	for _, e := range matrix.Events {
		for _, name := range e.Tests {
			want["func "+name+"("] = true
		}
		if len(e.Rows) == 0 && (len(e.Tests) == 0 || e.Shown == "") {
			t.Errorf("%s: neither a row nor a test shows it", e.What)
		}
	}
	err := filepath.WalkDir("../../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for f := range want {
			if strings.Contains(string(text), "\n"+f) {
				delete(want, f)
			}
		}
		return err
	})
	if err != nil || len(want) > 0 {
		t.Errorf("not there: %v, %v", want, err)
	}
}

func TestRow_Place(t *testing.T) {
	row := find(t, "A down, B cut off from W")
	if row.Situation.Nodes[0] != lab.Down {
		t.Fatal("A is not down")
	}
	s := row.Place(lab.B)
	if s.Nodes != [lab.Nodes]lab.Condition{lab.Up, lab.Down, lab.Up} || s.Linked(lab.A, lab.W) || !s.Linked(lab.B, lab.W) {
		t.Errorf("with b as the leader: %+v", s)
	}
}
