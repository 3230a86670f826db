package rpcbind

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Doing is what a Registrar does at the moment.
type Doing string

// What there is to do.
const (
	Nothing    Doing = "nothing"    // mode off, or stopped
	Waiting    Doing = "waiting"    // State.Err says why; it is tried again
	Registered Doing = "registered" // with the host's rpcbind, when it was last looked at
	Serving    Doing = "serving"    // port 111 itself
)

// State is what a Registrar does. Err is set while it waits, and while it serves
// beside a rpcbind that was started later.
type State struct {
	Doing Doing
	Err   error
}

// errTwo is the error when a rpcbind was started while we serve port 111.
var errTwo = errors.New("rpcbind: one was started on this host while this process serves port 111: local programs register there, " +
	"clients ask here; restart this process after it, or stop it")

// Registrar makes the services known until it is stopped.
type Registrar struct {
	cfg  Config
	reg  *registration // for the goroutine of run, and for Stop after it
	stop context.CancelFunc
	done chan struct{} // closed when run has ended

	mu     sync.Mutex
	state  State
	server *server // nil unless we serve
}

// Start makes the services known. It never waits for rpcbind, and asks for
// nothing but a valid Config, except in ModeServe, where it returns an error if
// the port cannot be had. Whatever else goes wrong is logged, told by State, and
// tried again. The listeners of the services must be open.
func Start(cfg Config) (*Registrar, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Registrar{cfg: cfg.withDefaults(), done: make(chan struct{}), stop: func() {}}
	r.reg = newRegistration(&r.cfg)
	r.state.Doing = Nothing
	switch cfg.Mode {
	case ModeOff:
		close(r.done)
		return r, nil
	case ModeServe:
		if err := r.serve(); err != nil {
			return nil, err
		}
	default:
		r.state.Doing = Waiting
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go r.run(ctx)
	return r, nil
}

// State tells what the Registrar does.
func (r *Registrar) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Stop withdraws what was registered, or ends our own server. It waits for
// rpcbind no longer than ctx, and a few seconds. It is called before the
// listeners of the services are closed: afterwards their port may be another's.
func (r *Registrar) Stop(ctx context.Context) error {
	r.stop()
	<-r.done
	r.mu.Lock()
	s := r.server
	r.server, r.state = nil, State{Doing: Nothing}
	r.mu.Unlock()
	if s != nil {
		s.close()
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if err := r.reg.withdraw(ctx); err != nil {
		return fmt.Errorf("rpcbind: entries not withdrawn: %w", err)
	}
	return nil
}

// run looks after the entries until ctx ends.
func (r *Registrar) run(ctx context.Context) {
	defer close(r.done)
	t := time.NewTicker(r.cfg.Check)
	defer t.Stop()
	for {
		r.step(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// step does what there is to do, once.
func (r *Registrar) step(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if r.State().Doing == Serving {
		r.note(ctx, State{Doing: Serving, Err: r.alone(ctx)})
		return
	}
	err := r.reg.check(ctx)
	if errors.Is(err, errNoRpcbind) && r.cfg.Mode == ModeAuto && len(r.reg.mine) == 0 {
		if err = r.serve(); err == nil {
			return
		}
	}
	if err != nil {
		r.note(ctx, State{Doing: Waiting, Err: err})
		return
	}
	r.note(ctx, State{Doing: Registered})
}

// serve starts our own server.
func (r *Registrar) serve() error {
	s, err := listen(&r.cfg)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.server = s
	r.mu.Unlock()
	r.note(context.Background(), State{Doing: Serving})
	return nil
}

// alone returns an error if a rpcbind runs beside our own server.
func (r *Registrar) alone(ctx context.Context) error {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", r.cfg.Socket)
	if err != nil {
		return nil
	}
	_ = nc.Close()
	return errTwo
}

// note keeps a new state and logs what has changed. What fails because we are
// being stopped is nobody's concern.
func (r *Registrar) note(ctx context.Context, s State) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	r.mu.Lock()
	old := r.state
	r.state = s
	r.mu.Unlock()
	if old.Doing == s.Doing && text(old.Err) == text(s.Err) {
		return
	}
	var foreign *ForeignError
	switch {
	case s.Err == nil:
		r.cfg.Logger.Info("plain mounts work: the port is known to clients", "by", string(s.Doing))
	case errors.As(s.Err, &foreign), errors.Is(s.Err, errTwo):
		r.cfg.Logger.Error("plain mounts do not work", "state", string(s.Doing), "err", s.Err)
	default:
		r.cfg.Logger.Log(ctx, slog.LevelWarn, "clients have to name the ports: mount -o vers=3,port=N,mountport=N",
			"port", r.cfg.Services[0].Addr.Port(), "state", string(s.Doing), "err", s.Err)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
