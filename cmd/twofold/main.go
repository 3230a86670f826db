package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes. Status has its own meaning for each, see doc.go.
const (
	exitOK    = 0
	exitError = 1
)

// exitCode is an error that only carries the code to exit with: what there was
// to say has been said.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func main() {
	os.Exit(run(os.Args[1:]))
}

// run executes one command line and returns the process's exit code.
func run(args []string) int {
	root := newRootCmd()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	// Whoever reads this may hang, see logWriter; the process ends nevertheless.
	_ = bounded(logFlushLimit, func() error {
		_, err := fmt.Fprintf(os.Stderr, "twofold: %s\n", oneLine(err))
		return err
	})
	return exitError
}

// oneLine is the text of an error in one line: joined errors and texts of
// libraries may have several, with blank ones and indents.
func oneLine(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, "; ")
}

func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "twofold",
		Short: "An NFSv3 gateway over a two-way replicated store with a witness",
		Long: "twofold serves one volume over NFSv3 from two data nodes at once.\n" +
			"A third, small machine, the witness, gives the pair a quorum.",
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.AddCommand(newInitCmd(), newServeCmd(), newDevCmd(), newStatusCmd(), newLeaderCmd(), newDrainCmd(), newMemberCmd(), newRecoverCmd(), newExportCmd(), newCheckCmd(), newScrubCmd(), newBenchCmd(), newVersionCmd())
	return root
}
