package transport

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Both ends of a stream have the options that bound how long a dead peer is
// believed to live.
func TestPrepare_SocketOptions(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := &Mux{cfg: Config{HelloTimeout: time.Minute}}
	if err := m.prepare(conn); err != nil {
		t.Fatal(err)
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, opt := range map[string]struct{ number, want int }{
		"TCP_USER_TIMEOUT": {unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds())},
		"TCP_NODELAY":      {unix.TCP_NODELAY, 1},
	} {
		var got int
		var gerr error
		if err := raw.Control(func(fd uintptr) {
			got, gerr = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, opt.number)
		}); err != nil {
			t.Fatal(err)
		}
		if gerr != nil || got != opt.want {
			t.Errorf("%s is %d (%v), want %d", name, got, gerr, opt.want)
		}
	}
}
