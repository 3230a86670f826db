package replica

import (
	"testing"

	"twofold/raftlog"
	"twofold/replica/command"
	"twofold/replica/vfs"
)

// logEntry builds a log entry of n commands with op, handed over in a term.
func logEntry(t *testing.T, index, term, handed uint64, n int, op any) raftlog.Entry {
	t.Helper()
	enc, err := command.Append(nil, &command.Command{Op: op})
	if err != nil {
		t.Fatal(err)
	}
	command.Seal(enc, 1, 1)
	encs := make([][]byte, n)
	for i := range encs {
		encs[i] = enc
	}
	return raftlog.Entry{Index: raftlog.Index(index), Term: raftlog.Term(term), Data: appendEntry(nil, handed, touchedKeys{}, encs)}
}

// groups cuts entries as the apply goroutine does, and returns how many are in each.
func groups(t *testing.T, applied raftlog.Index, entries []raftlog.Entry) (sizes []int) {
	t.Helper()
	var g group
	for len(entries) > 0 {
		n, err := g.fill(entries, applied)
		if err != nil || n == 0 {
			t.Fatalf("%d of %d entries: %v", n, len(entries), err)
		}
		if len(g.entries) > 0 {
			applied = raftlog.Index(g.entries[len(g.entries)-1].Index)
		}
		sizes, entries = append(sizes, len(g.entries)), entries[n:]
	}
	return sizes
}

func wantSizes(t *testing.T, what string, got []int, want ...int) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: groups of %d entries, want %d", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: groups of %d entries, want %d", what, got, want)
			return
		}
	}
}

// A group has bounds, and ends where the nodes note their digests: both note them
// after the same entry.
func TestGroup_Bounds(t *testing.T) {
	var many, digests, wide, big []raftlog.Entry
	remove := &vfs.OpRemove{Name: "x"}
	write := &vfs.OpWrite{Data: make([]byte, maxGroupBytes/2)}
	for i := range uint64(2*maxGroupEntries + 1) {
		many = append(many, logEntry(t, i+1, 1, 1, 1, remove))
	}
	for i := range uint64(6) {
		op := any(remove)
		if i == 1 || i == 4 {
			op = &command.Integrity{Step: command.DigestMarker, Node: "a"}
		}
		digests = append(digests, logEntry(t, i+1, 1, 1, 1, op))
		wide = append(wide, logEntry(t, i+1, 1, 1, maxGroupCommands/4, remove))
		big = append(big, logEntry(t, i+1, 1, 1, 1, write))
	}
	wantSizes(t, "many entries", groups(t, 0, many), maxGroupEntries, maxGroupEntries, 1)
	wantSizes(t, "entries that the state has", groups(t, 3, many[:6]), 3)
	wantSizes(t, "only such entries", groups(t, 6, many[:6]), 0)
	wantSizes(t, "digests", groups(t, 0, digests), 2, 3, 1)
	wantSizes(t, "many commands", groups(t, 0, wide), 4, 2)
	wantSizes(t, "many bytes", groups(t, 0, big), 2, 2, 2)
}

// What cannot be decoded ends a group before it, and is an error when it is the first.
func TestGroup_Undecodable(t *testing.T) {
	entries := []raftlog.Entry{
		logEntry(t, 1, 1, 1, 1, &vfs.OpRemove{Name: "x"}),
		{Index: 2, Term: 1, Data: []byte("no entry at all")},
	}
	var g group
	if n, err := g.fill(entries, 0); n != 1 || err != nil || len(g.entries) != 1 {
		t.Errorf("%d entries, %v", n, err)
	}
	if n, err := g.fill(entries[1:], 1); n != 1 || err == nil || len(g.entries) != 0 {
		t.Errorf("an entry that cannot be decoded: %d, %v", n, err)
	}
}

// An entry that Raft took in another term than its proposer had changes nothing, and
// keeps its commands for those who wait for them.
func TestGroup_OtherTerm(t *testing.T) {
	var g group
	_, err := g.fill([]raftlog.Entry{logEntry(t, 1, 3, 2, 2, &vfs.OpRemove{Name: "x"}), {Index: 2, Term: 3}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, dropped := range []bool{true, false} {
		if g.handed[i].dropped(&g.entries[i]) != dropped || len(g.entries[i].Commands) > 0 {
			t.Errorf("entry %d: dropped %t, with %d commands", i+1, !dropped, len(g.entries[i].Commands))
		}
	}
	if len(g.handed[0].cmds) != 2 || g.handed[0].term != 2 {
		t.Errorf("%d commands are kept, of term %d", len(g.handed[0].cmds), g.handed[0].term)
	}
}
