package command_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden has one command of every type, with a value in every field.
func golden() []command.Command {
	set := vfs.SetAttr{
		Mask: vfs.SetMode | vfs.SetSize | vfs.SetMtime,
		Mode: 0o4755, UID: 11, GID: 12, Size: 1 << 33, Atime: -5, Mtime: 1_700_000_000_123_456_789,
	}
	dir, ino := vfs.Ref{Ino: 1, Gen: 0xfeedface}, vfs.Ref{Ino: 1 << 40, Gen: 7}
	ops := []any{
		&command.Nop{},
		&command.Format{
			UUID: [16]byte{1, 2, 3}, HandleKey: [16]byte{4, 5, 6},
			BlockSize: 16384, RootUID: 8, RootGID: 9, RootMode: 0o755,
		},
		&vfs.OpSetAttr{Ref: ino, Set: set, HasGuard: true, Guard: 99},
		&vfs.OpWrite{Ref: ino, Offset: 4096, Data: []byte("written bytes")},
		&vfs.OpCreate{Dir: dir, Name: "file", Mode: vfs.CreateExclusive, Set: set, Verf: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}},
		&vfs.OpMkdir{Dir: dir, Name: "sub", Set: set},
		&vfs.OpSymlink{Dir: dir, Name: "link", Set: set, Target: "../to/there"},
		&vfs.OpMknod{Dir: dir, Name: "dev", Type: vfs.TypeChr, Set: set, Rdev: vfs.Device{Major: 5, Minor: 1}},
		&vfs.OpRemove{Dir: dir, Name: "gone"},
		&vfs.OpRmdir{Dir: dir, Name: "empty"},
		&vfs.OpRename{FromDir: dir, FromName: "a", ToDir: ino, ToName: "b\xff"},
		&vfs.OpLink{Ref: ino, Dir: dir, Name: "other"},
		&command.SetExports{Base: 6, By: "a", Source: "/etc/twofold/exports", Exports: []vfs.Export{
			{Path: "/srv", Root: ino, Clients: "10.0.0.0/8(rw) host(ro)"}, {Path: "/"},
		}},
		&command.MountChange{Action: command.MountRemove, Mount: vfs.Mount{Host: "10.1.2.3", Path: "/srv"}},
		&command.SetMember{Member: vfs.Member{Name: "a", ID: [16]byte{7: 7}, Addrs: []netip.Addr{
			netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1"),
		}}},
		&command.SetLimits{DuplicateBytes: 128 << 20},
		&command.Integrity{Step: command.DigestMarker, Node: "a", Index: 4711, Digest: [16]byte{1, 15: 9}},
		&command.DropMember{Name: "b", ID: [16]byte{3, 15: 4}},
	}
	cmds := make([]command.Command, 0, len(ops))
	for i, op := range ops {
		cmds = append(cmds, command.Command{
			Header: command.Header{
				Type: command.Type(i + 1), Flags: command.FlagNoSpace, Volume: 0x01020304,
				Time: 1_700_000_000_000_000_000, Seed: 0x1122334455667788,
				Origin: command.Origin{Instance: 0xaabb, Seq: uint64(i)},
				ID:     vfs.CallID{Client: [16]byte{15: 1}, XID: 0xcafe, Prog: 100003, Vers: 3, Proc: 8, Sum: 0x5050},
				Cred:   vfs.Cred{UID: 1000, GID: 100, Groups: []uint32{4, 20}},
			},
			Op: op,
		})
	}
	return cmds
}

// sealed encodes and seals, and fails the test if that is not possible.
func sealed(t interface{ Fatal(...any) }, c *command.Command) []byte {
	enc, err := command.Append(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	command.Seal(enc, c.Time, c.Seed)
	return enc
}

// The bytes of every command type must never change within a version.
func TestGolden_Commands(t *testing.T) {
	cmds := golden()
	if len(cmds) != len(command.Types()) {
		t.Fatalf("%d golden commands for %d types", len(cmds), len(command.Types()))
	}
	for i := range cmds {
		c := &cmds[i]
		enc := sealed(t, c)
		checkGolden(t, "v2_"+c.Type.String()+".hex", enc)
		got, err := command.Decode(enc)
		if err != nil {
			t.Fatalf("%s: %v", c.Type, err)
		}
		if !reflect.DeepEqual(got, *c) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.Type, got, *c)
		}
	}
}

func TestGolden_BatchAndResult(t *testing.T) {
	var encs [][]byte
	for _, c := range golden()[:3] {
		encs = append(encs, sealed(t, &c))
	}
	checkGolden(t, "v2_batch.hex", command.AppendBatch(nil, encs))
	r := goldenResult()
	checkGolden(t, "v2_result.hex", command.AppendResult(nil, &r))
}

func goldenResult() vfs.Result {
	attr := vfs.Attr{
		Ref: vfs.Ref{Ino: 3, Gen: 4}, Type: vfs.TypeBlk, Mode: 0o600, Nlink: 2, UID: 5, GID: 6,
		Size: 7, Used: 512, Rdev: vfs.Device{Major: 8, Minor: 9}, Atime: 10, Mtime: 11, Ctime: 12,
	}
	wcc := vfs.WCC{HasBefore: true, HasAfter: true, Before: vfs.WCCAttr{Size: 1, Mtime: 2, Ctime: 3}, After: attr}
	return vfs.Result{Kind: vfs.NotEmpty, HasAttr: true, Attr: attr, WCC: [2]vfs.WCC{wcc, {HasBefore: true}}, Count: 77}
}

func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	text := hex.EncodeToString(got) + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Errorf("%s: encoding changed\n got %swant %s", name, text, want)
	}
}

func TestDecode_Refuses(t *testing.T) {
	good := sealed(t, &golden()[3])
	alter := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	reseal := func(b []byte) []byte { command.Seal(b, 1, 1); return b }
	unsealed, err := command.Append(nil, &golden()[3])
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		enc  []byte
		want error
	}{
		{"empty", nil, command.ErrShort},
		{"unsealed", unsealed, command.ErrChecksum},
		{"flipped bit in the data", alter(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), command.ErrChecksum},
		{"flipped bit in the seed", alter(func(b []byte) []byte { b[20] ^= 1; return b }), command.ErrChecksum},
		{"newer version", alter(func(b []byte) []byte { b[0]++; return b }), command.ErrUnknown},
		{"unknown type", alter(func(b []byte) []byte { b[1] = 200; return reseal(b) }), command.ErrUnknown},
		{"unknown flag", alter(func(b []byte) []byte { b[2] = 0x80; return reseal(b) }), command.ErrUnknown},
		{"one byte less", alter(func(b []byte) []byte { return reseal(b[:len(b)-1]) }), command.ErrShort},
		{"one byte more", alter(func(b []byte) []byte { return reseal(append(b, 0)) }), command.ErrTrailing},
		{"many groups", alter(func(b []byte) []byte { b[92] = 0xff; return reseal(b) }), command.ErrLimit},
	} {
		if _, err := command.Decode(tc.enc); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestAppend_Refuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		cmd  command.Command
		want error
	}{
		{"no op", command.Command{}, command.ErrUnknown},
		{"foreign op", command.Command{Op: 7}, command.ErrUnknown},
		{"groups", command.Command{Header: command.Header{Cred: vfs.Cred{Groups: make([]uint32, 1025)}}, Op: &command.Nop{}}, command.ErrLimit},
		{"data", command.Command{Op: &vfs.OpWrite{Data: make([]byte, vfs.MaxIO+1)}}, command.ErrLimit},
		{"mask", command.Command{Op: &vfs.OpMkdir{Set: vfs.SetAttr{Mask: 1 << 15}}}, command.ErrUnknown},
		{"create mode", command.Command{Op: &vfs.OpCreate{Mode: 3}}, command.ErrUnknown},
		{"flags", command.Command{Header: command.Header{Flags: 1 << 14}, Op: &command.Nop{}}, command.ErrUnknown},
	} {
		out, err := command.Append([]byte("kept"), &tc.cmd)
		if !errors.Is(err, tc.want) || string(out) != "kept" {
			t.Errorf("%s: got %q, %v, want %v", tc.name, out, err, tc.want)
		}
	}
}

// The largest command must fit into a batch, and a long name must arrive as
// too long rather than fail.
func TestLimits(t *testing.T) {
	c := command.Command{
		Header: command.Header{Cred: vfs.Cred{Groups: make([]uint32, vfs.MaxGroups)}},
		Op:     &vfs.OpWrite{Data: make([]byte, vfs.MaxIO)},
	}
	enc := sealed(t, &c)
	if len(enc) > command.MaxCommandBytes || command.BatchSize(1, command.MaxCommandBytes) > command.MaxBatchBytes {
		t.Fatalf("largest command has %d bytes", len(enc))
	}
	batch := command.AppendBatch(nil, [][]byte{enc})
	if len(batch) != command.BatchSize(1, len(enc)) {
		t.Errorf("BatchSize says %d of %d", command.BatchSize(1, len(enc)), len(batch))
	}
	if _, err := command.DecodeBatch(batch); err != nil {
		t.Error(err)
	}
	long := command.Command{Op: &vfs.OpSymlink{Name: strings.Repeat("n", 9999), Target: strings.Repeat("t", 1<<17)}}
	got, err := command.Decode(sealed(t, &long))
	if err != nil {
		t.Fatal(err)
	}
	op := got.Op.(*vfs.OpSymlink)
	if len(op.Name) != vfs.MaxName+1 || len(op.Target) != vfs.MaxTarget+1 {
		t.Errorf("name %d, target %d bytes", len(op.Name), len(op.Target))
	}
}

func TestDecodeBatch_Refuses(t *testing.T) {
	enc := sealed(t, &golden()[0])
	many := make([][]byte, command.MaxBatchOps+1)
	for i := range many {
		many[i] = enc
	}
	good := command.AppendBatch(nil, [][]byte{enc, enc})
	for _, tc := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, command.ErrShort},
		{"version", append([]byte{9}, good[1:]...), command.ErrUnknown},
		{"too many", command.AppendBatch(nil, many), command.ErrLimit},
		{"too big", make([]byte, command.MaxBatchBytes+1), command.ErrLimit},
		{"count without bytes", []byte{command.Version, 0, 200}, command.ErrShort},
		{"cut", good[:len(good)-1], command.ErrShort},
		{"trailing", append(bytes.Clone(good), 0), command.ErrTrailing},
	} {
		if _, err := command.DecodeBatch(tc.b); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
}

// Seal and Mark change what they say and nothing else, and Seal may be called
// again by a later leader.
func TestSealAndMark(t *testing.T) {
	c := golden()[4]
	c.Flags = 0
	enc, err := command.Append(nil, &c)
	if err != nil {
		t.Fatal(err)
	}
	command.Mark(enc, command.FlagNoSpace)
	command.Seal(enc, 1, 2)
	command.Seal(enc, 3, 4)
	got, err := command.Decode(enc)
	if err != nil {
		t.Fatal(err)
	}
	want := c
	want.Time, want.Seed, want.Flags = 3, 4, command.FlagNoSpace
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func genSet(t *rapid.T) vfs.SetAttr {
	return vfs.SetAttr{
		Mask: vfs.SetMask(rapid.Uint16Range(0, 255).Draw(t, "mask")), Mode: rapid.Uint32().Draw(t, "mode"),
		UID: rapid.Uint32().Draw(t, "uid"), GID: rapid.Uint32().Draw(t, "gid"), Size: rapid.Uint64().Draw(t, "size"),
		Atime: vfs.Time(rapid.Int64().Draw(t, "atime")), Mtime: vfs.Time(rapid.Int64().Draw(t, "mtime")),
	}
}

func genOp(t *rapid.T) any {
	ref := func() vfs.Ref {
		return vfs.Ref{Ino: vfs.Ino(rapid.Uint64().Draw(t, "ino")), Gen: rapid.Uint32().Draw(t, "gen")}
	}
	name := func() string { return string(rapid.SliceOfN(rapid.Byte(), 0, vfs.MaxName).Draw(t, "name")) }
	switch command.Type(rapid.IntRange(1, 12).Draw(t, "type")) {
	case command.TypeNop:
		return &command.Nop{}
	case command.TypeFormat:
		return &command.Format{BlockSize: rapid.Uint32().Draw(t, "bs"), RootMode: rapid.Uint32().Draw(t, "mode")}
	case command.TypeSetAttr:
		return &vfs.OpSetAttr{Ref: ref(), Set: genSet(t), HasGuard: rapid.Bool().Draw(t, "guard"), Guard: vfs.Time(rapid.Int64().Draw(t, "time"))}
	case command.TypeWrite:
		return &vfs.OpWrite{Ref: ref(), Offset: rapid.Uint64().Draw(t, "off"), Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data")}
	case command.TypeCreate:
		return &vfs.OpCreate{Dir: ref(), Name: name(), Mode: vfs.CreateMode(rapid.IntRange(0, 2).Draw(t, "how")), Set: genSet(t)}
	case command.TypeMkdir:
		return &vfs.OpMkdir{Dir: ref(), Name: name(), Set: genSet(t)}
	case command.TypeSymlink:
		return &vfs.OpSymlink{Dir: ref(), Name: name(), Set: genSet(t), Target: name()}
	case command.TypeMknod:
		return &vfs.OpMknod{Dir: ref(), Name: name(), Type: vfs.FileType(rapid.Byte().Draw(t, "ft")), Set: genSet(t)}
	case command.TypeRemove:
		return &vfs.OpRemove{Dir: ref(), Name: name()}
	case command.TypeRmdir:
		return &vfs.OpRmdir{Dir: ref(), Name: name()}
	case command.TypeRename:
		return &vfs.OpRename{FromDir: ref(), FromName: name(), ToDir: ref(), ToName: name()}
	default:
		return &vfs.OpLink{Ref: ref(), Dir: ref(), Name: name()}
	}
}

// Whatever can be encoded decodes to itself, alone and in a batch.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []command.Command
		var encs [][]byte
		for range rapid.IntRange(1, 4).Draw(t, "n") {
			c := command.Command{Op: genOp(t)}
			c.Volume, c.Seed = rapid.Uint32().Draw(t, "volume"), rapid.Uint64().Draw(t, "seed")
			c.Time = vfs.Time(rapid.Int64().Draw(t, "time"))
			if g := rapid.SliceOfN(rapid.Uint32(), 0, 40).Draw(t, "groups"); len(g) > 0 {
				c.Cred.Groups = g
			}
			enc := sealed(t, &c)
			c.Type = command.Type(enc[1])
			want, encs = append(want, c), append(encs, enc)
		}
		got, err := command.DecodeBatch(command.AppendBatch(nil, encs))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

func TestResult_RoundTrip(t *testing.T) {
	full := goldenResult()
	for parts := range 32 {
		want := vfs.Result{Kind: full.Kind, Count: full.Count}
		if parts&1 != 0 {
			want.HasAttr, want.Attr = true, full.Attr
		}
		for i := range want.WCC {
			if parts&(2<<(2*i)) != 0 {
				want.WCC[i].HasBefore, want.WCC[i].Before = true, full.WCC[0].Before
			}
			if parts&(4<<(2*i)) != 0 {
				want.WCC[i].HasAfter, want.WCC[i].After = true, full.WCC[0].After
			}
		}
		got, err := command.DecodeResult(command.AppendResult(nil, &want))
		if err != nil || got != want {
			t.Errorf("parts %d: %v\n got %+v\nwant %+v", parts, err, got, want)
		}
	}
	for _, bad := range [][]byte{nil, {2}, {1, 0x80, 0, 0, 0, 0, 0, 0}, {1, 0, 0xff, 0, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 0, 0, 0, 9}} {
		if _, err := command.DecodeResult(bad); err == nil {
			t.Errorf("%x was accepted", bad)
		}
	}
}
