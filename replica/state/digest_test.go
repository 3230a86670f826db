package state_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

// What goes into the digest is on disk and is compared between nodes: another
// hash, or another order, is another format.
func TestDigest_Golden(t *testing.T) {
	content := []byte("some bytes of a file")
	checksum := state.Checksum(content)
	sum := state.RecordSum(content, nil) // not the checksum of the content
	for _, c := range []struct {
		key, value []byte
		bucket     int
		want       string
	}{
		{state.SuperKey(), []byte("v"), 65_808, "9af5e4f15030f3c4040aa74004cd4308"},
		{state.InodeKey(1), []byte("v"), 0, "12bf86d3c254d07b9993d395f48ad6c5"},
		{state.InodeKey(64), []byte("v"), 1, "8a42282124e04178612bfadc0eb01f7c"},
		{state.InodeKey(1<<22 + 200), []byte("v"), 3, "1e553c2069155efe6b36c71588983767"},
		{state.BlockKey(64, 9), append(checksum[:], content...), 1, "57de14df4210ce802e6854f63f5e1fb7"},
		{state.BlockKey(64, 9), append(sum[:], content...), 1, "26b8e0f89b4450ff1dc0eb765f8e3b68"},
		{state.AnswerKey(4096), []byte("v"), 65_537, "8d15d992733cc563c3a044b1047085b0"},
		{state.ExportsKey(), []byte("v"), 65_829, "4db44db263222882c8183608bc669a52"},
		{state.MemberKey("a"), nil, 65_830, "9ec67dce1db62cf445f2414e6a1d3556"},
		{state.MountKey(t0), []byte("v"), 65_832, "0dec1354150c444b614092b7c2267aa9"},
	} {
		if got := state.RecordSum(c.key, c.value).String(); got != c.want {
			t.Errorf("the sum of %x, %x is %s, want %s", c.key, c.value, got, c.want)
		}
		if got := state.BucketOf(c.key); got != c.bucket {
			t.Errorf("%x is in bucket %d, want %d", c.key, got, c.bucket)
		}
	}
	if state.DigestBuckets != 66_048 {
		t.Errorf("%d buckets", state.DigestBuckets)
	}
}

// Sums are of numbers of 128 bits, and what was added can be taken away.
func TestDigest_Arithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (d state.Digest) {
			return state.Digest(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x80, 0xff}), 16, 16).Draw(t, name))
		}
		a, b, c := draw("a"), draw("b"), draw("c")
		if a.Plus(b) != b.Plus(a) || a.Plus(b).Plus(c) != a.Plus(b.Plus(c)) || a.Plus(b).Minus(b) != a {
			t.Errorf("the order of %v, %v and %v matters", a, b, c)
		}
	})
	var zero, one state.Digest
	one[15] = 1
	if got := zero.Minus(one).String(); got != strings.Repeat("ff", 16) {
		t.Errorf("0 - 1 is %s", got)
	}
}

// Files of many extents, with and without holes: whatever is written, cut and
// removed, in one entry or in many, the running sums are those of the records.
func TestDigest_LargeFiles(t *testing.T) {
	for seed := range uint64(roundsOf(10, 2)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testLargeFile(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func testLargeFile(t *testing.T, rng *rand.Rand) {
	const extent = 256 * 512
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	offset := func() uint64 {
		places := []int{0, 1, 511, 512, 513, extent - 512, extent - 1}
		return rng.Uint64N(6)*extent + uint64(places[rng.IntN(len(places))])
	}
	sizes := []int{1, 512, 700, 3 * 512, extent, 2*extent + 100}
	for range 12 {
		var encs [][]byte
		for range 1 + rng.IntN(4) {
			if rng.IntN(3) == 0 {
				encs = append(encs, h.command(vfs.Root, &vfs.OpSetAttr{Ref: f, Set: vfs.SetAttr{Mask: vfs.SetSize, Size: offset()}}))
				continue
			}
			encs = append(encs, h.command(vfs.Root, &vfs.OpWrite{
				Ref: f, Offset: offset(), Data: []byte(strings.Repeat(string('a'+rune(h.index%26)), sizes[rng.IntN(len(sizes))])),
			}))
		}
		h.apply(encs...)
		if rng.IntN(3) == 0 {
			h.check()
		}
		if rng.IntN(5) == 0 {
			h.reopen()
		}
	}
	h.check()
	h.must(vfs.Root, &vfs.OpRemove{Dir: h.root(), Name: "f"})
	h.check()
}

// A cut in the middle of a large file must not read what it cuts off, only what
// lies in one extent. Blocks beyond it are made unreadable to show that.
func TestDigest_CutReadsOneExtent(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	for i := range uint64(4) {
		h.write(f, i*vfs.MaxIO, strings.Repeat("x", vfs.MaxIO))
	}
	for number := uint64(512); number < 4*vfs.MaxIO/512; number++ {
		h.setRecord(state.BlockKey(uint64(f.Ino), number), []byte("?"))
	}
	h.truncate(f, 300*512+7)
	h.check()
}

// planted has a volume with something in every table.
func planted(t *testing.T) *harness {
	h := open(t, 512)
	d := h.mkdir(h.root(), "d", 0o755)
	for i := range 20 {
		f := h.create(d, fmt.Sprintf("f%d", i), 0o644)
		h.write(f, uint64(i)*300, strings.Repeat("x", 900))
	}
	big := h.create(d, "big", 0o644)
	h.write(big, 0, strings.Repeat("y", 300*512))
	h.apply(h.command(vfs.Root, &command.SetExports{Exports: []vfs.Export{{Path: "/d", Clients: "*"}}}))
	h.apply(h.command(vfs.Root, &command.SetMember{Member: vfs.Member{Name: "a"}}))
	h.apply(h.command(vfs.Root, &command.MountChange{Action: command.MountAdd, Mount: vfs.Mount{Host: "h", Path: "/d"}}))
	h.check()
	return h
}

// A bit that flips, a record that is lost, or one that appears shows in its
// bucket and in no other.
func TestScanDigest_FindsDamage(t *testing.T) {
	h := planted(t)
	rng := rand.New(rand.NewPCG(1, 2))
	type record struct{ key, value []byte }
	var all []record
	tables := map[byte]bool{}
	err := h.s.Records(func(key, value []byte) error {
		all = append(all, record{slices.Clone(key), slices.Clone(value)})
		tables[key[0]] = true
		return nil
	})
	if err != nil || len(tables) != 10 {
		t.Fatalf("records in %d tables: %v", len(tables), err)
	}
	damaged := func(what string, key, value []byte) {
		t.Helper()
		h.setRecord(key, value)
		r, err := h.s.ScanDigest()
		if err != nil || !slices.Equal(r.Damaged, []int{state.BucketOf(key)}) || r.Running == r.Scanned || !errors.Is(r.Err(), vfs.ErrCorrupt) {
			t.Errorf("%s %x: damaged buckets %v, want %d: %v", what, key, r.Damaged, state.BucketOf(key), err)
		}
	}
	seen := map[byte]int{}
	for _, r := range all {
		// The first and two others of each table: a scan reads everything.
		if seen[r.key[0]]++; seen[r.key[0]] > 1 && rng.IntN(len(all)) > 2 || seen[r.key[0]] > 3 {
			continue
		}
		flipped := slices.Clone(r.value)
		flipped[rng.IntN(len(flipped))] ^= 1 << rng.IntN(8)
		damaged("flipped", r.key, flipped)
		damaged("lost", r.key, nil)
		h.setRecord(r.key, r.value)
		more := append(slices.Clone(r.key), 0)
		damaged("appeared", more, r.value)
		h.setRecord(more, nil)
	}
	h.check()
}

// A running digest that is wrong is damage too, and does not go unnoticed by
// Open either.
func TestScanDigest_DamagedSum(t *testing.T) {
	h := planted(t)
	key := state.BucketKey(0)
	v, err := h.s.Record(key)
	if err != nil || len(v) != 16 {
		t.Fatalf("%x, %v", v, err)
	}
	v[3] ^= 4
	h.setRecord(key, v)
	if _, err := h.s.ScanDigest(); !errors.Is(err, vfs.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	h.close()
	if _, err := state.Open("db", h.opts); !errors.Is(err, vfs.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
}

// Damage that apply meets stays visible after it: what a record is not may leave
// the running digest, and the two sums differ for good.
func TestScanDigest_DamageOutlivesRewrite(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	key := state.InodeKey(f.Ino)
	v, err := h.s.Record(key)
	if err != nil {
		t.Fatal(err)
	}
	v[2+15] ^= 1 // the group
	h.setRecord(key, v)
	state.DropInode(h.s, f.Ino)
	h.write(f, 0, "x")
	r, err := h.s.ScanDigest()
	if err != nil || len(r.Damaged) != 1 {
		t.Errorf("damaged buckets %v, %v", r.Damaged, err)
	}
}

// A block that is not what was written is never read as data, and the error
// names it.
func TestRead_CorruptBlock(t *testing.T) {
	h := open(t, 512)
	f := h.create(h.root(), "f", 0o644)
	h.write(f, 0, strings.Repeat("x", 10*512))
	key := state.BlockKey(uint64(f.Ino), 7)
	good, err := h.s.Record(key)
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(good)
	bad[100] ^= 1
	want := fmt.Sprintf("inode %d, block 7", f.Ino)
	for name, value := range map[string][]byte{"flipped": bad, "cut": good[:200], "short": good[:16], "empty": {}} {
		h.setRecord(key, value)
		for _, size := range []int{512, 6 * 512} { // one block by itself, and a scan
			_, err := h.s.Read(vfs.Root, f, 10*512-uint64(size)-512, make([]byte, size))
			if size == 512 {
				_, err = h.s.Read(vfs.Root, f, 7*512, make([]byte, size))
			}
			if !errors.Is(err, vfs.ErrCorrupt) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %d bytes: %v", name, size, err)
			}
		}
	}
	h.setRecord(key, bad)
	_, err = h.tryApply(h.command(vfs.Root, &vfs.OpWrite{Ref: f, Offset: 7*512 + 10, Data: []byte("y")}))
	if !errors.Is(err, vfs.ErrCorrupt) || !strings.Contains(err.Error(), want) {
		t.Errorf("a part of it is overwritten: %v", err)
	}
}

// Each record is listed in its bucket and in no other, in key order within a
// table, also where inode numbers go around all buckets.
func TestScanBucket(t *testing.T) {
	h := planted(t)
	for _, ino := range []vfs.Ino{63, 64, 1<<22 - 1, 1 << 22, 1<<22 + 64, 5<<22 + 1, ^vfs.Ino(0)} {
		h.setRecord(state.InodeKey(ino), []byte("?"))
		h.setRecord(state.BlockKey(uint64(ino), ^uint64(0)), []byte("?"))
	}
	h.setRecord(state.AnswerKey(1<<20+5), []byte("?"))
	h.setRecord(append(state.SuperKey()[:1:1], 0xff, 0xff, 0xff, 0xff), []byte("?"))
	h.setRecord([]byte{0x11, 1}, []byte("?"))
	h.setRecord(append([]byte{0x11, 0xff, 0xff, 0xff, 0xff}, make([]byte, 8)...), []byte("?"))
	want := map[int][]string{}
	err := h.s.Records(func(key, _ []byte) error {
		want[state.BucketOf(key)] = append(want[state.BucketOf(key)], string(key))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	buckets := []int{7, 300, 65_535} // empty or not
	for bucket := range want {
		buckets = append(buckets, bucket)
	}
	for _, bucket := range buckets {
		var got []string
		err := h.s.BucketRecords(bucket, func(key, _ []byte) error {
			got = append(got, string(key))
			return nil
		})
		if err != nil || !slices.Equal(got, want[bucket]) {
			t.Errorf("bucket %d has %x, want %x: %v", bucket, got, want[bucket], err)
		}
	}
}

// A crash leaves records and running digests of one moment, whatever it is.
func TestDigest_Crash(t *testing.T) {
	fs := pebblevfs.NewCrashableMem()
	o := testOptions(fs)
	o.MemTableBytes = 128 << 10
	h := openOn(t, o, 512)
	rng := rand.New(rand.NewPCG(7, 7))
	step := history(h, rng)
	digests := map[uint64]state.Digest{}
	for i := range roundsOf(200, 40) {
		before, from, _ := h.s.RunningDigest()
		step()
		digest, index, _ := h.s.RunningDigest()
		for between := from + 1; between < index; between++ {
			digests[between] = before // an entry without commands
		}
		digests[index] = digest
		if i%9 != 0 {
			continue
		}
		clone := fs.CrashClone(pebblevfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		s, err := state.Open("db", testOptions(clone))
		if err != nil {
			t.Fatal(err)
		}
		got, index, _ := s.RunningDigest()
		if err := s.Check(); err != nil || got != digests[index] {
			t.Errorf("crash after step %d: digest %v at %d, was %v: %v", i, got, index, digests[index], err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
