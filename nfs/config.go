package nfs

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// Observer is told what happens, for metrics. Its methods must not block. The
// names of limits and reasons are those in limits.go, a fixed set.
type Observer interface {
	ConnOpened()
	ConnClosed()
	CallStarted()
	CallEnded()
	// LimitUsed tells about once a second how much of a limit is in use. Of
	// the limits of one client or of one connection it tells about the client
	// or connection that uses most.
	LimitUsed(limit string, used, most int)
	// HeldBack says that a limit keeps the server from reading on from a
	// connection, LetGo that it does so no longer, and for how long it did.
	HeldBack(limit string)
	LetGo(limit string, after time.Duration)
	// ConnCut says that the server closed a connection, or took none, and why.
	ConnCut(reason string)
	// Paused says that this node stood still, see Config.MaxPause.
	Paused(d time.Duration)
}

// Config is what a Server needs.
type Config struct {
	Programs []Program    // at least one
	Limits   Limits       // zero fields: DefaultLimits
	Observer Observer     // nil: nobody is told
	Logger   *slog.Logger // nil: nothing is logged
	// Admit reports whether records over 4 KiB are taken from a client; nil
	// means from everybody. It is asked before such a record gets any memory,
	// from many goroutines, and must not block. The first large record of a
	// client that is turned down is answered AUTH_BADCRED and ends the
	// connection. Smaller calls are served: their programs refuse for
	// themselves, with better reasons.
	Admit func(client netip.AddrPort) bool
	// ClientOf maps the address of a peer, IPv4-mapped ones folded and without
	// a zone, to the client that it belongs to, for the limits of one client;
	// nil means that each address is a client. A cluster node, which has
	// several addresses, is one client. It is asked once for each connection
	// and must not block.
	ClientOf func(netip.Addr) netip.Addr
	// MaxPause is how long this node may stand still (a stopped process, a
	// suspended host) and then go on as if nothing had happened. After a longer
	// pause all client connections are closed and the calls that lay in them
	// are not executed (rule R11): the client has sent them to the other node
	// meanwhile, and the answer there may be forgotten. Also, no call is taken
	// that the limits kept in its socket for longer. The default, and the most
	// that is allowed, is 60 s, half of the 120 s for which every answer is
	// remembered at least; the least is 5 s.
	MaxPause time.Duration
	// Hung tells that calls which have been with their handlers for some time may
	// never return, since the disk does not, and that new ones are served without it;
	// nil means never. It is asked once a second and must not block. While it says so,
	// connections with such calls are closed: the client asks again. The calls
	// themselves count for the limits until they return.
	Hung func() bool
	// Clock is what pauses are found by; nil means the system's clocks.
	Clock Clock
}

// Bounds of Config.MaxPause. Below the least a busy machine would look like one
// that was paused, since clocks are looked at once a tick.
const (
	minMaxPause     = 5 * tick
	defaultMaxPause = 60 * time.Second
)

// Validate reports what is wrong with c.
func (c *Config) Validate() error {
	if err := c.Limits.Validate(); err != nil {
		return err
	}
	if c.MaxPause != 0 && (c.MaxPause < minMaxPause || c.MaxPause > defaultMaxPause) {
		return fmt.Errorf("nfs: MaxPause is %s, set it from %s to %s", c.MaxPause, minMaxPause, defaultMaxPause)
	}
	_, err := newTable(c.Programs)
	return err
}

// nobody is the Observer that there always is.
type nobody struct{}

func (nobody) ConnOpened()                 {}
func (nobody) ConnClosed()                 {}
func (nobody) CallStarted()                {}
func (nobody) CallEnded()                  {}
func (nobody) LimitUsed(string, int, int)  {}
func (nobody) HeldBack(string)             {}
func (nobody) LetGo(string, time.Duration) {}
func (nobody) ConnCut(string)              {}
func (nobody) Paused(time.Duration)        {}
