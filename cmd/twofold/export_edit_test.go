package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"twofold/replica/vfs"
)

const threeExports = "/ 10.0.0.0/8(ro)\n/a 10.1.0.0/16(rw)\n/b *(ro)\n"

func TestExportEdit_Changes(t *testing.T) {
	base := uint64(6)
	for _, tt := range []struct {
		name string
		edit exportEdit
		want string // the paths afterwards, or the error
		diff int    // lines
	}{
		{"set a new one", exportEdit{Action: exportSet, Path: "/aa", Clients: []string{"10.0.0.9(rw)"}}, "/ /a /aa /b", 1},
		{"set an old one", exportEdit{Action: exportSet, Path: "/a", Clients: []string{"10.0.0.9(rw)"}}, "/ /a /b", 2},
		{"set without options", exportEdit{Action: exportSet, Path: "/c", Clients: []string{"host.example.net", "*"}}, "/ /a /b /c", 1},
		{"set cleans the path", exportEdit{Action: exportSet, Path: "//a/", Clients: []string{"*"}}, "/ /a /b", 2},
		{"set with a bad option", exportEdit{Action: exportSet, Path: "/c", Clients: []string{"*(fast)"}}, `"fast"`, 0},
		{"set of a relative path", exportEdit{Action: exportSet, Path: "c", Clients: []string{"*"}}, `path "c": must be absolute`, 0},
		{"set smuggles no line in", exportEdit{Action: exportSet, Path: "/c", Clients: []string{"*(ro)\n/d *(rw)"}}, "export set: export /c: ", 0},
		{"set without clients", exportEdit{Action: exportSet, Path: "/c"}, "no clients", 0},
		{"remove", exportEdit{Action: exportRemove, Path: "/a/"}, "/ /b", 1},
		{"remove what is not there", exportEdit{Action: exportRemove, Path: "/x"}, `"/x" is not in the export table`, 0},
		{"apply", exportEdit{Action: exportApply, Text: "/ 10.0.0.0/8(ro)\n/c *(rw)\n", Name: "f"}, "/ /c", 3},
		{"apply the same in another order", exportEdit{Action: exportApply, Text: "/b *(ro)\n/a 10.1.0.0/16(rw)\n/ 10.0.0.0/8(ro)\n", Name: "f"}, "/ /a /b", 0},
		{"apply nothing", exportEdit{Action: exportApply, Text: "# nobody\n", Name: "f"}, "", 3},
		{"apply a bad line", exportEdit{Action: exportApply, Text: "/ *\n/c *(fast)\n", Name: "dir/f"}, "dir/f:2: ", 0},
		{"another version", exportEdit{Action: exportRemove, Path: "/a", Base: &base}, "has version 7, set by b from export apply old, and not version 6", 0},
		{"no action", exportEdit{}, "is no change", 0},
	} {
		table, _ := newFakeTable(7, threeExports).Exports()
		next, err := tt.edit.edit(table)
		got := ""
		if err != nil {
			got = err.Error()
		}
		for _, e := range next {
			got = strings.TrimSpace(got + " " + e.Path)
		}
		if err == nil && got != tt.want || !strings.Contains(got, tt.want) || (err != nil) != (next == nil) && tt.want != "" {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if diff := diffExports(table.Exports, next); err == nil && len(diff) != tt.diff {
			t.Errorf("%s: %d lines differ: %q", tt.name, len(diff), diff)
		}
		if strings.Contains(got, "\n") {
			t.Errorf("%s: the error has several lines: %q", tt.name, got)
		}
	}
}

// An entry that a file does not change keeps its directory, which may have been
// renamed. A changed one, and one that export set names, is looked up.
func TestExportEdit_Roots(t *testing.T) {
	table, _ := newFakeTable(7, threeExports).Exports()
	for i := range table.Exports {
		table.Exports[i].Root = vfs.Ref{Ino: vfs.Ino(10 + i), Gen: 1}
	}
	apply := exportEdit{Action: exportApply, Name: "f", Text: "/ 10.0.0.0/8(ro)\n/a 10.1.0.0/16(ro)\n/b *(ro)\n"}
	set := exportEdit{Action: exportSet, Path: "/b", Clients: []string{"*(ro)"}}
	for _, tt := range []struct {
		edit exportEdit
		want [3]vfs.Ino
	}{{apply, [3]vfs.Ino{10, 0, 12}}, {set, [3]vfs.Ino{10, 11, 0}}} {
		next, err := tt.edit.edit(table)
		if err != nil || len(next) != 3 {
			t.Fatal(next, err)
		}
		for i, e := range next {
			if e.Root.Ino != tt.want[i] {
				t.Errorf("%s: root of %s is inode %d, want %d", tt.edit.Action, e.Path, e.Root.Ino, tt.want[i])
			}
		}
	}
}

// A change is made again on the newer table when another one comes between.
func TestChange_OtherChangeBetween(t *testing.T) {
	table := newFakeTable(7, threeExports)
	k, _ := newTestKeeper(t, table, "")
	others := 0
	table.before = func(f *fakeTable) {
		if others++; others <= 3 {
			f.putLocked(f.table.Version+1, "b", "export set /other", withExport(f.table.Exports, parseExports("/other *(ro)\n")[0]))
		}
	}
	reply, err := k.change(context.Background(), &exportEdit{Action: exportRemove, Path: "/a"})
	if err != nil || !reply.Changed || reply.Version != 11 {
		t.Fatalf("%+v, %v", reply, err)
	}
	now, _ := table.Exports()
	if findExport(now.Exports, "/a") >= 0 || findExport(now.Exports, "/other") < 0 || now.Source != "export remove /a" {
		t.Errorf("the table is %+v", now)
	}
}

func TestChange_Outcomes(t *testing.T) {
	remove := exportEdit{Action: exportRemove, Path: "/a"}
	dry := remove
	dry.DryRun = true
	for _, tt := range []struct {
		name    string
		edit    exportEdit
		answer  func() (vfs.Result, error)
		sets    int
		err     string
		unknown bool
	}{
		{"always too late", remove, func() (vfs.Result, error) { return vfs.Result{Kind: vfs.NotSync}, nil }, exportTries, "changed by others 8 times", false},
		{"never proposed", remove, func() (vfs.Result, error) { return vfs.Result{}, vfs.ErrNoQuorum }, 1, "nothing was changed", false},
		{"unknown outcome", remove, func() (vfs.Result, error) { return vfs.Result{}, vfs.ErrUnknownOutcome }, 1, "", true},
		{"another error is unknown, too", remove, func() (vfs.Result, error) { return vfs.Result{}, context.DeadlineExceeded }, 1, "", true},
		{"refused", remove, func() (vfs.Result, error) { return vfs.Result{Kind: vfs.NotExist, Count: 1}, nil }, 1, "/b: no such directory", false},
		{"dry run", dry, nil, 0, "", false},
		{"nothing to do", exportEdit{Action: exportApply, Text: threeExports}, nil, 0, "", false},
	} {
		table := newFakeTable(7, threeExports)
		table.answer = tt.answer
		k, _ := newTestKeeper(t, table, "")
		reply, err := k.change(context.Background(), &tt.edit)
		if table.sets != tt.sets {
			t.Errorf("%s: %d proposals, want %d", tt.name, table.sets, tt.sets)
		}
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
			}
		case err != nil || reply.Changed || (reply.Unknown != "") != tt.unknown:
			t.Errorf("%s: %+v, %v", tt.name, reply, err)
		}
	}
}

// A table that cannot be read is an error that changes nothing.
func TestChange_Unreadable(t *testing.T) {
	table := newFakeTable(7, threeExports)
	table.readErr = vfs.ErrNoQuorum
	k, _ := newTestKeeper(t, table, "")
	if _, err := k.change(context.Background(), &exportEdit{Action: exportRemove, Path: "/a"}); !errors.Is(err, vfs.ErrNoQuorum) || table.sets != 0 {
		t.Errorf("%v after %d proposals", err, table.sets)
	}
}

// The printed table is a file that says the same, whatever is in its head.
func TestExportList_IsAFile(t *testing.T) {
	entries := parseExports(threeExports + `"/with space" 10.0.0.1(rw)` + "\n")
	r := exportsReply{Version: 7, By: "b", Source: "export apply a\n/evil *(rw)", Problem: "bad\n/evil *(rw)"}
	for _, e := range entries {
		r.Exports = append(r.Exports, exportReply{Path: octets(e.Path), Clients: e.Clients})
	}
	again, err := exportFromText(r.file())
	if err != nil || !sameExports(again, entries) {
		t.Errorf("%v, %v from\n%s", err, again, r.file())
	}
	if !strings.HasPrefix(r.file(), "# twofold exports, version 7\n# set 0001-01-01 00:00:00 UTC by node b from ") {
		t.Errorf("the head is\n%s", r.file())
	}
	if none := (&exportsReply{}).file(); !strings.Contains(none, "never set, nobody may mount") {
		t.Errorf("a table that was never set is printed as %q", none)
	}
}

func exportFromText(text string) ([]vfs.Export, error) {
	e := exportEdit{Action: exportApply, Text: octets(text), Name: "text"}
	return e.edit(vfs.ExportTable{})
}
