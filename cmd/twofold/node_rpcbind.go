package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"twofold/nfs"
	"twofold/nfs/rpcbind"
)

// Times of making the port known.
const (
	// mapperRetry is the pause after which port 111 is tried again, if the
	// config asks for it and somebody else has it.
	mapperRetry = time.Minute
	// mapperWatch is how often the state is copied into the metrics.
	mapperWatch = time.Second
	// withdrawTimeout bounds how long a planned stop waits for rpcbind.
	withdrawTimeout = 2 * time.Second
)

// portMapper makes the NFS port known to clients that name none, while it runs.
// Whatever goes wrong with it is shown and ends nothing: clients that name the
// port are served all the same, and so are those that have mounted already.
type portMapper struct {
	node *node

	mu struct {
		sync.Mutex
		registrar *rpcbind.Registrar // nil before the start, and after stop
		err       error              // why there is none
		stopped   bool
	}
}

// run starts the registrar and keeps its state in the metrics until ctx ends.
// stop ends what it has started.
func (p *portMapper) run(ctx context.Context, listener net.Addr) error {
	tick := time.NewTicker(mapperWatch)
	defer tick.Stop()
	p.start(listener)
	retry := time.Now().Add(mapperRetry)
	for {
		state := p.state()
		p.node.metrics.gateway.SetMapper(string(state.Doing), state.Err != nil)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if state.Err != nil && p.failed() && time.Now().After(retry) {
			p.start(listener)
			retry = time.Now().Add(mapperRetry)
		}
	}
}

// start makes a registrar, unless the node stops.
func (p *portMapper) start(listener net.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.stopped {
		return
	}
	addr, ok := listener.(*net.TCPAddr)
	if !ok {
		return // a test's listener, of which no client could learn
	}
	cfg := rpcbind.Config{
		Mode: p.node.cfg.NFS.RPCBind,
		Services: []rpcbind.Service{
			{Program: nfs.ProgramNFS, Version: nfs.VersionNFS, Addr: addr.AddrPort()},
			{Program: nfs.ProgramMount, Version: nfs.VersionMount, Addr: addr.AddrPort()},
		},
		Logger: p.node.log,
	}
	before := p.mu.err
	p.mu.registrar, p.mu.err = rpcbind.Start(cfg)
	if p.mu.err != nil && (before == nil || before.Error() != p.mu.err.Error()) {
		p.node.log.Error("clients have to name the ports: mount -o vers=3,port=N,mountport=N", "port", addr.Port, "err", p.mu.err)
	}
}

// failed reports that the last start failed.
func (p *portMapper) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.err != nil
}

// state is what status and metrics show.
func (p *portMapper) state() rpcbind.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.mu.registrar != nil:
		return p.mu.registrar.State()
	case p.mu.err != nil:
		return rpcbind.State{Doing: rpcbind.Waiting, Err: p.mu.err}
	}
	return rpcbind.State{Doing: rpcbind.Nothing}
}

// status is what twofold status shows.
func (p *portMapper) status() *rpcbindStatus {
	state, mode := p.state(), p.node.cfg.NFS.RPCBind
	s := &rpcbindStatus{Mode: string(mode), Doing: string(state.Doing)}
	if state.Err == nil {
		return s
	}
	var foreign *rpcbind.ForeignError
	if mode == rpcbind.ModeAuto && state.Doing == rpcbind.Waiting && !errors.As(state.Err, &foreign) {
		s.Note = state.Err.Error() // nobody asked for more than a try
	} else {
		s.Problem = state.Err.Error()
	}
	return s
}

// resume makes the port known again after stop.
func (p *portMapper) resume(listener net.Addr) {
	p.mu.Lock()
	p.mu.stopped = false
	p.mu.Unlock()
	p.start(listener)
}

// stop withdraws what was registered. It comes before the NFS port is closed:
// afterwards that may be another program's.
func (p *portMapper) stop(ctx context.Context) error {
	p.mu.Lock()
	r := p.mu.registrar
	p.mu.registrar, p.mu.err, p.mu.stopped = nil, nil, true
	p.mu.Unlock()
	if r == nil {
		return nil
	}
	err := r.Stop(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		// A rpcbind that does not answer must not make a planned stop fail.
		p.node.log.Warn("the port is still registered", "err", err)
		return nil
	}
	return err
}
