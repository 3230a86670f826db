package catchup

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"twofold/replica/state"
	"twofold/replica/vfs"
)

// Defaults of a Source.
const (
	// DefaultRate is how many bytes a second a source sends at most.
	DefaultRate = 200 << 20
	// DefaultViewAge is how old a view may get: what is overwritten while it is
	// pinned stays on disk.
	DefaultViewAge = 10 * time.Minute
	// idleLimit bounds the silence of the other node, which may be scanning or
	// writing out what it got.
	idleLimit = 2 * time.Minute
)

// ErrViewAge ends a transfer whose view got too old; begin again with a new one.
var ErrViewAge = errors.New("catchup: the view is too old")

// ErrRefused is returned when the other node wants no state.
var ErrRefused = errors.New("catchup: refused")

// Source sends from one view.
type Source struct {
	View *state.View
	Rate int64         // bytes a second; DefaultRate if zero
	Age  time.Duration // DefaultViewAge if zero
	// Progress is told of what is going on; it may be nil.
	Progress *Progress

	conn  net.Conn
	out   []byte
	begun time.Time
	sent  int64
}

// Run has the node at the other end of conn stage a state of at least index at.
func (s *Source) Run(ctx context.Context, conn net.Conn, at uint64) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	s.conn, s.begun = conn, time.Now()
	if s.Rate == 0 {
		s.Rate = DefaultRate
	}
	if s.Age == 0 {
		s.Age = DefaultViewAge
	}
	if s.Progress == nil {
		s.Progress = NewProgress()
	}
	s.Progress.begin(false, s.View.Index)
	err := s.serve(ctx, at)
	s.Progress.end(err)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s *Source) serve(ctx context.Context, at uint64) error {
	v := s.View
	o := offer{at: at, index: v.Index, term: v.Term, total: v.Total}
	s.out = o.append(appendFrame(s.out, frameOffer, 0))
	if err := s.send(ctx); err != nil {
		return err
	}
	r := bufio.NewReaderSize(s.conn, 64<<10)
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(idleLimit)); err != nil {
			return err
		}
		f, err := readFrame(r)
		if err != nil {
			return fmt.Errorf("catchup: the other node is gone: %w", err)
		}
		if time.Since(s.begun) > s.Age && f.typ != frameReady {
			return ErrViewAge
		}
		c := cursor{b: f.body}
		switch f.typ {
		case frameReady:
			if index := c.u64(); index < at {
				return fmt.Errorf("%w: a state of %d is ready where one of %d is due", errFrame, index, at)
			}
			return c.err
		case frameRefused:
			return fmt.Errorf("%w: %.*q", ErrRefused, maxText, f.body)
		case frameProgress:
			s.Progress.buckets(c.u32(), c.u32())
			continue
		}
		if err := s.answer(f, &c); err != nil {
			return err
		}
		if err := s.send(ctx); err != nil {
			return err
		}
	}
}

// answer puts the answer to a question into out.
func (s *Source) answer(f frame, c *cursor) error {
	s.out = appendFrame(s.out, f.typ, f.id)
	if f.typ == frameRecords {
		return s.records(c)
	}
	bucket := int(c.u32())
	if c.err != nil || bucket >= len(s.View.Buckets) {
		return fmt.Errorf("%w: bucket %d", errFrame, bucket)
	}
	switch f.typ {
	case frameDigests:
		for i := bucket; i < min(bucket+maxDigests, len(s.View.Buckets)); i++ {
			s.out = append(s.out, s.View.Buckets[i][:]...)
		}
		return nil
	case frameRanges:
		return s.ranges(bucket, c)
	case frameKeys:
		return s.keys(bucket, c)
	default:
		return fmt.Errorf("%w: type %d", errFrame, f.typ)
	}
}

// ranges answers with ranges of rangeRecords records. The last one of a bucket
// has no end.
func (s *Source) ranges(bucket int, c *cursor) error {
	above := c.key()
	if c.err != nil {
		return c.err
	}
	lastAt := len(s.out)
	s.out = append(s.out, 1)
	var sum, all state.Digest
	n, ranges := 0, 0
	err := s.View.Scan(bucket, above, func(key, value []byte) bool {
		if ranges == maxRanges {
			s.out[lastAt] = 0 // there is more than what was told
			return false
		}
		one := state.SumOf(key, value)
		sum, all = sum.Plus(one), all.Plus(one)
		if n++; n == rangeRecords {
			s.out = append(appendKey(s.out, key), sum[:]...)
			sum, n = state.Digest{}, 0
			ranges++
		}
		return true
	})
	if s.out[lastAt] == 1 {
		s.out = append(appendKey(s.out, nil), sum[:]...)
		if err == nil { // else not all of it was read
			err = s.sound(bucket, above, nil, all)
		}
	}
	return err
}

// sound compares what was read of a bucket with what was written: a node with a
// damaged copy must not pass it on. The sink compares too, with less to say.
func (s *Source) sound(bucket int, above, end []byte, sum state.Digest) error {
	if len(above) > 0 || len(end) > 0 || sum == s.View.Buckets[bucket] {
		return nil // a part of the bucket, or all of it and right
	}
	return fmt.Errorf("catchup: %w: the records of bucket %d are not what was written", vfs.ErrCorrupt, bucket)
}

// keys answers with the records of a range, by their sums.
func (s *Source) keys(bucket int, c *cursor) error {
	above, end := c.key(), c.key()
	if c.err != nil {
		return c.err
	}
	lastAt, n := len(s.out), 0
	var all state.Digest
	s.out = append(s.out, 1)
	err := s.View.Scan(bucket, above, func(key, value []byte) bool {
		if len(end) > 0 && bytes.Compare(key, end) > 0 {
			return false
		}
		if n++; n > maxKeys {
			s.out[lastAt] = 0
			return false
		}
		sum := state.SumOf(key, value)
		all = all.Plus(sum)
		s.out = append(appendKey(s.out, key), sum[:]...)
		return true
	})
	if err == nil && s.out[lastAt] == 1 {
		err = s.sound(bucket, above, end, all)
	}
	return err
}

// records answers with records, as many of the keys as fit.
func (s *Source) records(c *cursor) error {
	for n := 0; c.more(); n++ {
		key := c.key()
		if c.err != nil {
			return c.err
		}
		value, err := s.View.Get(key)
		if err != nil {
			return err
		}
		if value == nil {
			return fmt.Errorf("%w: key %x is not in the view", errFrame, key)
		}
		if n > 0 && len(s.out)+len(value) > recordsBytes {
			return nil
		}
		s.out = append(be.AppendUint32(appendKey(s.out, key), uint32(len(value))), value...)
	}
	return nil
}

// send writes the frame in out, no faster than Rate.
func (s *Source) send(ctx context.Context) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(idleLimit)); err != nil {
		return err
	}
	if _, err := s.conn.Write(endFrame(s.out)); err != nil {
		return fmt.Errorf("catchup: the other node is gone: %w", err)
	}
	s.sent += int64(len(s.out))
	s.Progress.add(len(s.out))
	ahead := time.Duration(float64(s.sent)/float64(s.Rate)*float64(time.Second)) - time.Since(s.begun)
	if ahead < time.Millisecond {
		return nil
	}
	select {
	case <-time.After(ahead):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
