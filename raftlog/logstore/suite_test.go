package logstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"twofold/raftlog/logstore"
	"twofold/raftlog/logstore/logstoretest"
	"twofold/raftlog/logstore/logstoretest/mounted"
)

// mountedEnv makes the test binary a file system that loses power.
const mountedEnv = "TWOFOLD_LOGSTORE_MOUNTED"

// cursorSeed is of a life in which the bolt log kept an entry that was deleted, until
// bbolt 1.4: its cursor passed over one after a deletion. The node did not start again.
const cursorSeed = 4191852716444213531

// mountDisk mounts an empty disk that loses power.
func mountDisk(t *testing.T, dir string) *mounted.Disk {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	// A process built with the race detector sleeps for a second when it exits, unless it is told not to.
	cmd.Env = append(os.Environ(), mountedEnv+"=1", "GORACE=atexit_sleep_ms=0")
	return mounted.Start(t, cmd, dir)
}

// The suite over raft.LogStore, on real files: all lives of TestPower_RandomLives
// for every kind of log, with its bolt files, each write and sync of which is a step
// at which the power may fail.
func TestSuite_Logs(t *testing.T) {
	const lives = 40
	for _, kind := range []logstore.Kind{logstore.WAL, logstore.Bolt} {
		t.Run(string(kind), func(t *testing.T) {
			for _, seed := range []uint64{1, cursorSeed, rand.Uint64()} {
				m := newMachine(t.TempDir(), seed)
				where := m.dir
				if kind == logstore.WAL {
					where = filepath.Join(m.dir, "wal")
				}
				m.kind, m.mem, m.disk = kind, nil, mountDisk(t, where)
				m.fs = m.disk
				if err := m.live(lives); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				t.Logf("seed %d: %d changes, the power failed in %d of %d lives", seed, m.changes, m.cuts, lives)
			}
		})
	}
}

// A disk that says of a sync of a file that it did it, and did not, is found out:
// the suite would notice a store that leaves one out.
func TestSuite_LieIsFound(t *testing.T) {
	for _, kind := range []logstore.Kind{logstore.WAL, logstore.Bolt} {
		t.Run(string(kind), func(t *testing.T) {
			const seeds = 10
			red := 0
			for seed := range uint64(seeds) {
				m := newMachine(t.TempDir(), seed)
				where := m.dir
				if kind == logstore.WAL {
					where = filepath.Join(m.dir, "wal")
				}
				m.kind, m.mem, m.disk = kind, nil, mountDisk(t, where)
				m.fs = m.disk
				m.disk.Lie()
				err := m.open()
				for err == nil && m.changes < 20 {
					err = m.step()
				}
				if err = errors.Join(err, m.down()); err != nil {
					t.Fatal(err)
				}
				m.fail(logstoretest.Lost)
				if errors.Join(m.open(), m.down()) != nil {
					red++
				}
			}
			if t.Logf("%d of %d are found", red, seeds); red < seeds/2 {
				t.Error("too few")
			}
		})
	}
}

// stable is a raft.StableStore that can be closed.
type stable interface {
	raft.StableStore
	Close() error
}

// voter is a computer with a stable store, and what has to be in it.
type voter struct {
	disk *mounted.Disk
	open func() (stable, error)
	kv   stable // nil while closed

	terms, votes []uint64 // that may be found; a vote of term n is for candidate(n)
}

func candidate(term uint64) string { return fmt.Sprint("node ", term) }

// start opens the store and compares it with the model.
func (v *voter) start() error {
	kv, err := v.open()
	if err != nil {
		if v.disk.Off() {
			return nil
		}
		return err
	}
	v.kv = kv
	term, err := v.number("CurrentTerm")
	if err != nil {
		return err
	}
	vote, err := v.number("LastVoteTerm")
	if err != nil {
		return err
	}
	cand, err := kv.Get([]byte("LastVoteCand"))
	if err != nil && err.Error() != "not found" {
		return err
	}
	if vote > 0 && string(cand) != candidate(vote) {
		return fmt.Errorf("a vote of term %d for %q", vote, cand)
	}
	if !oneOf(&v.terms, term) || !oneOf(&v.votes, vote) {
		return fmt.Errorf("term %d and a vote of term %d, want one of %d and of %d", term, vote, v.terms, v.votes)
	}
	return nil
}

// oneOf reports that got is one of the values that may be, and from now on the only
// one.
func oneOf(may *[]uint64, got uint64) bool {
	for _, want := range *may {
		if got == want {
			*may = []uint64{got}
			return true
		}
	}
	return false
}

func (v *voter) number(key string) (uint64, error) {
	n, err := v.kv.GetUint64([]byte(key))
	if err != nil && err.Error() == "not found" {
		return 0, nil
	}
	return n, err
}

// vote raises the term and votes in it, as hashicorp/raft does (raft.go,
// setCurrentTerm and persistVote).
func (v *voter) vote() error {
	term := v.votes[0] + 1
	v.terms = append(v.terms, term)
	if err := v.kv.SetUint64([]byte("CurrentTerm"), term); err != nil {
		return v.unlessOff(err)
	}
	v.terms = []uint64{term}
	v.votes = append(v.votes, term)
	if err := castVote(v.kv, term, candidate(term)); err != nil {
		return v.unlessOff(err)
	}
	v.votes = []uint64{term}
	return nil
}

func (v *voter) unlessOff(err error) error {
	if v.disk.Off() {
		return nil
	}
	return err
}

func (v *voter) down() (err error) {
	v.disk.Cut()
	if v.kv != nil {
		err, v.kv = v.kv.Close(), nil
	}
	return err
}

// run makes some votes while the power fails at the n-th step, and looks at what is
// there afterwards, twice.
func (v *voter) run(n int, fate logstoretest.Fate, seed uint64) error {
	v.disk.CutAfter(n)
	err := v.start()
	for range 3 {
		if err == nil && v.kv != nil && !v.disk.Off() {
			err = v.vote()
		}
	}
	if err = errors.Join(err, v.down()); err != nil {
		return err
	}
	v.disk.Fail(fate, seed)
	for range 2 {
		if err := errors.Join(v.start(), v.down()); err != nil {
			return fmt.Errorf("after it: %w", err)
		}
		v.disk.Fail(logstoretest.Lost, seed)
	}
	return nil
}

// everyStep has the power fail at every step of some votes, and returns how many of
// these ends were wrong.
func everyStep(t *testing.T, open func(dir string) (stable, error)) (runs, wrong int, first error) {
	t.Helper()
	dir := t.TempDir()
	v := &voter{disk: mountDisk(t, dir), open: func() (stable, error) { return open(dir) }}
	for n := 1; ; n++ {
		over := false
		for try, fate := range []logstoretest.Fate{logstoretest.Lost, logstoretest.Kept, logstoretest.Torn, logstoretest.Torn, logstoretest.Torn} {
			v.terms, v.votes = []uint64{0}, []uint64{0}
			v.disk.Format()
			err := v.run(n, fate, uint64(100*n+try))
			runs++
			over = len(v.votes) == 1 && v.votes[0] == 3
			if err != nil {
				if wrong++; first == nil {
					first = fmt.Errorf("the power fails at step %d, fate %d: %w", n, fate, err)
				}
			}
			if v.kv != nil {
				_ = v.down() // it was given up
			}
		}
		if over {
			return runs, wrong, first
		}
	}
}

// The suite over raft.StableStore: whenever the power fails, the term and the vote
// are what they were before or after, and the vote's term and candidate belong
// together. Found here: a power failure while bbolt made the file left a node that
// never started. A store that writes them one after the other, as raft-boltdb does by
// itself, is found out.
func TestSuite_Votes(t *testing.T) {
	t.Run("ours", func(t *testing.T) {
		runs, wrong, err := everyStep(t, func(dir string) (stable, error) { return logstore.OpenVote(dir, nil) })
		if t.Logf("%d ends", runs); wrong > 0 {
			t.Errorf("%d of %d ends are wrong: %v", wrong, runs, err)
		}
	})
	t.Run("two writes are found out", func(t *testing.T) {
		runs, wrong, err := everyStep(t, func(dir string) (stable, error) {
			v, err := logstore.OpenVote(dir, nil) // it makes the file safely
			if err != nil {
				return nil, err
			}
			if err := v.Close(); err != nil {
				return nil, err
			}
			b, err := raftboltdb.NewBoltStore(filepath.Join(dir, "stable.db"))
			if err != nil {
				return nil, err
			}
			return b, nil
		})
		if t.Logf("%d of %d ends are wrong: %v", wrong, runs, err); wrong == 0 || !strings.Contains(err.Error(), "a vote of term") {
			t.Error("that is not found")
		}
	})
}
