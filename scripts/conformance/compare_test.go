package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A list without a procedure, a status or a type would prove less than it says.
func TestRecord_CoversProceduresStatusesAndTypes(t *testing.T) {
	verbs, statuses, types := map[string]bool{}, map[string]bool{}, map[string]bool{}
	typeWord := regexp.MustCompile(`(?m)^\S+ (reg|dir|lnk|fifo|sock|chr|blk) \d{4} `)
	for _, r := range expect(recorded(t), compile(reasons())) {
		for _, a := range r.answers {
			if a.call != "END" {
				l, err := parseLine(a.call)
				if err != nil {
					t.Fatal(err)
				}
				verbs[l.verb] = true
				status, _, _ := strings.Cut(a.result, " ")
				statuses[strings.TrimSpace(status)] = true
			}
			for _, m := range typeWord.FindAllStringSubmatch(a.result, -1) {
				types[m[1]] = true
			}
		}
	}
	for verb := range calls {
		if !verbs[verb] {
			t.Errorf("no case calls %s", verb)
		}
	}
	// NOSPC, DQUOT, IO and JUKEBOX are not for a client to cause on one healthy volume.
	for _, status := range strings.Fields("OK PERM NOENT ACCES EXIST NOTDIR ISDIR INVAL FBIG ROFS MLINK NAMETOOLONG NOTEMPTY STALE " +
		"BADHANDLE NOT_SYNC TOOSMALL BADTYPE XDEV RPC") {
		if !statuses[status] {
			t.Errorf("no call is answered %s", status)
		}
	}
	if len(types) != len(typeNames) {
		t.Errorf("only the types %v", types)
	}
}

// Each reason is told to readers, in the words of reasons.go.
func TestReasons_AreInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "nfs-conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reasons() {
		if !strings.Contains(string(text), "| "+r.why+" |") {
			t.Errorf("docs/nfs-conformance.md has no row for %q", r.why)
		}
	}
	rows := regexp.MustCompile(`(?ms)^## Differences.*?^## `).FindString(string(text))
	if n := strings.Count(rows, "\n| ") - 2; n != len(reasons()) {
		t.Errorf("docs/nfs-conformance.md has %d rows of differences for %d reasons", n, len(reasons()))
	}
}

func TestFormat_RoundTrip(t *testing.T) {
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	head, results, err := parseRecord(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if again := format(head, results); again != string(text) {
		t.Error("the record changes when it is read and written")
	}
	if len(head) == 0 || !strings.Contains(head[0], "Linux") {
		t.Errorf("the record does not tell of what: %q", head)
	}
	for _, bad := range []string{"> NULL\n", "# a\n\tOK\n", "# a\nOK\n"} {
		if _, _, err := parseRecord(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestCompare(t *testing.T) {
	one := func(name, call, text string) []result {
		return []result{{name: name, answers: []answer{{call, text}}}}
	}
	rules := compile([]reason{
		{why: "w", cases: "^a$", but: "GONE", edits: []edit{exactly("CALL $x", "OK 1", "OK $2"), {`^OK (\d)\z`, `OK $1$1`}}},
		{why: "other", cases: "^b$", edits: []edit{{"OK", "NO"}}},
	})
	for _, tt := range []struct {
		name      string
		want, got []result
		found     int
	}{
		{"alike", one("b", "C", "NO 1"), one("b", "C", "NO 1"), 0},
		{"explained", one("a", "CALL $x", "OK 1"), one("a", "CALL $x", "OK $2"), 0},
		{"explained by a pattern", one("a", "C", "OK 7"), one("a", "C", "OK 77"), 0},
		{"explained, but no longer so", one("a", "C", "OK 7"), one("a", "C", "OK 7"), 1},
		{"left out", one("a", "GONE", "OK 7"), one("a", "GONE", "OK 7"), 0},
		{"not explained", one("c", "C", "OK"), one("c", "C", "NOENT"), 1},
		{"another call", one("c", "C", "OK"), one("c", "D", "OK"), 1},
		{"not recorded", nil, one("c", "C", "OK"), 1},
		{"only recorded", one("c", "C", "OK"), nil, 1},
	} {
		if found := compare(expect(tt.want, rules), tt.got); len(found) != tt.found {
			t.Errorf("%s: %q", tt.name, found)
		}
	}
	if found := unused(rules); len(found) != 1 || !strings.Contains(found[0], "other") {
		t.Errorf("unused: %q", found)
	}
}

func TestEnding(t *testing.T) {
	rules := compile([]reason{{edits: []edit{ending("b 2", "b 3"), ending("c 1", "")}}})
	got := expectAnswer("x", answer{"END", "a 1\nb 2\nc 1"}, rules)
	if got.result != "a 1\nb 3" {
		t.Errorf("%q", got.result)
	}
	if got := expectAnswer("x", answer{"READ b", "b 2"}, rules); got.result != "b 2" {
		t.Errorf("another call: %q", got.result)
	}
}

func TestParseLine(t *testing.T) {
	l, err := parseLine(`@alice/ro CREATE . "a b\x00" x{5} mode=644`)
	if err != nil {
		t.Fatal(err)
	}
	if l.who != "alice" || l.export != exportRO || l.verb != "CREATE" || !slices.Equal(l.args, []string{".", "a b\x00", "xxxxx", "mode=644"}) {
		t.Errorf("%+v", l)
	}
	for _, bad := range []string{"@nobody NULL", "@alice/none NULL", "@alice", "FLY", "fly", `LOOKUP . "a`, "x{99999999}"} {
		if _, err := parseLine(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
	if _, err := parseCases("NULL\n"); err == nil {
		t.Error("a call before the first case is read")
	}
}

// The same seed makes the same cases, and all of them can be run.
func TestRandomCases(t *testing.T) {
	a, err := randomCases(7, 40)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := randomCases(7, 40)
	if !slices.EqualFunc(a, b, func(x, y testCase) bool {
		return x.name == y.name && slices.EqualFunc(x.lines, y.lines, func(l, m line) bool { return l.text == m.text })
	}) {
		t.Error("one seed gives two lists")
	}
	o, err := parseOptions([]string{"-servers", serve(t), "-random", "40", "-seed", "7"})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.run(t.Context(), os.Stderr); err != nil {
		t.Error(err)
	}
}
