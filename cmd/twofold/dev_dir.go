package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"twofold/nfs/rpcbind"
	"twofold/raftlog"
	"twofold/raftlog/identity"
)

// The files of a dev directory.
const (
	devMarker     = "twofold-dev"
	devMarkerText = "This directory belongs to \"twofold dev\". With --fresh it removes a, b and w in it.\n"
	devConfigFile = "twofold.yaml"
	devStateDir   = "state"
	devLogFile    = "log"
	devPidFile    = "pid"
	// devExportsFile is there for data nodes only.
	devExportsFile = "exports"
)

// maxDevLog is the size at which a start sets the log of earlier runs aside.
const maxDevLog = 16 << 20

// devMembers are the three nodes of dev.
var devMembers = []memberConfig{
	{Name: "a", Role: raftlog.RoleData},
	{Name: "b", Role: raftlog.RoleData},
	{Name: "w", Role: raftlog.RoleWitness},
}

// devExports seeds what dev serves: all of it, for this machine and for guests
// behind a private network of its own.
const devExports = `# Who may mount what. Written by twofold dev for a new cluster; the table in force
# is what "twofold export list" shows. After a change here: kill -HUP the node.
/ 127.0.0.0/8(rw,no_root_squash,insecure) ::1(rw,no_root_squash,insecure) 10.0.0.0/8(rw,no_root_squash,insecure)
`

// devDir is a directory that belongs to dev, locked for this process.
type devDir struct {
	path   string
	marker *os.File // its flock keeps a second dev away
}

// openDevDir takes the directory and makes it if it is missing or empty. With
// fresh it removes the nodes in it, but only if the directory is dev's own.
func openDevDir(path string, fresh bool) (*devDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	markerPath := filepath.Join(path, devMarker)
	if _, err := os.Lstat(markerPath); errors.Is(err, os.ErrNotExist) {
		if err := newDevDir(path, markerPath); err != nil {
			return nil, err
		}
	}
	marker, err := os.OpenFile(markerPath, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	d := &devDir{path: path, marker: marker}
	if err := d.take(fresh); err != nil {
		return nil, errors.Join(err, marker.Close())
	}
	return d, nil
}

// newDevDir marks a missing or empty directory as dev's.
func newDevDir(path, markerPath string) error {
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty and was not made by twofold dev: choose another --dir", path)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.WriteFile(markerPath, []byte(devMarkerText), 0o644)
}

// take locks the directory, checks that it is dev's and empties it if asked.
func (d *devDir) take(fresh bool) error {
	err := unix.Flock(int(d.marker.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s is in use by another twofold dev: stop that one, or choose another --dir", d.path)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", d.marker.Name(), err)
	}
	text := make([]byte, len(devMarkerText)+1)
	n, err := d.marker.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(text[:n]) != devMarkerText {
		return fmt.Errorf("%s was not written by twofold dev: choose another --dir", d.marker.Name())
	}
	if !fresh {
		return nil
	}
	for _, m := range devMembers {
		if err := os.RemoveAll(filepath.Join(d.path, m.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *devDir) close() { _ = d.marker.Close() } // only read; the lock ends with it

// prepare makes or reads the configs of all nodes and formats their directories
// where that has not been done.
func (d *devDir) prepare(o devOptions, progress io.Writer) ([]*devNode, error) {
	cfgs, err := d.configs(o)
	if err != nil {
		return nil, err
	}
	if err := checkPorts(cfgs); err != nil {
		return nil, err
	}
	if err := formatMissing(cfgs, progress); err != nil {
		return nil, err
	}
	var nodes []*devNode
	for _, cfg := range cfgs {
		n := &devNode{name: cfg.Node, dir: filepath.Join(d.path, cfg.Node), cfg: cfg}
		if err := n.save(); err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// formatMissing formats the nodes that have not been. A node whose state is
// gone while another one remembers the cluster would be a stranger to it (rule
// M6), so that case is an error.
func formatMissing(cfgs []*config, progress io.Writer) error {
	var missing []*config
	bound := ""
	for _, cfg := range cfgs {
		id, err := identity.Load(cfg.Dir, cfg.identity())
		if errors.Is(err, identity.ErrNotFormatted) {
			missing = append(missing, cfg)
			continue
		}
		if err != nil {
			return err
		}
		b, err := identity.LoadBinding(cfg.Dir, id)
		if err != nil {
			return err
		}
		if b != nil {
			bound = cfg.Node
		}
	}
	for _, cfg := range missing {
		if bound != "" {
			return fmt.Errorf("%s: the state of node %s is gone, and node %s knows it by its old identity: restore it, or start with --fresh and lose the data", cfg.Dir, cfg.Node, bound)
		}
		fmt.Fprintf(progress, "formatting %s in %s\n", cfg.Node, cfg.Dir)
		if _, err := identity.Init(cfg.Dir, cfg.identity()); err != nil {
			return err
		}
	}
	return nil
}

// configs returns the configs of an earlier start, or new ones.
func (d *devDir) configs(o devOptions) ([]*config, error) {
	var cfgs []*config
	for _, m := range devMembers {
		path := filepath.Join(d.path, m.Name, devConfigFile)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		cfg, err := loadConfig(path)
		if err != nil {
			return nil, err
		}
		if cfg.Node != m.Name {
			return nil, fmt.Errorf("%s: is the config of node %q, not of %q: start with --fresh", path, cfg.Node, m.Name)
		}
		cfgs = append(cfgs, cfg)
	}
	switch len(cfgs) {
	case len(devMembers):
	case 0:
		var err error
		if cfgs, err = d.newConfigs(o); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%s: a config file is missing: restore it, or start with --fresh and lose the data", d.path)
	}
	for i, cfg := range cfgs {
		if o.nfsGiven && cfg.isData() {
			cfg.NFS.Listen = o.nfs[i]
		}
		if o.httpGiven {
			cfg.HTTP.Listen = o.http[i]
		}
		if m := cfg.Validate(); len(m) > 0 {
			return nil, fmt.Errorf("node %s: %s", cfg.Node, m[0])
		}
	}
	return cfgs, nil
}

// newConfigs makes the configs of a first start. The ports between the nodes
// are free ones, chosen once and kept in the files.
func (d *devDir) newConfigs(o devOptions) ([]*config, error) {
	members := append([]memberConfig(nil), devMembers...)
	addrs, err := freeAddrs(len(members))
	if err != nil {
		return nil, err
	}
	for i := range members {
		members[i].Addr = addrs[i]
	}
	var cfgs []*config
	for i, m := range members {
		cfg := defaultConfig()
		cfg.Cluster, cfg.Node, cfg.Role = "dev", m.Name, m.Role
		cfg.Dir = filepath.Join(d.path, m.Name, devStateDir)
		cfg.Listen, cfg.Members = m.Addr, members
		cfg.HTTP.Listen = o.http[i]
		if cfg.isData() {
			cfg.NFS.Listen = o.nfs[i]
			cfg.NFS.RPCBind = rpcbind.ModeOff // this machine's own mounts must not notice dev
			cfg.ExportsFile = filepath.Join(d.path, m.Name, devExportsFile)
		}
		cfgs = append(cfgs, cfg)
	}
	return cfgs, nil
}
