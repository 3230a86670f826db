package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// reason is a difference between the recorded server and this one, and why it is there.
type reason struct {
	why   string
	cases string // regular expression on the names of cases; empty for all
	but   string // regular expression on calls to which this does not apply; empty for none
	edits []edit
}

// edit turns a recorded answer into the one that is expected here. It sees the call and, from the next line on, its answer.
type edit struct {
	from string // regular expression
	to   string // what takes its place; $1 and so on stand for parts of it
}

// exactly is an edit of one answer to one call.
func exactly(call, from, to string) edit {
	literal := func(s string) string { return strings.ReplaceAll(s, "$", "$$") }
	return edit{
		from: `\A` + regexp.QuoteMeta(call) + `\n` + regexp.QuoteMeta(from) + `\z`,
		to:   literal(call) + "\n" + literal(to),
	}
}

// ending is an edit of one line in the listing at the end of a case; an empty one takes the line out.
func ending(from, to string) edit {
	e := edit{from: `(?s)\A(END\n.*?)^` + regexp.QuoteMeta(from) + `$\n?`, to: "$1"}
	if to != "" {
		e = edit{from: `(?s)\A(END\n.*?)^` + regexp.QuoteMeta(from) + `$`, to: "${1}" + to}
	}
	return e
}

// rule is a reason that is ready for use.
type rule struct {
	reason
	cases, but *regexp.Regexp
	from       []*regexp.Regexp
	used       []int // by edit
}

func compile(reasons []reason) []*rule {
	var rules []*rule
	for _, r := range reasons {
		but := r.but
		if but == "" {
			but = `$^` // fits nothing
		}
		c := &rule{reason: r, cases: regexp.MustCompile(r.cases), but: regexp.MustCompile(but), used: make([]int, len(r.edits))}
		for _, e := range r.edits {
			c.from = append(c.from, regexp.MustCompile("(?m)"+e.from))
		}
		rules = append(rules, c)
	}
	return rules
}

// expect changes the recorded answers by the rules and counts where each edit did something.
func expect(recorded []result, rules []*rule) []result {
	var out []result
	for _, r := range recorded {
		changed := result{name: r.name}
		for _, a := range r.answers {
			changed.answers = append(changed.answers, expectAnswer(r.name, a, rules))
		}
		out = append(out, changed)
	}
	return out
}

func expectAnswer(name string, a answer, rules []*rule) answer {
	text := a.call + "\n" + a.result
	for _, rule := range rules {
		if !rule.cases.MatchString(name) || rule.but.MatchString(a.call) {
			continue
		}
		for i, from := range rule.from {
			if now := from.ReplaceAllString(text, rule.edits[i].to); now != text {
				text = now
				rule.used[i]++
			}
		}
	}
	_, a.result, _ = strings.Cut(text, "\n")
	a.result = strings.TrimSuffix(a.result, "\n")
	return a
}

// compare tells where answers are not as expected.
func compare(want, got []result) []string {
	var out []string
	find := func(list []result, name string) *result {
		i := slices.IndexFunc(list, func(r result) bool { return r.name == name })
		if i < 0 {
			return nil
		}
		return &list[i]
	}
	for _, g := range got {
		w := find(want, g.name)
		if w == nil {
			out = append(out, fmt.Sprintf("case %q is not in the record: run make knfsd", g.name))
			continue
		}
		out = append(out, compareCase(w, &g)...)
	}
	for _, w := range want {
		if find(got, w.name) == nil {
			out = append(out, fmt.Sprintf("case %q is in the record only: run make knfsd", w.name))
		}
	}
	return out
}

func compareCase(want, got *result) []string {
	if !slices.EqualFunc(want.answers, got.answers, func(a, b answer) bool { return a.call == b.call }) {
		return []string{fmt.Sprintf("case %q has other calls than the record: run make knfsd", got.name)}
	}
	var out []string
	for i, g := range got.answers {
		if w := want.answers[i]; w.result != g.result {
			out = append(out, fmt.Sprintf("# %s\n> %s\n  expected\n%s\n  got\n%s", got.name, g.call, indent(w.result), indent(g.result)))
		}
	}
	return out
}

func indent(text string) string { return "\t" + strings.ReplaceAll(text, "\n", "\n\t") }

// unused tells which edits changed nothing: the difference is gone, and so must its reason.
func unused(rules []*rule) []string {
	var out []string
	for _, r := range rules {
		for i, n := range r.used {
			if n == 0 {
				out = append(out, fmt.Sprintf("this difference is no longer there; take it out of reasons.go: %s\n\t%s", r.why, r.edits[i].from))
			}
		}
	}
	return out
}
