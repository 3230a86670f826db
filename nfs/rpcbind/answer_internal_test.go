package rpcbind

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// The messages here were written by hand from RFC 1833 and RFC 5531: a call with
// AUTH_NONE, and the reply up to accept_stat.
const (
	callHead  = "0000002a 00000000 00000002 000186a0 %08x %08x 00000000 00000000 00000000 00000000"
	replyHead = "0000002a 00000001 00000000 00000000 00000000 "

	success      = replyHead + "00000000"
	progMismatch = replyHead + "00000002 00000002 00000004"
	procUnavail  = replyHead + "00000003"
	garbageArgs  = replyHead + "00000004"
	isTrue       = success + "00000001"
	isFalse      = success + "00000000"

	// Arguments: mapping of NFS, then rpcbs of NFS, lockd and nobody.
	mapNFS    = "000186a3 00000003 00000006 00000000"
	rpcbNFS   = "000186a3 00000003 00000003 74637000 00000000 00000000"
	rpcbLock  = "000186b5 00000004 00000003 74637000 0000000d 302e302e302e302e38322e3131000000 00000001 30000000"
	rpcbOther = "00000007 00000001 00000003 74637000 00000000 00000000"
	mapLock   = "000186b5 00000004 00000011 00000053"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func message(t testing.TB, version, proc int, args string) []byte {
	return unhex(t, fmt.Sprintf(callHead, version, proc)+args)
}

// nfsTable is that of a node whose port is 2049 on all addresses.
func nfsTable() *table {
	all := netip.MustParseAddrPort("[::]:2049")
	return newTable([]Service{{100003, 3, all}, {100005, 3, all}}, []Service{{100021, 4, all}}, []netip.AddrPort{
		netip.MustParseAddrPort("0.0.0.0:111"), netip.MustParseAddrPort("[::]:111"),
	})
}

func from(netid, peer, local string) origin {
	return origin{netid: netid, peer: netip.MustParseAddrPort(peer), local: netip.MustParseAddr(local)}
}

var (
	remoteTCP = from(netTCP, "192.0.2.7:999", "192.0.2.1")
	remoteUDP = from(netUDP, "192.0.2.7:999", "192.0.2.1")
	remote6   = from(netTCP6, "[2001:db8::7]:999", "2001:db8::1")
	localRoot = from(netTCP, "127.0.0.1:999", "127.0.0.1")
	localUser = from(netTCP, "127.0.0.1:2000", "127.0.0.1")
	localUDP6 = from(netUDP6, "[::1]:999", "::1")
)

func TestAnswer_Golden(t *testing.T) {
	for _, c := range []struct {
		name          string
		from          origin
		version, proc int
		args, want    string
	}{
		{"v2 NULL", remoteUDP, 2, 0, "", success},
		{"v2 GETPORT", remoteUDP, 2, 3, mapNFS, success + "00000801"},
		{"v2 GETPORT of another version", remoteUDP, 2, 3, "000186a3 00000004 00000006 00000000", success + "00000801"},
		{"v2 GETPORT over UDP", remoteUDP, 2, 3, "000186a3 00000003 00000011 00000000", success + "00000000"},
		{"v2 GETPORT of nobody", remoteUDP, 2, 3, "00000007 00000001 00000006 00000000", success + "00000000"},
		{"v2 DUMP", remoteTCP, 2, 4, "", success +
			"00000001 000186a0 00000004 00000006 0000006f 00000001 000186a0 00000003 00000006 0000006f" +
			"00000001 000186a0 00000002 00000006 0000006f 00000001 000186a0 00000004 00000011 0000006f" +
			"00000001 000186a0 00000003 00000011 0000006f 00000001 000186a0 00000002 00000011 0000006f" +
			"00000001 000186a3 00000003 00000006 00000801 00000001 000186a5 00000003 00000006 00000801 00000000"},
		{"v2 CALLIT", remoteUDP, 2, 5, "000186a5 00000003 00000000 00000000", procUnavail},
		{"v2 SET from afar", remoteTCP, 2, 1, mapLock, isFalse},
		{"v2 UNSET from afar", remoteTCP, 2, 2, mapLock, isFalse},
		{"v2 port of 65536", localRoot, 2, 1, "000186b5 00000004 00000011 00010000", garbageArgs},
		{"v3 NULL", remoteUDP, 3, 0, "", success},
		{"v3 GETADDR", remoteTCP, 3, 3, rpcbNFS, success + "0000000d 3139322e302e322e312e382e31000000"},
		{"v3 GETVERSADDR", remoteTCP, 3, 9, rpcbNFS, procUnavail},
		{"v3 GETADDRLIST", remoteTCP, 3, 11, rpcbNFS, procUnavail},
		{"v3 CALLIT", remoteUDP, 3, 5, rpcbNFS, procUnavail},
		{"v3 SET from afar", remoteTCP, 3, 1, rpcbLock, isFalse},
		{"v4 GETADDR", remoteTCP, 4, 3, rpcbNFS, success + "0000000d 3139322e302e322e312e382e31000000"},
		{"v4 GETADDR over IPv6", remote6, 4, 3, rpcbNFS, success + "0000000f 323030313a6462383a3a312e382e3100"},
		{"v4 GETADDR, the transport counts", remoteUDP, 4, 3, rpcbNFS, success + "00000000"},
		{"v4 GETADDR of nobody", remoteTCP, 4, 3, rpcbOther, success + "00000000"},
		{"v4 GETADDR of another version", remoteTCP, 4, 3, strings.Replace(rpcbNFS, "00000003", "00000004", 1),
			success + "0000000d 3139322e302e322e312e382e31000000"},
		{"v4 GETVERSADDR", remoteTCP, 4, 9, rpcbNFS, success + "0000000d 3139322e302e322e312e382e31000000"},
		{"v4 GETVERSADDR of another version", remoteTCP, 4, 9, strings.Replace(rpcbNFS, "00000003", "00000004", 1), success + "00000000"},
		{"v4 GETADDRLIST", remoteTCP, 4, 11, rpcbNFS, success + "00000001 0000000d 3139322e302e322e312e382e31000000" +
			"00000003 74637000 00000003 00000004 696e6574 00000003 74637000 00000000"},
		{"v4 BCAST", remoteUDP, 4, 5, rpcbNFS, procUnavail},
		{"v4 INDIRECT", remoteUDP, 4, 10, rpcbNFS, procUnavail},
		{"v4 GETSTAT", remoteUDP, 4, 12, "", procUnavail},
		{"v4 SET from afar", remoteTCP, 4, 1, rpcbLock, isFalse},
		{"v4 UNSET from afar", remoteTCP, 4, 2, rpcbNFS, isFalse},
		{"v4 SET by no root", localUser, 4, 1, rpcbLock, isFalse},
		{"v4 SET of ours", localRoot, 4, 1, rpcbNFS, isFalse},
		{"v4 UNSET of ours", localRoot, 4, 2, rpcbNFS, isFalse},
		{"v4 SET", localRoot, 4, 1, rpcbLock, isTrue},
		{"v4 SET over UDP and IPv6", localUDP6, 4, 1, rpcbLock, isTrue},
		{"v4 UNSET", localRoot, 4, 2, rpcbLock, isTrue},
		{"v4 UNSET of nobody", localRoot, 4, 2, rpcbOther, isTrue},
		{"v4 garbage", remoteTCP, 4, 3, "000186a3", garbageArgs},
		{"v4 string over the limit", remoteTCP, 4, 3, "000186a3 00000003 00000101" + strings.Repeat("61", 260) + "00000000 00000000", garbageArgs},
		{"version 1", remoteTCP, 1, 0, "", progMismatch},
		{"version 5", remoteTCP, 5, 0, "", progMismatch},
	} {
		var w xdr.Writer
		if !nfsTable().answer(message(t, c.version, c.proc, c.args), c.from, &w) {
			t.Errorf("%s: no answer", c.name)
		} else if want := unhex(t, c.want); !bytes.Equal(w.B, want) {
			t.Errorf("%s:\n got %x\nwant %x", c.name, w.B, want)
		}
	}
}

// Whoever looks for a lock manager gets an address where there is none, which
// tells it so, unless this host's own lockd is what a remote server looks for.
func TestAnswer_Absent(t *testing.T) {
	const mapNLM = "000186b5 00000004 00000006 00000000"
	// lockd registers 100021 version 4 for TCP at 0.0.0.0.128.2, port 32770.
	setLockd := message(t, 2, 1, "000186b5 00000004 00000006 00008002")
	ownAddr := from(netTCP, "192.0.2.1:999", "192.0.2.1")
	const nfsPort, lockd, none = success + "00000801", success + "00008002", success + "00000000"
	for _, c := range []struct {
		name   string
		lockd  bool
		from   origin
		args   string
		answer string
	}{
		{"a client", false, remoteTCP, mapNLM, nfsPort},
		{"a client, another version", false, remoteTCP, "000186b5 00000001 00000006 00000000", nfsPort},
		{"a client over UDP to the mapper", false, remoteUDP, mapNLM, nfsPort},
		{"a client that wants UDP", false, remoteTCP, "000186b5 00000004 00000011 00000000", none},
		{"a server that calls lockd back", true, remoteTCP, mapNLM, lockd},
		{"this host, by loopback", true, localUser, mapNLM, nfsPort},
		{"this host, by its address", true, ownAddr, mapNLM, nfsPort},
	} {
		tab := nfsTable()
		var w xdr.Writer
		if c.lockd {
			if tab.answer(setLockd, localRoot, &w); !bytes.Equal(w.B, unhex(t, isTrue)) {
				t.Fatalf("%s: lockd cannot register: %x", c.name, w.B)
			}
		}
		w = xdr.Writer{}
		tab.answer(message(t, 2, 3, c.args), c.from, &w)
		if want := unhex(t, c.answer); !bytes.Equal(w.B, want) {
			t.Errorf("%s:\n got %x\nwant %x", c.name, w.B, want)
		}
		if slices.ContainsFunc(tab.all(), func(e entry) bool { return e.program == 100021 && !c.lockd }) {
			t.Errorf("%s: the program is listed", c.name)
		}
	}
}

// The rpcblist of version 4 has each entry as it was registered, with its owner.
func TestAnswer_DumpGolden(t *testing.T) {
	tab := &table{own: Service{100003, 3, netip.MustParseAddrPort("[::]:12049")}.entries(superuser)}
	const want = success +
		"00000001 000186a3 00000003 00000003 74637000 0000000d 302e302e302e302e34372e3137000000 00000009 737570657275736572000000" +
		"00000001 000186a3 00000003 00000004 74637036 00000008 3a3a2e34372e3137 00000009 737570657275736572000000 00000000"
	for _, version := range []int{3, 4} {
		var w xdr.Writer
		if tab.answer(message(t, version, 4, ""), remoteTCP, &w); !bytes.Equal(w.B, unhex(t, want)) {
			t.Errorf("version %d: %x", version, w.B)
		}
	}
}

func TestAnswer_GetTime(t *testing.T) {
	var w xdr.Writer
	nfsTable().answer(message(t, 4, 6, ""), remoteTCP, &w)
	r := xdr.NewReader(w.B[24:])
	if d := time.Since(time.Unix(int64(r.Uint32()), 0)); d < -time.Second || d > time.Minute {
		t.Errorf("%s ago", d)
	}
}

// What a local program registers in one version is known in the others.
func TestAnswer_LocalPrograms(t *testing.T) {
	tab := nfsTable()
	step := func(what string, o origin, version, proc int, args, want string) {
		t.Helper()
		var w xdr.Writer
		if tab.answer(message(t, version, proc, args), o, &w); !bytes.Equal(w.B, unhex(t, want)) {
			t.Errorf("%s: %x", what, w.B)
		}
	}
	step("v4 SET", localRoot, 4, 1, rpcbLock, isTrue)
	step("the same again", localRoot, 4, 1, rpcbLock, isTrue)
	step("another address", localRoot, 4, 1, strings.Replace(rpcbLock, "3131", "3132", 1), isFalse)
	step("v2 SET", localRoot, 2, 1, mapLock, isTrue)
	step("v2 GETPORT", remoteUDP, 2, 3, "000186b5 00000004 00000006 00000000", success+"0000520b")
	step("v2 GETPORT over UDP", remoteUDP, 2, 3, "000186b5 00000004 00000011 00000000", success+"00000053")
	step("v4 GETADDR", remoteUDP, 4, 3, rpcbLock, success+"0000000e 3139322e302e322e312e302e38330000")
	step("v2 UNSET takes both", localRoot, 2, 2, "000186b5 00000004 00000000 00000000", isTrue)
	step("v2 GETPORT of what is absent", remoteUDP, 2, 3, "000186b5 00000004 00000006 00000000", success+"00000801")
	if n := len(tab.set); n != 0 {
		t.Errorf("%d entries left", n)
	}
}

func TestTable_IsBounded(t *testing.T) {
	tab := nfsTable()
	for i := range uint32(2 * maxSet) {
		ok := tab.register(entry{program: 200000 + i, version: 1, netid: netTCP6, addr: "2001:db8:1111:2222:3333:4444:5555:6666.8.2"})
		if ok != (i < maxSet) {
			t.Fatalf("entry %d: %v", i, ok)
		}
	}
	var w xdr.Writer
	tab.answer(message(t, 4, 4, ""), remoteTCP, &w)
	if list, err := readDump(xdr.NewReader(w.B[24:])); err != nil || len(list) != len(tab.own)+maxSet {
		t.Errorf("%d entries, %v", len(list), err)
	}
	w.Truncate(0)
	tab.answer(message(t, 4, 4, ""), remoteUDP, &w)
	if _, err := rpc.ParseReply(w.B); err != rpc.ErrSystem || w.Len() > maxDatagram {
		t.Errorf("a list of %d bytes in a datagram, %v", w.Len(), err)
	}
}

func TestTable_RefusesNonsense(t *testing.T) {
	tab := nfsTable()
	for _, e := range []entry{
		{program: 7, netid: "local", addr: "/run/x"}, {program: 7, netid: netTCP, addr: "hello"},
		{program: 7, netid: netTCP, addr: "0.0.0.0.0.0"}, {program: 7, netid: netTCP, addr: "0.0.0.0.256.1"},
		{program: 100000, netid: netTCP, addr: "0.0.0.0.8.2"}, {program: 100005, version: 1, netid: netUDP, addr: "0.0.0.0.8.2"},
	} {
		if tab.register(e) {
			t.Errorf("%+v was taken", e)
		}
	}
}

func TestAnswerDatagram_SaysNothing(t *testing.T) {
	s := &server{table: nfsTable()}
	good := message(t, 2, 0, "")
	badVersion, badCred := bytes.Clone(good), bytes.Clone(good)
	badVersion[11], badCred[27] = 3, 9
	reply := bytes.Clone(good)
	reply[7] = 1
	noPort, noLocal, multicast := remoteUDP, remoteUDP, remoteUDP
	noPort.peer = netip.AddrPortFrom(remoteUDP.peer.Addr(), 0)
	noLocal.local = netip.Addr{}
	multicast.local = netip.MustParseAddr("224.0.0.1")
	for _, c := range []struct {
		name string
		rec  []byte
		from origin
	}{
		{"empty", nil, remoteUDP}, {"cut in its header", good[:20], remoteUDP}, {"cut in its credential", good[:30], remoteUDP},
		{"a reply", reply, remoteUDP}, {"RPC version 3", badVersion, remoteUDP}, {"flavor 9", badCred, remoteUDP},
		{"from port 0", good, noPort}, {"to an unknown address", good, noLocal}, {"to a group", good, multicast},
	} {
		var w xdr.Writer
		if s.answerDatagram(c.rec, c.from, &w) {
			t.Errorf("%s: answered with %x", c.name, w.B)
		}
	}
	var w xdr.Writer
	if !s.answerDatagram(good, remoteUDP, &w) {
		t.Error("a good call: no answer")
	}
}

// A flood of DUMPs in the name of somebody else gets a bounded number of bytes;
// what is shorter than its call, and the host itself, are served on.
func TestAnswerDatagram_MultipliesNoFlood(t *testing.T) {
	s := &server{table: nfsTable()}
	now := time.Now()
	sent := 0
	dump := message(t, 4, 4, "")
	for range 10000 {
		var w xdr.Writer
		if s.answerDatagram(dump, remoteUDP, &w) {
			sent += w.Len() - len(dump)
		}
	}
	if limit := int(2+time.Since(now)/time.Second) * maxSurplus; sent == 0 || sent > limit {
		t.Errorf("%d bytes more than came, the limit is %d", sent, limit)
	}
	s.surplus.used, s.surplus.last = maxSurplus, time.Now().Add(time.Hour)
	var w xdr.Writer
	if !s.answerDatagram(message(t, 2, 3, mapNFS), remoteUDP, &w) {
		t.Error("no GETPORT during a flood")
	}
	if !s.answerDatagram(dump, localUDP6, &w) {
		t.Error("no DUMP for the host itself")
	}
}

func TestSurplus(t *testing.T) {
	var s surplus
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		after time.Duration
		n     int
		want  bool
	}{
		{0, maxSurplus, true}, {0, 1, false}, {0, 0, true}, {0, -5, true},
		{500 * time.Millisecond, maxSurplus/2 + 1, false}, {0, maxSurplus / 2, true}, {time.Hour, maxSurplus + 1, false},
		{0, maxSurplus, true}, {-time.Hour, 1, false},
	} {
		now = now.Add(c.after)
		if got := s.allow(c.n, now); got != c.want {
			t.Errorf("%d bytes after %s: %v", c.n, c.after, got)
		}
	}
}

func TestAddr(t *testing.T) {
	for s, want := range map[string]string{
		"0.0.0.0.8.1": "0.0.0.0:2049", "192.0.2.1.0.111": "192.0.2.1:111", "::.255.255": "[::]:65535",
		"2001:db8::1.47.17": "[2001:db8::1]:12049", "::ffff:192.0.2.1.8.1": "[::ffff:192.0.2.1]:2049",
	} {
		a, ok := parseAddr(s)
		if !ok || a.String() != want || formatAddr(a) != s {
			t.Errorf("%s: %s, %v; back %s", s, a, ok, formatAddr(a))
		}
	}
	for _, s := range []string{"", ".", "1.2", "0.0.0.0.8", "0.0.0.0.8.256", "0.0.0.0.8.-1", "0.0.0.0.8.+1", "fe80::1%eth0.8.1", "/run/rpcbind.sock"} {
		if a, ok := parseAddr(s); ok {
			t.Errorf("%q is %s", s, a)
		}
	}
	if s := formatAddr(netip.MustParseAddrPort("[fe80::1%eth0]:2049")); s != "fe80::1.8.1" {
		t.Errorf("with a zone: %s", s)
	}
}

func TestService_Holds(t *testing.T) {
	for _, c := range []struct {
		listen, netid, addr string
		want                bool
	}{
		{"[::]:2049", netTCP, "0.0.0.0.8.1", true}, {"[::]:2049", netTCP6, "::.8.1", true},
		{"[::]:2049", netTCP, "192.0.2.1.8.1", true}, {"[::]:2049", netTCP, "0.0.0.0.8.2", false},
		{"[::]:2049", netUDP, "0.0.0.0.8.1", false}, {"[::]:2049", netTCP, "hello", false},
		{"0.0.0.0:2049", netTCP, "0.0.0.0.8.1", true}, {"0.0.0.0:2049", netTCP6, "::.8.1", false},
		{"192.0.2.1:2049", netTCP, "192.0.2.1.8.1", true}, {"192.0.2.1:2049", netTCP, "192.0.2.2.8.1", false},
		{"192.0.2.1:2049", netTCP, "0.0.0.0.8.1", false}, {"[2001:db8::1]:2049", netTCP6, "2001:db8::1.8.1", true},
		{"[2001:db8::1]:2049", netTCP, "0.0.0.0.8.1", false},
	} {
		s := Service{100003, 3, netip.MustParseAddrPort(c.listen)}
		if got := s.holds(c.netid, c.addr); got != c.want {
			t.Errorf("listener %s, entry %s %s: %v", c.listen, c.netid, c.addr, got)
		}
	}
}

// Neither silence nor a byte now and then keeps a connection.
func TestServeConn_IdleTime(t *testing.T) {
	for name, drip := range map[string]time.Duration{"silent": 0, "dripping": idleTime / 4} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{table: nfsTable()}
				near, far := net.Pipe()
				defer near.Close()
				begin := time.Now()
				done := make(chan time.Duration, 1)
				go func() {
					s.serveConn(far)
					done <- time.Since(begin)
				}()
				var err error
				for drip > 0 && err == nil {
					time.Sleep(drip)
					_, err = near.Write([]byte{0x80})
				}
				if d := <-done; d != idleTime {
					t.Errorf("closed after %s", d)
				}
			})
		})
	}
}
