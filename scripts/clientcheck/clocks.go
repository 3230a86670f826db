package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"twofold/nfs/client"
	"twofold/replica/duplicate"
	"twofold/replica/vfs"
	"twofold/scripts/faultlab/probe"
)

const (
	// clockHold is how long each time is shown, at least.
	clockHold = 2500 * time.Millisecond
	// clockPause is how long no call of one kind may be without an answer at one node, on a machine that may be busy. Whether a leader was lost,
	// its term tells.
	clockPause = 2 * time.Second
	// clockMaxAhead is how far the word of one clock carries the times of files away from real time within a term.
	clockMaxAhead = time.Second
	// clockSlower is what part of real time file times fall behind by, at most, while a leader's clock is behind them.
	clockSlower = 2
	// clockSlack is what may lie between a call and its measurement.
	clockSlack = 500 * time.Millisecond
	// clockSaid is how long the nodes may take to say that their clocks differ: they compare them twice a second.
	clockSaid = 5 * time.Second
	// leaseReads is what part of the reads must be answered from a node's own copy without a question to anybody, in percent. A machine that has
	// just done something else for a third of a second has no lease for a moment.
	leaseReads = 95
	// moveLimit is how long leadership may take to move.
	moveLimit = 20 * time.Second
)

// clockSteps are what this machine's wall clock shows beyond the right time, one after the other.
var clockSteps = []time.Duration{0, time.Hour, -2 * time.Hour, 0}

// checkClocks sets the wall clock of this machine, whose node leads at first and follows afterwards, an hour ahead and two hours behind. Nothing that is promised
// rests on it. So clients at both nodes, which look for anything stale, lost or done twice, notice nothing; no other node comes to lead; both nodes go on
// reading their own copies; and a call of old gets its first answer, however many came since. File times follow the wrong clock no further than
// docs/guarantees.md says. The nodes do say that their clocks differ.
func checkClocks(ctx context.Context, s *setup) (detail string, err error) {
	wall, err := newWallClock()
	if err != nil {
		return "", err
	}
	stop, err := startNode(ctx, s)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, wall.set(0), stop()) }()
	l := &clockRound{
		wall: wall, config: s.Config, twofold: s.Twofold, lead: s.OtherLead,
		http:  [2]string{strings.TrimSuffix(s.Ready, "/readyz"), s.OtherHTTP},
		addrs: [2]string{net.JoinHostPort("127.0.0.1", strconv.Itoa(s.NFSPort)), net.JoinHostPort(s.Other, "2049")},
	}
	var told []string
	for _, leader := range []int{0, 1} {
		some, err := l.run(ctx, leader)
		if err != nil {
			return "", fmt.Errorf("while %s leads: %w", nodeNames[leader], err)
		}
		told = append(told, some)
	}
	return strings.Join(told, "; "), nil
}

// wallClock is the clock that everybody may set.
type wallClock struct {
	start time.Time // by both clocks; the wall clock was right
}

// newWallClock makes sure that the clock is a guest's, of which nothing else on the host knows.
func newWallClock() (wallClock, error) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil && !bytes.Contains(info, []byte("User Mode Linux")) {
		err = errors.New("this is not a User Mode Linux guest, and no other machine's clock may be set")
	}
	return wallClock{start: time.Now()}, err
}

// set makes the clock show what it would if nobody had set it, and some more. The monotonic clock tells how much time has gone.
func (w wallClock) set(ahead time.Duration) error {
	at := unix.NsecToTimespec(w.start.Add(time.Since(w.start) + ahead).UnixNano())
	return unix.ClockSettime(unix.CLOCK_REALTIME, &at)
}

// clockRound is the pair while one of its nodes leads.
type clockRound struct {
	wall    wallClock
	config  string
	twofold string
	lead    string    // the file that asks for a new leader
	http    [2]string // URLs of the nodes, this machine's first
	addrs   [2]string

	leader int
	term   uint64
	root   client.FH
	conns  [2]*client.Client
	times  fileTimes
}

// run sets the clock to one time after the other, under load, while one node leads.
func (l *clockRound) run(ctx context.Context, leader int) (detail string, err error) {
	if err := l.moveTo(ctx, leader); err != nil {
		return "", err
	}
	if err := l.connect(ctx); err != nil {
		return "", err
	}
	defer l.close()
	l.times = fileTimes{}
	old, err := l.oldCall(ctx)
	if err != nil {
		return "", err
	}
	before, err := l.reads(ctx)
	if err != nil {
		return "", err
	}
	round, err := probe.Start(ctx, l.addrs, "clocks-"+nodeNames[leader])
	if err != nil {
		return "", err
	}
	defer round.Stop(0)
	began := time.Now()
	for _, ahead := range clockSteps {
		if err := l.step(ctx, round, ahead); err != nil {
			return "", fmt.Errorf("this machine's clock is %v ahead: %w", ahead, err)
		}
	}
	pause, ended := longestPause(round, began, time.Now()), time.Now()
	if err := l.makeSurplus(ctx); err != nil {
		return "", err
	}
	problems := append(round.Stop(clockSaid), round.Problems()...)
	problems = append(problems, round.Verify(ctx)...)
	if len(problems) > 0 {
		return "", errors.New(strings.Join(problems, "\n"))
	}
	answers, repeats, jukeboxes := round.Totals()
	detail = fmt.Sprintf("%s leads: %d answers in %.1f s, longest pause %d ms, file times %s", nodeNames[leader], answers,
		ended.Sub(began).Seconds(), pause.Milliseconds(), l.times)
	if repeats != 0 || jukeboxes != 0 || pause > clockPause {
		return "", fmt.Errorf("%d calls lost their connection, %d answers were NFS3ERR_JUKEBOX, want none, and no pause over %v: %s", repeats, jukeboxes, clockPause, detail)
	}
	return detail, errors.Join(old(), l.underLeases(ctx, before))
}

// step sets the clock, makes files for a while, and asks the nodes what they say.
func (l *clockRound) step(ctx context.Context, round *probe.Round, ahead time.Duration) error {
	if err := l.wall.set(ahead); err != nil {
		return err
	}
	for set := time.Now(); time.Since(set) < clockHold; {
		if err := l.makeFile(ctx); err != nil {
			return err
		}
		if err := l.times.check(l.leader == 0, ahead < 0); err != nil {
			return err
		}
		if problems := round.Problems(); len(problems) > 0 {
			return errors.New(strings.Join(problems, "\n"))
		}
	}
	return eventually(ctx, clockSaid, func() error { return l.said(ctx, ahead) })
}

func longestPause(round *probe.Round, from, to time.Time) (longest time.Duration) {
	for node := range 2 {
		for k := range probe.Kinds {
			longest = max(longest, round.Pause(node, probe.Kind(k), from, to))
		}
	}
	return longest
}

// connect makes a connection to each node.
func (l *clockRound) connect(ctx context.Context) (err error) {
	for i, addr := range l.addrs {
		if l.conns[i], err = client.Dial(ctx, addr); err != nil {
			return err
		}
	}
	l.root, err = l.conns[0].Root(ctx, "/")
	return err
}

func (l *clockRound) close() {
	for _, c := range l.conns {
		_ = c.Close() // there is nothing more to say on it
	}
}

// makeFile makes a file at either node in turn, and looks at its time at the other one.
func (l *clockRound) makeFile(ctx context.Context) error {
	n := len(l.times.drift)
	at := n % 2
	name := fmt.Sprintf("clocks-%s-file-%d", nodeNames[l.leader], n)
	made, err := l.conns[at].Create(ctx, l.root, name, client.CreateHow{Mode: vfs.CreateGuarded})
	if err := answered(made.Status, err); err != nil {
		return fmt.Errorf("CREATE %s at %s: %w", name, nodeNames[at], err)
	}
	if made.Attr == nil {
		return fmt.Errorf("CREATE %s at %s gives no attributes", name, nodeNames[at])
	}
	l.times.add(made.Attr.Mtime.Time(), time.Now())
	seen, err := l.conns[1-at].Getattr(ctx, made.FH)
	if err := answered(seen.Status, err); err != nil {
		return fmt.Errorf("GETATTR of %s at %s: %w", name, nodeNames[1-at], err)
	}
	if seen.Attr != *made.Attr {
		return fmt.Errorf("GETATTR of %s at %s gives %+v, want %+v", name, nodeNames[1-at], seen.Attr, *made.Attr)
	}
	return nil
}

// answered gives the error of a call, or a verdict that is not success as one.
func answered(st client.Status, err error) error {
	if err == nil && st != client.OK {
		err = st
	}
	return err
}

// oldCall makes a call that cannot succeed twice. The function that it gives sends it again, under its XID.
func (l *clockRound) oldCall(ctx context.Context) (again func() error, err error) {
	xid := l.conns[0].NextXID() ^ 1<<31 // far from those that the other connections take
	call := func() (client.CreateRes, error) {
		c, err := client.Dial(ctx, l.addrs[0], client.WithFirstXID(xid))
		if err != nil {
			return client.CreateRes{}, err
		}
		defer c.Close()
		return c.Mkdir(ctx, l.root, "clocks-once-"+nodeNames[l.leader], client.SetAttr{})
	}
	first, err := call()
	if err := answered(first.Status, err); err != nil {
		return nil, fmt.Errorf("MKDIR: %w", err)
	}
	return func() error {
		again, err := call()
		if err := answered(again.Status, err); err != nil {
			return fmt.Errorf("a MKDIR that was sent again does not get its first answer: %w", err)
		}
		if !bytes.Equal(again.FH, first.FH) {
			return fmt.Errorf("a MKDIR that was sent again gives the handle %x, and %x at first", again.FH, first.FH)
		}
		return nil
	}, nil
}

// makeSurplus makes so many changes that what a node remembers of those before depends on their age.
func (l *clockRound) makeSurplus(ctx context.Context) error {
	for range duplicate.ClientRecords/maxParallel + 1 {
		errs := make(chan error, maxParallel)
		for range maxParallel {
			go func() {
				res, err := l.conns[0].Setattr(ctx, l.root, client.SetAttr{Mode: client.Ptr(uint32(0o755))}, nil)
				errs <- answered(res.Status, err)
			}()
		}
		var all error
		for range maxParallel {
			all = errors.Join(all, <-errs)
		}
		if all != nil {
			return fmt.Errorf("SETATTR: %w", all)
		}
	}
	return nil
}
