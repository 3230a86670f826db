package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"twofold/replica/state"
)

// What an operator may decide of a copy that is out of use.
const (
	decideNothing = ""
	decideSound   = "sound"
	decideDamaged = "damaged"
)

func newCheckCmd() *cobra.Command {
	var configPath, decide string
	cmd := &cobra.Command{
		Use:   "check [--config FILE | DIR]",
		Short: "Walk the copy of a stopped node and say what is wrong with it",
		Long: "check reads the whole copy of the volume of a data node that does not run: names,\n" +
			"link counts, directories, orphans, cookies, blocks, sizes, sums and tables. It\n" +
			"changes nothing. It keeps about 100 bytes for each inode in memory. Progress is\n" +
			"told on stderr.\n\n" +
			"--decide is the word of an operator about a copy that is out of use: sound has the\n" +
			"node use it again, damaged has it replaced by the other node's.\n\n" +
			"Exit code: 0 nothing is wrong; 1 something is; 2 that is not known: the copy could\n" +
			"not be read, or its node runs.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := checkedDir(configPath, args)
			if err != nil {
				return err
			}
			if err := checkCopy(cmd.Context(), dir, decide, cmd.OutOrStdout(), cmd.ErrOrStderr()); err != nil {
				var code exitCode
				if errors.As(err, &code) {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "twofold: %s\n", oneLine(err))
				return exitCode(exitUnknown)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&configPath, "config", "", "config file of the node")
	cmd.Flags().StringVar(&decide, "decide", decideNothing, "sound or damaged: what becomes of a copy that is out of use")
	return cmd
}

// checkedDir returns the directory of the state.
func checkedDir(configPath string, args []string) (string, error) {
	switch {
	case configPath != "" && len(args) == 0:
		cfg, err := loadConfig(configPath)
		if err != nil {
			return "", err
		}
		if !cfg.isData() {
			return "", errors.New("a witness has no copy of the volume: check a data node")
		}
		return filepath.Join(cfg.Dir, volumeDir), nil
	case configPath == "" && len(args) == 1:
		return filepath.Join(args[0], volumeDir), nil
	default:
		return "", errors.New("name the config of the node with --config, or its directory")
	}
}

// checkCopy walks the state in dir and tells what it found.
func checkCopy(ctx context.Context, dir, decide string, out, progress io.Writer) error {
	if decide != decideNothing && decide != decideSound && decide != decideDamaged {
		return fmt.Errorf("--decide %q is not known: use %s or %s", decide, decideSound, decideDamaged)
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("%w: is this the directory of a data node?", err)
	}
	o := state.Options{Logger: slog.New(slog.DiscardHandler)}
	r, err := state.CheckDir(ctx, dir, o, state.ScanOptions{Progress: func(records, bytes uint64) {
		fmt.Fprintf(progress, "read %d records, %s\n", records, humanBytes(bytes))
	}})
	if err != nil {
		return fmt.Errorf("%w: a node that runs is scanned by twofold scrub", err)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(out, "%s: %s\n", f.Kind, f.What)
	}
	if more := r.TotalFindings - len(r.Findings); more > 0 {
		fmt.Fprintf(out, "and %d more\n", more)
	}
	q, err := state.ReadQuarantine(dir, o)
	if err != nil {
		return err
	}
	if q != nil {
		fmt.Fprintf(out, "out of use (%s), at entry %d: %s\n", q.Cause, q.Index, q.Detail)
	}
	if err := decideCopy(dir, decide, o, q, &r, out); err != nil {
		return err
	}
	if r.TotalFindings > 0 {
		fmt.Fprintf(out, "DAMAGED: %d findings in %s, applied up to entry %d\n", r.TotalFindings, dir, r.Index)
		return exitCode(exitError)
	}
	fmt.Fprintf(out, "sound: %d inodes, %s of data, applied up to entry %d, digest %s\n", r.Inodes, humanBytes(r.Bytes), r.Index, r.Digest)
	return nil
}

// decideCopy carries out the operator's word.
func decideCopy(dir, decide string, o state.Options, q *state.Quarantine, r *state.Report, out io.Writer) error {
	switch {
	case decide == decideNothing:
		return nil
	case q == nil:
		return errors.New("--decide: this copy is not out of use, there is nothing to decide")
	case q.Cause == state.CauseUnopened:
		return errors.New("--decide: this is an empty copy in the place of one that could not be opened, and is replaced anyway: to use the old one after all, move it back")
	case decide == decideSound && r.TotalFindings > 0:
		return errors.New("--decide sound: the check found damage in this copy")
	case decide == decideSound:
		if err := state.ClearQuarantine(dir, o); err != nil {
			return err
		}
		fmt.Fprintln(out, "the node will use this copy again")
	default:
		was := *q
		was.Cause, was.Detail = state.CauseReplay, "an operator decided that this copy is damaged; "+q.Detail
		if err := state.WriteQuarantine(dir, o, was); err != nil {
			return err
		}
		fmt.Fprintln(out, "the node will have this copy replaced")
	}
	return nil
}
