package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// options is what the command line asks for.
type options struct {
	memory  int // MiB
	limit   time.Duration
	kernLog string
	shares  []string
	mounts  []nfsMount
	command []string
}

// nfsMount is one NFS mount to make before the command runs.
type nfsMount struct {
	Server  netip.AddrPort // as the guest sees it
	Export  string
	Point   string
	Options string // comma-separated; they replace defaults of the same name
}

const usage = `usage: guest [flags] -- COMMAND [ARG...]
Runs COMMAND in a User Mode Linux guest.

`

// parseOptions reads the command line.
func parseOptions(args []string, errs io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("guest", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.Usage = func() { fmt.Fprint(errs, usage); fs.PrintDefaults() }
	fs.IntVar(&o.memory, "memory", 1024, "memory of the guest in `MiB`, its page cache included")
	fs.DurationVar(&o.limit, "limit", 5*time.Minute, "kill the guest after this `time`")
	fs.StringVar(&o.kernLog, "kernel-log", "", "keep the log of the guest's kernel in this `file`")
	fs.Func("share", "`directory` of the host that the guest may write to, at the same path (may be repeated)", func(s string) error {
		dir, err := shareDir(s)
		o.shares = append(o.shares, dir)
		return err
	})
	fs.Func("mount", "NFS mount `ADDR:PORT/EXPORT=POINT[,OPTION...]` (may be repeated); the options add to or replace "+
		"vers=3,proto=tcp,port=PORT,mountport=PORT,mountproto=tcp,retry=0,nolock", func(s string) error {
		m, err := parseMount(s)
		o.mounts = append(o.mounts, m)
		return err
	})
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.command = fs.Args()
	switch {
	case len(o.command) == 0:
		return o, errors.New("no command (see -h)")
	case o.memory < 64:
		return o, fmt.Errorf("a guest needs 64 MiB of memory at least, not %d", o.memory)
	case o.limit <= 0:
		return o, fmt.Errorf("the time limit must be above zero, not %v", o.limit)
	}
	return o, nil
}

// shareDir makes the directory and gives it its absolute name without symbolic links, because the guest mounts by name.
func shareDir(name string) (string, error) {
	if err := os.MkdirAll(name, 0o755); err != nil {
		return "", err
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// parseMount reads ADDR:PORT/EXPORT=POINT[,OPTION...].
func parseMount(s string) (nfsMount, error) {
	var m nfsMount
	source, target, ok := strings.Cut(s, "=")
	slash := strings.IndexByte(source, '/')
	if !ok || slash < 0 {
		return m, fmt.Errorf("mount %q is not ADDR:PORT/EXPORT=POINT", s)
	}
	server, err := netip.ParseAddrPort(source[:slash])
	if err != nil {
		return m, fmt.Errorf("mount %q: %w", s, err)
	}
	m.Server, m.Export = server, source[slash:]
	m.Point, m.Options, _ = strings.Cut(target, ",")
	if !filepath.IsAbs(m.Point) {
		return m, fmt.Errorf("mount %q: mount point %q is not an absolute path", s, m.Point)
	}
	if !server.Addr().Is4() {
		return m, fmt.Errorf("mount %q: the guest has an IPv4 network only", s)
	}
	_, err = m.mountPort()
	return m, err
}

// mountPort is the port of the MOUNT service: the NFS port unless the options say otherwise.
func (m nfsMount) mountPort() (uint16, error) {
	for o := range strings.SplitSeq(m.Options, ",") {
		if v, ok := strings.CutPrefix(o, "mountport="); ok {
			p, err := strconv.ParseUint(v, 10, 16)
			return uint16(p), err
		}
	}
	return m.Server.Port(), nil
}

// mountOptions gives the option list for mount(8). A default gives way to an option of the same name, because mount.nfs
// takes the first of two.
func (m nfsMount) mountOptions() string {
	given := make(map[string]bool)
	for o := range strings.SplitSeq(m.Options, ",") {
		key, _, _ := strings.Cut(o, "=")
		given[key] = true
	}
	port := strconv.Itoa(int(m.Server.Port()))
	var list []string
	for _, d := range []struct{ key, value string }{
		{"vers", "3"}, {"proto", "tcp"}, {"port", port}, {"mountport", port}, {"mountproto", "tcp"}, {"retry", "0"},
	} {
		if !given[d.key] {
			list = append(list, d.key+"="+d.value)
		}
	}
	if !given["lock"] && !given["nolock"] {
		list = append(list, "nolock")
	}
	if m.Options != "" {
		list = append(list, m.Options)
	}
	return strings.Join(list, ",")
}
