package command_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

func someAttr() vfs.Attr {
	return vfs.Attr{
		Ref: vfs.Ref{Ino: 7, Gen: 8}, Type: vfs.TypeChr, Mode: 0o7644, Nlink: 2, UID: 3, GID: 4,
		Size: 5, Used: 6, Rdev: vfs.Device{Major: 9, Minor: 10}, Atime: 11, Mtime: 12, Ctime: -13,
	}
}

func TestRead_RoundTrip(t *testing.T) {
	for kind := command.ReadGetAttr; kind <= command.ReadFetch; kind++ {
		want := command.Read{
			Kind: kind, Cred: vfs.Cred{UID: 1, GID: 2, Groups: []uint32{3, 4}}, Ref: vfs.Ref{Ino: 5, Gen: 6},
			Name: "name", Offset: 7, Count: 8, Plus: true,
		}
		enc := command.AppendRead(nil, &want)
		got, err := command.DecodeRead(enc)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("kind %d: %v\n%s", kind, err, d)
		}
		for n := range enc {
			if _, err := command.DecodeRead(enc[:n]); err == nil {
				t.Fatalf("kind %d: %d of %d bytes are enough", kind, n, len(enc))
			}
		}
		if _, err := command.DecodeRead(append(enc, 0)); !errors.Is(err, command.ErrTrailing) {
			t.Errorf("a byte more: %v", err)
		}
	}
	checkGolden(t, "read_v1.hex", command.AppendRead(nil, &command.Read{
		Kind: command.ReadReadDir, Cred: vfs.Cred{UID: 1, GID: 2, Groups: []uint32{3}}, Ref: vfs.Ref{Ino: 5, Gen: 6},
		Name: "n", Offset: 7, Count: 8, Plus: true,
	}))
}

func TestRead_Refused(t *testing.T) {
	for name, r := range map[string]command.Read{
		"kind 0":         {},
		"a kind to come": {Kind: command.ReadFetch + 1},
		"too much data":  {Kind: command.ReadRead, Count: vfs.MaxIO + 1},
	} {
		if _, err := command.DecodeRead(command.AppendRead(nil, &r)); err == nil {
			t.Error(name)
		}
	}
	enc := command.AppendRead(nil, &command.Read{Kind: command.ReadGetAttr})
	enc[0]++
	if _, err := command.DecodeRead(enc); !errors.Is(err, command.ErrUnknown) {
		t.Errorf("another version: %v", err)
	}
}

// Each answer survives the way, and every shorter one is refused.
func TestReadAnswers_RoundTrip(t *testing.T) {
	a := someAttr()
	dirent := vfs.Dirent{Name: "x", Ino: 3, Cookie: 1 << 40}
	plus := dirent
	plus.Attr = a
	for name, c := range map[string]struct {
		want   any
		enc    []byte
		decode func([]byte) (any, error)
	}{
		"getattr":       answerOf(vfs.AttrResult{Attr: a}, command.AppendGetAttr, command.DecodeGetAttr),
		"getattr stale": answerOf(vfs.AttrResult{Kind: vfs.Stale}, command.AppendGetAttr, command.DecodeGetAttr),
		"lookup":        answerOf(vfs.LookupResult{HasDir: true, Dir: a, Attr: a}, command.AppendLookup, command.DecodeLookup),
		"lookup none":   answerOf(vfs.LookupResult{Kind: vfs.NotExist, HasDir: true, Dir: a}, command.AppendLookup, command.DecodeLookup),
		"readlink":      answerOf(vfs.ReadlinkResult{HasAttr: true, Attr: a, Target: strings.Repeat("t", vfs.MaxTarget)}, command.AppendReadlink, command.DecodeReadlink),
		"statfs": answerOf(vfs.StatFSResult{HasAttr: true, Attr: a, TotalBytes: 1, FreeBytes: 2, Inodes: 3, FreeInodes: 4},
			command.AppendStatFS, command.DecodeStatFS),
		"readdir": answerOf(vfs.ReadDirResult{EOF: true, HasDir: true, Dir: a, Entries: []vfs.Dirent{dirent, plus}}, command.AppendReadDir,
			func(b []byte) (vfs.ReadDirResult, error) { return command.DecodeReadDir(b, 2) }),
	} {
		got, err := c.decode(c.enc)
		if d := cmp.Diff(c.want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
		for n := range c.enc {
			if _, err := c.decode(c.enc[:n]); err == nil {
				t.Fatalf("%s: %d of %d bytes are enough", name, n, len(c.enc))
			}
		}
		if _, err := c.decode(append(bytes.Clone(c.enc), 0)); err == nil {
			t.Errorf("%s: a byte more", name)
		}
	}
}

type roundTrip = struct {
	want   any
	enc    []byte
	decode func([]byte) (any, error)
}

func answerOf[T any](want T, enc func([]byte, *T) []byte, dec func([]byte) (T, error)) roundTrip {
	return roundTrip{want, enc(nil, &want), func(b []byte) (any, error) { return dec(b) }}
}

func TestReadData(t *testing.T) {
	data := []byte("some data")
	want := vfs.ReadResult{N: 4, EOF: true, HasAttr: true, Attr: someAttr()}
	enc := command.AppendData(nil, &want, data)
	buf := make([]byte, 6)
	got, err := command.DecodeData(enc, buf)
	if err != nil || !reflect.DeepEqual(got, want) || string(buf[:4]) != "some" {
		t.Errorf("%+v, %q, %v", got, buf, err)
	}
	if _, err := command.DecodeData(enc, buf[:3]); !errors.Is(err, command.ErrLimit) {
		t.Errorf("more than was asked for: %v", err)
	}
}

// A listing is cut to what an answer holds, and then does not end.
func TestReadDir_IsCut(t *testing.T) {
	long := vfs.ReadDirResult{EOF: true, HasDir: true, Dir: someAttr()}
	for range 4096 {
		long.Entries = append(long.Entries, vfs.Dirent{Name: strings.Repeat("n", vfs.MaxName), Ino: 1, Cookie: 9, Attr: someAttr()})
	}
	enc := command.AppendReadDir(nil, &long)
	got, err := command.DecodeReadDir(enc, len(long.Entries))
	if err != nil || len(enc) > command.MaxReadAnswer || got.EOF || len(got.Entries) < 2000 {
		t.Errorf("%d bytes, %d entries, end %v: %v", len(enc), len(got.Entries), got.EOF, err)
	}
	if _, err := command.DecodeReadDir(enc, 100); !errors.Is(err, command.ErrLimit) {
		t.Errorf("more than was asked for: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(command.AppendRead(nil, &command.Read{Kind: command.ReadLookup, Name: "n"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := command.DecodeRead(b); err == nil && !bytes.Equal(command.AppendRead(nil, &r), b) {
			t.Errorf("%x is not the one form of %+v", b, r)
		}
		_, _ = command.DecodeReadDir(b, 4096)
		_, _ = command.DecodeLookup(b)
		_, _ = command.DecodeData(b, make([]byte, 10))
	})
}
