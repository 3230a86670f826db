package state

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/command"
	"twofold/replica/duplicate"
	"twofold/replica/vfs"
)

// The duplicate request cache holds the answers to calls that bear an identity
// (rule R11). Because it is part of the state, and apply alone looks into it, a
// call that is in the log twice, from whichever node, has one effect and one
// answer, also after a restart and at another leader.
//
// Records have consecutive sequence numbers in log order, which are their keys.
// State.calls knows them all: it finds a record by its call without a look at
// the store, and says at the end of each entry which ones leave (package
// duplicate has the rule). A record is set once and deleted once.
type duplicates struct {
	nextAnswer  uint64 // sequence number of the next record
	answerLimit uint64 // bytes of all records, set by command.SetLimits
	answers     uint64 // records, and their bytes as they count against the limit
	answerBytes uint64
	age         vfs.Time // by which records grow old: see txn.pass
	ageTerm     uint64   // of the latest command
}

// Duplicates says how full the duplicate request cache is.
type Duplicates struct {
	Records uint64
	Bytes   uint64 // in the store, and duplicate.Overhead for each
	Limit   uint64 // of Bytes; zero before the volume is formatted
	Forced  uint64 // records that went only because of the limit, since Open
	Hits    uint64 // calls that were answered from it, since Open
}

// Duplicates returns how full the duplicate request cache is.
func (s *State) Duplicates() Duplicates {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := &s.mu.super.duplicates
	return Duplicates{Records: d.answers, Bytes: d.answerBytes, Limit: d.answerLimit, Forced: s.mu.forced, Hits: s.mu.hits}
}

// Age returns the age of the log: the clock by which answers are forgotten. It
// does not wait for the store.
func (s *State) Age() vfs.Time { return vfs.Time(s.age.Load()) }

// LastTime returns the log time of the latest command. It does not wait for the
// store.
func (s *State) LastTime() vfs.Time { return vfs.Time(s.lastTime.Load()) }

// setTimes makes known what age and time the log has. The caller holds the lock.
func (s *State) setTimes() {
	s.age.Store(int64(s.mu.super.age))
	s.lastTime.Store(int64(s.mu.super.lastTime))
}

// pass moves log time on to that of a command, or a little further than that of
// the one before, and makes the log older.
//
// Within a term the log's age goes on as log time does, which one process stamps
// and which runs at most one part in duplicate.Fastest faster than time itself. From one
// term to the next it stands still: the clocks of two leaders may differ by
// hours, and so may those of one before and after a restart. So the age never
// runs ahead, whatever clock is set, and no answer is forgotten too early.
func (t *txn) pass(to vfs.Time) { t.super.pass(t.term, to) }

func (v *super) pass(term uint64, to vfs.Time) {
	before := v.lastTime
	v.lastTime = max(to, before+1)
	if v.ageTerm == term {
		v.age += v.lastTime - before
		return
	}
	v.age, v.ageTerm = v.age+1, term
}

// Follow moves time and age of the log on over commands that are not applied, since
// this state is not to be used: calls that its node forwards bear the log's age.
// Nothing of it is written, and Apply must not be called after it.
func (s *State) Follow(term uint64, cmds []command.Command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range cmds {
		s.mu.super.pass(term, cmds[i].Time)
	}
	s.setTimes()
}

// answers are the records that one txn makes.
type answers struct {
	first   uint64 // sequence number of the first
	results []vfs.Result
	ends    []int // of the values in values
	values  []byte
	sums    []Digest           // of the records
	gone    []duplicate.Record // those that leave
	forced  int
	hits    int // commands that were answered without effect
}

func (a *answers) begin(next uint64) {
	clear(a.results)
	a.first, a.forced, a.hits = next, 0, 0
	a.results, a.ends, a.values, a.sums, a.gone = a.results[:0], a.ends[:0], a.values[:0], a.sums[:0], a.gone[:0]
}

// answer returns what was answered to a call, if it is remembered.
func (t *txn) answer(id vfs.CallID) (vfs.Result, bool) {
	seq, ok := t.s.calls.Find(id)
	if !ok {
		return vfs.Result{}, false
	}
	t.answers.hits++
	if seq >= t.answers.first {
		return t.answers.results[seq-t.answers.first], true
	}
	t.keyBuf = answerKey(t.keyBuf[:0], t.super.ID, seq)
	v, err := t.s.get(t.keyBuf)
	if err != nil {
		t.fail(err)
		return vfs.Result{}, true
	}
	known, _, body, err := decodeAnswer(t.keyBuf, v)
	if err != nil || known != id {
		t.fail(errors.Join(err, corrupt(t.keyBuf, "not the answer that the index has there")))
		return vfs.Result{}, true
	}
	res, err := command.DecodeResult(body)
	if err != nil {
		t.fail(corrupt(t.keyBuf, "answer: %v", err))
	}
	return res, true
}

// remember keeps the answer to a call.
func (t *txn) remember(id vfs.CallID, res vfs.Result) {
	a := &t.answers
	start := len(a.values)
	a.values = appendAnswer(a.values, id, t.super.age, &res)
	a.ends = append(a.ends, len(a.values))
	a.results = append(a.results, res)
	t.keyBuf = answerKey(t.keyBuf[:0], t.super.ID, t.super.nextAnswer)
	sum := recordSum(t.keyBuf, a.values[start:])
	a.sums = append(a.sums, sum)
	err := t.s.calls.Add(duplicate.Record{
		Seq: t.super.nextAnswer, ID: id, Time: t.super.age, Bytes: answerBytes(len(a.values) - start), Sum: sum,
	})
	if err != nil {
		t.fail(err)
	}
	t.super.nextAnswer++
}

// answerBytes is what a record with a value of n bytes counts.
func answerBytes(n int) uint32 { return uint32(answerKeyLen + n + duplicate.Overhead) }

// fillAnswers writes the records that were made, and deletes those that leave: some
// may do both.
func (t *txn) fillAnswers(b *pebble.Batch) error {
	a, start := &t.answers, 0
	for i, end := range a.ends {
		t.keyBuf = answerKey(t.keyBuf[:0], t.super.ID, a.first+uint64(i))
		t.sums.add(bucketOf(t.keyBuf), a.sums[i])
		if err := b.Set(t.keyBuf, a.values[start:end], nil); err != nil {
			return err
		}
		start = end
	}
	for i := range a.gone {
		t.keyBuf = answerKey(t.keyBuf[:0], t.super.ID, a.gone[i].Seq)
		t.sums.sub(bucketOf(t.keyBuf), a.gone[i].Sum)
		if err := b.Delete(t.keyBuf, nil); err != nil {
			return err
		}
	}
	t.super.answers, t.super.answerBytes = uint64(t.s.calls.Len()), t.s.calls.Bytes()
	return nil
}

// evictAnswers lets go, at the end of an entry, what the rule says. It does so for each
// entry, so that what is remembered does not depend on how many are applied at once.
func (t *txn) evictAnswers() {
	a := &t.answers
	if t.err != nil {
		return
	}
	gone, forced := t.s.calls.Evict(t.super.age, t.super.answerLimit, a.gone)
	a.gone, a.forced = gone, a.forced+forced
}

// setLimits changes what bounds the state. What is over the new limit leaves
// with this entry and those after it.
func (c *call) setLimits(op *command.SetLimits) vfs.Result {
	if !validAnswerLimit(op.DuplicateBytes) {
		return vfs.Result{Kind: vfs.Invalid}
	}
	c.super.answerLimit = op.DuplicateBytes
	return vfs.Result{}
}

func validAnswerLimit(n uint64) bool { return n >= duplicate.MinBytes && n <= duplicate.MaxBytes }

// loadAnswers builds the index of the records that there are. It must come to
// what it was, or this node would evict others than its peer.
func (s *State) loadAnswers() error {
	super := &s.mu.super
	if !super.formatted() {
		return nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableDuplicate}, UpperBound: []byte{tableDuplicate + 1}})
	if err != nil {
		return asCorrupt(err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = s.loadAnswer(it)
	}
	if err = errors.Join(err, asCorrupt(it.Error()), asCorrupt(it.Close())); err != nil {
		return err
	}
	if n, bytes := uint64(s.calls.Len()), s.calls.Bytes(); n != super.answers || bytes != super.answerBytes {
		return fmt.Errorf("%w: %d answers of %d bytes are stored, the volume says %d of %d",
			vfs.ErrCorrupt, n, bytes, super.answers, super.answerBytes)
	}
	return nil
}

// loadAnswer takes the record at it into the index.
func (s *State) loadAnswer(it *pebble.Iterator) error {
	key := it.Key()
	v, err := it.ValueAndErr()
	if err != nil {
		return asCorrupt(err)
	}
	super := &s.mu.super
	if len(key) != answerKeyLen || be.Uint32(key[1:]) != super.ID {
		return corrupt(key, "answer key of %d bytes in volume %d", len(key), super.ID)
	}
	id, at, _, err := decodeAnswer(key, v)
	if err != nil {
		return err
	}
	seq := be.Uint64(key[prefixLen:])
	if seq >= super.nextAnswer || at > super.age {
		return corrupt(key, "answer at %d, beyond record %d at %d", at, super.nextAnswer, super.age)
	}
	err = s.calls.Add(duplicate.Record{
		Seq: seq, ID: id, Time: at, Bytes: answerBytes(len(v)), Sum: recordSum(key, v),
	})
	if err != nil {
		return corrupt(key, "%v", err)
	}
	return nil
}

func answerKey(b []byte, volume uint32, seq uint64) []byte {
	return be.AppendUint64(appendPrefix(b, tableDuplicate, volume), seq)
}

// answerHead is what precedes the result in the value of a record: the call's
// identity and the age of the log at its command.
const answerHead = 16 + 4*4 + 8 + 8

func appendAnswer(b []byte, id vfs.CallID, at vfs.Time, res *vfs.Result) []byte {
	b = append(b, id.Client[:]...)
	b = be.AppendUint32(b, id.XID)
	b = be.AppendUint32(b, id.Prog)
	b = be.AppendUint32(b, id.Vers)
	b = be.AppendUint32(b, id.Proc)
	b = be.AppendUint64(b, id.Sum)
	b = be.AppendUint64(b, uint64(at))
	return command.AppendResult(b, res)
}

// decodeAnswer splits a value. The result is left as it is: Open has no use
// for it.
func decodeAnswer(key, v []byte) (id vfs.CallID, at vfs.Time, result []byte, err error) {
	if len(v) < answerHead {
		return id, 0, nil, corrupt(key, "answer of %d bytes", len(v))
	}
	id = vfs.CallID{
		Client: [16]byte(v),
		XID:    be.Uint32(v[16:]), Prog: be.Uint32(v[20:]), Vers: be.Uint32(v[24:]), Proc: be.Uint32(v[28:]),
		Sum: be.Uint64(v[32:]),
	}
	return id, vfs.Time(be.Uint64(v[40:])), v[answerHead:], nil
}
