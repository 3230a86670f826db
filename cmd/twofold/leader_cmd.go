package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// leaderTimeout bounds the leader commands.
const leaderTimeout = 15 * time.Second

// leaderAsk is the body of POST /leader.
type leaderAsk struct {
	To string `json:"to,omitempty"` // empty: the other data node
}

// leaderReply is the answer to GET and POST /leader.
type leaderReply struct {
	Node   string        `json:"node"` // that answers
	Leader string        `json:"leader"`
	Term   uint64        `json:"term"`
	Took   time.Duration `json:"took_ns,omitempty"` // of a move
}

func newLeaderCmd() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "leader",
		Short: "Show who leads, or move leadership",
		Long: "leader asks a running node over its admin socket who leads the log. Changes go\n" +
			"through the leader; clients are served by both data nodes alike.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r leaderReply
			if err := f.call(cmd.Context(), leaderTimeout, http.MethodGet, "leader", nil, &r); err != nil {
				return err
			}
			if r.Leader == "" {
				return fmt.Errorf("node %s knows no leader, in term %d: look at twofold status", r.Node, r.Term)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s leads, in term %d\n", r.Leader, r.Term)
			return nil
		},
	}
	f.addTo(cmd)
	cmd.AddCommand(newLeaderMoveCmd(&f))
	return cmd
}

func newLeaderMoveCmd(f *targetFlags) *cobra.Command {
	var ask leaderAsk
	cmd := &cobra.Command{
		Use:   "move [--to NODE]",
		Short: "Move leadership from the node that is asked to the other data node",
		Long: "move hands leadership over without a client noticing more than a short pause.\n" +
			"Give it at the node that leads.\n\n" +
			"Exit code: 0 if the other node leads now, 1 if not.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r leaderReply
			if err := f.call(cmd.Context(), leaderTimeout, http.MethodPost, "leader", ask, &r); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s leads, in term %d, after %s\n", r.Leader, r.Term, r.Took.Round(time.Millisecond))
			return nil
		},
	}
	cmd.Flags().StringVar(&ask.To, "to", "", "data node that is to lead")
	return cmd
}

func (n *node) handleLeader(mux *http.ServeMux) {
	mux.HandleFunc("GET /leader", func(w http.ResponseWriter, _ *http.Request) {
		adminReply(w, func() (any, error) { return n.leader() })
	})
	mux.HandleFunc("POST /leader", func(w http.ResponseWriter, r *http.Request) {
		adminReply(w, func() (any, error) {
			var ask leaderAsk
			if err := decodeAsk(w, r, &ask); err != nil {
				return nil, err
			}
			return n.moveLeader(r.Context(), ask.To)
		})
	})
}

// leader is the command GET /leader.
func (n *node) leader() (*leaderReply, error) {
	p := n.parts.Load()
	if p == nil {
		return nil, errNotMet
	}
	st, _ := p.raft.Watch()
	return &leaderReply{Node: n.cfg.Node, Leader: st.Leader, Term: uint64(st.Term)}, nil
}

// errNotMet is the error of commands that need the log.
var errNotMet = errors.New("this node has not met the other members yet: start them, or look at twofold status")

// moveLeader is the command POST /leader. It returns when the other node is
// known to lead.
func (n *node) moveLeader(ctx context.Context, to string) (*leaderReply, error) {
	now, err := n.leader()
	switch {
	case err != nil:
		return nil, err
	case to != "" && now.Leader == to:
		return now, nil
	case now.Leader == "":
		return nil, errors.New("nobody leads at the moment: look at twofold status")
	case now.Leader != n.cfg.Node:
		return nil, fmt.Errorf("node %s does not lead, %s does: give the command there", n.cfg.Node, now.Leader)
	}
	if to != "" && !n.isOtherData(to) {
		return nil, fmt.Errorf("%q is not another data node: look at twofold status", to)
	}
	start := time.Now()
	target, err := n.transferLeadership(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("leadership was not moved: %w", err)
	}
	for p := n.parts.Load(); ; {
		st, changed := p.raft.Watch()
		if st.Leader == target {
			return &leaderReply{Node: n.cfg.Node, Leader: st.Leader, Term: uint64(st.Term), Took: time.Since(start)}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("leadership was given up, and %s does not lead yet: %w", target, ctx.Err())
		}
	}
}
