package logstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"twofold/raftlog/logstore"
	"twofold/raftlog/logstore/logstoretest"
	"twofold/raftlog/logstore/logstoretest/mounted"
)

// power is what a test does to a disk while it runs.
type power interface {
	Steps() int
	CutAfter(n int)
	Off() bool
	Cut()
}

// machine is a computer with one log that loses its power, or has its process
// killed, again and again, and a model of what has to be in the log.
type machine struct {
	dir   string
	kind  logstore.Kind
	rng   *rand.Rand
	fs    power
	mem   *logstoretest.FS // the same, nil if it is mounted
	disk  *mounted.Disk    // the same, nil if it is in memory
	store *logstore.Store
	clamp uint64
	term  uint64

	// mayBe are the logs that may be found; there is more than one while the
	// outcome of a change is open.
	mayBe [][]*raft.Log

	cut  int // the step at which the power fails
	lie  func(m *machine, step int, kind logstoretest.Step) bool
	lies int

	changes, cuts int // that were made; lives that ended in the middle of one
}

func newMachine(dir string, seed uint64) *machine {
	m := &machine{dir: dir, rng: rand.New(rand.NewPCG(seed, 7)), term: 1, mayBe: [][]*raft.Log{nil}}
	m.plug(logstoretest.New())
	return m
}

func (m *machine) plug(fs *logstoretest.FS) {
	m.fs, m.mem, m.cut = fs, fs, 0
	fs.Lie = func(step int, kind logstoretest.Step) bool {
		if m.lie == nil || !m.lie(m, step, kind) {
			return false
		}
		m.lies++
		return true
	}
}

// fail makes of the disk what is found after the power failed.
func (m *machine) fail(fate logstoretest.Fate) {
	if m.disk != nil {
		m.disk.Fail(fate, m.rng.Uint64())
		m.cut = 0
		return
	}
	m.plug(m.mem.PowerLoss(fate, m.rng))
}

// killed makes of it what is found after the process was killed.
func (m *machine) killed() {
	if m.disk != nil {
		m.disk.Kill()
		m.cut = 0
		return
	}
	m.plug(m.mem.Killed())
}

// cutAfter has the power fail at the n-th step from now on.
func (m *machine) cutAfter(n int) {
	m.cut = m.fs.Steps() + n
	m.fs.CutAfter(n)
}

// open opens the log and compares it with the model. If the power fails
// meanwhile, the log stays closed.
func (m *machine) open() error {
	o := logstore.Options{Dir: m.dir, Kind: m.kind, SegmentBytes: 64 << 10, Clamp: func() (free, may uint64) { return m.clamp, m.clamp }}
	if m.mem != nil {
		o.FS = m.mem
	}
	s, err := logstore.Open(o)
	if err != nil {
		if m.fs.Off() {
			return nil
		}
		return err
	}
	m.store = s
	return m.settle()
}

// settle finds which of the possible logs it is. From here on the node may tell
// others of it, so that it must stay.
func (m *machine) settle() error {
	first, _ := m.store.FirstIndex()
	last, _ := m.store.LastIndex()
	var have []*raft.Log
	for i := first; i <= last && last > 0; i++ {
		l := &raft.Log{}
		if err := m.store.GetLog(i, l); err != nil {
			return err
		}
		have = append(have, l)
	}
	same := func(a, b *raft.Log) bool {
		return a.Index == b.Index && a.Term == b.Term && bytes.Equal(a.Data, b.Data)
	}
	for _, log := range m.mayBe {
		if slices.EqualFunc(have, log, same) {
			m.mayBe = [][]*raft.Log{log}
			return nil
		}
	}
	var want []string
	for _, log := range m.mayBe {
		want = append(want, extent(log))
	}
	return fmt.Errorf("found %s, want one of %q", extent(have), want)
}

func extent(log []*raft.Log) string {
	if len(log) == 0 {
		return "nothing"
	}
	last := log[len(log)-1]
	return fmt.Sprintf("[%d, %d] up to term %d", log[0].Index, last.Index, last.Term)
}

// step makes a random change of the log.
func (m *machine) step() error {
	log := m.mayBe[0]
	if len(log) > 4 {
		switch m.rng.IntN(12) {
		case 0:
			return m.deleteEnd(len(log) - 1 - m.rng.IntN(min(len(log)-1, 30)))
		case 1:
			if m.rng.IntN(8) == 0 {
				return m.deleteEnd(0)
			}
		case 2:
			return m.deleteBegin(1 + m.rng.IntN(len(log)-1))
		}
	}
	return m.append(1 + m.rng.IntN(8))
}

func (m *machine) append(n int) error {
	log := m.mayBe[0]
	next := uint64(1)
	if len(log) > 0 {
		next = log[len(log)-1].Index + 1
	}
	var more []*raft.Log
	for i := range uint64(n) {
		data := bytes.Repeat(fmt.Appendf(nil, "%d/%d,", m.term, next+i), m.rng.IntN(600))
		more = append(more, &raft.Log{Index: next + i, Term: m.term, Data: data})
	}
	if m.rng.IntN(3) == 0 {
		return m.ahead(log, more)
	}
	return m.change(slices.Concat(log, more), func() error { return m.store.StoreLogs(more) })
}

// ahead begins to append entries, some at a time, and then waits for the disk. If
// the power fails meanwhile any number of these may be there.
func (m *machine) ahead(log, more []*raft.Log) error {
	for len(more) > 0 {
		n := 1 + m.rng.IntN(len(more))
		log = slices.Concat(log, more[:n])
		m.mayBe = append(m.mayBe, log)
		if err := m.store.Begin(more[:n]); err != nil && !m.fs.Off() {
			return err
		}
		more = more[n:]
	}
	if err := m.store.AwaitDurable(log[len(log)-1].Index); err != nil {
		if m.fs.Off() {
			return nil
		}
		return err
	}
	m.mayBe = m.mayBe[len(m.mayBe)-1:]
	m.changes++
	return nil
}

func (m *machine) deleteEnd(keep int) error {
	log := m.mayBe[0]
	m.term++
	return m.change(log[:keep:keep], func() error { return m.store.DeleteRange(log[keep].Index, log[len(log)-1].Index) })
}

func (m *machine) deleteBegin(n int) error {
	log := m.mayBe[0]
	m.clamp = log[n-1].Index
	return m.change(log[n:], func() error { return m.store.DeleteRange(log[0].Index, m.clamp) })
}

// change makes a change after which the log is the given one. If the power
// fails meanwhile it may be either.
func (m *machine) change(after []*raft.Log, f func() error) error {
	m.mayBe = append(m.mayBe, after)
	if err := f(); err != nil {
		if m.fs.Off() {
			return nil
		}
		return err
	}
	m.mayBe = m.mayBe[1:]
	m.changes++
	return nil
}

// down closes the log, if it is open, and turns the power off.
func (m *machine) down() (err error) {
	m.fs.Cut()
	if m.store != nil {
		err = m.store.Close()
		m.store = nil
	}
	return err
}

// live runs for some lives, each ended by a loss of power or by kill -9, at any
// step of a change, of opening the log, or after it was closed. The first lie is
// punished at once.
func (m *machine) live(lives int) error {
	for life := range lives {
		lied := m.lies
		m.cutAfter(1 + m.rng.IntN(70))
		err := m.open()
		for err == nil && m.store != nil && !m.fs.Off() && m.rng.IntN(60) > 0 {
			err = m.step()
		}
		if m.fs.Off() {
			m.cuts++
		}
		if err = errors.Join(err, m.down()); err != nil {
			return fmt.Errorf("life %d: %w", life, err)
		}
		switch {
		case m.lies > lied:
			m.fail(logstoretest.Lost)
		case m.rng.IntN(3) == 0:
			m.killed()
		default:
			m.fail(logstoretest.AnyFate(m.rng))
		}
	}
	return m.lastLife()
}

// lastLife opens the log undisturbed, twice: what was found the first time was
// found for good.
func (m *machine) lastLife() error {
	for range 2 {
		if err := errors.Join(m.open(), m.down()); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
		m.fail(logstoretest.Lost)
	}
	return nil
}

// Whatever the end of a machine's lives, every entry for which StoreLogs
// returned is there, in order, every one that was deleted is not, and of the
// change that was cut short all is there or nothing.
func TestPower_RandomLives(t *testing.T) {
	t.Parallel()
	seeds := []uint64{rand.Uint64(), rand.Uint64()}
	for seed := range uint64(10) {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		if err := newMachine(t.TempDir(), seed).live(25); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// The tests above must be able to fail: a single sync that does nothing is
// found out.
func TestPower_LieIsFound(t *testing.T) {
	t.Parallel()
	const seeds = 20
	last := func(want logstoretest.Step) func(*machine, int, logstoretest.Step) bool {
		return func(m *machine, step int, kind logstoretest.Step) bool {
			return m.lies == 0 && step == m.cut-1 && kind == want
		}
	}
	for _, c := range []struct {
		name string
		lie  func(m *machine, step int, kind logstoretest.Step) bool
		red  int // how many of the seeds find it, at least
	}{
		{"none", nil, 0},
		{"last sync of a file before the power fails", last(logstoretest.StepSync), 10},
		// A deletion that is undone is harmless; the name of a new segment is not.
		{"last sync of the directory before the power fails", last(logstoretest.StepSyncDir), 1},
		{"syncs of one opening", func(m *machine, _ int, _ logstoretest.Step) bool {
			return m.store == nil && m.lies < 4
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			red, told := 0, 0
			for seed := range uint64(seeds) {
				m := newMachine(t.TempDir(), seed)
				m.lie = c.lie
				if err := m.live(8); err != nil {
					if red++; red == 1 {
						t.Logf("seed %d: %v", seed, err)
					}
				}
				told += min(m.lies, 1)
			}
			t.Logf("%d of %d lied, %d were found", told, seeds, red)
			if red < c.red || c.lie == nil && red > 0 {
				t.Errorf("found %d, want %d", red, c.red)
			}
		})
	}
}

// A process is killed at any step of a short history, the next one while it
// opens the log, by a loss of power that tears what was not synced. What the
// third finds must stay.
func TestPower_KilledThenPowerLoss(t *testing.T) {
	const steps, openSteps = 37, 7 // what both come to, about
	t.Parallel()
	for n := 1; n <= steps; n++ {
		for k := 1; k <= openSteps; k++ {
			m := newMachine(t.TempDir(), uint64(n*openSteps+k))
			m.cutAfter(n)
			err := m.history()
			err = errors.Join(err, m.down())
			m.killed()
			m.cutAfter(k)
			err = errors.Join(err, m.open(), m.down())
			m.fail(logstoretest.Torn)
			if err = errors.Join(err, m.lastLife()); err != nil {
				t.Errorf("killed at step %d, power lost at step %d of opening: %v", n, k, err)
			}
		}
	}
}

// history opens the log and makes changes of every kind, with a rotation.
func (m *machine) history() error {
	err := m.open()
	for _, f := range []func() error{
		func() error { return m.append(6) },
		func() error { return m.append(12) },
		func() error { return m.append(1) },
		func() error { return m.append(12) },
		func() error { return m.append(12) },
		func() error { return m.append(12) },
		func() error { return m.deleteEnd(len(m.mayBe[0]) - 3) },
		func() error { return m.append(9) },
		func() error { return m.deleteBegin(len(m.mayBe[0]) - 8) },
		func() error { return m.append(2) },
		func() error { return m.deleteEnd(0) },
		func() error { return m.append(3) },
	} {
		if err == nil && m.store != nil && !m.fs.Off() {
			err = f()
		}
	}
	return err
}
