package main

import (
	"fmt"
	"strings"
)

// A record is text: head lines with "= ", then for each case "# NAME", for each call "> CALL", and the lines of its answer
// indented by a tab.

// format writes a record.
func format(head []string, results []result) string {
	var b strings.Builder
	for _, h := range head {
		fmt.Fprintf(&b, "= %s\n", h)
	}
	for _, r := range results {
		fmt.Fprintf(&b, "\n# %s\n", r.name)
		for _, a := range r.answers {
			fmt.Fprintf(&b, "> %s\n", a.call)
			for l := range strings.Lines(a.result) {
				fmt.Fprintf(&b, "\t%s\n", strings.TrimSuffix(l, "\n"))
			}
		}
	}
	return b.String()
}

// parseRecord reads what format wrote.
func parseRecord(text string) (head []string, results []result, err error) {
	number := 0
	for l := range strings.Lines(text) {
		number++
		l = strings.TrimSuffix(l, "\n")
		var last *result
		if len(results) > 0 {
			last = &results[len(results)-1]
		}
		switch {
		case l == "":
		case strings.HasPrefix(l, "= ") && last == nil:
			head = append(head, l[2:])
		case strings.HasPrefix(l, "# "):
			results = append(results, result{name: l[2:]})
		case strings.HasPrefix(l, "> ") && last != nil:
			last.answers = append(last.answers, answer{call: l[2:]})
		case strings.HasPrefix(l, "\t") && last != nil && len(last.answers) > 0:
			a := &last.answers[len(last.answers)-1]
			if a.result != "" {
				a.result += "\n"
			}
			a.result += l[1:]
		default:
			return nil, nil, fmt.Errorf("line %d of the record: %q", number, l)
		}
	}
	return head, results, nil
}
