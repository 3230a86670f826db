package rafttest

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"twofold/raftlog"
)

var (
	errCut    = errors.New("rafttest: the members are cut off from each other")
	errNobody = errors.New("rafttest: nobody listens")
)

// acceptBacklog bounds the streams that wait to be accepted.
const acceptBacklog = 64

// route is one direction between two members for one kind of stream.
type route struct {
	from, to string
	kind     raftlog.StreamKind
}

// policy is what happens to bytes on a route.
type policy struct {
	cut   bool
	held  bool
	delay time.Duration
}

// Network connects members in memory.
type Network struct {
	mu struct {
		sync.Mutex
		policies  map[route]policy
		endpoints map[string]*Endpoint
		streams   map[*stream]struct{}
		held      map[message]bool
		changed   chan struct{} // closed when a policy or an endpoint changes
	}
}

// NewNetwork returns a network without members.
func NewNetwork() *Network {
	n := &Network{}
	n.mu.policies = map[route]policy{}
	n.mu.endpoints = map[string]*Endpoint{}
	n.mu.streams = map[*stream]struct{}{}
	n.mu.held = map[message]bool{}
	n.mu.changed = make(chan struct{})
	return n
}

// Endpoint is one member's end of the network.
type Endpoint struct {
	n         *Network
	name      string
	listeners map[raftlog.StreamKind]*listener
}

var _ raftlog.Net = (*Endpoint)(nil)

// Endpoint attaches a member. A member that is attached already is detached
// first, as by a restart of its process.
func (n *Network) Endpoint(name string) *Endpoint {
	n.Detach(name)
	e := &Endpoint{n: n, name: name, listeners: map[raftlog.StreamKind]*listener{}}
	for _, k := range kinds {
		e.listeners[k] = &listener{name: name, conns: make(chan net.Conn, acceptBacklog), done: make(chan struct{})}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.endpoints[name] = e
	n.broadcastLocked()
	return e
}

var kinds = []raftlog.StreamKind{raftlog.StreamRaft, raftlog.StreamControl, raftlog.StreamPeer, raftlog.StreamCatchUp}

// Detach breaks all streams of a member and refuses new ones.
func (n *Network) Detach(name string) {
	n.mu.Lock()
	e := n.mu.endpoints[name]
	delete(n.mu.endpoints, name)
	var broken []*stream
	for s := range n.mu.streams {
		if s.route.from == name || s.route.to == name {
			broken = append(broken, s)
		}
	}
	n.broadcastLocked()
	n.mu.Unlock()
	for _, s := range broken {
		s.Close()
	}
	if e != nil {
		for _, l := range e.listeners {
			l.Close()
		}
	}
}

func (n *Network) broadcastLocked() {
	close(n.mu.changed)
	n.mu.changed = make(chan struct{})
}

// change edits the policy of one direction for some kinds of stream, all if
// none is given.
func (n *Network) change(from, to string, ks []raftlog.StreamKind, edit func(*policy)) {
	if len(ks) == 0 {
		ks = kinds
	}
	n.mu.Lock()
	var broken []*stream
	for _, k := range ks {
		r := route{from, to, k}
		p := n.mu.policies[r]
		edit(&p)
		n.mu.policies[r] = p
		for s := range n.mu.streams {
			if p.cut && (s.route == r || s.route == r.back()) {
				broken = append(broken, s)
			}
		}
	}
	n.broadcastLocked()
	n.mu.Unlock()
	for _, s := range broken {
		s.Close()
	}
}

func (r route) back() route { return route{r.to, r.from, r.kind} }

// Hold keeps bytes from one member to another until Release. Dials wait too.
func (n *Network) Hold(from, to string, ks ...raftlog.StreamKind) {
	n.change(from, to, ks, func(p *policy) { p.held = true })
}

// Release ends a Hold.
func (n *Network) Release(from, to string, ks ...raftlog.StreamKind) {
	n.change(from, to, ks, func(p *policy) { p.held = false })
}

// Delay holds up every byte from one member to another for d.
func (n *Network) Delay(from, to string, d time.Duration, ks ...raftlog.StreamKind) {
	n.change(from, to, ks, func(p *policy) { p.delay = d })
}

// Cut breaks the streams between two members, whoever opened them, and fails
// the dials from one to the other.
func (n *Network) Cut(from, to string, ks ...raftlog.StreamKind) {
	n.change(from, to, ks, func(p *policy) { p.cut = true })
}

// Heal ends a Cut.
func (n *Network) Heal(from, to string, ks ...raftlog.StreamKind) {
	n.change(from, to, ks, func(p *policy) { p.cut = false })
}

// Between applies a change to every direction between a member and others:
// n.Between(n.Hold, "a", "b", "c").
func (n *Network) Between(change func(from, to string, ks ...raftlog.StreamKind), name string, others ...string) {
	for _, o := range others {
		change(name, o)
		change(o, name)
	}
}

// policy returns the policy of a route, and a channel that is closed when it
// may have changed.
func (n *Network) policy(r route) (policy, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.policies[r], n.mu.changed
}

// Dial implements raftlog.Net.
func (e *Endpoint) Dial(ctx context.Context, member string, kind raftlog.StreamKind) (net.Conn, error) {
	r := route{e.name, member, kind}
	for {
		there, changed, err := e.n.dial(e, r)
		if err != nil {
			return nil, err
		}
		if there != nil {
			return e.n.connect(there.listeners[kind], r)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dial returns the endpoint to connect to, or a channel to wait for.
func (n *Network) dial(e *Endpoint, r route) (*Endpoint, <-chan struct{}, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	there, back := n.mu.policies[r], n.mu.policies[r.back()]
	switch {
	case n.mu.endpoints[e.name] != e || there.cut || back.cut:
		return nil, nil, errCut
	case there.held || back.held:
		return nil, n.mu.changed, nil
	case n.mu.endpoints[r.to] == nil:
		return nil, nil, errNobody
	}
	return n.mu.endpoints[r.to], nil, nil
}

// connect makes the two ends of a stream.
func (n *Network) connect(l *listener, r route) (net.Conn, error) {
	there, back := newPipe(n, r), newPipe(n, r.back())
	x := &exchange{asked: false}
	there.exchange, back.exchange, there.dialer = x, x, true
	near := &stream{n: n, route: r, in: back, out: there}
	far := &stream{n: n, route: r.back(), in: there, out: back}
	near.peer, far.peer = far, near
	n.mu.Lock()
	n.mu.streams[near], n.mu.streams[far] = struct{}{}, struct{}{}
	n.mu.Unlock()
	select {
	case <-l.done:
	default:
		select {
		case l.conns <- far:
			return near, nil
		default:
		}
	}
	near.Close()
	return nil, errNobody
}

// Listener implements raftlog.Net.
func (e *Endpoint) Listener(kind raftlog.StreamKind) net.Listener { return e.listeners[kind] }

type listener struct {
	name  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	for {
		select {
		case c := <-l.conns:
			c.Close()
		default:
			return nil
		}
	}
}

func (l *listener) Addr() net.Addr { return addr(l.name) }

type addr string

func (addr) Network() string  { return "rafttest" }
func (a addr) String() string { return string(a) }
