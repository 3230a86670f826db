package nfs_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"twofold/nfs"
	"twofold/nfs/rpc"
)

// unhex reads hex digits with any white space between them.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Headers of calls with XID 11, up to the credential, and what replies begin with.
const (
	none  = " 00000000 00000000" // AUTH_NONE, as a credential and as a verifier
	sys   = " 00000001 00000018 00000001 00000003 61626300 000003e8 00000064 00000000"
	head2 = "00000011 00000000 00000002 "

	accepted    = "00000011 00000001 00000000 00000000 00000000 "
	authError   = "00000011 00000001 00000001 00000001 "
	rpcMismatch = "00000011 00000001 00000001 00000000 00000002 00000002"

	progNFS   = "000186a3 "
	progMount = "000186a5 "
)

// What a client sends to find out what there is, as it is on the wire, and what
// it gets. Linux: mount.nfs asks for version 4 first, then falls back; the kernel
// asks for NFS_ACL, and for NLM and NSM unless nolock is set. macOS and FreeBSD
// begin with NULL calls of NFS and MOUNT; quota tools ask for RQUOTA.
var answers = []struct{ name, call, reply string }{
	{"NFSv3 NULL with AUTH_NONE", head2 + progNFS + "00000003 00000000" + none + none, accepted + "00000000"},
	{"NFSv3 NULL with AUTH_SYS", head2 + progNFS + "00000003 00000000" + sys + none, accepted + "00000000"},
	{"MOUNT v3 NULL", head2 + progMount + "00000003 00000000" + none + none, accepted + "00000000"},
	{"NFSv4 NULL", head2 + progNFS + "00000004 00000000" + none + none, accepted + "00000002 00000003 00000003"},
	{"NFSv4 COMPOUND", head2 + progNFS + "00000004 00000001" + sys + none + "00000000 00000002 00000000", accepted + "00000002 00000003 00000003"},
	{"NFSv2 NULL", head2 + progNFS + "00000002 00000000" + none + none, accepted + "00000002 00000003 00000003"},
	{"NFSv2 GETATTR", head2 + progNFS + "00000002 00000001" + sys + none + strings.Repeat("00000000", 8), accepted + "00000002 00000003 00000003"},
	{"NFS version 0", head2 + progNFS + "00000000 00000000" + none + none, accepted + "00000002 00000003 00000003"},
	{"MOUNT v1 NULL", head2 + progMount + "00000001 00000000" + none + none, accepted + "00000002 00000003 00000003"},
	{"MOUNT v2 MNT", head2 + progMount + "00000002 00000001" + sys + none + "00000001 2f000000", accepted + "00000002 00000003 00000003"},
	{"NFS_ACL v3 NULL", head2 + "00018783 00000003 00000000" + none + none, accepted + "00000001"},
	{"NFS_ACL v3 GETACL", head2 + "00018783 00000003 00000001" + sys + none + "00000000", accepted + "00000001"},
	{"NLM v4 NULL", head2 + "000186b5 00000004 00000000" + none + none, accepted + "00000001"},
	{"NLM v1 NULL", head2 + "000186b5 00000001 00000000" + none + none, accepted + "00000001"},
	{"NSM v1 NULL", head2 + "000186b8 00000001 00000000" + none + none, accepted + "00000001"},
	{"RQUOTA v1 NULL", head2 + "000186ab 00000001 00000000" + none + none, accepted + "00000001"},
	{"portmap v2 NULL", head2 + "000186a0 00000002 00000000" + none + none, accepted + "00000001"},
	{"an NFSv3 procedure that is not there", head2 + progNFS + "00000003 00000016" + sys + none, accepted + "00000003"},
	{"a MOUNT procedure that is not there", head2 + progMount + "00000003 00000063" + sys + none, accepted + "00000003"},
	{"arguments that do not decode", head2 + progNFS + "00000003 00000003" + sys + none, accepted + "00000004"},
	{"a server's own fault", head2 + progNFS + "00000003 00000004" + sys + none, accepted + "00000005"},
	{"RPC version 1", "00000011 00000000 00000001 " + progNFS + "00000003 00000000" + none + none, rpcMismatch},
	{"RPC version 3 of an unknown program", "00000011 00000000 00000003 00012345 00000003 00000000" + none + none, rpcMismatch},
	{"AUTH_TLS probe", head2 + progNFS + "00000003 00000000 00000007 00000000" + none, authError + "00000001"},
	{"AUTH_TLS probe of NFSv4", head2 + progNFS + "00000004 00000000 00000007 00000000" + none, authError + "00000001"},
	{"RPCSEC_GSS context creation", head2 + progNFS + "00000003 00000000 00000006 00000014 00000001 00000001 00000000 00000001 00000000" + none + "00000000", authError + "00000001"},
	{"RPCSEC_GSS to an unknown program", head2 + "000186b5 00000004 00000000 00000006 00000000" + none, authError + "00000001"},
	{"AUTH_DH", head2 + progNFS + "00000003 00000000 00000003 00000000" + none, authError + "00000001"},
	{"AUTH_SHORT", head2 + progNFS + "00000003 00000000 00000002 00000004 00000007" + none, authError + "00000002"},
	{"AUTH_SYS that does not decode", head2 + progNFS + "00000003 00000000 00000001 00000004 00000001" + none, authError + "00000001"},
	{"AUTH_SYS as a verifier", head2 + progNFS + "00000003 00000000" + sys + sys, authError + "00000003"},
	{"a verifier with a body", head2 + progNFS + "00000003 00000000" + none + " 00000000 00000004 00000000", authError + "00000003"},
	{"ends within the credential", head2 + progNFS + "00000003 00000000 00000001 00000018 00000001", accepted + "00000004"},
}

// startAnswers serves the numbers of NFS and MOUNT by the test's handler, whose
// procedure 3 cannot decode its arguments and whose procedure 4 panics.
func startAnswers(t *testing.T, change func(*nfs.Config)) string {
	h := newHandler()
	h.err = rpc.ErrGarbageArgs
	_, addr := startTCP(t, h, func(c *nfs.Config) {
		c.Programs = []nfs.Program{
			{Number: nfs.ProgramNFS, Version: nfs.VersionNFS, Handler: h},
			{Number: nfs.ProgramMount, Version: nfs.VersionMount, Handler: h},
		}
		if change != nil {
			change(c)
		}
	})
	return addr
}

// Each answer, byte by byte, and all of them over one connection: no refusal
// costs the client its connection.
func TestAnswers(t *testing.T) {
	nc := rawDial(t, startAnswers(t, nil))
	for _, a := range answers {
		write(t, nc, record(unhex(t, a.call)))
		wantReply(t, nc, a.name, unhex(t, a.reply))
	}
}

func wantReply(t *testing.T, nc net.Conn, name string, reply []byte) {
	t.Helper()
	want := record(reply)
	got := make([]byte, len(want))
	if n, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x, %v\nwant %x", name, got[:n], err, want)
	}
}

// fragments cuts msg as cut says, with a last fragment of its own if it is empty.
func fragments(msg []byte, size int, emptyBetween, emptyEnd bool) (b []byte) {
	for at := 0; at < len(msg); at += size {
		end := min(at+size, len(msg))
		if emptyBetween {
			b = append(b, fragment(false, nil)...)
		}
		b = append(b, fragment(end == len(msg) && !emptyEnd, msg[at:end])...)
	}
	if emptyEnd {
		b = append(b, fragment(true, nil)...)
	}
	return b
}

// However a call is cut into fragments, and however these arrive, it gets the
// same answer.
func TestAnswers_AnyFragmentation(t *testing.T) {
	nc := rawDial(t, startAnswers(t, nil))
	for _, a := range answers {
		msg := unhex(t, a.call)
		for _, b := range [][]byte{
			fragments(msg, 1, false, false),
			fragments(msg, 1, true, true),
			fragments(msg, 3, true, false),
			fragments(msg, 7, false, true),
			fragments(msg, len(msg), true, true),
		} {
			write(t, nc, b)
			wantReply(t, nc, a.name, unhex(t, a.reply))
		}
	}
	for _, b := range fragments(unhex(t, answers[0].call), 5, true, true) {
		write(t, nc, []byte{b}) // a segment each
	}
	wantReply(t, nc, "byte by byte", unhex(t, answers[0].reply))
}

// A record over a limit closes its connection, and the log says which limit.
func TestLimits_RecordsOverThemAreLogged(t *testing.T) {
	null := unhex(t, answers[0].call)
	for name, c := range map[string]struct {
		send   []byte
		reason string
		logged string
	}{
		"too long":                    {[]byte{0x80, 0, 0x10, 1}, "record", "4097 bytes, 4096 are allowed"},
		"too long over two fragments": {append(fragment(false, make([]byte, 4000)), 0x80, 0, 0, 97), "record", "4097 bytes, 4096 are allowed"},
		"too many fragments":          {fragments(null, 1, false, false), "fragments", "20 are allowed"},
		"too many empty fragments":    {bytes.Repeat(fragment(false, nil), 21), "fragments", "20 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			obs := &counter{}
			addr := startAnswers(t, func(cfg *nfs.Config) {
				cfg.Limits.Record, cfg.Limits.Fragments = 4096, 20
				cfg.Observer, cfg.Logger = obs, slog.New(slog.NewTextHandler(&log, nil))
			})
			nc := rawDial(t, addr)
			write(t, nc, c.send)
			if n, err := nc.Read(make([]byte, 1)); n != 0 || isTimeout(err) {
				t.Errorf("read %d bytes, %v", n, err)
			}
			eventually(t, "it is counted", func() bool { return obs.cut(c.reason) == 1 })
			eventually(t, "it is logged", func() bool { return strings.Contains(log.String(), c.logged) })
			for range 50 { // the log has a limit of its own
				nc := rawDial(t, addr)
				write(t, nc, c.send)
				_, _ = nc.Read(make([]byte, 1))
			}
			eventually(t, "all are counted", func() bool { return obs.cut(c.reason) == 51 })
			if n := strings.Count(log.String(), "\n"); n > 10 {
				t.Errorf("%d lines in the log", n)
			}
		})
	}
}
