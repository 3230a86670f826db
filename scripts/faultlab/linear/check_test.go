package linear_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"twofold/nfs/client"
	"twofold/scripts/faultlab/linear"
)

// history makes operations that follow each other, each a millisecond long. Object 0 is a file, object 1 a directory.
func history(ops ...linear.Op) *linear.History {
	h := &linear.History{Files: 1}
	for i, op := range ops {
		if op.Return == 0 {
			op.Call, op.Return = time.Duration(2*i)*time.Millisecond, time.Duration(2*i+1)*time.Millisecond
		}
		h.Add(op)
	}
	return h
}

func write(slot int, value string) linear.Op {
	return linear.Op{In: linear.Input{Kind: linear.Write, Slot: slot, Value: value}}
}

func read(data string) linear.Op {
	return linear.Op{In: linear.Input{Kind: linear.Read}, Out: linear.Output{Data: data}}
}

func name(k linear.Kind, name, to int, owner uint32, st client.Status) linear.Op {
	op := linear.Op{In: linear.Input{Object: 1, Kind: k, Name: name, To: to}, Out: linear.Output{Status: st}}
	if k == linear.Lookup {
		op.Out.Owner = owner
	} else {
		op.In.Owner = owner
	}
	return op
}

func list(owners ...uint32) linear.Op {
	op := linear.Op{In: linear.Input{Object: 1, Kind: linear.Readdir}}
	copy(op.Out.Owners[:], owners)
	return op
}

func unknown(op linear.Op) linear.Op {
	op.Out = linear.Output{Unknown: true}
	return op
}

// during is an operation with times of its own, in milliseconds.
func during(from, to int, op linear.Op) linear.Op {
	op.Call, op.Return = time.Duration(from)*time.Millisecond, time.Duration(to)*time.Millisecond
	return op
}

func TestCheck(t *testing.T) {
	const first, second = "aaaaaaaa", "bbbbbbbb"
	for _, tt := range []struct {
		what string
		ok   bool
		ops  []linear.Op
	}{
		{"a read of the newest", true, []linear.Op{write(0, first), write(0, second), read(second)}},
		{"a stale read", false, []linear.Op{write(0, first), write(0, second), read(first)}},
		{"a lost write", false, []linear.Op{write(1, first), read("")}},
		{"a hole", true, []linear.Op{write(1, first), read("\x00\x00\x00\x00\x00\x00\x00\x00" + first)}},
		{"reads that go back", false, []linear.Op{during(0, 90, write(0, first)), during(1, 2, read(first)), during(3, 4, read(""))}},
		{"a write that ran twice", false, []linear.Op{write(0, first), write(0, second), read(second), read(first)}},
		{"a write whose outcome is unknown, seen late", true, []linear.Op{unknown(write(0, first)), read(""), read(""), read(first)}},
		{"a write whose outcome is unknown, seen and undone", false, []linear.Op{unknown(write(0, first)), read(first), read("")}},
		{"create, rename, remove", true, []linear.Op{
			name(linear.CreateExclusive, 0, 0, 1, client.OK), name(linear.Rename, 0, 1, 0, client.OK), name(linear.Lookup, 1, 0, 1, client.OK),
			list(0, 1), name(linear.Remove, 1, 0, 0, client.OK), list(),
		}},
		{"a create that ran twice", false, []linear.Op{
			name(linear.CreateGuarded, 0, 0, 1, client.OK), name(linear.Remove, 0, 0, 0, client.OK), name(linear.Lookup, 0, 0, 1, client.OK),
		}},
		{"a remove that ran twice", false, []linear.Op{
			name(linear.CreateGuarded, 0, 0, 1, client.OK), name(linear.Remove, 0, 0, 0, client.OK), name(linear.CreateGuarded, 0, 0, 2, client.OK), list(),
		}},
		{"two exclusive creations of one name", false, []linear.Op{
			during(0, 10, name(linear.CreateExclusive, 0, 0, 1, client.OK)), during(1, 9, name(linear.CreateExclusive, 0, 0, 2, client.OK)),
		}},
		{"half a rename in a listing", false, []linear.Op{
			name(linear.CreateGuarded, 0, 0, 1, client.OK), during(10, 20, name(linear.Rename, 0, 1, 0, client.OK)), during(11, 12, list(1, 1)),
		}},
		{"a rename over another file", true, []linear.Op{
			name(linear.CreateGuarded, 0, 0, 1, client.OK), name(linear.CreateGuarded, 1, 0, 2, client.OK),
			name(linear.Rename, 0, 1, 0, client.OK), list(0, 1), name(linear.Remove, 0, 0, 0, client.ErrNoEnt),
		}},
		{"an error that cannot be", false, []linear.Op{{In: linear.Input{Kind: linear.Read}, Out: linear.Output{Status: client.ErrStale}}}},
	} {
		v := history(tt.ops...).Check()
		if ok := len(v.Violations) == 0; ok != tt.ok || v.Undecided != 0 {
			t.Errorf("%s: %+v, want ok %t", tt.what, v, tt.ok)
		}
	}
}

// READDIR tells ids alone; they stand for the owners that other answers told.
func TestCheck_ListingByFileID(t *testing.T) {
	found := name(linear.Lookup, 0, 0, 1, client.OK)
	found.FileID = 77
	entry := list(^uint32(0))
	entry.IDs[0] = 77
	create := name(linear.CreateGuarded, 0, 0, 1, client.OK)
	replace := []linear.Op{name(linear.Remove, 0, 0, 0, client.OK), name(linear.CreateGuarded, 0, 0, 2, client.OK)}
	if v := history(create, found, entry).Check(); len(v.Violations) > 0 {
		t.Errorf("the file itself: %v", v.Violations)
	}
	if v := history(append(append([]linear.Op{create, found}, replace...), entry)...).Check(); len(v.Violations) == 0 {
		t.Error("a listing with the file that was replaced is taken for right")
	}
}

func TestCheck_CtimeGoesBack(t *testing.T) {
	a, b := read(""), read("")
	a.Ctime, b.Ctime = client.Time{Sec: 5, Nsec: 2}, client.Time{Sec: 5, Nsec: 1}
	v := history(a, b).Check()
	if len(v.Violations) != 1 || !strings.Contains(v.Violations[0], "ctime goes back") {
		t.Errorf("%+v", v)
	}
	if v := history(during(0, 5, a), during(1, 6, b)).Check(); len(v.Violations) > 0 {
		t.Errorf("at the same time: %v", v.Violations)
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	if err := history(write(0, "aaaaaaaa"), read("")).Save(dir); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(pages) != 3 {
		t.Errorf("saved are %v, %v", pages, err)
	}
}
