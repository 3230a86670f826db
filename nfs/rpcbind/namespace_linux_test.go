package rpcbind_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"twofold/nfs"
	"twofold/nfs/client"
	"twofold/nfs/rpcbind"
	"twofold/nfs/xdr"
)

// inside is set in the environment of the test process that has namespaces of its
// own.
const inside = "TWOFOLD_RPCBIND_NAMESPACE"

// TestHost runs the real rpcbind, rpcinfo, showmount and rpc.statd, in a network
// of their own and with a /run of their own, so that they neither see nor change
// the host's.
func TestHost(t *testing.T) {
	if os.Getenv(inside) == "" {
		enter(t)
		return
	}
	for _, dir := range []string{"/run", "/var/lib/nfs"} {
		if err := syscall.Mount("none", dir, "tmpfs", 0, "mode=0755"); err != nil {
			t.Fatalf("mount %s: %v", dir, err)
		}
	}
	command(t, "ip", "link", "set", "lo", "up")
	command(t, "ip", "addr", "add", "192.0.2.1/24", "dev", "lo")
	for _, c := range []struct {
		name string
		run  func(*testing.T, uint16)
	}{
		{"Register", testRegister}, {"Restart", testRestart}, {"WarmStart", testWarmStart}, {"Foreign", testForeign},
		{"Killed", testKilled}, {"Loopback", testLoopback}, {"Unprivileged", testUnprivileged}, {"Serve", testServe}, {"Statd", testStatd},
	} {
		// What a rpcbind had at its end it has again if the next one runs with -w.
		if err := os.RemoveAll("/run/rpcbind"); err != nil {
			t.Fatal(err)
		}
		t.Run(c.name, func(t *testing.T) { c.run(t, listenNFS(t)) })
	}
}

// hostConfig is for the real sockets.
func hostConfig(mode rpcbind.Mode, port uint16) rpcbind.Config {
	all := netip.AddrPortFrom(netip.IPv6Unspecified(), port)
	return rpcbind.Config{
		Mode:     mode,
		Services: []rpcbind.Service{{Program: nfs.ProgramNFS, Version: 3, Addr: all}, {Program: nfs.ProgramMount, Version: 3, Addr: all}},
		Check:    50 * time.Millisecond,
	}
}

func stop(t *testing.T, r *rpcbind.Registrar) {
	t.Helper()
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// lines returns the lines of rpcinfo about a program, with single spaces.
func lines(t *testing.T, prog string, args ...string) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(command(t, "rpcinfo", args...)) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == prog {
			found = append(found, strings.Join(f, " "))
		}
	}
	slices.Sort(found)
	return found
}

// wantEntries checks what rpcinfo shows of our programs, in all its forms.
func wantEntries(t *testing.T, port uint16, host ...string) {
	t.Helper()
	p := strconv.Itoa(int(port))
	for prog, name := range map[string]string{"100003": "nfs", "100005": "mountd"} {
		want := []string{prog + " 3 tcp " + p + " " + name}
		if got := lines(t, prog, append([]string{"-p"}, host...)...); !slices.Equal(got, want) {
			t.Errorf("rpcinfo -p %v: %q, want %q", host, got, want)
		}
		got := lines(t, prog, append([]string{"-s"}, host...)...)
		if len(got) != 1 || got[0] != prog+" 3 tcp,tcp6 "+name+" superuser" && got[0] != prog+" 3 tcp6,tcp "+name+" superuser" {
			t.Errorf("rpcinfo -s %v: %q", host, got)
		}
	}
	long := lines(t, "100003", host...)
	want := []string{
		"100003 3 tcp 0.0.0.0." + octets(port) + " nfs superuser", "100003 3 tcp6 ::." + octets(port) + " nfs superuser",
	}
	if !slices.Equal(long, want) {
		t.Errorf("rpcinfo %v: %q, want %q", host, long, want)
	}
}

func wantNoEntries(t *testing.T) {
	t.Helper()
	for _, prog := range []string{"100003", "100005"} {
		if got := lines(t, prog); len(got) > 0 {
			t.Errorf("rpcinfo: %q", got)
		}
	}
}

// wantReachable makes the calls that clients make.
func wantReachable(t *testing.T) {
	t.Helper()
	for _, c := range [][]string{
		{"tcp", "127.0.0.1", "100003", "3"}, {"tcp", "192.0.2.1", "100005", "3"}, {"tcp6", "::1", "100003", "3"}, {"tcp6", "::1", "100005"},
	} {
		if out := command(t, "rpcinfo", append([]string{"-T"}, c...)...); !strings.Contains(out, "version 3 ready and waiting") {
			t.Errorf("rpcinfo -T %v: %s", c, out)
		}
	}
	for _, host := range []string{"127.0.0.1", "192.0.2.1", "::1"} {
		if out := command(t, "showmount", "-e", host); !strings.Contains(out, "/export") {
			t.Errorf("showmount -e %s: %s", host, out)
		}
	}
}

// wantMountFinds runs mount.nfs without port options. It finds the ports and then
// mounts, or fails to: there is no file system behind them.
func wantMountFinds(t *testing.T, port uint16) {
	t.Helper()
	for host, options := range map[string]string{"192.0.2.1": "", "[::1]": ",proto=tcp6"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		out, _ := exec.CommandContext(ctx, find("mount.nfs"), host+":/export", t.TempDir(), "-v", "-o", "vers=3,nolock,retry=0"+options).CombinedOutput()
		for _, prog := range []string{"100003", "100005"} {
			want := "trying " + strings.Trim(host, "[]") + " prog " + prog + " vers 3 prot TCP port " + strconv.Itoa(int(port))
			if !strings.Contains(string(out), want) {
				t.Errorf("mount.nfs %s: no %q in\n%s", host, want, out)
			}
		}
	}
}

func testRegister(t *testing.T, port uint16) {
	startRpcbind(t, "-w")
	r := start(t, hostConfig(rpcbind.ModeAuto, port))
	doing(t, r, rpcbind.Registered)
	wantEntries(t, port)
	wantEntries(t, port, "127.0.0.1")
	wantReachable(t)
	wantMountFinds(t, port)
	stop(t, r)
	wantNoEntries(t)
}

func testRestart(t *testing.T, port uint16) {
	kill := startRpcbind(t)
	r := start(t, hostConfig(rpcbind.ModeAuto, port))
	doing(t, r, rpcbind.Registered)
	kill()
	doing(t, r, rpcbind.Waiting)
	startRpcbind(t)
	doing(t, r, rpcbind.Registered)
	wantEntries(t, port)
}

// With -w rpcbind keeps the entries of a node that stopped while it was away.
func testWarmStart(t *testing.T, port uint16) {
	kill := startRpcbind(t, "-w")
	r := start(t, hostConfig(rpcbind.ModeRegister, port))
	doing(t, r, rpcbind.Registered)
	kill()
	_ = r.Stop(t.Context()) // nobody is there
	startRpcbind(t, "-w")
	wantEntries(t, port)
	r = start(t, hostConfig(rpcbind.ModeRegister, port))
	doing(t, r, rpcbind.Registered)
	stop(t, r)
	wantNoEntries(t)
}

func testForeign(t *testing.T, port uint16) {
	startRpcbind(t)
	h := dialUnix(t)
	setEntry(t, h, 100003, "0.0.0.0.8.1")
	setEntry(t, h, 100005, "0.0.0.0.78.80")
	before := lines(t, "100003")
	r := start(t, hostConfig(rpcbind.ModeAuto, port))
	eventually(t, "the error", func() bool { return r.State().Err != nil })
	stop(t, r)
	if got := lines(t, "100003"); len(got) != 1 || !slices.Equal(got, before) || len(lines(t, "100005")) != 1 {
		t.Errorf("entries %q", got)
	}
	// The advice of the error helps.
	command(t, "rpcinfo", "-d", "100003", "3")
	command(t, "rpcinfo", "-d", "100005", "3")
	r = start(t, hostConfig(rpcbind.ModeAuto, port))
	doing(t, r, rpcbind.Registered)
}

// A node that was killed left its entries, one of them in another form.
func testKilled(t *testing.T, port uint16) {
	startRpcbind(t)
	h := dialUnix(t)
	setEntry(t, h, 100003, "192.0.2.1."+octets(port))
	setEntry(t, h, 100005, "0.0.0.0."+octets(port))
	r := start(t, hostConfig(rpcbind.ModeAuto, port))
	doing(t, r, rpcbind.Registered)
	wantEntries(t, port)
	stop(t, r)
	wantNoEntries(t)
}

// Without the socket rpcbind knows us by our reserved port.
func testLoopback(t *testing.T, port uint16) {
	startRpcbind(t)
	cfg := hostConfig(rpcbind.ModeAuto, port)
	cfg.Socket = "/run/none.sock"
	r := start(t, cfg)
	doing(t, r, rpcbind.Registered)
	wantEntries(t, port)
	stop(t, r)
	wantNoEntries(t)
}

// testUnprivileged registers over TCP from a port that tells nothing, as a
// process without root's rights does, through a relay.
func testUnprivileged(t *testing.T, port uint16) {
	startRpcbind(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go relay(l)
	cfg := hostConfig(rpcbind.ModeAuto, port)
	cfg.Socket, cfg.TCP = "/run/none.sock", l.Addr().String()
	r := start(t, cfg)
	doing(t, r, rpcbind.Registered)
	if got := lines(t, "100003"); len(got) != 2 || !strings.HasSuffix(got[0], " unknown") {
		t.Errorf("entries %q", got)
	}
	stop(t, r)
	wantNoEntries(t)
}

// relay carries connections on to port 111.
func relay(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", "127.0.0.1:111")
		if err != nil {
			_ = in.Close()
			return
		}
		go copyAndClose(in, out)
		go copyAndClose(out, in)
	}
}

func copyAndClose(dst, src net.Conn) {
	_, _ = dst.(*net.TCPConn).ReadFrom(src)
	_ = dst.Close()
}

func testServe(t *testing.T, port uint16) {
	r := start(t, hostConfig(rpcbind.ModeAuto, port))
	doing(t, r, rpcbind.Serving)
	wantEntries(t, port, "127.0.0.1")
	wantReachable(t)
	wantMountFinds(t, port)
	for _, c := range [][]string{{"udp", "127.0.0.1"}, {"udp", "192.0.2.1"}, {"udp6", "::1"}, {"tcp", "192.0.2.1"}, {"tcp6", "::1"}} {
		for _, version := range []string{"2", "3", "4"} {
			if version == "2" && strings.HasSuffix(c[0], "6") {
				continue
			}
			out := command(t, "rpcinfo", "-T", c[0], c[1], "100000", version)
			if !strings.Contains(out, "version "+version+" ready and waiting") {
				t.Errorf("rpcinfo -T %v %s: %s", c, version, out)
			}
		}
	}
	if out := command(t, "rpcinfo", "-l", "127.0.0.1", "100003", "3"); !strings.Contains(out, "127.0.0.1."+octets(port)) {
		t.Errorf("rpcinfo -l: %s", out)
	}
	stop(t, r)
	startRpcbind(t) // the ports are free again
}

// The host's own statd registers with our server, and vanishes when it stops.
func testStatd(t *testing.T, port uint16) {
	_ = os.Remove("/run/rpcbind.sock") // that of the last test, where nobody listens; either is right
	r := start(t, hostConfig(rpcbind.ModeServe, port))
	for _, dir := range []string{"/var/lib/nfs/sm", "/var/lib/nfs/sm.bak"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	kill := background(t, "rpc.statd", "-F", "--no-notify")
	eventually(t, "statd is registered", func() bool { return len(lines(t, "100024", "127.0.0.1")) == 4 })
	if out := command(t, "rpcinfo", "-T", "udp", "127.0.0.1", "100024", "1"); !strings.Contains(out, "ready and waiting") {
		t.Errorf("rpcinfo: %s", out)
	}
	kill()
	eventually(t, "statd is gone", func() bool { return len(lines(t, "100024", "127.0.0.1")) == 0 })
	stop(t, r)
}

// dialUnix connects to rpcbind as another local program.
func dialUnix(t *testing.T) *client.Client {
	t.Helper()
	nc, err := net.Dial("unix", "/run/rpcbind.sock")
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(nc)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// setEntry registers version 3 of a program on TCP.
func setEntry(t *testing.T, c *client.Client, prog uint32, addr string) {
	t.Helper()
	var w xdr.Writer
	w.Uint32(prog)
	w.Uint32(3)
	w.String("tcp")
	w.String(addr)
	w.String("0")
	if res, err := c.Call(t.Context(), 100000, 4, 1, w.B); err != nil || !xdr.NewReader(res).Bool() {
		t.Fatalf("SET: %x, %v", res, err)
	}
}
