package transport

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fullSocket listens with a queue that is full, so that the kernel drops every
// SYN, as a cut link does. accept takes what waits.
func fullSocket(t *testing.T) (addr string, accept func()) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(err)
	t.Cleanup(func() { unix.Close(fd) })
	must(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(unix.Listen(fd, 0))
	name, err := unix.Getsockname(fd)
	must(err)
	addr = fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for full := false; !full; {
		conn, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
		}
		full = err != nil
	}
	return addr, func() {
		for {
			conn, _, err := unix.Accept(fd)
			if err != nil {
				return // EAGAIN: nothing waits
			}
			t.Cleanup(func() { unix.Close(conn) })
		}
	}
}

// A dial gets through soon after SYNs are answered again; the kernel would send
// its own again only a second after the first.
func TestDialTCP_AfterCut(t *testing.T) {
	addr, accept := fullSocket(t)
	begin := time.Now()
	time.AfterFunc(150*time.Millisecond, accept)
	conn, err := dialTCP(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if took := time.Since(begin); took < 150*time.Millisecond || took > 900*time.Millisecond {
		t.Errorf("the dial took %v, want about 300 ms", took)
	}
}

// A dial ends with its context while nothing answers, and at once when the
// other end refuses.
func TestDialTCP_Ends(t *testing.T) {
	addr, _ := fullSocket(t)
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if conn, err := dialTCP(ctx, addr); err == nil {
		conn.Close()
		t.Fatal("connected to a socket whose queue is full")
	}
	if ctx.Err() == nil {
		t.Error("gave up before its context ended")
	}
	if conn, err := dialTCP(t.Context(), "127.0.0.1:1"); err == nil {
		conn.Close()
		t.Fatal("connected to a port at which nobody listens")
	}
}
