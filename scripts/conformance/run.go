package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"twofold/nfs/client"
)

// workers is how many cases run at a time. Each waits for one reply after the other, in a directory of its own.
const workers = 12

// answer is what one recorded call gave.
type answer struct{ call, result string }

// result is the record of one case.
type result struct {
	name    string
	answers []answer
}

// caseRun is one case on its way.
type caseRun struct {
	*session
	ctx     context.Context
	conns   conns     // of its own, since a server may close one
	dir     client.FH // the case's directory
	scratch client.FH // a file beside it, for settle
	kept    map[string]client.FH
	listing map[string][]client.Dirent // by directory, as the preparation "list" found it
	latest  client.Time                // the latest time seen
	turn    int                        // which server is next
}

// runCases runs the cases and returns their records in the order of the cases.
func runCases(ctx context.Context, s *session, cases []testCase) ([]result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	first := s.top[exportRW][0]
	top, err := first.Mkdir(ctx, s.root, fmt.Sprintf("run%d", first.NextXID()), client.SetAttr{Mode: client.Ptr(uint32(0o755))})
	if err == nil {
		err = top.Status.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("make a directory for the run: %w", err)
	}
	results := make([]result, len(cases))
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				r, err := runCase(ctx, s, top.FH, i, cases[i])
				if err != nil {
					cancel(fmt.Errorf("case %q: %w", cases[i].name, err))
				}
				results[i] = r
			}
		})
	}
	for i := range cases {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return results, context.Cause(ctx)
}

// runCase runs one case and lists its directory at the end.
func runCase(ctx context.Context, s *session, top client.FH, number int, c testCase) (_ result, err error) {
	r := &caseRun{session: s, ctx: ctx, kept: map[string]client.FH{}, listing: map[string][]client.Dirent{}, turn: number}
	if r.conns, err = s.target.connect(ctx); err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, r.conns.close()) }()
	if err := r.makeRoom(top, number); err != nil {
		return result{}, err
	}
	out := result{name: c.name}
	for _, l := range c.lines {
		if l.recorded() {
			text, err := r.record(l)
			if err != nil {
				return result{}, fmt.Errorf("%q: %w", l.text, err)
			}
			out.answers = append(out.answers, answer{l.text, text})
		} else if err := preparations[l.verb](r, l.args); err != nil {
			return result{}, fmt.Errorf("%q: %w", l.text, err)
		}
	}
	end, err := r.contents()
	if err != nil {
		return result{}, fmt.Errorf("list at the end: %w", err)
	}
	out.answers = append(out.answers, answer{"END", end})
	return out, nil
}

// makeRoom makes the case's directory and the scratch file.
func (r *caseRun) makeRoom(top client.FH, number int) error {
	file, err := r.root0().Create(r.ctx, top, fmt.Sprintf("scratch%d", number), client.CreateHow{})
	if err := okay(err, file.Status); err != nil {
		return err
	}
	// The directory's own parent is the case's alone, too, since ".." leads there.
	open := client.SetAttr{Mode: client.Ptr(uint32(0o777))}
	parent, err := r.root0().Mkdir(r.ctx, top, fmt.Sprintf("case%d", number), open)
	if err := okay(err, parent.Status); err != nil {
		return err
	}
	dir, err := r.root0().Mkdir(r.ctx, parent.FH, "dir", open)
	if err := okay(err, dir.Status); err != nil {
		return err
	}
	r.scratch, r.dir = file.FH, dir.FH
	return nil
}

// as returns a connection to the next server, for a caller under an export.
func (r *caseRun) as(who, export string) *client.Client {
	conns := r.conns[export]
	r.turn++
	return conns[r.turn%len(conns)].As(principals[who])
}

// root0 is root where it is root.
func (r *caseRun) root0() *client.Client { return r.as("root", exportRW) }

// settle waits until the server's clock has moved past every time seen, so that the next change shows. A kernel's
// file systems take the time of the last tick, which may stay the same for 10 ms.
func (r *caseRun) settle() error {
	for {
		res, err := r.root0().Setattr(r.ctx, r.scratch, client.SetAttr{SetMtime: client.ServerTime}, nil)
		switch {
		case err != nil || res.Status != client.OK:
			return errors.Join(err, res.Status.Err())
		case res.WCC.After == nil:
			return errors.New("settle: no attributes")
		case later(res.WCC.After.Ctime, r.latest):
			r.latest = res.WCC.After.Ctime
			return nil
		}
	}
}

func later(a, b client.Time) bool { return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec }

// contents describes what the case's directory holds, as deep as it goes.
func (r *caseRun) contents() (string, error) {
	var lines []string
	if err := r.walk(r.dir, "", 0, &lines); err != nil {
		return "", err
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), nil
}

// maxDepth bounds the directories below each other in one case.
const maxDepth = 8

// maxShown is how many names of one directory are told one by one.
const maxShown = 12

func (r *caseRun) walk(dir client.FH, path string, depth int, lines *[]string) error {
	if depth > maxDepth {
		return errors.New("too deep")
	}
	list, err := r.root0().ReadAll(r.ctx, dir, false, 1<<20)
	if err != nil {
		return err
	}
	if len(list) > maxShown+2 {
		*lines = append(*lines, fmt.Sprintf("%s%d names", path, len(list)-2))
		return nil
	}
	for _, e := range list {
		if e.Name == "." || e.Name == ".." {
			continue
		}
		found, err := r.root0().Lookup(r.ctx, dir, e.Name)
		if err != nil || found.Status != client.OK {
			return errors.Join(err, found.Status.Err())
		}
		res, err := r.root0().Getattr(r.ctx, found.FH)
		if err != nil || res.Status != client.OK {
			return errors.Join(err, res.Status.Err())
		}
		*lines = append(*lines, path+shortName(e.Name)+" "+describe(&res.Attr))
		if res.Attr.Type == typeDir {
			if err := r.walk(found.FH, path+shortName(e.Name)+"/", depth+1, lines); err != nil {
				return err
			}
		}
	}
	return nil
}
