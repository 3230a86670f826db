package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nodeNames are the data nodes: the one on this machine, and the other one.
var nodeNames = [2]string{"a", "b"}

// fileTimes are the times of files in the order in which they were made.
type fileTimes struct {
	first, last time.Time
	course      time.Time       // when the first was made, by the monotonic clock
	behind      time.Duration   // how long the leader's clock has been behind
	noted       time.Time       // the latest measurement
	drift       []time.Duration // of each, against the course of time since the first
}

// add notes the time of a file that has just been made.
func (f *fileTimes) add(mtime, now time.Time) {
	if f.course.IsZero() {
		f.first, f.last, f.course, f.noted = mtime, mtime, now, now
	}
	f.drift = append(f.drift, mtime.Sub(f.first)-now.Sub(f.course))
	f.last = mtime
}

// check holds the latest time against what one wrong clock can do: that of a follower, nothing.
func (f *fileTimes) check(leads, behind bool) error {
	now := time.Now()
	if behind {
		f.behind += now.Sub(f.noted)
	}
	f.noted = now
	least, most := -clockSlack, clockSlack
	if leads {
		least -= f.behind / clockSlower
		most += clockMaxAhead
	}
	if d := f.drift[len(f.drift)-1]; d < least || d > most {
		return fmt.Errorf("a file's time is %v away from the course of time, want %v to %v", d, least, most)
	}
	return nil
}

// String says how far file times were from the course of time.
func (f fileTimes) String() string {
	return fmt.Sprintf("%+.2f to %+.2f s off", slices.Min(f.drift).Seconds(), slices.Max(f.drift).Seconds())
}

// nodeStatus is what is wanted of a node's status page.
type nodeStatus struct {
	Problems []string
	Ready    bool
	Term     uint64
	Leader   string
	Clocks   map[string]float64
	Lease    struct{ Held bool }
}

func (l *clockRound) status(ctx context.Context, node int) (s nodeStatus, err error) {
	body, err := get(ctx, l.http[node]+"/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// said checks what both nodes say: that their clocks differ, if they do, and nothing else.
func (l *clockRound) said(ctx context.Context, ahead time.Duration) error {
	for node, name := range nodeNames {
		s, err := l.status(ctx, node)
		if err != nil {
			return err
		}
		other := nodeNames[1-node]
		want := ahead // of this machine's clock, seen from the other one
		if node == 0 {
			want = -ahead
		}
		clock := fmt.Sprintf("the clock of %s is ", other)
		warned := slices.ContainsFunc(s.Problems, func(p string) bool { return strings.HasPrefix(p, clock) })
		seen, known := s.Clocks[other]
		switch {
		case s.Term != l.term || s.Leader != nodeNames[l.leader]:
			return fmt.Errorf("%s says that %q leads in term %d, want %s still in term %d", name, s.Leader, s.Term, nodeNames[l.leader], l.term)
		case !s.Ready || !s.Lease.Held:
			return fmt.Errorf("%s is ready: %t, reads its own copy: %t; %q", name, s.Ready, s.Lease.Held, s.Problems)
		case !known || math.Abs(seen-want.Seconds()) > 1:
			return fmt.Errorf("%s says that the clock of %s is %v s ahead, want %v", name, other, seen, want.Seconds())
		case warned != (ahead != 0) || len(s.Problems) > 1 || len(s.Problems) == 1 && !warned:
			return fmt.Errorf("%s says %q, want a warning of the clock: %t", name, s.Problems, ahead != 0)
		}
	}
	return nil
}

// moveTo has one of the nodes lead. Each is asked at its own machine, where its admin socket is.
func (l *clockRound) moveTo(ctx context.Context, leader int) error {
	asked := false
	l.leader = leader
	return eventually(ctx, moveLimit, func() error {
		s, err := l.status(ctx, 0)
		if err != nil {
			return err
		}
		l.term = s.Term
		if s.Leader == nodeNames[leader] {
			return l.said(ctx, 0)
		}
		if !asked && s.Leader == nodeNames[0] {
			_, err = tool(ctx, "/", l.twofold, "leader", "move", "--config", l.config)
		} else if !asked && s.Leader != "" {
			err = os.WriteFile(l.lead, nil, 0o644)
		}
		asked = asked || err == nil && s.Leader != ""
		return errors.Join(fmt.Errorf("%q leads", s.Leader), err)
	})
}

// readCounts are the reads of a node by what made them right.
type readCounts map[string]int

// reads asks both nodes how they answered their reads.
func (l *clockRound) reads(ctx context.Context) (counts [2]readCounts, err error) {
	for node := range counts {
		counts[node] = readCounts{}
		body, err := get(ctx, l.http[node]+"/metrics")
		if err != nil {
			return counts, err
		}
		for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
			rest, ok := strings.CutPrefix(lines.Text(), `twofold_replica_reads_total{way="`)
			way, number, found := strings.Cut(rest, `"} `)
			if !ok || !found {
				continue
			}
			n, err := strconv.ParseFloat(number, 64)
			if err != nil {
				return counts, err
			}
			counts[node][way] = int(n)
		}
	}
	return counts, nil
}

// underLeases checks that both nodes went on reading their own copies.
func (l *clockRound) underLeases(ctx context.Context, before [2]readCounts) error {
	after, err := l.reads(ctx)
	if err != nil {
		return err
	}
	for node, name := range nodeNames {
		all, lease := 0, after[node]["lease"]-before[node]["lease"]
		for way, n := range after[node] {
			all += n - before[node][way]
		}
		if lease == 0 || lease*100 < all*leaseReads {
			return fmt.Errorf("%s answered %d of %d reads under its lease, want %d %%", name, lease, all, leaseReads)
		}
	}
	return nil
}
