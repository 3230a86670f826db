package mounted

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"twofold/raftlog/logstore/logstoretest"
)

// Disk is a mounted directory that loses power.
type Disk struct {
	t     testing.TB
	dir   string
	in    io.WriteCloser
	lines *bufio.Scanner
}

// Start mounts an empty disk at dir. The command runs Serve on its standard input
// and output.
func Start(t testing.TB, cmd *exec.Cmd, dir string) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: nothing can be mounted")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no FUSE:", err)
	}
	d := &Disk{t: t, dir: dir}
	in, err := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err := errors.Join(err, err2, os.MkdirAll(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the file system's process: %v", err)
		}
	})
	d.in, d.lines = in, bufio.NewScanner(out)
	d.do("mount", 0, 0)
	return d
}

// do has the server execute one command.
func (d *Disk) do(name string, n int, seed uint64) string {
	d.t.Helper()
	if _, err := fmt.Fprintf(d.in, "%s %d %d %q\n", name, n, seed, d.dir); err != nil {
		d.t.Fatal(err)
	}
	if !d.lines.Scan() {
		d.t.Fatalf("%s: the file system's process is gone: %v", name, d.lines.Err())
	}
	answer := d.lines.Text()
	if strings.HasPrefix(answer, "error") {
		d.t.Fatalf("%s: %s", name, answer)
	}
	return answer
}

// Steps returns the number of steps since it was mounted last.
func (d *Disk) Steps() int {
	n, err := strconv.Atoi(d.do("steps", 0, 0))
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

// Off tells whether the power is off.
func (d *Disk) Off() bool { return d.do("off", 0, 0) == "true" }

// CutAfter has the power fail at the n-th step from now on.
func (d *Disk) CutAfter(n int) { d.do("cutafter", n, 0) }

// Cut turns the power off.
func (d *Disk) Cut() { d.do("cut", 0, 0) }

// Format mounts an empty disk.
func (d *Disk) Format() {
	d.do("format", 0, 0)
	d.do("mount", 0, 0)
}

// Lie lets every sync of a file report success and do nothing, until Fail.
func (d *Disk) Lie() { d.do("lie", 0, 0) }

// Fail mounts what is found when the power is back.
func (d *Disk) Fail(fate logstoretest.Fate, seed uint64) {
	d.do("fail", int(fate), seed)
	d.do("mount", 0, 0)
}

// Kill mounts what the next process finds when this one was killed.
func (d *Disk) Kill() {
	d.do("kill", 0, 0)
	d.do("mount", 0, 0)
}
