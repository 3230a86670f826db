package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func newServeCmd() *cobra.Command {
	var path string
	var printConfig bool
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run one node",
		Long: "serve runs the data node or witness that the config file describes, until\n" +
			"SIGINT or SIGTERM. It never formats a directory: twofold init does. On SIGHUP\n" +
			"a data node proposes its exports_file as the cluster's export table.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			if printConfig {
				text, err := cfg.effective()
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			return serveSignals(cmd.Context(), cfg, cmd.ErrOrStderr())
		},
	}
	addConfigFlag(cmd, &path)
	cmd.Flags().BoolVar(&printConfig, "print-config", false, "show the effective values and exit")
	return cmd
}

// serveSignals runs one node until a signal says that it is to stop, and writes its
// log to out.
func serveSignals(ctx context.Context, cfg *config, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	w := newLogWriter(out, cfg.Log.handler)
	defer w.flush(logFlushLimit)
	return serve(ctx, cfg, slog.New(cfg.Log.handler(w)))
}

// collectAt is by how much the heap may grow before the collector runs, in percent of what
// is in use. Most of what a node allocates is short-lived, and what it keeps is small: some tens of MiB more
// save a twentieth of its processor time. GOGC, where it is set, stands.
const collectAt = 200

// serve runs one node until ctx ends or it fails.
func serve(ctx context.Context, cfg *config, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if cfg.Memory.Limit > 0 {
		debug.SetMemoryLimit(int64(cfg.Memory.Limit))
	}
	// SIGHUP would end the process otherwise, at whatever moment it comes.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	n, err := openNode(cfg, log)
	if err != nil {
		return err
	}
	n.hangups = hangups
	log.Info("node starts", "node", cfg.Node, "role", cfg.Role, "cluster", cfg.Cluster,
		"version", buildVersion(), "dir", cfg.Dir)
	err = n.run(ctx)
	if err != nil {
		log.Error("node stops", "node", cfg.Node, "err", err)
	} else {
		log.Info("node stops", "node", cfg.Node)
	}
	if closeErr := bounded(stopTimeout+time.Duration(cfg.NFS.DrainDelay), n.close); err == nil && closeErr != nil {
		err = fmt.Errorf("stop: %w", closeErr)
	}
	return err
}

// stopTimeout bounds a planned stop. A disk that does not answer may hold one
// up for ever; the process then ends as if it had been killed, which loses
// nothing that was acknowledged.
const stopTimeout = 20 * time.Second

// bounded calls f and stops waiting for it at the limit.
func bounded(limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("not finished after %s: given up, nothing acknowledged is lost", limit)
	}
}

// handler writes the log as the config asks for. Its level and format have been
// validated.
func (cfg logConfig) handler(w io.Writer) slog.Handler {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	o := &slog.HandlerOptions{Level: levels[cfg.Level]}
	if cfg.Format == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}
