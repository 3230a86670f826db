package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// xstateSource is the C source of the library that lets User Mode Linux run on processors with AMX.
//
//go:embed xstate/xstate.c
var xstateSource string

// memoryDir is where User Mode Linux keeps the guest's memory. It must be a tmpfs that allows PROT_EXEC.
const memoryDir = "/dev/shm"

// programs are what a guest needs, each with the Debian package that has it.
var programs = []struct{ name, pkg string }{
	{"linux.uml", "user-mode-linux"},
	{"ip", "iproute2"},
	{"nft", "nftables"},
	{"modprobe", "kmod"},
	{"mount.nfs", "nfs-common"},
	{"cc", "gcc and libc6-dev"},
}

// machine is one guest, seen from the host.
type machine struct {
	opts    options
	net     *network
	control string
	cmd     *exec.Cmd
	relays  sync.WaitGroup
}

// run boots a guest, waits for it and removes it. The error explains a status that is not the command's own.
func run(o options) (status int, err error) {
	// The signals are caught before anything is made, so that none can leave something behind.
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if err := checkHost(o); err != nil {
		return exitSetup, err
	}
	m := &machine{opts: o}
	defer func() {
		if cerr := m.close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", cerr))
		}
	}()
	if err := m.prepare(); err != nil {
		return exitSetup, err
	}
	if err := m.boot(); err != nil {
		return exitSetup, err
	}
	limited, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	m.wait(limited)
	m.reportKernel()
	return m.outcome(limited)
}

// checkHost refuses what cannot work, with what to do about it.
func checkHost(o options) error {
	if os.Geteuid() != 0 {
		return errors.New("must run as root: it makes a tap device")
	}
	var missing []error
	for _, p := range programs {
		if _, err := exec.LookPath(p.name); err != nil {
			missing = append(missing, fmt.Errorf("%s is missing: install %s", p.name, p.pkg))
		}
	}
	if missing != nil {
		return errors.Join(missing...)
	}
	var shm unix.Statfs_t
	if err := unix.Statfs(memoryDir, &shm); err != nil {
		return fmt.Errorf("%s: %w", memoryDir, err)
	}
	if free := int(shm.Bavail * uint64(shm.Bsize) >> 20); free < o.memory {
		return fmt.Errorf("%s has %d MiB free, the guest's memory needs %d there", memoryDir, free, o.memory)
	}
	return nil
}

// prepare makes everything that the guest needs, short of starting it.
func (m *machine) prepare() (err error) {
	if m.control, err = os.MkdirTemp("", "guest-"); err != nil {
		return err
	}
	if m.net, err = newNetwork(); err != nil {
		return err
	}
	if err = m.net.forwardLoopback(m.opts.mounts); err != nil {
		return err
	}
	if err = m.buildXstate(); err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	return spec{
		Name: m.net.tap, HostAddr: m.net.host.String(), GuestAddr: m.net.guest.String(),
		Shares: m.opts.shares, Mounts: m.opts.mounts,
		Dir: dir, Env: os.Environ(), Command: m.opts.command,
	}.write(m.control)
}

// buildXstate compiles the library that stands between linux.uml and ptrace.
func (m *machine) buildXstate() error {
	cc := exec.Command("cc", "-O2", "-shared", "-fPIC", "-x", "c", "-o", filepath.Join(m.control, xstateFile), "-")
	cc.Stdin = strings.NewReader(xstateSource)
	if out, err := cc.CombinedOutput(); err != nil {
		return fmt.Errorf("compile xstate.c: %w: %s", err, out)
	}
	return nil
}

// boot starts linux.uml in a session of its own, so that its helper processes can be killed as one group.
func (m *machine) boot() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	console, err := os.Create(filepath.Join(m.control, consoleFile))
	if err != nil {
		return err
	}
	defer console.Close()
	stdout, err := m.relay(os.Stdout)
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := m.relay(os.Stderr)
	if err != nil {
		return err
	}
	defer stderr.Close()
	m.cmd = exec.Command("linux.uml", m.kernelArgs(self)...)
	m.cmd.Env = append(os.Environ(), "TMPDIR="+memoryDir, "LD_PRELOAD="+filepath.Join(m.control, xstateFile))
	m.cmd.Stdout, m.cmd.Stderr = console, console
	m.cmd.ExtraFiles = []*os.File{stdout, stderr} // the guest's file descriptors 3 and 4
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return startPinned(m.cmd, (m.net.instance-1)%runtime.NumCPU())
}

func (m *machine) kernelArgs(init string) []string {
	return []string{
		fmt.Sprintf("mem=%dM", m.opts.memory),
		"umid=" + m.net.tap, "uml_dir=" + m.control + "/",
		"root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
		"init=" + init, controlEnv + "=" + m.control,
		"vec0:transport=tap,ifname=" + m.net.tap + ",depth=128,gro=1",
		"con=null", "con0=null,fd:1", "con1=null,fd:3", "con2=null,fd:4",
	}
}

// startPinned starts cmd on one processor. A child inherits the affinity of the thread that forks it.
func startPinned(cmd *exec.Cmd, cpu int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	if before.IsSet(cpu) {
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return err
		}
	}
	return errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &before))
}

// relay gives the write end of a pipe whose content goes to dst. The guest gets a pipe, not dst itself, because
// it makes its consoles non-blocking, which would change dst for everyone who shares it.
func (m *machine) relay(dst io.Writer) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	m.relays.Go(func() {
		defer r.Close()
		io.Copy(dst, r) // an error means that our reader is gone, and there is nobody left to tell
	})
	return w, nil
}

// wait returns when the guest has ended, by itself or because ctx did.
func (m *machine) wait(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.cmd.Wait() // its status says nothing: the command's is in statusFile
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	m.kill()
	<-ended
	m.relays.Wait()
}

// kill ends the guest's whole process group; a guest that ended by itself can leave helpers behind.
func (m *machine) kill() {
	// ESRCH, the only error that can come, means that it is gone already.
	_ = unix.Kill(-m.cmd.Process.Pid, unix.SIGKILL)
}

// outcome turns what is left of the guest into an exit status.
func (m *machine) outcome(ctx context.Context) (int, error) {
	if b, err := os.ReadFile(filepath.Join(m.control, statusFile)); err == nil {
		return strconv.Atoi(string(b))
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return exitLimit, fmt.Errorf("killed after %v", m.opts.limit)
	case ctx.Err() != nil:
		return exitBreak, errors.New("interrupted")
	}
	return exitDied, fmt.Errorf("the guest died; its last words:\n%s", tail(m.consoleLines(), 20))
}

// close removes the guest's traces and keeps its kernel log if that was asked for.
func (m *machine) close() error {
	var errs []error
	if m.net != nil {
		errs = append(errs, m.net.close())
	}
	if m.control == "" {
		return errors.Join(errs...)
	}
	if m.opts.kernLog != "" && m.cmd != nil {
		log := strings.Join(m.consoleLines(), "\n") + "\n"
		errs = append(errs, os.WriteFile(m.opts.kernLog, []byte(log), 0o644))
	}
	return errors.Join(append(errs, os.RemoveAll(m.control))...)
}
