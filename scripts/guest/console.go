package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxConsole bounds how much of the kernel's log is read, from its end.
const maxConsole = 4 << 20

// trouble finds the lines of a kernel log that a test's reader should see: what the NFS client reports, and the
// signs of a broken or hanging kernel.
var trouble = regexp.MustCompile(`NFS:|nfs:|lockd:|RPC:|\bBUG\b|WARNING|Oops|Out of memory|Kernel panic|blocked for more than`)

// boring finds those among them that every boot prints.
var boring = regexp.MustCompile(`RPC: Registered|Kernel command line|deprecated`)

// consoleLines gives the guest kernel's log.
func (m *machine) consoleLines() []string {
	b, err := os.ReadFile(filepath.Join(m.control, consoleFile))
	if err != nil {
		return []string{err.Error()}
	}
	b = b[max(0, len(b)-maxConsole):]
	b = bytes.ReplaceAll(b, []byte("\r"), nil)
	return strings.Split(strings.TrimRight(string(b), "\n"), "\n")
}

// reportKernel prints what the guest's kernel had to say.
func (m *machine) reportKernel() {
	for _, line := range m.consoleLines() {
		if trouble.MatchString(line) && !boring.MatchString(line) {
			fmt.Fprintln(os.Stderr, "guest kernel:", line)
		}
	}
}

func tail(lines []string, n int) string {
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
