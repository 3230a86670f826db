package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"twofold/nfs"
)

// Bounds of a drain. Together they stay below what supervisors allow.
const (
	// answerTimeout is what calls in flight get to end: a little more than the
	// time after which the store gives an outcome up.
	answerTimeout   = 6 * time.Second
	transferTimeout = 2 * time.Second
	// leaseTimeout is how long the leader is waited for when a lease goes back.
	leaseTimeout = 100 * time.Millisecond
	// maxDrainDelay bounds nfs.drain_delay.
	maxDrainDelay = time.Minute
)

// Why a node serves no clients.
const (
	refusalDraining = "this node is being drained"
	refusalDrained  = "this node is drained: twofold drain --undo lets it serve again"
	refusalStopping = "this node is stopping"
)

// drainAsk is the body of POST /drain.
type drainAsk struct {
	Undo  bool `json:"undo,omitempty"`
	Force bool `json:"force,omitempty"` // although others are away
}

// drainReply is the answer.
type drainReply struct {
	Node  string      `json:"node"`
	Steps []drainStep `json:"steps"`
}

// drainStep is one thing that was done, and how long it took.
type drainStep struct {
	Text string        `json:"text"`
	Took time.Duration `json:"took_ns"`
}

func (n *node) handleDrain(mux *http.ServeMux) {
	mux.HandleFunc("POST /drain", func(w http.ResponseWriter, r *http.Request) {
		adminReply(w, func() (any, error) {
			var ask drainAsk
			if err := decodeAsk(w, r, &ask); err != nil {
				return nil, err
			}
			if ask.Undo {
				return n.undrain()
			}
			return n.drain(r.Context(), ask.Force)
		})
	})
}

// serving reports that clients are, or will be, served: readiness does not fail
// for the reason that somebody asked for it.
func (n *node) serving() bool { return n.refusal.Load() == nil }

func (n *node) refuse(why string) { n.refusal.Store(&why) }

// drain takes this node's clients away from it and leaves it a member: it votes,
// keeps its log and its copy. What it began it finishes, whether or not somebody
// still waits for its reply.
func (n *node) drain(ctx context.Context, force bool) (*drainReply, error) {
	if !n.cfg.isData() {
		return nil, fmt.Errorf("node %s is the witness and serves no clients: just stop it", n.cfg.Node)
	}
	if !n.front.TryLock() {
		return nil, errors.New("a drain, or its undoing, is under way")
	}
	defer n.front.Unlock()
	if why := n.refusal.Load(); why != nil {
		return nil, errors.New(*why)
	}
	if !force {
		if err := n.safeToDrain(ctx); err != nil {
			return nil, err
		}
	}
	d := drainer{node: n}
	n.refuse(refusalDraining)
	err := d.delay(ctx.Done())
	if err == nil {
		err = d.handOver()
	}
	if err != nil && !force {
		n.refusal.Store(nil)
		return nil, fmt.Errorf("%w: this node serves as before: look at twofold status, or use --force", err)
	}
	if err := d.closeClients(); err != nil {
		n.log.Warn("drain", "err", err)
	}
	n.resumeLease = d.giveUpLease()
	n.refuse(refusalDrained)
	return &drainReply{Node: n.cfg.Node, Steps: d.steps}, nil
}

// safeToDrain refuses a drain after which nobody would serve, or after which the
// stop of this node would end the quorum.
func (n *node) safeToDrain(ctx context.Context) error {
	p := n.parts.Load()
	if p == nil {
		return errors.New("this node has not met the other members yet: it serves nobody")
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var missing []string
	for _, m := range n.members(p.raft.FreshStatus(ctx)) {
		switch {
		case m.Name == n.cfg.Node:
		case !m.Answers:
			missing = append(missing, m.Name+" does not answer")
		case !m.InSync:
			missing = append(missing, fmt.Sprintf("%s is %d entries behind", m.Name, m.Behind))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: without it this node must stay up for clients to be served: wait until twofold status says healthy, or use --force",
			strings.Join(missing, ", and "))
	}
	return nil
}

// undrain serves clients again.
func (n *node) undrain() (*drainReply, error) {
	if !n.front.TryLock() {
		return nil, errors.New("a drain, or its undoing, is under way")
	}
	defer n.front.Unlock()
	if why := n.refusal.Load(); why == nil || *why != refusalDrained {
		return nil, errors.New("this node is not drained")
	}
	start := time.Now()
	l, err := bind("nfs.listen", n.nfsListener.Addr().String())
	if err != nil {
		return nil, err
	}
	server, err := n.newNFSServer()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	n.nfsListener, n.nfs = l, server
	n.resumeLease()
	n.mapper.resume(l.Addr())
	n.refusal.Store(nil)
	n.serveNFS()
	n.log.Info("clients are served again")
	return &drainReply{Node: n.cfg.Node, Steps: []drainStep{{"clients are served again", time.Since(start)}}}, nil
}

// serveNFS starts the NFS server that there is; the caller holds front.
func (n *node) serveNFS() {
	server, l := n.nfs, n.nfsListener
	n.serve("nfs", func() error {
		if err := server.Serve(l); !errors.Is(err, nfs.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// drainer is one drain under way; its caller holds node.front.
type drainer struct {
	node  *node
	steps []drainStep
}

// did notes a step that began at start.
func (d *drainer) did(start time.Time, format string, args ...any) {
	s := drainStep{Text: fmt.Sprintf(format, args...), Took: time.Since(start)}
	d.steps = append(d.steps, s)
	d.node.log.Info("drain: "+s.Text, "took", s.Took.Round(time.Millisecond))
}

// delay leaves time to whoever looks at readiness. Clients are served as before,
// until interrupted.
func (d *drainer) delay(interrupted <-chan struct{}) error {
	start := time.Now()
	if limit := time.Duration(d.node.cfg.NFS.DrainDelay); limit > 0 {
		stopping := d.node.stopping
		if interrupted == nil {
			stopping = nil // it is the stop that waits
		}
		select {
		case <-time.After(limit):
		case <-stopping:
			return errors.New("the node is being stopped")
		case <-interrupted:
			return errors.New("the command was interrupted")
		}
	}
	d.did(start, "/readyz says 503")
	return nil
}

// handOver hands leadership to the other data node. Clients of both nodes wait
// for no more than that: what they ask meanwhile goes to the new leader.
func (d *drainer) handOver() error {
	n := d.node
	if !n.isLeader() {
		return nil
	}
	start := time.Now()
	to, err := n.transferWithin(transferTimeout)
	switch {
	case errors.Is(err, errPeerGone):
		d.did(start, "leadership stays: %v", errPeerGone)
	case err != nil:
		n.log.Warn("leadership was not handed over", "err", err)
	default:
		d.did(start, "leadership handed to %s", to)
	}
	return err
}

// giveUpLease has this node read by nobody's leave any more, and tells the leader,
// which would otherwise wait for the lease's end with every change once this node
// does not answer. It returns what allows leases again.
func (d *drainer) giveUpLease() (resume func()) {
	p := d.node.parts.Load()
	if p == nil {
		return func() {}
	}
	resume = p.raft.GiveUpLease()
	// The leader answers a question that comes after the news.
	ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
	defer cancel()
	p.raft.FreshStatus(ctx)
	return resume
}

// closeClients withdraws the port, answers the calls in flight and closes the
// connections.
func (d *drainer) closeClients() error {
	n := d.node
	start := time.Now()
	err := within(withdrawTimeout, n.mapper.stop)
	// The closed listener refuses whoever comes now.
	conns := n.nfs.Conns()
	err = errors.Join(err, within(answerTimeout, n.nfs.Shutdown))
	d.did(start, "%d client connections closed, their calls answered", conns)
	return err
}
