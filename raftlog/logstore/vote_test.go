package logstore_test

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"twofold/raftlog/logstore"
)

// memKV is a key-value store that can crash: after `writes` more writes every
// write is lost.
type memKV struct {
	vals   map[string][]byte
	nums   map[string]uint64
	writes int
}

var errNotFound = errors.New("not found")
var errCrashed = errors.New("crashed")

func newMemKV() *memKV { return &memKV{map[string][]byte{}, map[string]uint64{}, 1 << 30} }

func (m *memKV) step() error {
	if m.writes == 0 {
		return errCrashed
	}
	m.writes--
	return nil
}

func (m *memKV) Set(k, v []byte) error {
	if err := m.step(); err != nil {
		return err
	}
	m.vals[string(k)] = append([]byte(nil), v...)
	return nil
}

func (m *memKV) SetUint64(k []byte, v uint64) error {
	if err := m.step(); err != nil {
		return err
	}
	m.nums[string(k)] = v
	return nil
}

func (m *memKV) Get(k []byte) ([]byte, error) {
	if v, ok := m.vals[string(k)]; ok {
		return v, nil
	}
	return nil, errNotFound
}

func (m *memKV) GetUint64(k []byte) (uint64, error) {
	if v, ok := m.nums[string(k)]; ok {
		return v, nil
	}
	return 0, errNotFound
}

func (m *memKV) Close() error { return nil }

// castVote writes a vote as hashicorp/raft does (raft.go, persistVote).
func castVote(s raft.StableStore, term uint64, cand string) error {
	if err := s.SetUint64([]byte("LastVoteTerm"), term); err != nil {
		return err
	}
	return s.Set([]byte("LastVoteCand"), []byte(cand))
}

func readVote(t *testing.T, s raft.StableStore) (uint64, string) {
	t.Helper()
	term, err1 := s.GetUint64([]byte("LastVoteTerm"))
	cand, err2 := s.Get([]byte("LastVoteCand"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return term, string(cand)
}

// A crash at any write of a vote leaves the old vote or the new one, never the
// new term with the old candidate.
func TestVote_CrashBetweenTermAndCandidate(t *testing.T) {
	for writes := 0; writes < 3; writes++ {
		kv := newMemKV()
		if err := castVote(logstore.NewVote(kv), 5, "a"); err != nil {
			t.Fatal(err)
		}
		kv.writes = writes
		err := castVote(logstore.NewVote(kv), 6, "b")
		kv.writes = 1 << 30
		term, cand := readVote(t, logstore.NewVote(kv)) // after the restart
		old, now := term == 5 && cand == "a", term == 6 && cand == "b"
		if !old && !now {
			t.Errorf("crash after %d writes: vote of term %d for %q", writes, term, cand)
		}
		if err == nil && !now {
			t.Errorf("crash after %d writes: an acknowledged vote is lost", writes)
		}
	}
}

// The term of a vote that is not complete is not to be seen.
func TestVote_TermAloneIsNoVote(t *testing.T) {
	kv := newMemKV()
	v := logstore.NewVote(kv)
	if _, err := v.GetUint64([]byte("LastVoteTerm")); err == nil || err.Error() != "not found" {
		t.Fatalf("no vote yet: %v", err)
	}
	if err := castVote(v, 5, "a"); err != nil {
		t.Fatal(err)
	}
	if err := v.SetUint64([]byte("LastVoteTerm"), 9); err != nil {
		t.Fatal(err)
	}
	if term, cand := readVote(t, v); term != 5 || cand != "a" {
		t.Fatalf("vote of term %d for %q", term, cand)
	}
}

// The current term and a vote survive a restart of the real store.
func TestVote_OnDisk(t *testing.T) {
	dir := t.TempDir()
	v, err := logstore.OpenVote(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.SetUint64([]byte("CurrentTerm"), 7), castVote(v, 7, "b"), v.Close()); err != nil {
		t.Fatal(err)
	}
	if v, err = logstore.OpenVote(dir, nil); err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if n, err := v.GetUint64([]byte("CurrentTerm")); err != nil || n != 7 {
		t.Fatalf("current term %d, %v", n, err)
	}
	if term, cand := readVote(t, v); term != 7 || cand != "b" {
		t.Fatalf("vote of term %d for %q", term, cand)
	}
}
