package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unmountLimit is how long the guest waits for a server to let go before it cuts a mount off.
const unmountLimit = 30 * time.Second

// guestPath is where init looks for its own programs; the command has its caller's path.
const guestPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// moduleDir is where Debian's package keeps the guest kernel's modules.
const moduleDir = "/usr/lib/uml/modules"

// guestInit is process 1 of the guest. It never returns: it powers the guest off.
func guestInit(control string) {
	status, err := guestSession(control)
	if err != nil {
		// The control directory may not be there yet, so the kernel's console gets it too.
		fmt.Println("guest init:", err)
		status = exitSetup
	}
	answer := filepath.Join(control, statusFile)
	if err := os.WriteFile(answer, []byte(strconv.Itoa(status)), 0o600); err != nil {
		fmt.Println("guest init:", err)
	}
	unix.Sync()
	fmt.Println("guest init: power off:", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

// guestSession sets the guest up, runs the command and takes its mounts down again.
func guestSession(control string) (int, error) {
	// The kernel gives init no search path worth having, and exec.Command uses this process's own.
	if err := os.Setenv("PATH", guestPath); err != nil {
		return 0, err
	}
	if err := overlayRoot(); err != nil {
		return 0, fmt.Errorf("root: %w", err)
	}
	if err := systemMounts(); err != nil {
		return 0, err
	}
	if err := mount("hostfs", control, "hostfs", control); err != nil {
		return 0, err
	}
	s, err := readSpec(control)
	if err != nil {
		return 0, err
	}
	out, err := openConsole("/dev/tty1")
	if err != nil {
		return 0, err
	}
	errs, err := openConsole("/dev/tty2")
	if err != nil {
		return 0, err
	}
	defer drain(out, errs)
	if err := s.setUp(); err != nil {
		fmt.Fprintln(errs, "guest:", err)
		return exitSetup, nil
	}
	status := s.runCommand(out, errs)
	if err := s.unmount(); err != nil {
		fmt.Fprintln(errs, "guest:", err)
	}
	return status, nil
}

// overlayRoot lays a copy-on-write overlay in memory over the host's tree and makes it the root.
func overlayRoot() error {
	if err := mount("tmpfs", "/mnt", "tmpfs", "size=90%"); err != nil {
		return err
	}
	for _, d := range []string{"/mnt/upper", "/mnt/work", "/mnt/root"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := loadModule("kernel/fs/overlayfs/overlay.ko"); err != nil {
		return err
	}
	if err := mount("overlay", "/mnt/root", "overlay", "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work"); err != nil {
		return err
	}
	if err := os.MkdirAll("/mnt/root/oldroot", 0o755); err != nil {
		return err
	}
	if err := unix.PivotRoot("/mnt/root", "/mnt/root/oldroot"); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	// Detached, not gone: this executable and the overlay's layers are in it.
	if err := unix.Unmount("/oldroot", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Remove("/oldroot")
}

// loadModule loads one module by its name below the running kernel's directory, before modprobe can find it.
func loadModule(name string) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(moduleDir, unix.ByteSliceToString(u.Release[:]), name))
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

func mount(source, target, fstype, data string) error {
	if err := unix.Mount(source, target, fstype, 0, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", fstype, target, err)
	}
	return nil
}

// systemMounts makes the file systems that programs expect.
func systemMounts() error {
	for _, m := range []struct{ fstype, point string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"},
		{"devpts", "/dev/pts"}, {"tmpfs", "/dev/shm"}, {"tmpfs", "/run"},
	} {
		if err := os.MkdirAll(m.point, 0o755); err != nil {
			return err
		}
		if err := mount(m.fstype, m.point, m.fstype, ""); err != nil {
			return err
		}
	}
	if err := os.MkdirAll("/lib/modules", 0o755); err != nil {
		return err
	}
	return unix.Mount(moduleDir, "/lib/modules", "", unix.MS_BIND, "")
}

// openConsole opens a console that passes bytes through unchanged.
func openConsole(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	return f, unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t)
}

// drain waits until the host has everything that was printed: TCSBRK with an argument that is not 0 is tcdrain.
func drain(consoles ...*os.File) {
	for _, c := range consoles {
		if err := unix.IoctlSetInt(int(c.Fd()), unix.TCSBRK, 1); err != nil {
			fmt.Println("guest init:", err)
		}
	}
}

// setUp brings up what the command was promised.
func (s spec) setUp() error {
	for _, dir := range s.Shares {
		if err := mount("hostfs", dir, "hostfs", dir); err != nil {
			return err
		}
	}
	err := errors.Join(
		unix.Sethostname([]byte(s.Name)),
		command("ip", "link", "set", "lo", "up"),
		command("ip", "addr", "add", s.GuestAddr+"/24", "dev", "vec0"),
		command("ip", "link", "set", "vec0", "up"),
		command("ip", "route", "add", "default", "via", s.HostAddr),
		command("modprobe", "-a", "nfs", "nfsv3"))
	if err != nil {
		return err
	}
	for _, m := range s.Mounts {
		if err := os.MkdirAll(m.Point, 0o755); err != nil {
			return err
		}
		source := m.Server.Addr().String() + ":" + m.Export
		if err := command("mount", "-t", "nfs", "-o", m.mountOptions(), source, m.Point); err != nil {
			return err
		}
	}
	return nil
}

// runCommand gives the command's exit status as a shell would.
func (s spec) runCommand(out, errs *os.File) int {
	for _, kv := range s.Env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			if err := os.Setenv("PATH", path); err != nil { // for exec.Command's search
				fmt.Fprintln(errs, "guest:", err)
				return exitSetup
			}
		}
	}
	cmd := exec.Command(s.Command[0], s.Command[1:]...)
	cmd.Dir = s.Dir
	cmd.Env = append(s.Env, "HOST_ADDR="+s.HostAddr, "GUEST_ADDR="+s.GuestAddr)
	cmd.Stdout, cmd.Stderr = out, errs
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		fmt.Fprintln(errs, "guest:", err)
		return exitSetup
	case exit.ExitCode() >= 0:
		return exit.ExitCode()
	}
	return 128 + int(exit.Sys().(interface{ Signal() unix.Signal }).Signal())
}

// unmount takes the file systems down, the last mounted first. A mount whose server does not answer is cut off.
func (s spec) unmount() error {
	var errs []error
	for _, m := range slices.Backward(s.Mounts) {
		done := make(chan error, 1)
		go func() { done <- unix.Unmount(m.Point, 0) }()
		select {
		case err := <-done:
			if err != nil {
				errs = append(errs, fmt.Errorf("unmount %s: %w", m.Point, err))
			}
		case <-time.After(unmountLimit):
			errs = append(errs, fmt.Errorf("unmount %s: no answer within %v", m.Point, unmountLimit),
				unix.Unmount(m.Point, unix.MNT_FORCE|unix.MNT_DETACH))
		}
	}
	return errors.Join(errs...)
}
