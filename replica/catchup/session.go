package catchup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"twofold/replica/state"
)

// session is the sink's end of one transfer's connection.
type session struct {
	conn       net.Conn
	r          *bufio.Reader
	progressed *Progress
	started    bool // somebody reads answers
	wg         sync.WaitGroup
	writing    sync.Mutex // keeps frames whole; never held together with mu

	mu struct {
		sync.Mutex
		next    uint32
		waiting map[uint32]chan frame // nil once the connection broke
		err     error
	}
}

func newSession(conn net.Conn, p *Progress) *session {
	s := &session{conn: conn, r: bufio.NewReaderSize(conn, 64<<10), progressed: p}
	s.mu.waiting = map[uint32]chan frame{}
	return s
}

// offer reads what the source begins with.
func (s *session) offer() (offer, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(idleLimit)); err != nil {
		return offer{}, err
	}
	f, err := readFrame(s.r)
	if err != nil {
		return offer{}, err
	}
	if f.typ != frameOffer {
		return offer{}, fmt.Errorf("%w: type %d where an offer is due", errFrame, f.typ)
	}
	return decodeOffer(f.body)
}

// start begins to read answers.
func (s *session) start() {
	s.started = true
	s.wg.Go(func() {
		for {
			err := s.conn.SetReadDeadline(time.Time{})
			var f frame
			if err == nil {
				f, err = readFrame(s.r)
			}
			if err != nil {
				s.fail(err)
				return
			}
			s.progressed.add(headerLen + len(f.body))
			s.mu.Lock()
			to := s.mu.waiting[f.id]
			delete(s.mu.waiting, f.id)
			s.mu.Unlock()
			if to != nil {
				to <- f
			}
		}
	})
}

// fail tells everybody who waits.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, to := range s.mu.waiting {
		close(to)
	}
	s.mu.waiting, s.mu.err = nil, err
}

// partLimit bounds the wait for the source to hear the last frame.
const partLimit = 5 * time.Second

// part waits until the source has closed the connection, which it does when it has
// the last frame: what a closed connection still has to send may be lost.
func (s *session) part() {
	defer time.AfterFunc(partLimit, func() { s.conn.Close() }).Stop()
	if s.started {
		s.wg.Wait()
		return
	}
	io.Copy(io.Discard, s.r) // nothing is due; its error says that the source is gone
}

func (s *session) close() {
	s.conn.Close()
	s.wg.Wait()
}

// write sends one frame. It may block until the source has written its answers,
// which are read meanwhile.
func (s *session) write(b []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(idleLimit)); err != nil {
		return err
	}
	_, err := s.conn.Write(endFrame(b))
	return err
}

func (s *session) ready(index, term uint64) error {
	b := be.AppendUint64(appendFrame(nil, frameReady, 0), index)
	if err := s.write(be.AppendUint64(b, term)); err != nil {
		return err
	}
	s.part()
	return nil
}

// refuse tells the source why, and returns it.
func (s *session) refuse(why string) error {
	err := s.write(append(appendFrame(nil, frameRefused, 0), why...))
	if err == nil {
		s.part()
	}
	return errors.Join(fmt.Errorf("%w: %s", ErrRefused, why), err)
}

func (s *session) progress(done, all uint32) error {
	s.progressed.buckets(done, all)
	b := be.AppendUint32(appendFrame(nil, frameProgress, 0), done)
	return s.write(be.AppendUint32(b, all))
}

// ask sends a question and returns the answer's body.
func (s *session) ask(typ byte, body func([]byte) []byte) ([]byte, error) {
	reply := make(chan frame, 1)
	s.mu.Lock()
	if s.mu.waiting == nil {
		defer s.mu.Unlock()
		return nil, fmt.Errorf("catchup: the source is gone: %w", s.mu.err)
	}
	s.mu.next++
	id := s.mu.next
	s.mu.waiting[id] = reply
	s.mu.Unlock()
	if err := s.write(body(appendFrame(nil, typ, id))); err != nil {
		return nil, err
	}
	f, ok := <-reply
	if !ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, fmt.Errorf("catchup: the source is gone: %w", s.mu.err)
	}
	if f.typ != typ {
		return nil, fmt.Errorf("%w: type %d where %d is due", errFrame, f.typ, typ)
	}
	return f.body, nil
}

// digests asks for the digests of all buckets of the view.
func (s *session) digests(o offer) (state.Digests, error) {
	d := state.Digests{Index: o.index, Term: o.term, Total: o.total}
	var sum state.Digest
	for len(d.Buckets) < state.DigestBuckets {
		body, err := s.ask(frameDigests, func(b []byte) []byte { return be.AppendUint32(b, uint32(len(d.Buckets))) })
		if err != nil {
			return d, err
		}
		c := cursor{b: body}
		if !c.more() {
			return d, fmt.Errorf("%w: no digests", errFrame)
		}
		for c.more() && len(d.Buckets) < state.DigestBuckets {
			d.Buckets = append(d.Buckets, c.digest())
			sum = sum.Plus(d.Buckets[len(d.Buckets)-1])
		}
		if c.err != nil {
			return d, c.err
		}
	}
	if sum != d.Total {
		return d, fmt.Errorf("%w: the digests do not sum up to the total", errFrame)
	}
	return d, nil
}

// entry is a key, or the end of a range, and its sum.
type entry struct {
	key []byte
	sum state.Digest
}

// entries asks for ranges or keys of a bucket, above a key and in order.
func (s *session) entries(typ byte, bucket int, keys ...[]byte) (all []entry, last bool, err error) {
	body, err := s.ask(typ, func(b []byte) []byte {
		b = be.AppendUint32(b, uint32(bucket))
		for _, k := range keys {
			b = appendKey(b, k)
		}
		return b
	})
	if err != nil {
		return nil, false, err
	}
	c := cursor{b: body}
	last = c.u8() == 1
	before := keys[0]
	for c.more() {
		e := entry{key: c.key(), sum: c.digest()}
		if c.err != nil {
			break
		}
		open := len(e.key) == 0 && typ == frameRanges && last && !c.more()
		if !open && bytes.Compare(e.key, before) <= 0 {
			return nil, false, fmt.Errorf("%w: keys out of order", errFrame)
		}
		all, before = append(all, e), e.key
	}
	return all, last, c.err
}

// records asks for records by their keys and returns the first of them.
func (s *session) records(keys [][]byte) (all []state.Record, err error) {
	body, err := s.ask(frameRecords, func(b []byte) []byte {
		for _, k := range keys[:min(len(keys), maxKeys)] {
			b = appendKey(b, k)
		}
		return b
	})
	if err != nil {
		return nil, err
	}
	c := cursor{b: body}
	for c.more() {
		r := state.Record{Key: c.key()}
		r.Value = c.take(int(c.u32()))
		if c.err == nil && (len(all) == len(keys) || !bytes.Equal(r.Key, keys[len(all)])) {
			c.err = fmt.Errorf("%w: key %x was not asked for", errFrame, r.Key)
		}
		all = append(all, r)
	}
	if c.err == nil && len(all) == 0 {
		c.err = fmt.Errorf("%w: no records", errFrame)
	}
	return all, c.err
}
