package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"twofold/raftlog/identity"
)

func newInitCmd() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "init --config FILE",
		Short: "Format the directory of a new node",
		Long: "init formats the directory that the config file names and gives the node a\n" +
			"random identity. It refuses a directory that holds anything. A new cluster\n" +
			"starts when all of its members have been formatted and have met.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			id, err := identity.Init(cfg.Dir, cfg.identity())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "formatted %s\nnode %s, role %s, cluster %s, identity %s\n",
				cfg.Dir, id.Node, id.Role, id.Cluster, id.NodeID)
			return nil
		},
	}
	addConfigFlag(cmd, &path)
	return cmd
}

// addConfigFlag adds the flag that init and serve must have.
func addConfigFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "", "config file of the node (YAML)")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // only if the flag does not exist
	}
}
