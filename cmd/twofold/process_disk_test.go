//go:build process

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// freezeLimit is how long a file system stays frozen if the test dies.
const freezeLimit = 2 * time.Minute

// loopDisk is a small file system in a file.
type loopDisk struct {
	t     *testing.T
	mount string
	guard *exec.Cmd // thaws if nobody else does; nil while not frozen
}

// needLoopDisks skips the test where no file system can be mounted.
func needLoopDisks(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: no file system can be mounted")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("no loop devices:", err)
	}
	for _, name := range []string{"mkfs.ext4", "mount", "umount", "fsfreeze"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
}

// newLoopDisk mounts an empty file system.
func newLoopDisk(t *testing.T, dir, name string, bytes int64) *loopDisk {
	t.Helper()
	d := &loopDisk{t: t, mount: filepath.Join(dir, name)}
	image := d.mount + ".img"
	writeFile(t, image, "")
	if err := os.Truncate(image, bytes); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.mount, 0o700); err != nil {
		t.Fatal(err)
	}
	d.run("mkfs.ext4", "-q", "-F", "-m", "0", image)
	d.run("mount", "-o", "loop", image, d.mount)
	t.Cleanup(func() { d.run("umount", d.mount) })
	return d
}

func (d *loopDisk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// freeze lets every write to the disk hang until thaw.
func (d *loopDisk) freeze() {
	d.t.Helper()
	d.guard = exec.Command("sh", "-c", `sleep "$1"; fsfreeze -u "$2"`, "guard", strconv.Itoa(int(freezeLimit/time.Second)), d.mount)
	d.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.guard.Start(); err != nil {
		d.t.Fatal(err)
	}
	// Before the processes are killed: none ends that waits for the disk.
	d.t.Cleanup(d.thaw)
	d.run("fsfreeze", "-f", d.mount)
}

func (d *loopDisk) thaw() {
	d.t.Helper()
	if d.guard == nil {
		return
	}
	_ = syscall.Kill(-d.guard.Process.Pid, syscall.SIGKILL) // the group of the guard alone
	_ = d.guard.Wait()                                      // it was killed
	d.guard = nil
	d.run("fsfreeze", "-u", d.mount)
}

// newDiskCluster formats three nodes, each data node with a disk of its own, and
// starts them.
func newDiskCluster(t *testing.T, bytes int64, change func(*config)) (*procCluster, map[string]*loopDisk) {
	t.Helper()
	return newDisksOf(t, dataNames[:], bytes, change)
}

// newDisksOf is newDiskCluster with disks for the named nodes.
func newDisksOf(t *testing.T, names []string, bytes int64, change func(*config)) (*procCluster, map[string]*loopDisk) {
	t.Helper()
	needLoopDisks(t)
	c := &procCluster{testCluster: newTestCluster(t), t: t, running: map[string]*program{}}
	disks := map[string]*loopDisk{}
	for _, name := range names {
		disks[name] = newLoopDisk(t, c.dir, "disk-"+name, bytes)
		c.cfgs[name].Dir = filepath.Join(disks[name].mount, "node")
	}
	c.threads = newTiedThread(t)
	for _, m := range devMembers {
		change(c.cfgs[m.Name])
		c.write(t, m.Name)
		c.init(t, m.Name)
	}
	c.startAll()
	return c, disks
}
