package groups

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"twofold/nfs/pace"
	"twofold/replica/vfs"
)

// Limits of a Cache.
const (
	MaxEntries  = 4096             // users that are remembered
	maxFlights  = 64               // look-ups that wait or run
	maxRunning  = 8                // look-ups that run
	lookupTime  = 5 * time.Second  // for one look-up, once it runs
	waitTime    = 2 * time.Second  // for which a call waits for a look-up
	goodTime    = 5 * time.Minute  // for which groups are good
	unknownTime = time.Minute      // for which a user is not known
	retryTime   = 10 * time.Second // from a look-up that failed to the next one
	staleTime   = time.Hour        // for which groups are given while a new look-up runs
	logPause    = 10 * time.Second // between two lines about look-ups that fail
)

// ErrUnknownUser is returned by a Source for a user that does not exist.
var ErrUnknownUser = errors.New("no such user")

// Source finds out the groups of a user.
type Source interface {
	// Groups returns the ids of all groups of a user, or an error that wraps
	// ErrUnknownUser if there is no such user. It is called concurrently.
	Groups(ctx context.Context, uid uint32) ([]uint32, error)
}

// Cache remembers the groups of users.
type Cache struct {
	source Source
	log    *slog.Logger
	pace   rate.Sometimes // of the lines about failures

	mu struct {
		sync.Mutex
		entries map[uint32]*entry
		flights int
		closed  bool
	}

	slots  chan struct{} // one element for each look-up that runs
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// entry is what is known of a user. Cache.mu guards it.
type entry struct {
	known  bool      // groups is an answer
	groups []uint32  // never changed
	good   time.Time // when the answer came
	due    time.Time // of the next look-up
	used   time.Time
	flight chan struct{} // closed at the end of the look-up under way; nil if there is none
}

// New returns an empty cache. Logger may be nil.
func New(source Source, logger *slog.Logger) *Cache {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	c := &Cache{source: source, log: logger, pace: rate.Sometimes{Interval: logPause}, slots: make(chan struct{}, maxRunning)}
	c.mu.entries = make(map[uint32]*entry)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close ends the look-ups. Lookup may still be called and starts none.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	return nil
}

// Lookup returns the supplementary groups of a user, given those of its call.
// The result must not be changed.
func (c *Cache) Lookup(ctx context.Context, uid uint32, wire []uint32) []uint32 {
	groups, known, flight := c.ask(uid)
	if flight == nil {
		return either(groups, known, wire)
	}
	timer := time.NewTimer(waitTime)
	defer timer.Stop()
	select {
	case <-flight:
	case <-timer.C:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.mu.entries[uid]; e != nil {
		groups, known = e.groups, e.known
	}
	return either(groups, known, wire)
}

func either(groups []uint32, known bool, wire []uint32) []uint32 {
	if known {
		return groups
	}
	return wire
}

// ask returns what is known of a user, and starts a look-up if one is due. If
// flight is not nil the answer is better waited for.
func (c *Cache) ask(uid uint32) (groups []uint32, known bool, flight chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	e := c.mu.entries[uid]
	if e == nil || e.flight == nil && !now.Before(e.due) {
		e = c.startLocked(uid, now)
	}
	if e == nil {
		return nil, false, nil // too many look-ups
	}
	e.used = now
	if e.known && now.Sub(e.good) < staleTime {
		return e.groups, true, nil
	}
	return e.groups, e.known, e.flight
}

// startLocked begins a look-up, if there is room, and returns the user's entry.
func (c *Cache) startLocked(uid uint32, now time.Time) *entry {
	e := c.mu.entries[uid]
	if c.mu.closed || c.mu.flights >= maxFlights {
		return e
	}
	if e == nil {
		c.makeRoomLocked()
		e = &entry{used: now}
		c.mu.entries[uid] = e
	}
	e.flight = make(chan struct{})
	c.mu.flights++
	c.wg.Go(func() { c.fly(uid, e) })
	return e
}

// makeRoomLocked forgets the user who was asked for longest ago.
func (c *Cache) makeRoomLocked() {
	if len(c.mu.entries) < MaxEntries {
		return
	}
	var oldest uint32
	var found *entry
	for uid, e := range c.mu.entries {
		if e.flight == nil && (found == nil || e.used.Before(found.used)) {
			oldest, found = uid, e
		}
	}
	delete(c.mu.entries, oldest)
}

// fly is one look-up, from its waiting for a slot to its end.
func (c *Cache) fly(uid uint32, e *entry) {
	groups, err := c.run(uid)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil:
		e.known, e.groups, e.good, e.due = true, groups, now, now.Add(goodTime)
	case errors.Is(err, ErrUnknownUser):
		e.known, e.groups, e.good, e.due = true, nil, now, now.Add(unknownTime)
	default:
		e.due = now.Add(retryTime)
		c.complain(uid, err)
	}
	close(e.flight)
	e.flight = nil
	c.mu.flights--
}

// run asks the source.
func (c *Cache) run(uid uint32) ([]uint32, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
	ctx, cancel := context.WithTimeout(c.ctx, lookupTime)
	defer cancel()
	groups, err := c.source.Groups(ctx, uid)
	if len(groups) > vfs.MaxGroups {
		c.log.Warn("a user is in too many groups, the last ones are left out", "uid", uid, "groups", len(groups), "limit", vfs.MaxGroups)
		groups = groups[:vfs.MaxGroups]
	}
	return groups, err
}

// complain logs that a look-up failed, not too often.
func (c *Cache) complain(uid uint32, err error) {
	if c.ctx.Err() == nil && pace.Due(&c.pace) {
		c.log.Warn("the groups of a user cannot be looked up: those known before are used, or those of the call", "uid", uid, "err", err)
	}
}
