//go:build process

package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"twofold/nfs/client"
)

// Bounds of a comparison.
const (
	verifyLimit = time.Minute
	verifyConns = 4
	maxProblems = 12 // that are shown
	listBytes   = 8 << 10
)

// seenFile is a file as one node shows it.
type seenFile struct {
	entry client.Dirent
	attr  client.Attr
	data  []byte
}

// readTree reads every file of a directory at one node.
func readTree(ctx context.Context, c *client.Client, dir client.FH) (map[string]seenFile, error) {
	list, err := c.ReadAll(ctx, dir, true, listBytes)
	if err != nil {
		return nil, fmt.Errorf("READDIRPLUS: %w", err)
	}
	tree := map[string]seenFile{}
	for _, e := range list {
		if e.Name == "." || e.Name == ".." {
			continue
		}
		if _, twice := tree[e.Name]; twice {
			return nil, fmt.Errorf("READDIRPLUS lists %s twice", e.Name)
		}
		res, err := c.Read(ctx, e.FH, 0, 2*maxFileBytes)
		if err == nil {
			err = res.Status.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("READ %s: %w", e.Name, err)
		}
		if !res.EOF || res.Attr == nil || e.Attr == nil || *res.Attr != *e.Attr {
			return nil, fmt.Errorf("READ %s: EOF %t, attributes %+v, those of READDIRPLUS %+v", e.Name, res.EOF, res.Attr, e.Attr)
		}
		attr := *e.Attr
		e.Attr = nil
		tree[e.Name] = seenFile{entry: e, attr: attr, data: res.Data}
	}
	return tree, nil
}

// check compares a node's files with what they must be, and says what differs.
func (w *worker) check(tree map[string]seenFile) []string {
	var problems []string
	report := func(format string, args ...any) {
		problems = append(problems, w.dirName+": "+fmt.Sprintf(format, args...))
	}
	known := map[string]bool{}
	for _, name := range names(w.present) {
		known[name] = true
		if seen, ok := tree[name]; !ok {
			report("%s is missing; acknowledged were %d bytes", name, len(w.present[name].data))
		} else if !bytes.Equal(seen.data, w.present[name].data) {
			report("%s: %s", name, difference(seen.data, w.present[name].data))
		}
	}
	for _, c := range w.open {
		for name := range c.before {
			known[name] = true
		}
		if !matches(tree, c.before) && !matches(tree, c.after) {
			report("the names %v are neither as before nor as after a call whose outcome is unknown", names(c.before))
		}
	}
	for _, name := range names(tree) {
		if !known[name] {
			report("%s is there with %d bytes, but was removed, renamed or never made", name, len(tree[name].data))
		}
	}
	return problems
}

// matches reports that names have the given contents.
func matches(tree map[string]seenFile, want map[string][]byte) bool {
	for name, data := range want {
		seen, ok := tree[name]
		if ok != (data != nil) || !bytes.Equal(seen.data, data) {
			return false
		}
	}
	return true
}

// difference describes how a content differs from the right one.
func difference(got, want []byte) string {
	n := min(len(got), len(want))
	at := 0
	for at < n && got[at] == want[at] {
		at++
	}
	show := func(b []byte) []byte { return b[at:min(at+24, len(b))] }
	return fmt.Sprintf("%d bytes, want %d; from byte %d on %q, want %q", len(got), len(want), at, show(got), show(want))
}

// sameTrees compares what the two nodes show: names, cookies, handles,
// attributes and contents.
func sameTrees(a, b map[string]seenFile) []string {
	var problems []string
	for _, name := range names(a) {
		x, y := a[name], b[name]
		if x.attr != y.attr || x.entry.Cookie != y.entry.Cookie || x.entry.FileID != y.entry.FileID ||
			!bytes.Equal(x.entry.FH, y.entry.FH) || !bytes.Equal(x.data, y.data) {
			problems = append(problems, fmt.Sprintf("%s differs: %+v %+v at a, %+v %+v at b", name, x.entry, x.attr, y.entry, y.attr))
		}
	}
	if !slices.Equal(names(a), names(b)) {
		problems = append(problems, fmt.Sprintf("a lists %v, b lists %v", names(a), names(b)))
	}
	return problems
}

// verify compares what both nodes show with what was acknowledged.
func (l *load) verify(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), verifyLimit)
	defer cancel()
	todo := make(chan *worker, len(l.workers))
	for _, w := range l.workers {
		todo <- w
	}
	close(todo)
	var mu sync.Mutex
	var problems []string
	var wg sync.WaitGroup
	for range verifyConns {
		wg.Go(func() {
			found, err := l.verifyWorkers(ctx, todo)
			if err != nil {
				found = append(found, err.Error())
			}
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, found...)
		})
	}
	wg.Wait()
	if n := len(problems); n > 0 {
		t.Errorf("%d differences from what was acknowledged:\n%s", n, strings.Join(problems[:min(n, maxProblems)], "\n"))
	}
}

func (l *load) verifyWorkers(ctx context.Context, todo <-chan *worker) (problems []string, err error) {
	var conns [2]*client.Client
	for i, addr := range l.addrs {
		if conns[i], err = client.Dial(ctx, addr); err != nil {
			return nil, err
		}
		defer conns[i].Close()
	}
	for w := range todo {
		var trees [2]map[string]seenFile
		for i, c := range conns {
			if trees[i], err = readTree(ctx, c, w.dir); err != nil {
				return problems, fmt.Errorf("%s at %s: %w", w.dirName, dataNames[i], err)
			}
			for _, p := range w.check(trees[i]) {
				problems = append(problems, "at "+dataNames[i]+" "+p)
			}
		}
		problems = append(problems, sameTrees(trees[0], trees[1])...)
	}
	return problems, nil
}
