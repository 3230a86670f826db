package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/peer"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// faceEvery is how often a node whose copy is out of use asks the leader for the
// tables that it goes by meanwhile.
const faceEvery = time.Second

// errNoFace is returned if no leader tells the tables.
var errNoFace = errors.New("replica: nobody tells the volume's tables")

// borrowed is the face of the volume that a node shows its clients while its own
// copy is out of use: that copy may be wrong, old, or empty. It is the leader's, and
// no more than faceEvery older while there is one.
type borrowed struct {
	mu struct {
		sync.Mutex
		face    *state.Face // nil while none is in use
		enc     []byte
		changed chan struct{} // closed when another face, or the own copy, takes its place
	}
}

func newBorrowed() *borrowed {
	b := &borrowed{}
	b.mu.changed = make(chan struct{})
	return b
}

// now returns the face in use, nil for the own copy's.
func (b *borrowed) now() (*state.Face, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.face, b.mu.changed
}

// put takes another face into use, nil for the own copy's. The age of one that
// differs in nothing else goes on by the log.
func (b *borrowed) put(f *state.Face, enc []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.face, b.mu.enc = f, enc
	close(b.mu.changed)
	b.mu.changed = make(chan struct{})
}

func (b *borrowed) same(enc []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.face != nil && bytes.Equal(b.mu.enc, enc)
}

// borrowFace asks the leader for the tables and goes by them from now on.
func (s *Store) borrowFace(ctx context.Context) error {
	st, _ := s.log.Watch()
	if st.Leader == "" || st.IsLeader {
		return errNoFace
	}
	status, enc, err := s.peers.Read(ctx, st.Leader, command.AppendRead(nil, &command.Read{Kind: command.ReadFace}))
	if err != nil || status != peer.StatusOK {
		return fmt.Errorf("%w: %s: status %d: %w", errNoFace, st.Leader, status, err)
	}
	if s.face.same(enc) {
		return nil
	}
	f, err := state.DecodeFace(enc)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errNoFace, st.Leader, err)
	}
	s.useFace(f, enc)
	return nil
}

// useFace takes a face into use, unless the own copy is in use by now.
func (s *Store) useFace(f *state.Face, enc []byte) {
	q := s.quarantine
	q.mu.Lock() // it is not lifted meanwhile
	defer q.mu.Unlock()
	if !q.on.Load() {
		return
	}
	s.face.put(f, enc)
	s.clients.Store(newClientTable(s.cfg.Self.Name, f.Members))
	s.state.WakeTables()
}

// serveFace answers ReadFace, at the leader: with all that was answered anywhere
// before the call.
func (s *Store) serveFace(ctx context.Context) ([]byte, error) {
	r := s.begin(ctx, false)
	r.all = true
	defer r.end()
	for !r.next() {
		if r.err != nil {
			return nil, r.err
		}
	}
	enc, err := s.state.AppendFace(nil)
	if err == nil {
		_, err = state.DecodeFace(enc)
	}
	return enc, err
}

// volume returns who the volume is. Once that is known it never changes, and every
// call asks: so the state is asked once, whose lock a read that hangs may hold.
func (s *Store) volume() (vfs.Volume, error) {
	if v := s.constants.Load(); v != nil {
		return *v, nil
	}
	if f, _ := s.face.now(); f != nil {
		return f.Volume, nil
	}
	v, err := s.state.Volume()
	if err == nil {
		s.constants.Store(&v)
	}
	return v, err
}

// age returns the age of the log, as far as this node knows it.
func (s *Store) age() vfs.Time {
	if f, _ := s.face.now(); f != nil {
		return f.Age()
	}
	return s.state.Age()
}

// follow goes by an entry that a copy in quarantine does not take.
func (s *Store) follow(e raftlog.Entry) {
	term, cmds, err := decodeEntry(e.Data)
	if err != nil || term != uint64(e.Term) {
		return
	}
	if f, _ := s.face.now(); f != nil {
		f.Follow(term, cmds)
	}
	if !s.replaying {
		s.state.Follow(term, cmds)
	}
}
