package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"twofold/raftlog/identity"
)

func newInitCmd() *cobra.Command {
	var path string
	var join bool
	cmd := &cobra.Command{
		Use:   "init --config FILE [--join]",
		Short: "Format the directory of a new node",
		Long: "init formats the directory that the config file names and gives the node a\n" +
			"random identity. It refuses a directory that holds anything. A new cluster\n" +
			"starts when all of its members have been formatted and have met.\n\n" +
			"With --join the node is for a cluster that there is already: it waits until\n" +
			"twofold member add or replace takes it in.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			what := cfg.identity()
			what.Join = join
			id, err := identity.Init(cfg.Dir, what)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "formatted %s\nnode %s, role %s, cluster %s, identity %s\n",
				cfg.Dir, id.Node, id.Role, id.Cluster, id.NodeID)
			if join {
				fmt.Fprintf(cmd.OutOrStdout(), "start it, and then add it at the node that leads, with --identity %s\n", id.NodeID)
			}
			return nil
		},
	}
	addConfigFlag(cmd, &path)
	cmd.Flags().BoolVar(&join, "join", false, "format the node for a cluster that there is already")
	return cmd
}

// addConfigFlag adds the flag that init and serve must have.
func addConfigFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "", "config file of the node (YAML)")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // only if the flag does not exist
	}
}
