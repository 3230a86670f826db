package rpcbind

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// validCalls returns a whole call of each procedure of each version, those that
// are not served included.
func validCalls(t testing.TB) [][]byte {
	args := map[[2]int]string{
		{2, 1}: mapLock, {2, 2}: mapLock, {2, 3}: mapNFS, {2, 5}: mapNFS + "00000000",
		{3, 1}: rpcbLock, {3, 2}: rpcbLock, {3, 3}: rpcbNFS, {3, 5}: mapNFS + "00000000",
		{3, 7}: "00000007 3a3a2e31312e3100", {3, 8}: "00000010 00000000",
		{4, 1}: rpcbLock, {4, 2}: rpcbLock, {4, 3}: rpcbNFS, {4, 5}: mapNFS + "00000000", {4, 9}: rpcbNFS, {4, 10}: mapNFS + "00000000", {4, 11}: rpcbNFS,
	}
	var calls [][]byte
	for version, procs := range map[int]int{2: 6, 3: 9, 4: 13} {
		for proc := range procs {
			calls = append(calls, message(t, version, proc, args[[2]int{version, proc}]))
		}
	}
	return calls
}

// FuzzDatagram: whatever comes, a reply is a reply to it and within its limit;
// other hosts change nothing, and the host itself fills no more than there is.
func FuzzDatagram(f *testing.F) {
	for _, call := range validCalls(f) {
		f.Add(call, true)
		f.Add(call, false)
	}
	s := &server{table: nfsTable()}
	own := len(s.own)
	f.Fuzz(func(t *testing.T, rec []byte, local bool) {
		o := remoteUDP
		if local {
			o = localUDP6
		}
		before := len(s.set)
		var w xdr.Writer
		answered := s.answerDatagram(rec, o, &w)
		if len(s.set) > maxSet || len(s.own) != own || !local && len(s.set) != before {
			t.Fatalf("%d entries, %d before", len(s.set), before)
		}
		if answered {
			checkReply(t, rec, w.B)
		}
		if w.Len() > maxDatagram {
			t.Fatalf("a reply of %d bytes", w.Len())
		}
	})
}

// checkReply checks that rep is a well-formed reply to the call rec.
func checkReply(t *testing.T, rec, rep []byte) {
	t.Helper()
	if xid, ok := rpc.ReplyXID(rep); !ok || len(rec) < 24 || !bytes.Equal(rec[:4], rep[:4]) {
		t.Fatalf("reply %x (xid %d) to %x", rep, xid, rec)
	}
	res, err := rpc.ParseReply(rep)
	var call rpc.Call
	if err != nil || rpc.ParseCall(rec, &call, nil) != nil || call.Proc != procDump || call.Vers == version2 {
		return
	}
	if list, err := readDump(xdr.NewReader(res)); err != nil || len(list) < 4 {
		t.Fatalf("list of %d entries, %v", len(list), err)
	}
}

// FuzzStream: whatever comes over TCP, the connection ends and all that was
// written are whole replies.
func FuzzStream(f *testing.F) {
	var all []byte
	for _, call := range validCalls(f) {
		var w xdr.Writer
		rpc.BeginRecord(&w)
		w.B = append(w.B, call...)
		rpc.EndRecord(&w, 0)
		f.Add(w.B)
		all = append(all, w.B...)
	}
	f.Add(all)
	s := &server{table: nfsTable()}
	f.Fuzz(func(t *testing.T, stream []byte) {
		nc := &memConn{in: bytes.NewReader(stream)}
		s.serveConn(nc)
		if !nc.closed || len(s.set) != 0 {
			t.Fatalf("closed: %v, entries: %d", nc.closed, len(s.set))
		}
		rr := rpc.NewRecordReader(&nc.out, rpc.DefaultRecordLimits)
		for {
			rec, err := rr.Next(func(b []byte, n int, _ bool) ([]byte, error) { return append(b, make([]byte, n)...), nil })
			if err == io.EOF {
				return
			}
			if _, ok := rpc.ReplyXID(rec); err != nil || !ok {
				t.Fatalf("reply %x, %v", rec, err)
			}
		}
	})
}

// FuzzDump: no list that a rpcbind sends makes the reader panic or grow without
// a bound.
func FuzzDump(f *testing.F) {
	var w xdr.Writer
	nfsTable().dump(&w)
	f.Add(w.B)
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := readDump(xdr.NewReader(b))
		if err == nil && len(list)*24 > len(b) || len(list) > maxDump {
			t.Fatalf("%d entries of %d bytes", len(list), len(b))
		}
		for _, e := range list {
			if a, ok := parseAddr(e.addr); ok && a.Port() != 0 {
				parseBack(t, a)
			}
		}
	})
}

func parseBack(t *testing.T, a netip.AddrPort) {
	t.Helper()
	if b, ok := parseAddr(formatAddr(a)); !ok || b != a {
		t.Fatalf("%s became %s", a, b)
	}
}

// memConn is a net.Conn from afar over bytes.
type memConn struct {
	in     *bytes.Reader
	out    bytes.Buffer
	closed bool
}

func (c *memConn) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c *memConn) Write(b []byte) (int, error) { return c.out.Write(b) }
func (c *memConn) Close() error                { c.closed = true; return nil }
func (c *memConn) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:111"))
}
func (c *memConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.7:999"))
}
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }
