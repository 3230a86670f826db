package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// guardianVariable makes the program a guardian of the run's directory that it names.
const guardianVariable = "TWOFOLD_FAULTLAB_GUARDIAN"

const (
	runPrefix = "twofold-faultlab-"
	lockName  = "lock"
	// exitPatience is how long processes get to end after their disk was thawed.
	exitPatience = 10 * time.Second
)

// RunGuardian must be called first in main. In the guardian it does not return: it waits until the program that started it is gone, however
// that went, and removes what was left of its run.
func RunGuardian() {
	dir := os.Getenv(guardianVariable)
	if dir == "" {
		return
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // it ends with the program, whose end of the pipe it is
	if err := removeRun(dir); err != nil {
		fmt.Fprintln(os.Stderr, "faultlab: clean up after a run that was killed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// guardian outlives the program by a moment.
type guardian struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

// newGuardian starts the guardian of a run. It shares the run's lock, so that nobody else cleans up beside it.
func newGuardian(dir string, lock *os.File) (*guardian, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	g := &guardian{cmd: exec.Command(self)}
	g.cmd.Env = append(os.Environ(), guardianVariable+"="+dir)
	g.cmd.Stderr = os.Stderr
	g.cmd.ExtraFiles = []*os.File{lock}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no signal of the terminal is for it
	if g.pipe, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return g, g.cmd.Start()
}

func (g *guardian) close() error {
	return errors.Join(g.pipe.Close(), g.cmd.Wait())
}

// removeRun thaws, unmounts and removes what a run left in its directory.
func removeRun(dir string) error {
	mounts, err := filepath.Glob(filepath.Join(dir, "*.img"))
	if err != nil {
		return err
	}
	for _, image := range mounts {
		mount := strings.TrimSuffix(image, ".img")
		if !isMount(mount) {
			continue
		}
		_ = freezeIoctl(mount, ioctlThaw) // EINVAL: it was not frozen
		for end := time.Now().Add(exitPatience); ; time.Sleep(20 * time.Millisecond) {
			err := unix.Unmount(mount, 0)
			if err == nil {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("unmount %s: %w", mount, err)
			}
		}
	}
	return os.RemoveAll(dir)
}

func isMount(dir string) bool {
	var inner, outer unix.Stat_t
	return unix.Stat(dir, &inner) == nil && unix.Stat(filepath.Dir(dir), &outer) == nil && inner.Dev != outer.Dev
}

// removeDeadRuns removes what is left of runs whose guardian was killed too. A run that is alive holds a lock.
func removeDeadRuns(parent string) error {
	dirs, err := filepath.Glob(filepath.Join(parent, runPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		lock, err := os.Open(filepath.Join(dir, lockName))
		if err != nil {
			continue // it is being made or removed
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = errors.Join(releaseImages(dir), os.RemoveAll(dir))
		}
		_ = lock.Close() // only read
		if err != nil {
			return fmt.Errorf("clean up after an earlier run: %w", err)
		}
	}
	return nil
}

// releaseImages frees the loop devices of images that nobody has mounted any more. One that was frozen stays so, and taken, until it is
// mounted again, which gives the same frozen file system, and thawed.
func releaseImages(dir string) error {
	backings, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return err
	}
	for _, b := range backings {
		text, err := os.ReadFile(b)
		if err != nil || !strings.HasPrefix(string(text), dir+"/") {
			continue // it was just freed, or is not ours
		}
		device := "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(b)))
		at := filepath.Join(dir, "again")
		if err := errors.Join(os.MkdirAll(at, 0o700), run("mount", device, at)); err != nil {
			return err
		}
		_ = freezeIoctl(at, ioctlThaw) // EINVAL: it was not frozen
		if err := unix.Unmount(at, 0); err != nil {
			return err
		}
		_ = run("losetup", "-d", device) // it may have gone with the mount
	}
	return nil
}
