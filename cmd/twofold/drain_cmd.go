package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// drainTimeout bounds the command: the longest delay, and the drain itself.
const drainTimeout = maxDrainDelay + 30*time.Second

func newDrainCmd() *cobra.Command {
	var f targetFlags
	var ask drainAsk
	cmd := &cobra.Command{
		Use:   "drain {--config FILE | --dir DIR} [--force | --undo]",
		Short: "Take the clients away from a data node before it is stopped",
		Long: "drain lets a running data node serve no more clients: /readyz fails (for\n" +
			"nfs.drain_delay before anything else), leadership goes to the other data node,\n" +
			"calls in flight are answered, connections are closed and new ones refused. The\n" +
			"process goes on as a member: it votes and keeps its copy up to date. Stop it\n" +
			"when you like, or let it serve again with --undo. A drain does not outlast the\n" +
			"process. Stopping a node with SIGTERM drains it too.\n\n" +
			"drain refuses if another member is down or behind, since nobody would serve\n" +
			"then, or a stop of this node would end the quorum; --force drains all the same.\n\n" +
			"Exit code: 0 drained; 1 refused, the node serves as before; 2 not known.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.named(); err != nil {
				return err
			}
			var r drainReply
			err := f.call(cmd.Context(), drainTimeout, http.MethodPost, "drain", ask, &r)
			if errors.Is(err, errUnanswered) {
				fmt.Fprintf(cmd.ErrOrStderr(), "twofold: %v: look at twofold status\n", err)
				return exitCode(exitUnknown)
			}
			if err != nil {
				return err
			}
			for _, s := range r.Steps {
				fmt.Fprintf(cmd.OutOrStdout(), "%s (%s)\n", s.Text, s.Took.Round(time.Millisecond))
			}
			if !ask.Undo {
				fmt.Fprintf(cmd.OutOrStdout(), "%s is drained and may be stopped\n", r.Node)
			}
			return nil
		},
	}
	f.addTo(cmd)
	cmd.Flags().BoolVar(&ask.Force, "force", false, "drain although another member is down or behind")
	cmd.Flags().BoolVar(&ask.Undo, "undo", false, "serve clients again")
	cmd.MarkFlagsMutuallyExclusive("force", "undo")
	return cmd
}
