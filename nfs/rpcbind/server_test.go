package rpcbind_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
	"twofold/nfs/rpcbind"
	"twofold/nfs/xdr"
)

// serve starts our own server on addr and returns where it is.
func serve(t *testing.T, addr string) string {
	t.Helper()
	cfg := newFake(t).config(rpcbind.ModeServe)
	cfg.Listen = []netip.AddrPort{netip.MustParseAddrPort(addr)}
	var err error
	for range 10 { // the port that TCP got may be taken for UDP
		var r *rpcbind.Registrar
		if r, err = rpcbind.Start(cfg); err == nil {
			t.Cleanup(func() {
				if err := r.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
			return rpcbind.BoundAddr(r).String()
		}
	}
	t.Fatal(err)
	return ""
}

// ask makes one call over UDP.
func ask(t *testing.T, nc net.Conn, vers, proc uint32, args func(*xdr.Writer)) *xdr.Reader {
	t.Helper()
	var w xdr.Writer
	rpc.AppendCall(&w, 7, 100000, vers, proc, &rpc.Cred{})
	args(&w)
	if err := nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write(w.B); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 65536)
	n, err := nc.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	res, err := rpc.ParseReply(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	return xdr.NewReader(res)
}

func getPort(prog, vers, proto uint32) func(*xdr.Writer) {
	return func(w *xdr.Writer) {
		w.Uint32(prog)
		w.Uint32(vers)
		w.Uint32(proto)
		w.Uint32(0)
	}
}

// lookup is the argument of GETADDR.
func lookup(prog, vers uint32) func(*xdr.Writer) {
	return func(w *xdr.Writer) {
		w.Uint32(prog)
		w.Uint32(vers)
		w.String("")
		w.String("")
		w.String("")
	}
}

func dialUDP(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// The socket is bound to the wildcard address: the reply must come from the
// address that was asked, since a connected socket takes no other.
func TestServer_UDP(t *testing.T) {
	_, port, _ := net.SplitHostPort(serve(t, "0.0.0.0:0"))
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.3.2.1"} {
		nc := dialUDP(t, net.JoinHostPort(host, port))
		if got := ask(t, nc, 2, 3, getPort(100003, 3, 6)).Uint32(); got != 2049 {
			t.Errorf("%s: port %d", host, got)
		}
		self := ask(t, nc, 4, 3, lookup(100000, 4)).String(100)
		p := nc.RemoteAddr().(*net.UDPAddr).AddrPort().Port()
		if want := host + "." + octets(p); self != want {
			t.Errorf("%s: we are at %s, want %s", host, self, want)
		}
	}
}

// A broadcast is not answered: it could be one call with the answers of a whole
// network. The server takes datagrams in order, so that the second call's reply
// comes first if it comes at all.
func TestServer_AnswersNoBroadcast(t *testing.T) {
	_, port, _ := net.SplitHostPort(serve(t, "0.0.0.0:0"))
	nc, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for i, host := range []string{"127.255.255.255", "127.0.0.1"} {
		to, err := net.ResolveUDPAddr("udp4", net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		var w xdr.Writer
		rpc.AppendCall(&w, uint32(i), 100000, 2, 0, &rpc.Cred{})
		if _, err := nc.WriteTo(w.B, to); err != nil {
			t.Fatal(err)
		}
	}
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 100)
	if _, err := nc.Read(b); err != nil || binary.BigEndian.Uint32(b) != 1 {
		t.Errorf("reply %x, %v", b[:4], err)
	}
}

func octets(port uint16) string {
	b := binary.BigEndian.AppendUint16(nil, port)
	return net.IPv4(0, 0, b[0], b[1]).String()[4:]
}

func TestServer_IPv6(t *testing.T) {
	if nc, err := net.ListenPacket("udp6", "[::1]:0"); err != nil {
		t.Skipf("this host has no IPv6: %v", err)
	} else {
		_ = nc.Close()
	}
	addr := serve(t, "[::1]:0")
	if got := ask(t, dialUDP(t, addr), 2, 3, getPort(100005, 3, 6)).Uint32(); got != 2049 {
		t.Errorf("port %d", got)
	}
	c := dialTCP(t, addr)
	var w xdr.Writer
	lookup(100003, 3)(&w)
	res, err := c.Call(t.Context(), 100000, 4, 3, w.B)
	if err != nil {
		t.Fatal(err)
	}
	if got := xdr.NewReader(res).String(100); got != "::1.8.1" {
		t.Errorf("NFS is at %s", got)
	}
}

func dialTCP(t *testing.T, addr string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestServer_TCPCallsOfOneConnection(t *testing.T) {
	c := dialTCP(t, serve(t, "127.0.0.1:0"))
	for range 100 {
		var w xdr.Writer
		getPort(100005, 3, 6)(&w)
		res, err := c.Call(t.Context(), 100000, 2, 3, w.B)
		if err != nil || xdr.NewReader(res).Uint32() != 2049 {
			t.Fatalf("results %x, %v", res, err)
		}
	}
	if _, err := c.Call(t.Context(), 100003, 3, 0, nil); err != rpc.ErrProgUnavail {
		t.Errorf("NFS on port 111: %v", err)
	}
}

// Whoever holds connections open keeps nobody out: the oldest make room.
func TestServer_ManyConnections(t *testing.T) {
	addr := serve(t, "127.0.0.1:0")
	var held []net.Conn
	for range rpcbind.MaxConns + 10 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		held = append(held, nc)
	}
	if _, err := dialTCP(t, addr).Call(t.Context(), 100000, 2, 0, nil); err != nil {
		t.Error(err)
	}
	for _, nc := range held[:10] {
		_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil || isTimeout(err) {
			t.Errorf("an old connection is open: %v", err)
		}
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func TestServer_RefusesLongRecords(t *testing.T) {
	nc, err := net.Dial("tcp", serve(t, "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write([]byte{0x80, 0, 0x10, 1}); err != nil {
		t.Fatal(err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("not closed: %v", err)
	}
}
