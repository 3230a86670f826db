package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"twofold/nfs/export"
	"twofold/replica/vfs"
)

// exitUnknown is the exit code of a change of which nobody knows whether it was
// made.
const exitUnknown = 2

// exportTimeout bounds one command; the node answers within exportCallTimeout
// for each of its steps.
const exportTimeout = time.Minute

// exportFlags are the flags of all export commands.
type exportFlags struct {
	targetFlags
	base   uint64
	dryRun bool
}

func newExportCmd() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Show and change the export table: who may mount what",
		Long: "The export table is the cluster's, and part of the replicated state. A change at\n" +
			"either data node is one entry of the log and in force at both. The commands go\n" +
			"over the admin socket of a running data node: the one of --config or --dir, or\n" +
			"one of twofold dev in ./" + defaultDevDir + ".\n\n" +
			"Exit code: 0 done; 1 refused, nothing was changed; 2 not known whether it was\n" +
			"changed, which twofold export list shows.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.addTo(cmd)
	cmd.AddCommand(newExportListCmd(&f), newExportSetCmd(&f), newExportRemoveCmd(&f), newExportApplyCmd(&f))
	return cmd
}

func newExportListCmd(f *exportFlags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Print the export table as a file that export apply takes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r exportsReply
			if err := f.call(cmd.Context(), exportTimeout, http.MethodGet, "exports", nil, &r); err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(r)
			}
			_, err := io.WriteString(cmd.OutOrStdout(), r.file())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newExportSetCmd(f *exportFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set PATH CLIENT[(OPTIONS)]...",
		Short: "Export a directory, or replace its clients and options",
		Long: "set exports the directory that has the path now, a path from the volume's root,\n" +
			"to the clients, with options as in exports(5). Clients and options that it had\n" +
			"before are replaced. Quote clients with options: the shell means something else\n" +
			"by parentheses.",
		Example: "  twofold export set /projects '10.0.0.0/24(rw)' 'backup.example.net(ro,no_root_squash)'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("export set needs a directory and at least one client: twofold export set / '10.0.0.0/24(rw)'")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.edit(cmd, &exportEdit{Action: exportSet, Path: octets(args[0]), Clients: args[1:]})
		},
	}
	f.addEditFlags(cmd)
	return cmd
}

func newExportRemoveCmd(f *exportFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove PATH",
		Short: "Take a directory out of the export table",
		Long:  "remove ends an export. Clients that have it mounted are answered \"stale file\nhandle\" from then on, at both nodes.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.edit(cmd, &exportEdit{Action: exportRemove, Path: octets(args[0])})
		},
	}
	f.addEditFlags(cmd)
	return cmd
}

func newExportApplyCmd(f *exportFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Replace the whole export table by a file",
		Long: "apply makes the table what the file says, or what stdin says if FILE is -. The\n" +
			"syntax is close to exports(5). A bad line is refused with its number, and the\n" +
			"table stays as it is. Entries that do not change keep their directory, even if it\n" +
			"was renamed.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e := &exportEdit{Action: exportApply, Name: args[0]}
			from := cmd.InOrStdin()
			if args[0] == "-" {
				e.Name = "stdin"
			} else {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close() // only read
				from = f
			}
			text, err := readAtMost(from, e.Name, export.MaxFile)
			if err != nil {
				return err
			}
			e.Text = octets(text)
			return f.edit(cmd, e)
		},
	}
	f.addEditFlags(cmd)
	return cmd
}

func (f *exportFlags) addEditFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would change and change nothing; paths are not looked up")
	cmd.Flags().Uint64Var(&f.base, "base", 0, "change the table only if it has this version, as export list shows it")
}

// edit sends a change and tells what became of it.
func (f *exportFlags) edit(cmd *cobra.Command, e *exportEdit) error {
	if e.DryRun = f.dryRun; cmd.Flags().Changed("base") {
		e.Base = &f.base
	}
	var r editReply
	err := f.call(cmd.Context(), exportTimeout, http.MethodPost, "exports", e, &r)
	switch {
	case err == nil && r.Unknown != "":
		return tellUnknown(cmd.ErrOrStderr(), errors.New(r.Unknown))
	case errors.Is(err, errUnanswered) && !e.DryRun:
		return tellUnknown(cmd.ErrOrStderr(), err)
	case err != nil:
		return err
	}
	out := cmd.OutOrStdout()
	for _, line := range r.Diff {
		fmt.Fprintln(out, line)
	}
	switch {
	case r.Changed:
		fmt.Fprintf(out, "export table: version %d, for the whole cluster\n", r.Version)
	case e.DryRun && len(r.Diff) > 0:
		fmt.Fprintf(out, "export table: version %d would change like this\n", r.Version)
	default:
		fmt.Fprintf(out, "export table: version %d says this already\n", r.Version)
	}
	return nil
}

// tellUnknown prints that nobody knows what became of a change, and returns the
// exit code for that.
func tellUnknown(w io.Writer, why error) error {
	fmt.Fprintf(w, "twofold: %v: %v: run twofold export list\n", errOutcome, why)
	return exitCode(exitUnknown)
}

// file is the table as a file that export apply takes.
func (r *exportsReply) file() string {
	var b strings.Builder
	if r.Version == 0 {
		fmt.Fprintln(&b, "# twofold exports: the table was never set, nobody may mount")
	} else {
		fmt.Fprintf(&b, "# twofold exports, version %d\n", r.Version)
		fmt.Fprintf(&b, "# set %s by node %s from %s\n", r.Time.Format(statusTime), r.By, comment(r.Source))
	}
	if r.Problem != "" {
		fmt.Fprintf(&b, "# %s\n", comment(r.Problem))
	}
	entries := make([]vfs.Export, 0, len(r.Exports))
	for _, e := range r.Exports {
		entries = append(entries, vfs.Export{Path: string(e.Path), Clients: e.Clients})
	}
	b.WriteString(export.Format(entries))
	return b.String()
}

// comment makes a text fit for a comment: a file's name may hold line feeds.
func comment(text string) string {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return strconv.Quote(text)
	}
	return text
}
