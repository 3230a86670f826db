package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
	berrors "go.etcd.io/bbolt/errors"
)

// The keys that hashicorp/raft uses (raft.go), and ours.
var (
	keyCurrentTerm  = []byte("CurrentTerm")
	keyLastVoteTerm = []byte("LastVoteTerm")
	keyLastVoteCand = []byte("LastVoteCand")
	keyVote         = []byte("Vote")
)

// Vote is the stable store of one node: current term and vote.
//
// hashicorp/raft writes the vote as two keys, the term first. A crash between
// them would pair the new term with the candidate of an older one, so that the
// node might grant a second vote of that term to a candidate with a stale log.
// Vote holds the term back until the candidate comes and writes both at once.
type Vote struct {
	kv KV

	mu struct {
		sync.Mutex
		term uint64 // term of the vote that is being cast; not yet written
	}
}

// KV is the part of a key-value store that Vote uses.
type KV interface {
	raft.StableStore
	io.Closer
}

var _ raft.StableStore = (*Vote)(nil)

// OpenVote opens or creates the stable store in dir, or on fsys if that is a Disk.
func OpenVote(dir string, fsys FS) (v *Vote, err error) {
	if d, ok := fsys.(Disk); ok {
		kv, err := d.Stable()
		if err != nil {
			return nil, fmt.Errorf("logstore: opening the stable store: %w", err)
		}
		return NewVote(kv), nil
	}
	defer damaged(dir, &err)
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	kv, err := openBolt(dir, "stable.db")
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("logstore: %s is in use by another process", dir)
	}
	if errors.Is(err, ErrDamaged) {
		return nil, fmt.Errorf("%w: this node may have forgotten a vote: replace it by a new one", err)
	}
	if err != nil {
		return nil, fmt.Errorf("logstore: opening the stable store in %s: %w", dir, err)
	}
	return NewVote(kv), nil
}

// NewVote returns a Vote over a store that syncs every write.
func NewVote(kv KV) *Vote { return &Vote{kv: kv} }

// Close closes the file.
func (v *Vote) Close() error { return v.kv.Close() }

// Set stores a value. The candidate of a vote is stored with its term.
func (v *Vote) Set(key, val []byte) error {
	if !bytes.Equal(key, keyLastVoteCand) {
		return v.kv.Set(key, val)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	rec := binary.BigEndian.AppendUint64(nil, v.mu.term)
	return v.kv.Set(keyVote, append(rec, val...))
}

// SetUint64 stores a number. The term of a vote is only held.
func (v *Vote) SetUint64(key []byte, val uint64) error {
	if !bytes.Equal(key, keyLastVoteTerm) {
		return v.kv.SetUint64(key, val)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.term = val
	return nil
}

// Get returns a value, or an error that reads "not found": hashicorp/raft
// compares the text.
func (v *Vote) Get(key []byte) ([]byte, error) {
	if !bytes.Equal(key, keyLastVoteCand) {
		return v.kv.Get(key)
	}
	_, cand, err := v.record()
	return cand, err
}

// GetUint64 returns a number, with the same error as Get.
func (v *Vote) GetUint64(key []byte) (uint64, error) {
	if !bytes.Equal(key, keyLastVoteTerm) {
		return v.kv.GetUint64(key)
	}
	term, _, err := v.record()
	return term, err
}

// Fresh tells whether this store has never taken part in an election. The
// term of a bootstrap, 1, does not count.
func (v *Vote) Fresh() (bool, error) {
	term, err := v.kv.GetUint64(keyCurrentTerm)
	if err != nil && err.Error() != "not found" {
		return false, err
	}
	if term > 1 {
		return false, nil
	}
	_, _, err = v.record()
	if err != nil && err.Error() == "not found" {
		return true, nil
	}
	return false, err
}

func (v *Vote) record() (term uint64, cand []byte, err error) {
	rec, err := v.kv.Get(keyVote)
	if err != nil {
		return 0, nil, err
	}
	if len(rec) < 8 {
		return 0, nil, fmt.Errorf("%w: the vote record has %d bytes", ErrIntegrity, len(rec))
	}
	return binary.BigEndian.Uint64(rec), rec[8:], nil
}
