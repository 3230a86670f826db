package nfs

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// smallRecord is what a client that Config.Admit turns down may send: a
	// call of NULL or MOUNT (RFC 1813 section 5.2.1: a path of 1,024 bytes)
	// with the largest header.
	smallRecord = 4 << 10
	// firstStep and stepFactor are how the room of a large record grows with
	// what has arrived: to 16, 64 and 256 KiB, then to the whole. Each step
	// copies, which is a third of the record in all.
	firstStep  = 16 << 10
	stepFactor = 4
	// progress is how much has to arrive within Limits.StallTime, so that a
	// byte now and then does not count.
	progress = 64 << 10
	// intakeTicks is how often in a StallTime the intake looks for senders who
	// stall, while others wait.
	intakeTicks = 4
)

// hostBits is how much of an IPv6 address tells a client from another: within
// its own subnet a host may take whatever addresses it likes (RFC 4291 section
// 2.5.4, RFC 8981).
const hostBits = 64

// intake counts the room of records that are still being read, apart from the
// calls, so that whatever begins and does not end takes nothing from a call
// that is complete. It hands out room in steps, as a record arrives, and so one
// half of a record may wait for what other halves hold. Three rules:
//
//   - The record that began first never waits, even beyond max.
//   - The records of one address hold no more than they leave free. One address
//     gets half of max, two get a third each, and whoever comes next finds
//     room. (Switches share the memory of their ports in this way: Choudhury
//     and Hahne, "Dynamic queue length thresholds", 1998.)
//   - Who has made no progress for stall, while others wait that hold no more
//     than his address does, is cut off.
type intake struct {
	max      int
	stall    time.Duration
	observer Observer
	epoch    time.Time // times are durations since, which no clock change touches

	mu      sync.Mutex
	used    int
	byHost  map[netip.Addr]int // of used; no entry for zero
	members []*unfinished      // in the order in which they began
	waiting int                // members with a want
	timer   *time.Timer        // ticks while anyone waits
}

// unfinished is a record in the intake.
type unfinished struct {
	host  netip.Addr   // hostOf its client
	cut   func()       // ends the read that its connection is in; must not block
	moved atomic.Int64 // time of its last progress

	// Under intake.mu.
	joined  bool
	reading bool // it is the client's turn
	held    int
	want    int           // more room that it waits for
	ready   chan struct{} // closed when it got it
}

func newIntake(limit int, stall time.Duration, o Observer) *intake {
	return &intake{max: limit, stall: stall, observer: o, epoch: time.Now(), byHost: make(map[netip.Addr]int)}
}

// hostOf returns the address by which the intake knows a client.
func hostOf(client netip.Addr) netip.Addr {
	if client.Is6() {
		p, _ := client.WithZone("").Prefix(hostBits) // fails only on more bits than there are
		return p.Addr()
	}
	return client
}

func (in *intake) now() time.Duration { return time.Since(in.epoch) }

// join adds a record, which holds no room yet.
func (in *intake) join(m *unfinished) {
	in.touch(m)
	in.mu.Lock()
	defer in.mu.Unlock()
	m.joined, m.reading = true, true
	in.members = append(in.members, m)
}

// touch notes that more of m has arrived.
func (in *intake) touch(m *unfinished) { m.moved.Store(int64(in.now())) }

// take gives m n bytes more as soon as there is room, and reports for how long
// it waited. It returns false if cancel is closed first.
func (in *intake) take(m *unfinished, n int, cancel <-chan struct{}) (time.Duration, bool) {
	in.mu.Lock()
	if in.mayTakeLocked(m, n) {
		in.addLocked(m, n)
		in.mu.Unlock()
		return 0, true
	}
	m.want, m.ready = n, make(chan struct{})
	in.waiting++
	if in.waiting == 1 {
		in.startTimerLocked()
	}
	in.mu.Unlock()
	waited, ok := await(in.observer, limitUnfinished, m.ready, cancel)
	if !ok {
		ok = in.abandon(m)
	}
	return waited, ok
}

// abandon ends m's wait. It returns true if m got its room just before.
func (in *intake) abandon(m *unfinished) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if m.want == 0 {
		return true
	}
	m.want = 0
	in.noLongerWaitsLocked()
	return false
}

// completed says that m has arrived and waits for no client any more.
func (in *intake) completed(m *unfinished) {
	in.mu.Lock()
	m.reading = false
	in.mu.Unlock()
}

// leave takes m out with all that it holds.
func (in *intake) leave(m *unfinished) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if i := slices.Index(in.members, m); i >= 0 {
		in.members = slices.Delete(in.members, i, i+1)
	}
	in.used -= m.held
	if in.byHost[m.host] -= m.held; in.byHost[m.host] == 0 {
		delete(in.byHost, m.host)
	}
	m.joined, m.reading, m.held = false, false, 0
	in.grantLocked()
}

// mayTakeLocked reports whether m may have n bytes more now. The oldest record
// may in any case: only one at a time is it, so max is exceeded by no more than
// one record.
func (in *intake) mayTakeLocked(m *unfinished, n int) bool {
	return in.members[0] == m || in.byHost[m.host]+n <= in.max-in.used
}

func (in *intake) addLocked(m *unfinished, n int) {
	in.used += n
	in.byHost[m.host] += n
	m.held += n
	in.touch(m) // it could not move while it waited
}

// grantLocked gives room to all who wait and may have it, oldest first. One who
// needs much does not hold up others: he becomes the oldest in the end.
func (in *intake) grantLocked() {
	if in.waiting == 0 {
		return
	}
	for _, m := range in.members {
		if m.want > 0 && in.mayTakeLocked(m, m.want) {
			in.addLocked(m, m.want)
			m.want = 0
			close(m.ready)
			in.noLongerWaitsLocked()
		}
	}
}

func (in *intake) noLongerWaitsLocked() {
	in.waiting--
	if in.waiting == 0 {
		in.timer.Stop() // a tick under way sees that nobody waits
	}
}

func (in *intake) startTimerLocked() {
	if in.timer == nil {
		in.timer = time.AfterFunc(in.stall/intakeTicks, in.tick)
		return
	}
	in.timer.Reset(in.stall / intakeTicks)
}

// tick runs while anyone waits for room.
func (in *intake) tick() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.waiting == 0 {
		return
	}
	in.cutStalledLocked(in.now())
	in.startTimerLocked()
}

// cutStalledLocked ends the reading of records that have made no progress,
// oldest first, and of no more of them than it takes for those who wait. Their
// connections give back the room. One that outlived its cut, because it was
// about to set a deadline of its own, is cut again by the next tick.
func (in *intake) cutStalledLocked(now time.Duration) {
	missing, least := 0, in.used
	for _, m := range in.members {
		if m.want > 0 {
			missing += m.want
			least = min(least, in.byHost[m.host])
		}
	}
	for _, m := range in.members {
		if missing <= 0 {
			return
		}
		stalled := m.reading && m.want == 0 && now-time.Duration(m.moved.Load()) > in.stall
		if stalled && in.byHost[m.host] >= least {
			m.cut()
			missing -= m.held
		}
	}
}

// room returns how much is held.
func (in *intake) room() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.used
}
