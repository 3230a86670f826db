package state

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// DuplicateLife is the least time, by the log's clock, for which the answer to
// a call is remembered. It is forgotten before twice that has passed, unless no
// command comes. A Linux client on TCP repeats a call as soon as it has a new
// connection, so what counts is how long a node may be away.
const DuplicateLife = vfs.Time(5 * time.Minute)

// The duplicate request cache holds the answers to calls that bear an identity
// (rule R11). Because it is part of the state, and apply alone looks into it, a
// call that is in the log twice, from whichever node, has one effect and one
// answer, also after a restart and at another leader.
//
// Answers are kept by generation, and the generation is the first part of their
// key. A new one begins when DuplicateLife of log time has passed since the
// last began, at most once for each log entry; the one before the last is then
// dropped whole, by one range deletion. So an answer outlives at least one full
// generation, and one jump of the clock can end only the generation that is
// current.
type duplicates struct {
	generation uint64
	since      vfs.Time // log time at which the generation began
}

// answered is one call of the entry that is being applied.
type answered struct {
	id  vfs.CallID
	res vfs.Result
}

// turn begins a new generation if it is time.
func (t *txn) turn() {
	d := &t.super.duplicates
	if t.turned || t.super.lastTime-d.since < DuplicateLife {
		return
	}
	t.turned = true
	d.generation++
	d.since = t.super.lastTime
}

// answer returns what was answered to a call, if it is remembered.
func (t *txn) answer(id vfs.CallID) (vfs.Result, bool) {
	if i, ok := t.answers[id]; ok {
		return t.answerOrder[i].res, true
	}
	now := t.super.duplicates.generation
	for _, g := range [2]uint64{now, now - 1} {
		if g > now || t.err != nil {
			break // there is none before the first
		}
		t.keyBuf = duplicateKey(t.keyBuf[:0], t.super.ID, g, id)
		v, closer, err := t.s.db.Get(t.keyBuf)
		if err == pebble.ErrNotFound {
			continue
		}
		if err != nil {
			t.fail(asCorrupt(err))
			break
		}
		res, err := command.DecodeResult(v)
		if err != nil {
			t.fail(corrupt(t.keyBuf, "answer: %v", err))
		}
		if err := closer.Close(); err != nil {
			t.fail(fmt.Errorf("state: answer: %w", err))
		}
		return res, true
	}
	return vfs.Result{}, false
}

// remember keeps the answer to a call.
func (t *txn) remember(id vfs.CallID, res vfs.Result) {
	t.answers[id] = len(t.answerOrder)
	t.answerOrder = append(t.answerOrder, answered{id, res})
}

// fillAnswers writes the answers of this entry, and drops the generations that
// are over.
func (t *txn) fillAnswers(b *pebble.Batch) error {
	now := t.super.duplicates.generation
	if t.turned && now > 1 {
		from := appendPrefix(nil, tableDuplicate, t.super.ID)
		to := be.AppendUint64(appendPrefix(nil, tableDuplicate, t.super.ID), now-1)
		if err := b.DeleteRange(from, to, nil); err != nil {
			return err
		}
	}
	for i := range t.answerOrder {
		a := &t.answerOrder[i]
		t.keyBuf = duplicateKey(t.keyBuf[:0], t.super.ID, now, a.id)
		t.valueBuf = command.AppendResult(t.valueBuf[:0], &a.res)
		if err := b.Set(t.keyBuf, t.valueBuf, nil); err != nil {
			return err
		}
	}
	return nil
}

func duplicateKey(b []byte, volume uint32, generation uint64, id vfs.CallID) []byte {
	b = be.AppendUint64(appendPrefix(b, tableDuplicate, volume), generation)
	b = append(b, id.Client[:]...)
	b = be.AppendUint32(b, id.XID)
	b = be.AppendUint32(b, id.Prog)
	b = be.AppendUint32(b, id.Vers)
	b = be.AppendUint32(b, id.Proc)
	return be.AppendUint64(b, id.Sum)
}
