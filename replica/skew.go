package replica

import (
	"log/slog"
	"sync"
	"time"

	"twofold/metrics"
)

const (
	// skewRound is the longest round trip that is taken for a measurement: what it
	// finds is right to half of it.
	skewRound = 500 * time.Millisecond
	// skewLife is how long a measurement holds.
	skewLife = 10 * time.Second
)

// skewWatch compares this node's wall clock with those of the other data nodes.
// Nothing that is promised depends on any of them; log time, which file times are
// taken from, follows a clock that was set only if another one agrees with it.
type skewWatch struct {
	logger  *slog.Logger
	metrics *metrics.Replica

	mu struct {
		sync.Mutex
		peers map[string]peerSkew
	}
}

// peerSkew is one measurement, and what was said of them so far.
type peerSkew struct {
	ahead  time.Duration // of the other clock; negative if it is behind
	at     time.Time
	warned time.Time // zero while there is nothing to warn of
}

func newSkewWatch(cfg *Config) *skewWatch {
	w := &skewWatch{logger: cfg.Logger, metrics: cfg.Metrics}
	w.mu.peers = map[string]peerSkew{}
	for _, p := range cfg.Peers {
		w.mu.peers[p] = peerSkew{}
	}
	return w
}

// heard takes the wall clock that a node sent in its answer to a message, with the
// times at which the message was sent and the answer arrived. It read its clock
// between the two; the middle is the best guess.
func (w *skewWatch) heard(name string, wall int64, sent, arrived time.Time) {
	round := arrived.Sub(sent) // by the monotonic clock
	if round > skewRound {
		return
	}
	ahead := time.Duration(wall - sent.UnixNano() - int64(round/2))
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.mu.peers[name]
	if !ok {
		return
	}
	p.ahead, p.at = ahead, arrived
	w.metrics.SetClockSkew(name, ahead.Seconds(), true)
	switch over := ahead.Abs() > skewLimit; {
	case over && (p.warned.IsZero() || arrived.Sub(p.warned) >= skewPause):
		p.warned = arrived
		w.logger.Warn("the clocks of the data nodes differ: file times jump when the other one leads; let both follow the same time server", "peer", name, "ahead", ahead)
	case !over && !p.warned.IsZero():
		p.warned = time.Time{}
		w.logger.Warn("the clocks of the data nodes agree again", "peer", name, "ahead", ahead)
	}
	w.mu.peers[name] = p
}

// expire takes old measurements out of the metrics.
func (w *skewWatch) expire(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, p := range w.mu.peers {
		if now.Sub(p.at) >= skewLife {
			w.metrics.SetClockSkew(name, 0, false)
		}
	}
}

// agree reports that another data node's clock shows the time of this one's.
func (w *skewWatch) agree() bool {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.mu.peers {
		if now.Sub(p.at) < skewLife && p.ahead.Abs() <= skewLimit {
			return true
		}
	}
	return false
}

// all returns what is known now, by node.
func (w *skewWatch) all() map[string]time.Duration {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	known := map[string]time.Duration{}
	for name, p := range w.mu.peers {
		if now.Sub(p.at) < skewLife {
			known[name] = p.ahead
		}
	}
	return known
}

// ClockSkews tells by how much the other data nodes' wall clocks are ahead of this
// one's, as far as that is known.
func (s *Store) ClockSkews() map[string]time.Duration { return s.skew.all() }
