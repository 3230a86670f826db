package rpc_test

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// unhex reads hex digits with any white space between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sysCall is a call with AUTH_SYS as the Linux client sends it: machine "ab",
// uid 1000, gid 100, groups 4 and 24, then four bytes of arguments.
const sysCall = `
	00000011 00000000 00000002 000186a3 00000003 00000001
	00000001 00000020
		00000000 00000002 61620000 000003e8 00000064 00000002 00000004 00000018
	00000000 00000000
	0a0b0c0d`

func TestParseCall_AuthSys(t *testing.T) {
	rec := unhex(t, sysCall)
	var cache rpc.CredCache
	for range 2 { // decoded, then from the cache
		var c rpc.Call
		if err := rpc.ParseCall(rec, &c, &cache); err != nil {
			t.Fatal(err)
		}
		if c.XID != 0x11 || c.Prog != 100003 || c.Vers != 3 || c.Proc != 1 {
			t.Errorf("header: %+v", c)
		}
		if c.Cred.Flavor != rpc.AuthSys || c.Cred.Machine != "ab" || c.Cred.UID != 1000 || c.Cred.GID != 100 ||
			!slices.Equal(c.Cred.Groups, []uint32{4, 24}) {
			t.Errorf("credential: %+v", c.Cred)
		}
		if string(c.Args) != "\x0a\x0b\x0c\x0d" || len(c.CredBytes) != 32 || len(c.Record) != len(rec) {
			t.Errorf("args %x, %d credential bytes, %d record bytes", c.Args, len(c.CredBytes), len(c.Record))
		}
		rec[35] ^= 1 // the stamp changes from call to call
	}
}

func TestParseCall_CacheKeepsCredentialsApart(t *testing.T) {
	var cache rpc.CredCache
	for round := range 3 {
		for uid := range uint32(20) { // more than the cache holds
			var w xdr.Writer
			rpc.AppendCall(&w, 1, 2, 3, 4, &rpc.Cred{Flavor: rpc.AuthSys, UID: uid, GID: uid + 1, Groups: []uint32{uid + 2}})
			var c rpc.Call
			if err := rpc.ParseCall(w.B, &c, &cache); err != nil {
				t.Fatal(err)
			}
			if c.Cred.UID != uid || c.Cred.GID != uid+1 || c.Cred.Groups[0] != uid+2 {
				t.Fatalf("round %d, uid %d: %+v", round, uid, c.Cred)
			}
		}
	}
}

func TestParseCall_AuthNoneIsNobody(t *testing.T) {
	var w xdr.Writer
	rpc.AppendCall(&w, 1, 2, 3, 4, &rpc.Cred{})
	c := rpc.Call{Cred: rpc.Cred{Groups: []uint32{0}}} // left over from another call
	if err := rpc.ParseCall(w.B, &c, nil); err != nil {
		t.Fatal(err)
	}
	if c.Cred.Flavor != rpc.AuthNone || c.Cred.UID != 65534 || c.Cred.GID != 65534 || c.Cred.Groups != nil {
		t.Errorf("credential: %+v", c.Cred)
	}
}

func TestParseCall_Refuses(t *testing.T) {
	head := "00000011 00000000 00000002 000186a3 00000003 00000001 "
	noVerf := " 00000000 00000000"
	for _, c := range []struct {
		name string
		rec  string
		want error
	}{
		{"empty", "", rpc.ErrShortCall},
		{"xid only", "00000011", rpc.ErrShortCall},
		{"reply", "00000011 00000001", rpc.ErrNotCall},
		{"unknown type", "00000011 00000007", rpc.ErrNotCall},
		{"ends before the procedure", "00000011 00000000 00000002 000186a3 00000003", rpc.ErrShortCall},
		{"RPC version 3", "00000011 00000000 00000003 000186a3 00000003 00000001", rpc.ErrRPCMismatch},
		{"no credential", head, rpc.ErrGarbageArgs},
		{"ends within the credential", head + "00000001 00000020 00000000", rpc.ErrGarbageArgs},
		{"no verifier", head + "00000000 00000000", rpc.ErrGarbageArgs},
		{"AUTH_NONE with a body", head + "00000000 00000004 00000000" + noVerf, rpc.AuthBadCred},
		{"credential of 404 bytes", head + "00000001 00000194" + strings.Repeat("00000000", 101) + noVerf, rpc.AuthBadCred},
		{"RPCSEC_GSS", head + "00000006 00000000" + noVerf, rpc.AuthBadCred},
		{"RPCSEC_GSS with its first body", head + "00000006 00000014 00000001 00000001 00000000 00000001 00000000" + noVerf, rpc.AuthBadCred},
		{"AUTH_TLS", head + "00000007 00000000" + noVerf, rpc.AuthBadCred},
		{"AUTH_DH", head + "00000003 00000000" + noVerf, rpc.AuthBadCred},
		{"AUTH_SHORT", head + "00000002 00000000" + noVerf, rpc.AuthRejectedCred},
		{"AUTH_SHORT of 404 bytes", head + "00000002 00000194" + strings.Repeat("00000000", 101) + noVerf, rpc.AuthBadCred},
		{"AUTH_SYS without a body", head + "00000001 00000000" + noVerf, rpc.AuthBadCred},
		{"machine name of 256 bytes", head + "00000001 00000118 00000000 00000100" + strings.Repeat("61616161", 64) +
			"00000001 00000001 00000000 00000000" + noVerf, rpc.AuthBadCred},
		{"17 groups", head + "00000001 00000058 00000000 00000000 00000001 00000001 00000011" +
			strings.Repeat("00000007", 17) + noVerf, rpc.AuthBadCred},
		{"groups beyond the body", head + "00000001 00000018 00000000 00000000 00000001 00000001 00000002 00000007" + noVerf, rpc.AuthBadCred},
		{"verifier of another flavor", head + "00000000 00000000 00000001 00000000", rpc.AuthBadVerf},
		{"verifier with a body", head + "00000000 00000000 00000000 00000004 00000000", rpc.AuthBadVerf},
		{"verifier of 404 bytes", head + "00000000 00000000 00000000 00000194" + strings.Repeat("00000000", 101), rpc.AuthBadVerf},
	} {
		var call rpc.Call
		err := rpc.ParseCall(unhex(t, c.rec), &call, nil)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
		if err != rpc.ErrShortCall && call.XID != 0x11 {
			t.Errorf("%s: xid %x", c.name, call.XID)
		}
	}
}

func TestParseCall_DoesNotAllocate(t *testing.T) {
	rec := unhex(t, sysCall)
	var cache rpc.CredCache
	var c rpc.Call
	_ = rpc.ParseCall(rec, &c, &cache)
	if n := testing.AllocsPerRun(100, func() { _ = rpc.ParseCall(rec, &c, &cache) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func TestReplies_Golden(t *testing.T) {
	fail := func(err error) func(*xdr.Writer) {
		return func(w *xdr.Writer) {
			if !rpc.AppendError(w, 0x11, err) {
				t.Errorf("no reply for %v", err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		build func(*xdr.Writer)
		want  string
		err   error // what a client makes of it
	}{
		{"SUCCESS", func(w *xdr.Writer) { rpc.BeginReply(w, 0x11) }, "00000011 00000001 00000000 00000000 00000000 00000000", nil},
		{"PROG_UNAVAIL", func(w *xdr.Writer) { rpc.AppendProgUnavail(w, 0x11) }, "00000011 00000001 00000000 00000000 00000000 00000001", rpc.ErrProgUnavail},
		{"PROG_MISMATCH", func(w *xdr.Writer) { rpc.AppendProgMismatch(w, 0x11, 3, 4) }, "00000011 00000001 00000000 00000000 00000000 00000002 00000003 00000004", nil},
		{"PROC_UNAVAIL", fail(rpc.ErrProcUnavail), "00000011 00000001 00000000 00000000 00000000 00000003", rpc.ErrProcUnavail},
		{"GARBAGE_ARGS", fail(rpc.ErrGarbageArgs), "00000011 00000001 00000000 00000000 00000000 00000004", rpc.ErrGarbageArgs},
		{"SYSTEM_ERR", fail(rpc.ErrSystem), "00000011 00000001 00000000 00000000 00000000 00000005", rpc.ErrSystem},
		{"RPC_MISMATCH", fail(rpc.ErrRPCMismatch), "00000011 00000001 00000001 00000000 00000002 00000002", rpc.ErrRPCMismatch},
		{"AUTH_BADCRED", fail(rpc.AuthBadCred), "00000011 00000001 00000001 00000001 00000001", rpc.AuthBadCred},
		{"AUTH_REJECTEDCRED", fail(rpc.AuthRejectedCred), "00000011 00000001 00000001 00000001 00000002", rpc.AuthRejectedCred},
		{"AUTH_REJECTEDVERF", fail(rpc.AuthRejectedVerf), "00000011 00000001 00000001 00000001 00000004", rpc.AuthRejectedVerf},
		{"AUTH_BADVERF", fail(rpc.AuthBadVerf), "00000011 00000001 00000001 00000001 00000003", rpc.AuthBadVerf},
		{"AUTH_TOOWEAK", fail(rpc.ErrTooWeak), "00000011 00000001 00000001 00000001 00000005", rpc.ErrTooWeak},
	} {
		var w xdr.Writer
		c.build(&w)
		if want := unhex(t, c.want); string(w.B) != string(want) {
			t.Errorf("%s:\n got %x\nwant %x", c.name, w.B, want)
		}
		_, err := rpc.ParseReply(w.B)
		if c.name == "PROG_MISMATCH" {
			var m *rpc.MismatchError
			if !errors.As(err, &m) || m.Low != 3 || m.High != 4 {
				t.Errorf("%s: client's error %v", c.name, err)
			}
			continue
		}
		if !errors.Is(err, c.err) {
			t.Errorf("%s: client's error %v, want %v", c.name, err, c.err)
		}
	}
}

func TestAppendError_NoAnswer(t *testing.T) {
	for _, err := range []error{rpc.ErrDrop, rpc.ErrShortCall, rpc.ErrNotCall, errors.New("any other")} {
		var w xdr.Writer
		if rpc.AppendError(&w, 1, err) || w.Len() != 0 {
			t.Errorf("%v is answered: %x", err, w.B)
		}
	}
}

func TestAppendCall_Golden(t *testing.T) {
	var w xdr.Writer
	rpc.AppendCall(&w, 0x11, 100003, 3, 1, &rpc.Cred{Flavor: rpc.AuthSys, Machine: "ab", UID: 1000, GID: 100, Groups: []uint32{4, 24}})
	w.Uint32(0x0a0b0c0d)
	if want := unhex(t, sysCall); string(w.B) != string(want) {
		t.Errorf("\n got %x\nwant %x", w.B, want)
	}
}
