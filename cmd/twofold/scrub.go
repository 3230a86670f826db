package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"twofold/replica"
)

// scrubPoll is how often the command asks how far the scan is.
const scrubPoll = time.Second

// Limits of the config's digests section.
const (
	defaultDigestEvery = duration(5 * time.Second)
	minDigestEvery     = duration(100 * time.Millisecond)
	defaultScrubRate   = 64 * mebibyte
	minScrubRate       = mebibyte
)

func newScrubCmd() *cobra.Command {
	var configPath string
	var detach bool
	cmd := &cobra.Command{
		Use:   "scrub --config FILE [--detach]",
		Short: "Have a running node read its whole copy and compare it with what was written",
		Long: "scrub asks the node that runs on the config's directory to read every record of\n" +
			"its copy, at digests.scrub_rate of the config, while it goes on serving. A copy\n" +
			"that is not what was written goes out of use, and the node serves through the\n" +
			"other data node. Progress is told on stderr; the scan goes on if this command is\n" +
			"interrupted.\n\n" +
			"Exit code: 0 the copy is what was written; 1 it is not, or is out of use; 2 that\n" +
			"is not known: nobody answers, or the scan could not be made.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(configPath)
			if err != nil {
				return err
			}
			return scrub(cmd.Context(), cfg.Dir, detach, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&configPath, "config", "", "config file of the node")
	cmd.Flags().BoolVar(&detach, "detach", false, "begin and do not wait; twofold status tells the progress")
	_ = cmd.MarkFlagRequired("config") // the flag exists
	return cmd
}

// scrub begins a scan and follows it.
func scrub(ctx context.Context, dir string, detach bool, out, progress io.Writer) error {
	var r scrubReply
	if err := adminCall(ctx, dir, http.MethodPost, "scrub", &r); err != nil {
		fmt.Fprintf(progress, "twofold: %s\n", oneLine(err))
		return exitCode(exitUnknown)
	}
	if detach {
		fmt.Fprintln(out, "the scan has begun: twofold status tells how far it is")
		return nil
	}
	for r.Running {
		fmt.Fprintf(progress, "read %s of about %s\n", humanBytes(r.Bytes), humanBytes(r.Expected))
		select {
		case <-time.After(scrubPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := adminCall(ctx, dir, http.MethodGet, "scrub", &r); err != nil {
			fmt.Fprintf(progress, "twofold: %s\n", oneLine(err))
			return exitCode(exitUnknown)
		}
	}
	switch {
	case r.Damaged > 0 || r.Quarantine != "":
		fmt.Fprintf(out, "DAMAGED: the copy is out of use: %s\n", r.Quarantine)
		return exitCode(exitError)
	case r.Problem != "":
		fmt.Fprintf(out, "the scan was not made: %s\n", r.Problem)
		return exitCode(exitUnknown)
	}
	fmt.Fprintf(out, "sound: %d records, %s, at entry %d\n", r.Records, humanBytes(r.Bytes), r.Index)
	return nil
}

// beginScrub is the command POST /scrub. One that runs already is as good.
func (n *node) beginScrub() (any, error) {
	p, err := n.dataParts()
	if err != nil {
		return nil, err
	}
	if err := p.store.Scrub(); err != nil && !errors.Is(err, replica.ErrScrubRuns) {
		return nil, err
	}
	return n.scrubStatus()
}

// scrubStatus is the command GET /scrub.
func (n *node) scrubStatus() (any, error) {
	p, err := n.dataParts()
	if err != nil {
		return nil, err
	}
	i := p.store.Integrity()
	return scrubOf(&i), nil
}

func (n *node) dataParts() (*nodeParts, error) {
	p := n.parts.Load()
	if p == nil || p.store == nil {
		return nil, errors.New("this node has no copy of the volume: ask a data node that runs")
	}
	return p, nil
}
