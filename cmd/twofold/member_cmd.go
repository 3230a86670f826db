package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"twofold/raftlog"
)

const (
	memberTimeout = time.Minute
	memberPoll    = time.Second
)

func newMemberCmd() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "member",
		Short: "Show, add, remove and replace the members of the cluster",
		Long: "Who the members are is in the log. The commands go over the admin socket of a\n" +
			"running node; changes are for the node that leads (twofold leader). One change\n" +
			"is made at a time. docs/operations/members.md goes through each case.\n\n" +
			"Exit code: 0 done; 1 refused, nothing was changed unless it says so; 2 not known,\n" +
			"which twofold member list shows.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.addTo(cmd)
	cmd.AddCommand(newMemberListCmd(&f), newMemberAddCmd(&f), newMemberRemoveCmd(&f), newMemberReplaceCmd(&f))
	return cmd
}

func newMemberListCmd(f *targetFlags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Print the members, as the node that is asked knows them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r membersReply
			if err := f.call(cmd.Context(), memberTimeout, http.MethodGet, "members", nil, &r); err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(r)
			}
			return r.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// print writes the members for people.
func (r *membersReply) print(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "NODE\tROLE\tSTATE\tIDENTITY\tADDRESS")
	for _, m := range r.Members {
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.Role, m.standing(), m.Identity, m.Addr)
	}
	return tab.Flush()
}

// standing is how a member stands in the cluster.
func (m *memberStatus) standing() string {
	switch {
	case !m.Answers && m.Voter:
		return "votes, does not answer"
	case !m.Answers:
		return "no vote yet, does not answer"
	case m.Leader:
		return "leads"
	case !m.Voter:
		return fmt.Sprintf("no vote yet, %d behind", m.Behind)
	}
	return "votes"
}

func newMemberAddCmd(f *targetFlags) *cobra.Command {
	ask := memberAsk{Action: memberAdd}
	var role string
	var noWait bool
	cmd := &cobra.Command{
		Use:   "add NAME --role data|witness --addr HOST:PORT",
		Short: "Add a node that was formatted with twofold init --join and runs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask.Name, ask.Role = args[0], raftlog.Role(role)
			if ask.Role != raftlog.RoleData && ask.Role != raftlog.RoleWitness {
				return fmt.Errorf("--role: is %q: set it to data or witness", role)
			}
			return f.change(cmd, ask, ask.Name, noWait)
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "data or witness")
	addNewMemberFlags(cmd, &ask, &noWait)
	return cmd
}

func newMemberReplaceCmd(f *targetFlags) *cobra.Command {
	ask := memberAsk{Action: memberReplace}
	var noWait bool
	cmd := &cobra.Command{
		Use:   "replace OLD [--new NAME] --addr HOST:PORT",
		Short: "Put a new node in the place of a member, dead or alive",
		Long: "replace takes a node that was formatted with twofold init --join and runs into\n" +
			"the cluster, in the place of OLD. If OLD does not answer it is removed first; the\n" +
			"new node may then have its name. If it answers, it is removed once the new one\n" +
			"has caught up and votes.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask.Name = args[0]
			name := ask.New
			if name == "" {
				name = ask.Name
			}
			return f.change(cmd, ask, name, noWait)
		},
	}
	cmd.Flags().StringVar(&ask.New, "new", "", "name of the new node; OLD's if left out")
	addNewMemberFlags(cmd, &ask, &noWait)
	return cmd
}

func addNewMemberFlags(cmd *cobra.Command, ask *memberAsk, noWait *bool) {
	cmd.Flags().StringVar(&ask.Addr, "addr", "", "where the other members reach the new node")
	cmd.Flags().StringVar(&ask.Identity, "identity", "", "identity that the new node must have, as twofold init printed it")
	cmd.Flags().BoolVar(noWait, "no-wait", false, "do not wait until the new node votes")
	if err := cmd.MarkFlagRequired("addr"); err != nil {
		panic(err) // only if the flag does not exist
	}
}

func newMemberRemoveCmd(f *targetFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a member; its directory is of no use any more",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.change(cmd, memberAsk{Action: memberRemove, Name: args[0]}, "", true)
		},
	}
}

// change sends a change, tells what became of it, and waits until the new member
// votes and the one that it replaces is gone.
func (f *targetFlags) change(cmd *cobra.Command, ask memberAsk, name string, noWait bool) error {
	var r membersReply
	err := f.call(cmd.Context(), memberTimeout, http.MethodPost, "members", ask, &r)
	if err == nil && r.Unknown != "" {
		err = fmt.Errorf("%w: %s", errUnanswered, r.Unknown)
	}
	for _, line := range r.Done {
		fmt.Fprintln(cmd.OutOrStdout(), line)
	}
	if errors.Is(err, errUnanswered) {
		fmt.Fprintf(cmd.ErrOrStderr(), "twofold: it is not known what was done: %v: run twofold member list\n", err)
		return exitCode(exitUnknown)
	}
	if err != nil || noWait {
		return err
	}
	return f.awaitMember(cmd.Context(), name, cmd.OutOrStdout())
}

// awaitMember polls until a new member is what it is to be.
func (f *targetFlags) awaitMember(ctx context.Context, name string, out io.Writer) error {
	last := ""
	for {
		var r membersReply
		if err := f.call(ctx, memberTimeout, http.MethodGet, "members", nil, &r); err != nil {
			return fmt.Errorf("%w: %s goes on catching up: look at twofold member list", err, name)
		}
		var state string
		for _, m := range r.Members {
			if m.Name == name {
				state = m.standing()
				for _, o := range r.Members {
					if m.Voter && m.Replaces != "" && o.Identity == m.Replaces {
						state = o.Name + " is about to go"
					}
				}
			}
		}
		if state != last {
			fmt.Fprintf(out, "%s: %s\n", name, state)
			last = state
		}
		switch state {
		case "":
			return fmt.Errorf("%s is not a member any more: look at twofold member list", name)
		case "votes", "leads":
			return nil
		}
		select {
		case <-time.After(memberPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
