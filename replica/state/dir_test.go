package state_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// A directory of 100,000 names is listed once each, in steps, while names come
// and go, and cookies stay.
func TestReadDir_LargeDirectory(t *testing.T) {
	h := openOn(t, roomyOptions(), 512)
	total := roundsOf(100_000, 10_000)
	for n := 0; n < total; {
		var encs [][]byte
		for ; n < total && len(encs) < command.MaxBatchOps; n++ {
			encs = append(encs, h.command(vfs.Root, &vfs.OpCreate{Dir: h.root(), Name: fmt.Sprintf("file%06d", n)}))
		}
		h.apply(encs...)
	}
	seen := make(map[string]vfs.Cookie, total)
	var after vfs.Cookie
	for step := 0; ; step++ {
		r, err := h.s.ReadDir(vfs.Root, h.root(), after, step%50 == 0, 700)
		if err != nil || r.Kind != vfs.OK {
			t.Fatal(r.Kind, err)
		}
		for _, e := range r.Entries {
			if _, again := seen[e.Name]; again || e.Cookie <= after {
				t.Fatalf("%q at %d after %d", e.Name, e.Cookie, after)
			}
			seen[e.Name], after = e.Cookie, e.Cookie
		}
		if r.EOF {
			break
		}
		h.must(vfs.Root, &vfs.OpRemove{Dir: h.root(), Name: fmt.Sprintf("file%06d", step)})
		h.create(h.root(), fmt.Sprintf("late%d", step), 0o600)
	}
	for n := range total {
		if _, ok := seen[fmt.Sprintf("file%06d", n)]; !ok && n > 200 {
			t.Fatalf("file %d is missing", n)
		}
	}
	h.reopen()
	middle := fmt.Sprintf("file%06d", total/2)
	r, err := h.s.ReadDir(vfs.Root, h.root(), seen[middle]-1, false, 1)
	if err != nil || len(r.Entries) != 1 || r.Entries[0].Name != middle {
		t.Errorf("at the cookie of %s: %+v, %v", middle, r.Entries, err)
	}
}

// Attributes come with every name, whatever the order of the inode numbers: next to each other, with gaps, backwards and twice.
func TestReadDir_AttributesInAnyOrder(t *testing.T) {
	h := open(t, 512)
	const total = 300 // more than the cache of inodes holds
	other := h.mkdir(h.root(), "other", 0o755)
	var refs []vfs.Ref
	for i := range total {
		refs = append(refs, h.create(other, fmt.Sprint(i), 0o600+uint32(i%8)))
	}
	listed := h.mkdir(h.root(), "listed", 0o755)
	var want []vfs.Ref
	for i := range total {
		n := i // one by one, then backwards, then in leaps
		switch {
		case i > 2*total/3:
			n = i * 37 % total
		case i > total/3:
			n = total - i
		}
		h.must(vfs.Root, &vfs.OpLink{Ref: refs[n], Dir: listed, Name: fmt.Sprint(i)})
		want = append(want, refs[n])
	}
	for i := 0; i < total; i += 5 {
		h.must(vfs.Root, &vfs.OpRemove{Dir: other, Name: fmt.Sprint(i)})
	}
	h.reopen()
	r, err := h.s.ReadDir(vfs.Root, listed, vfs.CookieDotDot, true, total)
	if err != nil || len(r.Entries) != total {
		t.Fatal(len(r.Entries), err)
	}
	for i, e := range r.Entries {
		if got, err := h.s.GetAttr(want[i]); err != nil || e.Attr != got.Attr || e.Ino != want[i].Ino {
			t.Fatalf("entry %d is %+v, want %+v, %v", i, e, got.Attr, err)
		}
	}
}

// A name that RENAME replaces keeps its cookie; any other new name is last.
func TestReadDir_Cookies(t *testing.T) {
	h := open(t, 512)
	for _, name := range []string{"a", "b", "c"} {
		h.create(h.root(), name, 0o644)
	}
	h.must(vfs.Root, &vfs.OpRename{FromDir: h.root(), FromName: "c", ToDir: h.root(), ToName: "a"})
	h.must(vfs.Root, &vfs.OpRename{FromDir: h.root(), FromName: "b", ToDir: h.root(), ToName: "d"})
	want := []string{".:1", "..:2", "a:3", "d:6"}
	for limit := range 7 {
		var got []string
		r, err := h.s.ReadDir(vfs.Root, h.root(), 0, false, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Entries {
			got = append(got, fmt.Sprintf("%s:%d", e.Name, e.Cookie))
		}
		n := min(limit, len(want))
		if strings.Join(got, " ") != strings.Join(want[:n], " ") || r.EOF != (limit >= len(want)) {
			t.Errorf("limit %d: got %v, eof %t", limit, got, r.EOF)
		}
	}
	for _, after := range []vfs.Cookie{6, 7, 1 << 62, 1<<64 - 1} {
		r, err := h.s.ReadDir(vfs.Root, h.root(), after, false, 9)
		if err != nil || len(r.Entries) != 0 || !r.EOF {
			t.Errorf("after %d: %+v, %v", after, r, err)
		}
	}
	f := h.create(h.root(), "f", 0o644)
	if r, _ := h.s.ReadDir(vfs.Root, f, 0, false, 9); r.Kind != vfs.NotDir {
		t.Errorf("listing a file: %v", r.Kind)
	}
	secret := h.mkdir(h.root(), "secret", 0o711)
	if r, _ := h.s.ReadDir(bob, secret, 0, false, 9); r.Kind != vfs.Access || !r.HasDir {
		t.Errorf("listing without leave: %+v", r)
	}
	if r, _ := h.s.Lookup(bob, secret, "x"); r.Kind != vfs.NotExist {
		t.Errorf("looking up with search permission: %v", r.Kind)
	}
}

// Readers never see half of an entry, nor an inode of another moment than its
// data: every entry fills a whole file with one letter, and moves the ctime of
// file and directory one after the other.
func TestConcurrent_ReadersSeeWholeEntries(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "0", 0o644)
	const size = 512 * 6
	round := func(i int) {
		letter := string(rune('a' + i%26))
		n := uint64(size - i%3*512)
		h.apply(
			h.command(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: n}}),
			h.command(vfs.Root, &vfs.OpWrite{Ref: f, Data: []byte(strings.Repeat(letter, int(n)))}),
			h.command(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: modeSet(0o644)}),
			h.command(vfs.Root, &vfs.OpSetAttr{Ref: h.root(), Set: modeSet(0o755)}),
		)
	}
	round(0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			buf := make([]byte, size+10)
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := h.s.Read(vfs.Root, f, 0, buf)
				if err != nil || r.N != int(r.Attr.Size) || strings.Trim(string(buf[:r.N]), string(buf[:1])) != "" {
					t.Errorf("read %d bytes of %d, %v", r.N, r.Attr.Size, err)
					return
				}
				d, err := h.s.ReadDir(vfs.Root, h.root(), vfs.CookieDotDot, true, 10)
				if err != nil || len(d.Entries) != 1 || d.Entries[0].Attr.Ctime != d.Dir.Ctime-1 {
					t.Errorf("listing %+v, %v", d, err)
					return
				}
			}
		})
	}
	for i := range 300 {
		round(i)
		if i%50 == 0 {
			if err := h.s.Flush(); err != nil {
				t.Error(err)
			}
			if _, err := h.s.ScanDigest(); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// Deleting or cutting a big file must not depend on its size: the blocks go by
// one range, and nothing of it is left.
func TestRemove_BigFile(t *testing.T) {
	h := open(t, 512)
	for _, cut := range []bool{true, false} {
		f := h.create(h.root(), "big", 0o644)
		chunk := strings.Repeat("x", vfs.MaxIO)
		for i := range uint64(8) {
			h.write(f, i*vfs.MaxIO, chunk)
		}
		if cut {
			h.truncate(f, 1000)
			h.check()
			h.truncate(f, 0)
		}
		h.must(vfs.Root, &vfs.OpRemove{Dir: h.root(), Name: "big"})
		if inodes, bytes := h.s.Stats(); inodes != 1 || bytes != 0 {
			t.Errorf("%d inodes, %d bytes left", inodes, bytes)
		}
		h.check()
	}
}
