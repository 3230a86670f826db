package rpcbind_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"twofold/nfs"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// enter runs TestHost once more, in new namespaces.
func enter(t *testing.T) {
	missing := ""
	if os.Geteuid() != 0 {
		missing = "this is not root"
	}
	for program, pkg := range map[string]string{
		"rpcbind": "rpcbind", "rpcinfo": "rpcbind", "showmount": "nfs-common", "rpc.statd": "nfs-common", "mount.nfs": "nfs-common", "ip": "iproute2",
	} {
		if find(program) == "" {
			missing = program + " is missing (Debian package " + pkg + ")"
		}
	}
	if missing != "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("in CI nothing may be skipped: %s", missing)
		}
		t.Skip(missing)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHost$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, // mounts become private, too
		Pdeathsig:    syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// find returns the path of a program, which may be in a directory that only
// root's PATH has.
func find(program string) string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		path := filepath.Join(dir, program)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// command runs a program that must succeed, and returns its output.
func command(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, find(program), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", program, args, err, out)
	}
	return string(out)
}

// background starts a program; the function that it returns ends it.
func background(t *testing.T, program string, args ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(find(program), args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := false
	kill = func() {
		if !done {
			done = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait() // the signal's exit status
		}
	}
	t.Cleanup(kill)
	return kill
}

// startRpcbind starts the real one and waits until it answers.
func startRpcbind(t *testing.T, args ...string) (kill func()) {
	t.Helper()
	if err := os.MkdirAll("/run/rpcbind", 0o755); err != nil {
		t.Fatal(err)
	}
	if u, err := user.Lookup("_rpc"); err == nil { // it keeps its entries as this user (-w)
		uid, _ := strconv.Atoi(u.Uid)
		if err := os.Chown("/run/rpcbind", uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	kill = background(t, "rpcbind", append([]string{"-f"}, args...)...)
	eventually(t, "rpcbind answers", func() bool {
		return exec.Command(find("rpcinfo"), "-p").Run() == nil &&
			exec.Command(find("rpcinfo"), "-T", "tcp6", "::1", "100000").Run() == nil
	})
	return kill
}

// null answers NULL, and EXPORT with an empty list.
type null struct{}

func (null) ServeRPC(_ context.Context, call *rpc.Call, w *xdr.Writer) error {
	switch call.Proc {
	case 0:
	case 5:
		w.Bool(true)
		w.String("/export")
		w.Bool(false)
		w.Bool(false)
	default:
		return rpc.ErrProcUnavail
	}
	return nil
}

// listenNFS serves NULL at a free port and returns it.
func listenNFS(t *testing.T) uint16 {
	t.Helper()
	s, err := nfs.NewServer(nfs.Config{Programs: []nfs.Program{
		{Number: nfs.ProgramNFS, Version: 3, Handler: null{}}, {Number: nfs.ProgramMount, Version: 3, Handler: null{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return uint16(l.Addr().(*net.TCPAddr).Port)
}
