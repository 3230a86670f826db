package model

// table is the system of Lemmas 11 and 12: one data node with its log, its table of touched keys, its apply, and one LOOKUP at a time,
// which reads a name and then the file that it leads to. Lemma 2 is taken for granted here: while the lease is valid, an entry is
// acknowledged only if this node has acknowledged it. The chain of entries is that of the cluster; the node's log is a prefix of it.
type table struct {
	bug     Bug
	entries uint8
	crashes uint8
}

// SearchTable visits every state of one node with a chain of so many entries (4 at most) and so many restarts.
func SearchTable(bug Bug, entries, crashes uint8, limit int) Result {
	return search[tableState](&table{bug, entries, crashes}, limit)
}

// What an entry does, and the keys that it touches.
const (
	writeX = 1 + iota // changes file x
	writeY            // changes file y
	rename            // lets the name lead to the other file
)

// The keys, as bits of a set.
const (
	keyX    = 1 << writeX
	keyY    = 1 << writeY
	keyName = 1 << rename
)

// tableState has indexes of the chain for nearly everything.
type tableState struct {
	chain   entries // what the entries do, in place of their terms
	put     uint8   // the table has the keys of the entries in (taken, put],
	taken   uint8
	last    uint8 // the last index of the log
	stored  uint8 // up to where StoreLogs has returned, and the entries are acknowledged to the leader
	acked   uint8 // up to where some client has seen the effect
	applied uint8
	lease   bool
	rebuilt bool
	crashes uint8
	lookup  lookup
	stale   bool
}

// lookup is the LOOKUP under way.
type lookup struct {
	phase  uint8
	need   uint8 // what it has to show
	index  uint8 // up to where it waits
	keys   uint8 // for the entries that touch these
	first  uint8 // the index of its first snapshot
	second bool  // it has taken one
}

// The phases of a LOOKUP.
const (
	lookupNone = iota
	lookupBegun
	lookupLeased
	lookupWaiting
)

// The kinds of events.
const (
	tbAppend = iota
	tbPut
	tbWrite
	tbReturn
	tbAck
	tbEffect
	tbTake
	tbLease
	tbNoLease
	tbCrash
	tbRebuild
	tbBegin
	tbCheck
	tbIndex
	tbSnapshot
)

func (t *table) name(e event) string {
	return [...]string{
		tbAppend: "the leader appends an entry: " + [...]string{"", "a write of x", "a write of y", "a rename"}[e.a],
		tbPut:    "the keys of an entry are put in", tbWrite: "an entry is written to the log", tbReturn: "StoreLogs returns",
		tbAck: "an entry is acknowledged to a client", tbEffect: "an entry's effect is in the state", tbTake: "its keys are taken out",
		tbLease: "the lease becomes valid", tbNoLease: "the lease ends", tbCrash: "the node crashes", tbRebuild: "the table is rebuilt",
		tbBegin: "the LOOKUP begins", tbCheck: "it finds the lease valid", tbIndex: "it takes the last index", tbSnapshot: "it takes a snapshot",
	}[e.kind]
}

func (t *table) initial() []tableState { return []tableState{{rebuilt: true, crashes: t.crashes}} }

func (t *table) violated(s *tableState) string {
	if s.stale {
		return "Lemma 3: a LOOKUP shows what no state since its beginning has"
	}
	return ""
}

func (t *table) next(s *tableState, out []step[tableState]) []step[tableState] {
	do := func(kind, a uint8, can bool, f func(s *tableState)) {
		if can {
			next := *s
			f(&next)
			out = append(out, step[tableState]{event{kind: kind, a: a}, next})
		}
	}
	for what := uint8(writeX); what <= rename; what++ {
		do(tbAppend, what, s.chain.len() < t.entries, func(s *tableState) { s.chain = s.chain.append(what) })
	}
	t.store(s, do)
	t.effects(s, do)
	do(tbLease, 0, !s.lease && s.rebuilt && s.acked <= s.stored, func(s *tableState) { s.lease = true })
	do(tbNoLease, 0, s.lease, func(s *tableState) { s.lease = false })
	do(tbCrash, 0, s.crashes > 0, func(s *tableState) {
		// The state falls back to the last flush, here to nothing; what was written to the log, and not acknowledged, is still there.
		s.crashes--
		s.put, s.taken, s.applied, s.lease, s.rebuilt, s.lookup = 0, 0, 0, false, false, lookup{}
		if t.bug == BugTableNotRebuilt {
			s.put, s.taken, s.rebuilt = s.last, s.last, true
		}
	})
	do(tbRebuild, 0, !s.rebuilt, func(s *tableState) { s.put, s.stored, s.rebuilt = s.last, s.last, true })
	t.look(s, do)
	return out
}

type tableDo = func(kind, a uint8, can bool, f func(s *tableState))

// store is StoreLogs in its steps: the keys are put in before it returns.
func (t *table) store(s *tableState, do tableDo) {
	late := t.bug == BugTableAfterStore
	do(tbPut, 0, s.rebuilt && !late && s.put < s.chain.len() && s.put == s.last, func(s *tableState) { s.put++ })
	do(tbWrite, 0, s.rebuilt && (!late && s.last < s.put || late && s.last < s.chain.len() && s.last == s.put), func(s *tableState) { s.last++ })
	do(tbReturn, 0, s.rebuilt && s.stored < s.last && (late || s.put == s.last), func(s *tableState) { s.stored++ })
	do(tbPut, 0, late && s.put < s.stored, func(s *tableState) { s.put++ })
}

// effects is what clients see, and the apply in its steps.
func (t *table) effects(s *tableState, do tableDo) {
	do(tbAck, 0, s.acked < s.chain.len() && (!s.lease || s.acked < s.stored), func(s *tableState) { s.acked++ })
	effect := s.applied < s.stored && s.applied == s.taken
	take := s.taken < s.applied && s.taken < s.put
	if t.bug == BugTableBeforeApply {
		effect, take = s.applied < s.taken, s.taken < s.stored && s.taken == s.applied && s.taken < s.put
	}
	do(tbEffect, 0, effect || t.bug == BugTableNotRebuilt && s.applied < s.taken && s.applied < s.stored, func(s *tableState) {
		s.applied++
		s.acked = max(s.acked, s.applied)
	})
	do(tbTake, 0, take, func(s *tableState) { s.taken++ })
}

// look is the LOOKUP in its steps, R10.
func (t *table) look(s *tableState, do tableDo) {
	l := s.lookup
	do(tbBegin, 0, l.phase == lookupNone, func(s *tableState) { s.lookup = lookup{phase: lookupBegun, need: s.acked, keys: keyName} })
	do(tbCheck, 0, l.phase == lookupBegun && s.lease, func(s *tableState) { s.lookup.phase = lookupLeased })
	do(tbIndex, 0, l.phase == lookupLeased, func(s *tableState) { s.lookup.index, s.lookup.phase = s.last, lookupWaiting })
	do(tbSnapshot, 0, l.phase == lookupWaiting && !t.awaits(s), func(s *tableState) { t.snapshot(s) })
}

// awaits reports whether the table has an entry that the LOOKUP waits for.
func (t *table) awaits(s *tableState) bool {
	for i := s.taken + 1; i <= min(s.put, s.lookup.index); i++ {
		key := uint8(1) << s.chain.term(i)
		if t.bug == BugTableMissesKey && key == keyName {
			continue
		}
		if s.lookup.keys&key != 0 {
			return true
		}
	}
	return false
}

// snapshot reads the name, and the file if its key was waited for; else the wait is repeated with it.
func (t *table) snapshot(s *tableState) {
	l := &s.lookup
	file, _ := s.shows(s.applied)
	switch known := l.keys&(1<<file) != 0; {
	case known, t.bug == BugChildNotRechecked, l.second && (t.bug == BugChildFromOldSnapshot || t.bug == BugChildFromTwo):
		t.answer(s)
		return
	}
	l.keys |= 1 << file
	l.first, l.second, l.phase = s.applied, true, lookupLeased
}

// answer checks that what the LOOKUP shows is the truth of one instant since it began.
func (t *table) answer(s *tableState) {
	l := s.lookup
	file, version := s.shows(s.applied)
	switch {
	case t.bug == BugChildFromOldSnapshot && l.second:
		file, version = s.shows(l.first)
	case t.bug == BugChildFromTwo && l.second:
		file, _ = s.shows(l.first)
		version = s.version(file, s.applied)
	}
	s.lookup = lookup{}
	for i := l.need; i <= s.chain.len(); i++ {
		if f, v := s.shows(i); f == file && v == version {
			return
		}
	}
	s.stale = true
}

// shows gives the file that the name leads to after entry i, and how often it was written by then.
func (s *tableState) shows(i uint8) (file, version uint8) {
	file = writeX
	for j := uint8(1); j <= i; j++ {
		if s.chain.term(j) == rename {
			file = writeX + writeY - file
		}
	}
	return file, s.version(file, i)
}

func (s *tableState) version(file, i uint8) uint8 {
	n := uint8(0)
	for j := uint8(1); j <= i; j++ {
		if s.chain.term(j) == file {
			n++
		}
	}
	return n
}
