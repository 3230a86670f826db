package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// targetFlags say which node's admin socket a command goes to.
type targetFlags struct{ config, dir string }

// addTo adds the flags to a command and to those below it.
func (f *targetFlags) addTo(cmd *cobra.Command) {
	p := cmd.PersistentFlags()
	p.StringVar(&f.config, "config", "", "config file of the node to ask")
	p.StringVar(&f.dir, "dir", "", "directory of the node to ask")
	cmd.MarkFlagsMutuallyExclusive("config", "dir")
}

// call sends a command to the first node that can be reached.
func (f *targetFlags) call(ctx context.Context, limit time.Duration, method, command string, ask, reply any) error {
	dirs, err := f.dirs()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, dir := range dirs {
		err = adminSend(ctx, dir, method, command, ask, reply)
		if !errors.Is(err, errNoNode) {
			break
		}
	}
	return err
}

// named refuses a command that is about one node and names none: the first node
// of a dev cluster that answers may be the wrong one.
func (f *targetFlags) named() error {
	if f.dir == "" && f.config == "" {
		return errors.New("which node? Name it with --config or --dir")
	}
	return nil
}

// dirs are the directories of the nodes to ask, in order, until one answers.
func (f *targetFlags) dirs() ([]string, error) {
	switch {
	case f.dir != "":
		return []string{f.dir}, nil
	case f.config != "":
		cfg, err := loadConfig(f.config)
		if err != nil {
			return nil, err
		}
		return []string{cfg.Dir}, nil
	}
	var dirs []string
	for _, m := range devMembers {
		dir := filepath.Join(defaultDevDir, m.Name, devStateDir)
		if _, err := os.Stat(dir); err == nil {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("which node? Name one with --config or --dir; there is no twofold dev in ./%s", defaultDevDir)
	}
	return dirs, nil
}
