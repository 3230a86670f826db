package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// devNode is one child process of dev.
type devNode struct {
	name string
	dir  string // holds config, log, pid and state
	cfg  *config
	cmd  *exec.Cmd
	log  *os.File
	// ended is why the process is gone; set before the node is sent on
	// childGroup.exits and read only after that.
	ended string
}

func (n *devNode) configPath() string { return filepath.Join(n.dir, devConfigFile) }
func (n *devNode) logPath() string    { return filepath.Join(n.dir, devLogFile) }
func (n *devNode) pidPath() string    { return filepath.Join(n.dir, devPidFile) }
func (n *devNode) pid() int           { return n.cmd.Process.Pid }

// save writes the config file unless it says the same already, so that a
// user's comments in it live as long as they can, and the exports file unless
// there is one.
func (n *devNode) save() error {
	if err := n.saveExports(); err != nil {
		return err
	}
	if have, err := loadConfig(n.configPath()); err == nil {
		was, err1 := have.effective()
		want, err2 := n.cfg.effective()
		if err1 == nil && err2 == nil && bytes.Equal(was, want) {
			return nil
		}
	}
	text, err := n.cfg.effective()
	if err != nil {
		return err
	}
	head := fmt.Sprintf("# Config of node %s, written by twofold dev.\n", n.name)
	return replaceFile(n.configPath(), append([]byte(head), text...))
}

// saveExports makes the directory of the node and a first exports file in it.
func (n *devNode) saveExports() error {
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(n.dir, devExportsFile)
	if n.cfg.ExportsFile != path {
		return nil // a witness, or the user's own choice
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return replaceFile(path, []byte(devExports))
}

// launch starts the process. It must be called on an operating-system thread
// that lives as long as the process is to live: the kernel sends the parent
// death signal when that thread ends.
func (n *devNode) launch() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if info, err := os.Stat(n.logPath()); err == nil && info.Size() > maxDevLog {
		if err := os.Rename(n.logPath(), n.logPath()+".old"); err != nil {
			return err
		}
	}
	n.log, err = os.OpenFile(n.logPath(), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	n.cmd = exec.Command(self, "serve", "--config", n.configPath())
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	// Its own process group: a Ctrl-C at the terminal is for the parent, which
	// stops the children in its own way. If the parent is killed the children
	// are, too; their state stands that at any time.
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		return errors.Join(err, n.log.Close())
	}
	return os.WriteFile(n.pidPath(), []byte(strconv.Itoa(n.pid())+"\n"), 0o644)
}

// wait blocks until the process is gone and notes why.
func (n *devNode) wait() {
	err := n.cmd.Wait()
	n.ended = "exit status 0"
	if err != nil {
		n.ended = err.Error()
	}
	_ = os.Remove(n.pidPath()) // a leftover says nothing wrong: the next start replaces it
}

// clean reports that the process ended as it was told to.
func (n *devNode) clean() bool { return n.cmd.ProcessState.Success() }

// obituary tells how the process ended, with the last lines of its log.
func (n *devNode) obituary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "node %s (pid %d) died: %s; the others go on. Last lines of %s:\n", n.name, n.pid(), n.ended, n.logPath())
	for _, line := range n.lastLines(obituaryLines) {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}

// obituaryLines and obituaryBytes bound what is shown of a log.
const (
	obituaryLines = 8
	obituaryBytes = 8 << 10
)

func (n *devNode) lastLines(count int) []string {
	info, err := n.log.Stat()
	if err != nil {
		return nil
	}
	from := max(0, info.Size()-obituaryBytes)
	text, err := io.ReadAll(io.NewSectionReader(n.log, from, obituaryBytes))
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return lines[max(0, len(lines)-count):]
}
