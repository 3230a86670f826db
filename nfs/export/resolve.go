package export

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Limits of resolving.
const (
	MaxHosts     = 256              // host names in a table
	MaxHostAddrs = 32               // addresses of one name; the others are left out
	lookups      = 8                // look-ups at a time
	lookupTime   = 5 * time.Second  // for one look-up
	refreshTime  = time.Minute      // between two look-ups of a name
	retryTime    = 15 * time.Second // the same after one that failed
	// KeepTime is for how long a name keeps the addresses that it had while the
	// name service fails.
	KeepTime = time.Hour
)

// host is what is known of a host name. Exports.mu guards it.
type host struct {
	addrs  []netip.Addr // sorted; nil while nothing is known
	good   time.Time    // when addrs were last confirmed
	due    time.Time    // of the next look-up
	busy   bool         // a look-up is under way
	failed bool         // the last one failed; its beginning was logged
}

// addrsLocked is an addrsOf.
func (x *Exports) addrsLocked(name string) []netip.Addr {
	if h := x.mu.hosts[name]; h != nil {
		return h.addrs
	}
	return nil
}

// kick has the resolver look at the names again.
func (x *Exports) kick() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// resolve is the goroutine that starts look-ups when they are due.
func (x *Exports) resolve(ctx context.Context) {
	defer close(x.ended)
	running := 0
	done := make(chan struct{})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-x.wake:
		case <-done:
			running--
		case <-ctx.Done():
			for ; running > 0; running-- {
				<-done
			}
			return
		}
		for {
			name, wait := x.next(running < lookups)
			timer.Reset(wait)
			if name == "" {
				break
			}
			running++
			go func() {
				x.lookup(ctx, name)
				done <- struct{}{}
			}()
		}
	}
}

// next returns a name whose look-up is due and marks it as busy, or "" and the
// time until one is.
func (x *Exports) next(may bool) (string, time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	first := ""
	for name, h := range x.mu.hosts {
		if !h.busy && (first == "" || h.due.Before(x.mu.hosts[first].due)) {
			first = name
		}
	}
	if first == "" || !may {
		return "", refreshTime
	}
	h := x.mu.hosts[first]
	if wait := time.Until(h.due); wait > 0 {
		return "", wait
	}
	h.busy = true
	return first, 0
}

// lookup resolves one name and puts what it found into the table.
func (x *Exports) lookup(ctx context.Context, name string) {
	lctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	addrs, err := x.resolver.LookupNetIP(lctx, "ip", name)
	if ctx.Err() != nil {
		return
	}
	addrs = tidy(addrs)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: name, IsNotFound: true}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.mu.hosts[name]
	if h == nil {
		return // taken out of the table meanwhile
	}
	before, now := h.addrs, time.Now()
	h.busy = false
	if err != nil {
		x.failedLocked(name, h, now, err)
	} else {
		if len(addrs) > MaxHostAddrs {
			x.log.Warn("a host name has too many addresses, the last ones are left out", "host", name, "addresses", len(addrs), "limit", MaxHostAddrs)
			addrs = addrs[:MaxHostAddrs]
		}
		if h.failed {
			x.log.Info("a host name of an export resolves again", "host", name)
		}
		h.addrs, h.good, h.due, h.failed = addrs, now, now.Add(refreshTime), false
	}
	if !slices.Equal(before, h.addrs) {
		x.recompileLocked()
	}
}

// failedLocked notes that a name was not resolved. It keeps its addresses for
// KeepTime, so that a name server that is down locks nobody out at once. A name
// that the name service says is not there has none from that moment on.
func (x *Exports) failedLocked(name string, h *host, now time.Time, err error) {
	h.due = now.Add(retryTime)
	var dns *net.DNSError
	gone := errors.As(err, &dns) && dns.IsNotFound
	if !h.failed {
		h.failed = true
		x.log.Warn("a host name of an export does not resolve", "host", name, "err", err, "addresses", len(h.addrs))
	}
	if h.addrs != nil && (gone || now.Sub(h.good) >= KeepTime) {
		h.addrs = nil
		x.log.Warn("a host name of an export matches nobody now", "host", name, "err", err)
	}
}

// recompileLocked puts the addresses that are known now into the table.
func (x *Exports) recompileLocked() {
	t, err := newTable(x.mu.source, x.addrsLocked)
	if err != nil { // it was compiled before, with other addresses
		x.log.Error("the export table does not compile any more", "err", err)
		return
	}
	x.current.Store(t)
}

// tidy brings the addresses of a name into one form.
func tidy(addrs []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if a.IsValid() {
			out = append(out, a.Unmap().WithZone(""))
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
