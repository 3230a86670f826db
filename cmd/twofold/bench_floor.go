package main

import (
	"encoding/json"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	nfsload "twofold/nfs/load"
)

// defaultFloorBytes is about what a CREATE is in the log.
const (
	defaultFloorBytes    = 512
	defaultFloorDuration = 5 * time.Second
)

func newFloorCmd() *cobra.Command {
	cfg := nfsload.FloorConfig{}
	var dirs []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "floor --dirs A,B",
		Short: "Measure the least that a durable change can take on this machine and these disks",
		Long: "floor has one caller send a message to one node, which sends it on to the other\n" +
			"one while both write it to a file of their own and call fdatasync, and which then\n" +
			"answers: what any store must do that has a change on two disks before it answers,\n" +
			"and nothing else. Both nodes are goroutines of this process, and speak TCP.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(dirs) != 2 {
				return fmt.Errorf("--dirs: %d directories: give two, on the disks of the two data nodes", len(dirs))
			}
			cfg.Dirs = [2]string(dirs)
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			res, err := nfsload.Floor(ctx, cfg)
			if err != nil {
				return err
			}
			if asJSON {
				text, err := json.MarshalIndent(res, "", "  ")
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%.0f ops/s, p50 %d us, p99 %d us; fdatasync p50 %d us and %d us\n",
				res.OpsRate, res.Latency.P50, res.Latency.P99, res.Sync[0].P50, res.Sync[1].P50)
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&dirs, "dirs", nil, "two directories, on the disks of the two data nodes")
	f.IntVar(&cfg.Bytes, "bytes", defaultFloorBytes, "size of a change")
	f.DurationVarP(&cfg.Duration, "duration", "d", defaultFloorDuration, "how long to measure")
	f.Int64VarP(&cfg.Ops, "ops", "n", 0, "number of changes to make, instead of a duration")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
