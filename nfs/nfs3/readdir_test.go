package nfs3_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"twofold/nfs/nfs3"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

// listed is one decoded entry.
type listed struct {
	name   string
	cookie uint64
	size   int // bytes of its XDR
}

// list makes one READDIR or READDIRPLUS call for an OK reply of at most count
// bytes after the status, and decodes it.
func list(t *testing.T, p *nfs3.Program, plus bool, cookie uint64, count int) (got []listed, eof bool, size int) {
	t.Helper()
	proc, args := uint32(procReaddir), enc(rootRef, cookie, verf, count)
	if plus {
		proc, args = procReaddirplus, enc(rootRef, cookie, verf, 1, count)
	}
	b, err := serve(t, p, root(), proc, args)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readable(proc, b); err != nil {
		t.Fatalf("the reply does not decode: %v", err)
	}
	r := xdr.NewReader(b)
	if st := r.Uint32(); st != 0 {
		t.Fatalf("cookie %d, count %d: %s", cookie, count, statusNames[st])
	}
	r.Fixed(4 + 84 + 8)
	for left := len(r.Rest()); r.Bool(); left = len(r.Rest()) {
		r.Uint64()
		e := listed{name: r.String(255), cookie: r.Uint64()}
		if plus {
			r.Fixed(4 + 84 + 4 + 4 + 36)
		}
		e.size = left - len(r.Rest())
		got = append(got, e)
	}
	return got, r.Bool(), len(b) - 4
}

// populate makes n files with names of every length, and returns the names in
// the order of their making, "." and ".." before them.
func populate(t *testing.T, fs vfs.FS, n int) []string {
	t.Helper()
	names := []string{".", ".."}
	for i := range n {
		name := fmt.Sprintf("%05d%s", i, strings.Repeat("n", i%47))
		res, err := fs.Mutate(t.Context(), &vfs.Call{}, &vfs.OpCreate{Dir: rootRef, Name: name})
		if err != nil || res.Kind != vfs.OK {
			t.Fatal(res.Kind, err)
		}
		names = append(names, name)
	}
	return names
}

// Whatever count the client gives, a reply never exceeds it, leaves no room in
// which the next entry would fit, and the calls together list everything once.
func TestReaddir_FillsTheReply(t *testing.T) {
	model := newModel()
	names := populate(t, model, 150)
	p := newProgram(t, model)
	for _, plus := range []bool{false, true} {
		for count := 400; count < 4000; count += 37 {
			var all []listed
			var room []int
			cookie := uint64(0)
			for eof := false; !eof; {
				var got []listed
				var size int
				got, eof, size = list(t, p, plus, cookie, count)
				if size > count {
					t.Fatalf("plus %v, count %d: the result has %d bytes", plus, count, size)
				}
				if len(all) > 0 && len(got) > 0 && got[0].size <= room[len(room)-1] {
					t.Fatalf("plus %v, count %d: %q of %d bytes was left out where %d were free",
						plus, count, got[0].name, got[0].size, room[len(room)-1])
				}
				room = append(room, count-size)
				all = append(all, got...)
				if len(got) == 0 && !eof {
					t.Fatalf("plus %v, count %d: an empty reply before the end", plus, count)
				}
				if len(got) > 0 {
					cookie = got[len(got)-1].cookie
				}
			}
			if len(all) != len(names) {
				t.Fatalf("plus %v, count %d: %d entries of %d", plus, count, len(all), len(names))
			}
			for i, e := range all {
				if e.name != names[i] {
					t.Fatalf("plus %v, count %d: entry %d is %q, want %q", plus, count, i, e.name, names[i])
				}
			}
		}
	}
}

// More entries than are asked of the volume at once still fill one reply.
func TestReaddir_ManyRounds(t *testing.T) {
	model := newModel()
	names := populate(t, model, 9000)
	p := newProgram(t, model)
	got, eof, size := list(t, p, false, 0, 1<<20)
	if len(got) != len(names) || !eof {
		t.Errorf("%d entries of %d, eof %v, in %d bytes", len(got), len(names), eof, size)
	}
	// A count over dtpref is cut. READDIRPLUS has one round, which is most of it.
	if _, _, size := list(t, p, true, 0, 1<<31-1); size > vfs.MaxIO || size < vfs.MaxIO*2/3 {
		t.Errorf("READDIRPLUS of all that is allowed has %d bytes", size)
	}
}

// A cookie goes on where it was, also when its entry and the ones around it are
// gone, and whatever verifier comes with it.
func TestReaddir_CookieOfRemovedEntry(t *testing.T) {
	model := newModel()
	names := populate(t, model, 10)
	p := newProgram(t, model)
	got, _, _ := list(t, p, false, 0, 104+5*40)
	last := got[len(got)-1]
	for _, name := range []string{names[len(got)-2], last.name, names[len(got)]} {
		res, err := model.Mutate(t.Context(), &vfs.Call{}, &vfs.OpRemove{Dir: rootRef, Name: name})
		if err != nil || res.Kind != vfs.OK {
			t.Fatal(name, res.Kind, err)
		}
	}
	rest, eof, _ := list(t, p, false, last.cookie, 4096)
	if !eof || len(rest) == 0 || rest[0].name != names[len(got)+1] {
		t.Errorf("after %q: %v, eof %v, want %q first", last.name, rest, eof, names[len(got)+1])
	}
}

// rounds gives READDIR its rounds one by one.
type rounds struct {
	*modelfs.FS
	res []vfs.ReadDirResult
	err []error
}

func (r *rounds) ReadDir(context.Context, vfs.Cred, vfs.Ref, vfs.Cookie, bool, int) (vfs.ReadDirResult, error) {
	res, err := r.res[0], r.err[0]
	r.res, r.err = r.res[1:], r.err[1:]
	return res, err
}

// A directory that goes away, or changes, between two rounds leaves what was listed,
// so that a reply shows one instant; an availability error then takes the whole
// reply with it.
func TestReaddir_SecondRoundFails(t *testing.T) {
	first := vfs.ReadDirResult{HasDir: true, Entries: []vfs.Dirent{{Name: "a", Ino: 2, Cookie: 3}}}
	call := func(res vfs.ReadDirResult, err error) (string, error) {
		fs := &rounds{newModel(), []vfs.ReadDirResult{first, res}, []error{nil, err}}
		b, err := serve(t, newProgram(t, fs), root(), procReaddir, enc(rootRef, uint64(0), verf, 4096))
		if err != nil {
			return "", err
		}
		return readable(procReaddir, b)
	}
	more := vfs.ReadDirResult{EOF: true, HasDir: true, Entries: []vfs.Dirent{{Name: "b", Ino: 4, Cookie: 5}}}
	got, err := call(more, nil)
	if want := `[#2 "a" 3] [#4 "b" 5] eof=true`; err != nil || !strings.HasSuffix(got, want) {
		t.Errorf("unchanged: %q, %v, want ...%s", got, err, want)
	}
	more.Dir.Ctime++
	got, err = call(more, nil)
	if want := `[#2 "a" 3] eof=false`; err != nil || !strings.HasSuffix(got, want) {
		t.Errorf("changed: %q, %v, want ...%s", got, err, want)
	}
	got, err = call(vfs.ReadDirResult{Kind: vfs.Stale}, nil)
	if want := `[#2 "a" 3] eof=false`; err != nil || !strings.HasSuffix(got, want) {
		t.Errorf("gone: %q, %v, want ...%s", got, err, want)
	}
	if got, err = call(vfs.ReadDirResult{}, vfs.ErrNoQuorum); err != nil || got != "JUKEBOX dir=-" {
		t.Errorf("no quorum: %q, %v", got, err)
	}
	if got, err = call(vfs.ReadDirResult{}, vfs.ErrShutdown); err != rpc.ErrDrop {
		t.Errorf("shutting down: %q, %v", got, err)
	}
}

// The attributes of entries change while their directory stays, so that READDIRPLUS
// is one round.
func TestReaddirplus_OneRound(t *testing.T) {
	first := vfs.ReadDirResult{HasDir: true, Entries: []vfs.Dirent{{Name: "a", Ino: 2, Cookie: 3}}}
	fs := &rounds{newModel(), []vfs.ReadDirResult{first}, []error{nil}}
	b, err := serve(t, newProgram(t, fs), root(), procReaddirplus, enc(rootRef, uint64(0), verf, 1, 4096))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readable(procReaddirplus, b)
	if want := `[#2 "a" 3 obj=- fh=-] eof=false`; err != nil || !strings.HasSuffix(got, want) {
		t.Errorf("%q, %v, want ...%s", got, err, want)
	}
}
