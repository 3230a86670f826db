package client_test

import (
	"context"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"twofold/nfs/client"
	"twofold/replica/vfs"
)

// Pieces of wire bytes, written out from RFC 1813 by hand.
const (
	fhArg  = "00000004 aabbccdd"
	fh2Arg = "00000004 11223344"
	name   = "00000003 6e616d00" // "nam"
	name2  = "00000002 746f0000" // "to"
	noSet  = "00000000 00000000 00000000 00000000 00000000 00000000"

	// A directory, mode 0755, 2 links, 1000:100, size 4096, used 8192, rdev
	// 1:2, fsid 3, fileid 4, times 5.6, 7.8 and 9.10.
	attr = "00000002 000001ed 00000002 000003e8 00000064 0000000000001000 0000000000002000" +
		"00000001 00000002 0000000000000003 0000000000000004 00000005 00000006 00000007 00000008 00000009 0000000a"
	postAttr = "00000001" + attr
	wcc      = "00000001 0000000000000fff 0000000b 0000000c 0000000d 0000000e" + postAttr
	postFH   = "00000001" + fh2Arg
)

var (
	attrVal = client.Attr{
		Type: vfs.TypeDir, Mode: 0o755, Nlink: 2, UID: 1000, GID: 100, Size: 4096, Used: 8192,
		Rdev: vfs.Device{Major: 1, Minor: 2}, FSID: 3, FileID: 4,
		Atime: client.Time{Sec: 5, Nsec: 6}, Mtime: client.Time{Sec: 7, Nsec: 8}, Ctime: client.Time{Sec: 9, Nsec: 10},
	}
	wccVal = client.WCC{
		Before: &client.PreAttr{Size: 4095, Mtime: client.Time{Sec: 11, Nsec: 12}, Ctime: client.Time{Sec: 13, Nsec: 14}},
		After:  &attrVal,
	}
	fh, fh2 = client.FH{0xaa, 0xbb, 0xcc, 0xdd}, client.FH{0x11, 0x22, 0x33, 0x44}
	verf    = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
)

const verfArg = "01020304 05060708"

type procCase struct {
	name  string
	proc  uint32
	args  string
	reply string
	want  any
	call  func(ctx context.Context, c *client.Client) (any, error)
}

// result drops the type of a helper's result.
func result[T any](res T, err error) (any, error) { return res, err }

func cases() []procCase {
	type cl = *client.Client
	full := client.SetAttr{
		Mode: client.Ptr[uint32](0o644), UID: client.Ptr[uint32](1), GID: client.Ptr[uint32](2), Size: client.Ptr[uint64](3),
		SetAtime: client.ServerTime, SetMtime: client.ClientTime, Mtime: client.Time{Sec: 4, Nsec: 5},
	}
	const fullArg = "00000001 000001a4 00000001 00000001 00000001 00000002 00000001 0000000000000003 00000001 00000002 00000004 00000005"
	created := client.CreateRes{FH: fh2, Attr: &attrVal, Dir: wccVal}
	return []procCase{
		{"NULL", 0, "", "", nil, func(ctx context.Context, c cl) (any, error) { return nil, c.Null(ctx) }},
		{"GETATTR", 1, fhArg, "00000000" + attr, client.AttrRes{Attr: attrVal},
			func(ctx context.Context, c cl) (any, error) { return result(c.Getattr(ctx, fh)) }},
		{"GETATTR stale", 1, fhArg, "00000046", client.AttrRes{Status: client.ErrStale},
			func(ctx context.Context, c cl) (any, error) { return result(c.Getattr(ctx, fh)) }},
		{"SETATTR", 2, fhArg + fullArg + "00000001 00000007 00000008", "00000000" + wcc, client.WCCRes{WCC: wccVal},
			func(ctx context.Context, c cl) (any, error) {
				return result(c.Setattr(ctx, fh, full, &client.Time{Sec: 7, Nsec: 8}))
			}},
		{"SETATTR not in sync", 2, fhArg + noSet + "00000000", "00002712 00000000 00000000", client.WCCRes{Status: client.ErrNotSync},
			func(ctx context.Context, c cl) (any, error) { return result(c.Setattr(ctx, fh, client.SetAttr{}, nil)) }},
		{"LOOKUP", 3, fhArg + name, "00000000" + fh2Arg + postAttr + postAttr, client.LookupRes{FH: fh2, Attr: &attrVal, Dir: &attrVal},
			func(ctx context.Context, c cl) (any, error) { return result(c.Lookup(ctx, fh, "nam")) }},
		{"LOOKUP no such name", 3, fhArg + name, "00000002" + postAttr, client.LookupRes{Status: client.ErrNoEnt, Dir: &attrVal},
			func(ctx context.Context, c cl) (any, error) { return result(c.Lookup(ctx, fh, "nam")) }},
		{"ACCESS", 4, fhArg + "0000003f", "00000000" + postAttr + "00000003", client.AccessRes{Attr: &attrVal, Access: 3},
			func(ctx context.Context, c cl) (any, error) { return result(c.Access(ctx, fh, client.AccessAll)) }},
		{"READLINK", 5, fhArg, "00000000" + postAttr + name, client.ReadlinkRes{Attr: &attrVal, Target: "nam"},
			func(ctx context.Context, c cl) (any, error) { return result(c.Readlink(ctx, fh)) }},
		{"READ", 6, fhArg + "0000000000000007 00000064", "00000000" + postAttr + "00000003 00000001" + name,
			client.ReadRes{Attr: &attrVal, Count: 3, EOF: true, Data: []byte("nam")},
			func(ctx context.Context, c cl) (any, error) { return result(c.Read(ctx, fh, 7, 100)) }},
		{"WRITE", 7, fhArg + "0000000000000007 00000003 00000002" + name, "00000000" + wcc + "00000003 00000002" + verfArg,
			client.WriteRes{WCC: wccVal, Count: 3, Committed: client.FileSync, Verf: verf},
			func(ctx context.Context, c cl) (any, error) {
				return result(c.Write(ctx, fh, 7, []byte("nam"), client.FileSync))
			}},
		{"CREATE guarded", 8, fhArg + name + "00000001" + fullArg, "00000000" + postFH + postAttr + wcc, created,
			func(ctx context.Context, c cl) (any, error) {
				return result(c.Create(ctx, fh, "nam", client.CreateHow{Mode: vfs.CreateGuarded, Attr: full}))
			}},
		{"CREATE exclusive", 8, fhArg + name + "00000002" + verfArg, "00000011" + wcc, client.CreateRes{Status: client.ErrExist, Dir: wccVal},
			func(ctx context.Context, c cl) (any, error) {
				return result(c.Create(ctx, fh, "nam", client.CreateHow{Mode: vfs.CreateExclusive, Verf: verf}))
			}},
		{"MKDIR", 9, fhArg + name + noSet, "00000000 00000000 00000000" + wcc, client.CreateRes{Dir: wccVal},
			func(ctx context.Context, c cl) (any, error) { return result(c.Mkdir(ctx, fh, "nam", client.SetAttr{})) }},
		{"SYMLINK", 10, fhArg + name + noSet + name2, "00000000" + postFH + postAttr + wcc, created,
			func(ctx context.Context, c cl) (any, error) {
				return result(c.Symlink(ctx, fh, "nam", "to", client.SetAttr{}))
			}},
		{"MKNOD device", 11, fhArg + name + "00000004" + noSet + "00000007 00000008", "00000000" + postFH + postAttr + wcc, created,
			func(ctx context.Context, c cl) (any, error) {
				return result(c.Mknod(ctx, fh, "nam", client.MknodWhat{Type: vfs.TypeChr, Rdev: vfs.Device{Major: 7, Minor: 8}}))
			}},
		{"MKNOD fifo", 11, fhArg + name + "00000007" + noSet, "00000000" + postFH + postAttr + wcc, created,
			func(ctx context.Context, c cl) (any, error) {
				return result(c.Mknod(ctx, fh, "nam", client.MknodWhat{Type: vfs.TypeFifo}))
			}},
		{"REMOVE", 12, fhArg + name, "00000000" + wcc, client.WCCRes{WCC: wccVal},
			func(ctx context.Context, c cl) (any, error) { return result(c.Remove(ctx, fh, "nam")) }},
		{"RMDIR", 13, fhArg + name, "00000042" + wcc, client.WCCRes{Status: client.ErrNotEmpty, WCC: wccVal},
			func(ctx context.Context, c cl) (any, error) { return result(c.Rmdir(ctx, fh, "nam")) }},
		{"RENAME", 14, fhArg + name + fh2Arg + name2, "00000000" + wcc + "00000000 00000000", client.RenameRes{From: wccVal},
			func(ctx context.Context, c cl) (any, error) { return result(c.Rename(ctx, fh, "nam", fh2, "to")) }},
		{"LINK", 15, fhArg + fh2Arg + name, "00000000" + postAttr + wcc, client.LinkRes{Attr: &attrVal, Dir: wccVal},
			func(ctx context.Context, c cl) (any, error) { return result(c.Link(ctx, fh, fh2, "nam")) }},
		{"READDIR", 16, fhArg + "0000000000000009" + verfArg + "00001000",
			"00000000" + postAttr + verfArg + "00000001 0000000000000004" + name + "000000000000000a 00000000 00000001",
			client.ReadDirRes{Dir: &attrVal, Verf: verf, EOF: true, Entries: []client.Dirent{{FileID: 4, Name: "nam", Cookie: 10}}},
			func(ctx context.Context, c cl) (any, error) { return result(c.Readdir(ctx, fh, 9, verf, 4096)) }},
		{"READDIRPLUS", 17, fhArg + "0000000000000009" + verfArg + "00000200 00001000",
			"00000000" + postAttr + verfArg + "00000001 0000000000000004" + name + "000000000000000a" + postAttr + postFH + "00000000 00000000",
			client.ReadDirRes{Dir: &attrVal, Verf: verf, Entries: []client.Dirent{{FileID: 4, Name: "nam", Cookie: 10, Attr: &attrVal, FH: fh2}}},
			func(ctx context.Context, c cl) (any, error) {
				return result(c.Readdirplus(ctx, fh, 9, verf, 512, 4096))
			}},
		{"FSSTAT", 18, fhArg, "00000000" + postAttr + "0000000000000001 0000000000000002 0000000000000003 0000000000000004 0000000000000005 0000000000000006 00000007",
			client.FSStatRes{Attr: &attrVal, Tbytes: 1, Fbytes: 2, Abytes: 3, Tfiles: 4, Ffiles: 5, Afiles: 6, InvarSec: 7},
			func(ctx context.Context, c cl) (any, error) { return result(c.Fsstat(ctx, fh)) }},
		{"FSINFO", 19, fhArg, "00000000" + postAttr + "00000001 00000002 00000003 00000004 00000005 00000006 00000007 0000000000000008 00000009 0000000a 0000001b",
			client.FSInfoRes{Attr: &attrVal, Rtmax: 1, Rtpref: 2, Rtmult: 3, Wtmax: 4, Wtpref: 5, Wtmult: 6, Dtpref: 7, MaxFileSize: 8,
				TimeDelta: client.Time{Sec: 9, Nsec: 10}, Properties: 0x1b},
			func(ctx context.Context, c cl) (any, error) { return result(c.Fsinfo(ctx, fh)) }},
		{"PATHCONF", 20, fhArg, "00000000" + postAttr + "00000001 00000002 00000001 00000000 00000000 00000001",
			client.PathconfRes{Attr: &attrVal, Linkmax: 1, NameMax: 2, NoTrunc: true, CasePreserving: true},
			func(ctx context.Context, c cl) (any, error) { return result(c.Pathconf(ctx, fh)) }},
		{"COMMIT", 21, fhArg + "0000000000000007 00000008", "00000000" + wcc + verfArg, client.CommitRes{WCC: wccVal, Verf: verf},
			func(ctx context.Context, c cl) (any, error) { return result(c.Commit(ctx, fh, 7, 8)) }},
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProcedures_Golden(t *testing.T) {
	seen := make(map[uint32]bool)
	for _, tc := range cases() {
		t.Run(tc.name, func(t *testing.T) {
			srv := newFakeServer(t)
			go func() {
				call := srv.next()
				if call.Prog != 100003 || call.Vers != 3 || call.Proc != tc.proc {
					t.Errorf("call %d.%d.%d", call.Prog, call.Vers, call.Proc)
				}
				if want := unhex(t, tc.args); string(call.Args) != string(want) {
					t.Errorf("arguments\n got %x\nwant %x", call.Args, want)
				}
				srv.reply(call.XID, unhex(t, tc.reply))
			}()
			got, err := tc.call(t.Context(), srv.client)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("\n got %+v\nwant %+v", got, tc.want)
			}
		})
		seen[tc.proc] = true
	}
	if len(seen) != 22 {
		t.Errorf("%d of 22 procedures", len(seen))
	}
}

func TestProcedures_CutOrTooLongResultsAreErrors(t *testing.T) {
	for _, tc := range cases() {
		full := unhex(t, tc.reply)
		bad := [][]byte{append(full[:len(full):len(full)], 0, 0, 0, 0)}
		if len(full) > 4 {
			bad = append(bad, full[:len(full)-4])
		}
		for _, reply := range bad {
			srv := newFakeServer(t)
			go func() { srv.reply(srv.next().XID, reply) }()
			if _, err := tc.call(t.Context(), srv.client); err == nil {
				t.Errorf("%s: %d bytes of %d are accepted", tc.name, len(reply), len(full))
			}
		}
	}
}
