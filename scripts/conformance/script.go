package main

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// caseFiles holds the list of cases; doc.go says what a line means.
//
//go:embed cases/*.txt
var caseFiles embed.FS

// testCase is one case: calls in a directory of its own.
type testCase struct {
	name  string
	lines []line
}

// line is one call of a case.
type line struct {
	text   string // as written, which is how the record names it
	who    string
	export string
	verb   string
	args   []string
}

// recorded reports that the answer is of interest; other lines prepare objects and must succeed.
func (l line) recorded() bool { return strings.ToUpper(l.verb) == l.verb }

// allCases reads every file of cases, in the order of their names.
func allCases() ([]testCase, error) {
	names, err := fs.Glob(caseFiles, "cases/*.txt")
	if err != nil {
		return nil, err
	}
	var all []testCase
	seen := make(map[string]bool)
	for _, name := range names {
		text, err := caseFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list, err := parseCases(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, c := range list {
			if seen[c.name] {
				return nil, fmt.Errorf("%s: two cases %q", name, c.name)
			}
			seen[c.name] = true
		}
		all = append(all, list...)
	}
	return all, nil
}

// parseCases reads the cases of one file.
func parseCases(text string) ([]testCase, error) {
	var list []testCase
	number := 0
	for raw := range strings.Lines(text) {
		number++
		raw = strings.TrimSpace(raw)
		switch {
		case raw == "" || strings.HasPrefix(raw, "//"):
			continue
		case strings.HasPrefix(raw, "# "):
			list = append(list, testCase{name: raw[2:]})
			continue
		case len(list) == 0:
			return nil, fmt.Errorf("line %d: a call before the first case", number)
		}
		l, err := parseLine(raw)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		c := &list[len(list)-1]
		c.lines = append(c.lines, l)
	}
	return list, nil
}

// parseLine reads [@WHO[/EXPORT]] VERB ARG...
func parseLine(text string) (line, error) {
	l := line{text: text, who: "root", export: exportRW}
	words, err := splitWords(text)
	if err != nil {
		return l, err
	}
	if who, ok := strings.CutPrefix(words[0], "@"); ok {
		var found bool
		if l.who, l.export, found = strings.Cut(who, "/"); !found {
			l.export = exportRW
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return l, fmt.Errorf("%q has no verb", text)
	}
	l.verb, l.args = words[0], words[1:]
	if _, ok := principals[l.who]; !ok {
		return l, fmt.Errorf("%q: nobody is called %q", text, l.who)
	}
	if l.export != exportRW && l.export != exportRO && l.export != exportSquash {
		return l, fmt.Errorf("%q: no export is called %q", text, l.export)
	}
	if l.recorded() && calls[l.verb] == nil || !l.recorded() && preparations[l.verb] == nil {
		return l, fmt.Errorf("%q: unknown verb %q", text, l.verb)
	}
	return l, nil
}

// wordPattern is a word in double quotes, as Go has them, or without.
var wordPattern = regexp.MustCompile(`^("(?:[^"\\]|\\.)*"|[^"\s]+)(?:\s+|$)`)

func splitWords(text string) ([]string, error) {
	var words []string
	for text != "" {
		m := wordPattern.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("cannot read the words of %q", text)
		}
		text = text[len(m[0]):]
		word := m[1]
		if word[0] == '"' {
			var err error
			if word, err = strconv.Unquote(word); err != nil {
				return nil, fmt.Errorf("%s: %w", m[1], err)
			}
		}
		word, err := expand(word)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
	}
	return words, nil
}

// maxRepeat bounds what one word may grow to.
const maxRepeat = 2 << 20

var repeatPattern = regexp.MustCompile(`(.)\{(\d+)\}`)

// expand writes a character out as often as {N} behind it says.
func expand(word string) (string, error) {
	var err error
	out := repeatPattern.ReplaceAllStringFunc(word, func(s string) string {
		m := repeatPattern.FindStringSubmatch(s)
		n, convErr := strconv.Atoi(m[2])
		if convErr != nil || n > maxRepeat {
			err = fmt.Errorf("%q repeats too often", s)
			return ""
		}
		return strings.Repeat(m[1], n)
	})
	return out, err
}
