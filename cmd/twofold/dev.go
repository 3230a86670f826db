package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// devOptions are the flags of dev.
type devOptions struct {
	dir   string
	fresh bool
	nfs   []string // of a and b
	http  []string // of a, b and w
	// nfsGiven and httpGiven say that the user chose the addresses: they then
	// replace what the config files of an earlier run have.
	nfsGiven  bool
	httpGiven bool
}

// Where dev puts things unless told.
const defaultDevDir = ".twofold-dev"

var (
	defaultDevNFS  = []string{"127.0.0.1:12049", "127.0.0.1:12149"}
	defaultDevHTTP = []string{"127.0.0.1:12080", "127.0.0.1:12180", "127.0.0.1:12280"}
)

func newDevCmd() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run two data nodes and a witness on this machine, to try things out",
		Long: "dev starts three processes of this program on loopback: data nodes a and b\n" +
			"and witness w. The first start formats them; later starts find their data.\n" +
			"Config, log, pid and state of each are in its directory below --dir. Ctrl-C\n" +
			"stops all. A process that dies is reported and not started again.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.nfsGiven, o.httpGiven = cmd.Flags().Changed("nfs"), cmd.Flags().Changed("http")
			if err := o.validate(); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			// A second Ctrl-C ends this process at once, and the kernel then
			// ends its children.
			context.AfterFunc(ctx, stop)
			return runDev(ctx, o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", defaultDevDir, "directory of the three nodes")
	f.BoolVar(&o.fresh, "fresh", false, "remove the data of earlier starts first")
	f.StringSliceVar(&o.nfs, "nfs", defaultDevNFS, "NFS addresses of a and b")
	f.StringSliceVar(&o.http, "http", defaultDevHTTP, "HTTP addresses of a, b and w")
	return cmd
}

// validate checks the flags.
func (o *devOptions) validate() error {
	if len(o.nfs) != 2 {
		return fmt.Errorf("--nfs: %d addresses: give two, one for a and one for b", len(o.nfs))
	}
	if len(o.http) != 3 {
		return fmt.Errorf("--http: %d addresses: give three, for a, b and w", len(o.http))
	}
	var m mistakes
	for _, a := range o.nfs {
		checkAddr(&m, "--nfs", a, false)
	}
	for _, a := range o.http {
		checkAddr(&m, "--http", a, false)
	}
	if len(m) > 0 {
		return fmt.Errorf("%s", strings.Join(m, "\ntwofold: "))
	}
	return nil
}

// Bounds of waiting.
const (
	devReadyTimeout = 90 * time.Second
	devStopTimeout  = 20 * time.Second
	devPollEvery    = 50 * time.Millisecond
)

// runDev runs the three nodes until ctx ends. What the user or a script waits
// for goes to out, everything else to progress.
func runDev(ctx context.Context, o devOptions, out, progress io.Writer) error {
	d, err := openDevDir(o.dir, o.fresh)
	if err != nil {
		return err
	}
	defer d.close()
	nodes, err := d.prepare(o, progress)
	if err != nil {
		return err
	}
	g := newChildGroup()
	defer g.close()
	for _, n := range nodes {
		if err := g.start(n); err != nil {
			return joinStop(g, progress, fmt.Errorf("node %s: %w", n.name, err))
		}
		fmt.Fprintf(progress, "started %s, pid %d, log %s\n", n.name, n.pid(), n.logPath())
	}
	if err := waitReady(ctx, g, nodes, progress); err != nil {
		if ctx.Err() != nil {
			err = nil // asked to stop before all was up
		}
		return joinStop(g, progress, err)
	}
	fmt.Fprintln(out, readyLine(nodes))
	return joinStop(g, progress, watchChildren(ctx, g, progress))
}

// watchChildren reports each child that dies until ctx ends. It returns an
// error when none is left.
func watchChildren(ctx context.Context, g *childGroup, progress io.Writer) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-g.exits:
			fmt.Fprint(progress, n.obituary())
			g.gone(n)
			if g.alive() == 0 {
				return fmt.Errorf("all nodes ended")
			}
		}
	}
}

// joinStop stops what runs and returns cause, or what went wrong meanwhile.
func joinStop(g *childGroup, progress io.Writer, cause error) error {
	if g.alive() > 0 {
		fmt.Fprintln(progress, "stopping")
	}
	err := g.stop(devStopTimeout)
	if cause != nil {
		return cause
	}
	return err
}

// readyLine is the one line for people and scripts.
func readyLine(nodes []*devNode) string {
	var b strings.Builder
	b.WriteString("ready")
	for _, n := range nodes {
		if n.cfg.isData() {
			fmt.Fprintf(&b, "  %s: %s ", n.name, mountCommand(n.cfg.NFS.Listen, "/mnt/"+n.name))
		}
	}
	b.WriteString(" (nolock: file locks hold within one client only)")
	return b.String()
}

// mountCommand is what a Linux client on this machine types.
func mountCommand(listen, mountpoint string) string {
	host, port, err := net.SplitHostPort(reachable(listen))
	if err != nil {
		return "bad address " + listen // checked when the config was loaded
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("mount -t nfs -o vers=3,proto=tcp,port=%s,mountport=%s,nolock %s:/ %s", port, port, host, mountpoint)
}

// reachable turns a listen address that means every interface into one that a
// client on this machine can use.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
