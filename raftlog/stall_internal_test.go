package raftlog

import (
	"errors"
	"testing"
	"time"
)

// testTiming has a tick of 10 ms.
func testTiming() Timing {
	t := Timing{DiskTimeout: 80 * time.Millisecond, ApplyTimeout: 100 * time.Millisecond, FlushTimeout: time.Second}
	t.setDefaults(RoleData)
	return t
}

func testStalls() *stalls {
	t := testTiming()
	return newStalls(&t)
}

// pass lets ticks go by on a node whose state machine has nothing to do.
func (s *stalls) pass(ticks int, alternative bool) {
	for range ticks {
		s.step(0, 0, alternative)
	}
}

// Each kind of work is late after its own deadline, and not before; what ended
// in time never was.
func TestStalls_Deadlines(t *testing.T) {
	for op, limit := range map[diskOp]int{opLog: 8, opVote: 8, opMarker: 8, opApply: 10, opFlush: 100, opCut: 8, opProbe: 8} {
		s := testStalls()
		s.begin(op)()
		end := s.begin(op)
		s.pass(limit, true)
		if err := s.err(); err != nil || s.silent.Load() {
			t.Errorf("%s: stalled within its deadline: %v", diskOpNames[op], err)
		}
		s.pass(1, true)
		if err := s.err(); !errors.Is(err, ErrStalled) || !s.silent.Load() || !s.late.Load() {
			t.Errorf("%s: past its deadline: %v", diskOpNames[op], err)
		}
		end()
		s.pass(1, true)
		if s.late.Load() {
			t.Errorf("%s: late after its end", diskOpNames[op])
		}
	}
}

// With nobody to take over a slow disk is not silent, and one that hangs is.
func TestStalls_HangsAlone(t *testing.T) {
	s := testStalls()
	s.begin(opLog)
	s.pass(hungLimits*8, false)
	if s.err() == nil || s.silent.Load() {
		t.Errorf("slow: %v, silent %v", s.err(), s.silent.Load())
	}
	s.pass(1, false)
	if !s.silent.Load() {
		t.Error("a disk that hangs goes on leading")
	}
}

// The applied index has to move while there is something to apply.
func TestStalls_ApplyMakesNoProgress(t *testing.T) {
	s := testStalls()
	for i := range Index(100) {
		s.step(i/8, 50, true)
	}
	if err := s.err(); err != nil {
		t.Errorf("slow, but moving: %v", err)
	}
	for range 20 {
		s.step(12, 50, true)
	}
	if err := s.err(); err == nil {
		t.Error("an apply that stands still is not noticed")
	}
	for range 200 {
		s.step(50, 50, true)
	}
	if err := s.err(); err != nil {
		t.Errorf("nothing to apply: %v", err)
	}
}

// A node that was late stays away until the others have had time to elect, unless
// there is nobody to lead in its place.
func TestStalls_Hold(t *testing.T) {
	hold := int(2 * testTiming().HeartbeatTimeout / (10 * time.Millisecond))
	for _, alternative := range []bool{true, false} {
		s := testStalls()
		end := s.begin(opLog)
		s.pass(20, alternative)
		if s.err() == nil || s.silent.Load() != alternative {
			t.Errorf("alternative %t: stalled %v, silent %t", alternative, s.err(), s.silent.Load())
		}
		end()
		s.pass(hold/2, alternative)
		if held := s.err() != nil; held != alternative {
			t.Errorf("alternative %t: held %t", alternative, held)
		}
		s.pass(hold, alternative)
		if err := s.err(); err != nil || s.silent.Load() {
			t.Errorf("alternative %t: does not come back: %v", alternative, err)
		}
	}
}

// A read is late after its deadline and up to a span more, whenever it began, and not
// before; others that come and go change nothing. It ends the stall when it returns.
func TestStalls_Read(t *testing.T) {
	for offset := range 8 {
		s := testStalls()
		limit, span := int(s.limits[opRead]), int(s.reads.length)
		s.pass(offset, false)
		stuck := s.reads.begin()
		for range limit - 1 {
			other := s.reads.begin()
			s.pass(1, false)
			s.reads.end(other)
		}
		if err := s.err(); err != nil {
			t.Errorf("begun at tick %d: stalled within the deadline: %v", offset, err)
		}
		s.pass(1+span+1, false)
		if err := s.err(); !errors.Is(err, ErrStalled) || s.silent.Load() {
			t.Errorf("begun at tick %d: past its deadline: %v, silent %t", offset, err, s.silent.Load())
		}
		s.pass(hungLimits*limit, false)
		if !s.silent.Load() {
			t.Errorf("begun at tick %d: a disk that hangs goes on leading", offset)
		}
		if !s.noReads.Load() {
			t.Errorf("begun at tick %d: nobody is told of the read", offset)
		}
		s.reads.end(stuck)
		s.pass(1, false)
		if err := s.err(); err != nil || s.noReads.Load() {
			t.Errorf("begun at tick %d: stalled after its end: %v", offset, err)
		}
	}
}
