package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"twofold/nfs/client"
	"twofold/scripts/faultlab/caller"
)

// Kind is what a probe asks for.
type Kind int

// The kinds of probes.
const (
	Read Kind = iota
	Write
	Names
	// Kinds is how many there are.
	Kinds = 3
)

// String is the kind as tables name it.
func (k Kind) String() string { return [...]string{"read", "write", "names"}[k] }

// Every is how long a probe waits after an answer. It keeps the load small: the probes measure time, not throughput.
const Every = 8 * time.Millisecond

// span is an answered call.
type span struct{ begin, end time.Time }

// Probe asks one node for one kind of service.
type probe struct {
	node   int
	kind   Kind
	caller *caller.Caller

	mu struct {
		sync.Mutex
		spans []span
		out   time.Time // when the call that has no answer was begun; zero if there is none
		err   error     // what was wrong; the probe has ended
	}
}

// Round is six probes at work.
type Round struct {
	addrs   [2]string
	targets [2]*target
	probes  [2][Kinds]*probe
	stop    atomic.Bool
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Mount returns the root of the volume at one of the nodes, whichever answers.
func Mount(ctx context.Context, addrs [2]string) (root client.FH, err error) {
	for i := 0; ; i++ {
		c, dialErr := client.Dial(ctx, addrs[i%2])
		if err = dialErr; err == nil {
			root, err = c.Root(ctx, "/")
			_ = c.Close() // it was for this one call
		}
		if err == nil || ctx.Err() != nil {
			return root, err
		}
		time.Sleep(Every)
	}
}

// Start makes what a round works at, in names that begin with prefix, and starts its probes. The cluster must be healthy.
func Start(ctx context.Context, addrs [2]string, prefix string) (*Round, error) {
	r := &Round{addrs: addrs}
	root, err := Mount(ctx, addrs)
	if err != nil {
		return nil, err
	}
	for node := range addrs {
		c := caller.New(addrs, node, caller.Moves)
		r.targets[node], err = newTarget(ctx, c, root, fmt.Sprintf("%s-%d", prefix, node))
		c.Close()
		if err != nil {
			return nil, err
		}
	}
	ctx, r.cancel = context.WithCancel(ctx)
	for node := range addrs {
		for k := range Kinds {
			p := &probe{node: node, kind: Kind(k), caller: caller.New(addrs, node, caller.Waits)}
			r.probes[node][k] = p
			r.running.Go(func() { p.run(ctx, r) })
		}
	}
	return r, nil
}

// run makes calls until the round stops or something is wrong.
func (p *probe) run(ctx context.Context, r *Round) {
	defer p.caller.Close()
	for i := 0; i < maxSteps && !r.stop.Load(); i++ {
		begin := time.Now()
		p.mu.Lock()
		p.mu.out = begin
		p.mu.Unlock()
		err := p.step(ctx, r, i)
		p.mu.Lock()
		if err != nil {
			p.mu.err = err
			p.mu.Unlock()
			return
		}
		p.mu.spans = append(p.mu.spans, span{begin, time.Now()})
		p.mu.out = time.Time{}
		p.mu.Unlock()
		time.Sleep(Every)
	}
}

func (p *probe) step(ctx context.Context, r *Round, i int) error {
	switch p.kind {
	case Write:
		return r.targets[p.node].write(ctx, p.caller)
	case Names:
		return r.targets[p.node].rename(ctx, p.caller)
	}
	return looks[i%len(looks)](r.targets[i/len(looks)%2], ctx, p.caller)
}

// Served reports that a call that was begun after a time was answered at a node.
func (r *Round) Served(node int, k Kind, after time.Time) bool {
	p := r.probes[node][k]
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.mu.spans)
	return n > 0 && p.mu.spans[n-1].begin.After(after)
}

// FirstAnswer tells when the first call that was begun after a time was answered at a node; zero if none was.
func (r *Round) FirstAnswer(node int, k Kind, after time.Time) time.Time {
	p := r.probes[node][k]
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.mu.spans {
		if s.begin.After(after) {
			return s.end
		}
	}
	return time.Time{}
}

// ServedAll is Served for each kind.
func (r *Round) ServedAll(node int, after time.Time) bool {
	for k := range Kinds {
		if !r.Served(node, Kind(k), after) {
			return false
		}
	}
	return true
}

// Pause returns the longest time without an answer between two times, as the calls that were out then show it. What lies before the first time is not
// counted, and a call that has no answer yet counts until the second.
func (r *Round) Pause(node int, k Kind, from, to time.Time) (longest time.Duration) {
	p := r.probes[node][k]
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.mu.spans {
		if s.end.After(from) && s.begin.Before(to) {
			longest = max(longest, s.end.Sub(later(s.begin, from)))
		}
	}
	if out := p.mu.out; !out.IsZero() && out.Before(to) {
		longest = max(longest, to.Sub(later(out, from)))
	}
	return longest
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Problems tells what is wrong so far.
func (r *Round) Problems() []string {
	var all []string
	for node := range r.probes {
		for k, p := range r.probes[node] {
			p.mu.Lock()
			if err := p.mu.err; err != nil && !errors.Is(err, context.Canceled) {
				all = append(all, fmt.Sprintf("%s at %c: %v", Kind(k), 'a'+node, err))
			}
			p.mu.Unlock()
		}
	}
	return all
}

// Totals counts the answers, the calls that were repeated under their XID, and the answers NFS3ERR_JUKEBOX. It is for a round that has stopped.
func (r *Round) Totals() (answers, repeats, jukeboxes int) {
	for node := range r.probes {
		for _, p := range r.probes[node] {
			answers += len(p.mu.spans)
			repeats += p.caller.Repeats
			jukeboxes += p.caller.Jukeboxes
		}
	}
	return answers, repeats, jukeboxes
}

// Jukeboxes counts the answers NFS3ERR_JUKEBOX of one node. It is for a round that has stopped.
func (r *Round) Jukeboxes(node int) (n int) {
	for _, p := range r.probes[node] {
		n += p.caller.Jukeboxes
	}
	return n
}

// Stop ends the round when every call is answered, and says which had no answer within the limit.
func (r *Round) Stop(limit time.Duration) []string {
	r.stop.Store(true)
	done := make(chan struct{})
	go func() {
		r.running.Wait()
		close(done)
	}()
	var hung []string
	select {
	case <-done:
	case <-time.After(limit):
		hung = r.unanswered()
		r.cancel()
		<-done
	}
	r.cancel()
	return hung
}

// unanswered tells which calls have no answer.
func (r *Round) unanswered() (all []string) {
	for node := range r.probes {
		for k, p := range r.probes[node] {
			p.mu.Lock()
			if !p.mu.out.IsZero() && p.mu.err == nil {
				all = append(all, fmt.Sprintf("HUNG: a %s at %c has had no answer for %s", Kind(k), 'a'+node, time.Since(p.mu.out).Round(time.Millisecond)))
			}
			p.mu.Unlock()
		}
	}
	return all
}

// Verify compares what both nodes show with what was acknowledged. It is for a round that has stopped.
func (r *Round) Verify(ctx context.Context) (problems []string) {
	for node := range r.addrs {
		c := caller.New(r.addrs, node, caller.Waits)
		for _, t := range r.targets {
			if err := t.verify(ctx, c); err != nil {
				problems = append(problems, fmt.Sprintf("afterwards at %c: %v", 'a'+node, err))
			}
		}
		c.Close()
	}
	return problems
}
