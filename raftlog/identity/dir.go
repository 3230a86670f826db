package identity

import (
	"os"
	"path/filepath"
	"sync"
)

// Dir is a formatted directory that this process has to itself, until Close.
// The lock hangs on an open file, so whoever relies on it keeps the Dir.
type Dir struct {
	path string
	id   Identity
	lock *os.File

	mu struct {
		sync.Mutex
		binding *Binding // nil until the first meeting; then only Rebind changes it
		closed  bool
	}
}

// Open locks a formatted directory and checks it against the configuration.
func Open(dir string, cfg Config) (*Dir, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	// The lock file would be the first file in an unformatted directory, and
	// would be made in a mount point whose file system is missing: look first.
	if _, err := os.Stat(filepath.Join(dir, identityFile)); err != nil {
		if os.IsNotExist(err) {
			return nil, notFormatted(dir)
		}
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: dir, lock: lock}
	if err := d.load(cfg); err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) load(cfg Config) error {
	id, err := Load(d.path, cfg)
	if err != nil {
		return err
	}
	d.id = id
	d.mu.binding, err = LoadBinding(d.path, id)
	return err
}

// LoadBinding reads the binding of a directory that was formatted as id. It
// returns nil without an error if the node has not met its cluster yet. It takes
// no lock.
func LoadBinding(dir string, id Identity) (*Binding, error) {
	var b Binding
	err := readFile(dir, clusterFile, kindCluster, &b)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := b.Validate(); err != nil {
		return nil, damaged(dir, clusterFile, err.Error())
	}
	if b.Cluster != id.Cluster || !b.Lists(id.Member()) {
		return nil, refuse(ErrDamaged,
			"%s in directory %s does not list this node (%s, %s, id %s): the two files are not of one directory; restore it, or replace this member by a new one",
			clusterFile, dir, id.Node, id.Role, id.NodeID)
	}
	return &b, nil
}

// Path returns the absolute path of the directory.
func (d *Dir) Path() string { return d.path }

// Identity returns what the directory was formatted as.
func (d *Dir) Identity() Identity { return d.id }

// Binding returns the recorded cluster, or nil before the first meeting.
func (d *Dir) Binding() *Binding {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.binding
}

// Bind records the cluster, durably, once and for all.
func (d *Dir) Bind(b Binding) error {
	return d.record(b, func(have Binding) bool { return false })
}

// Rebind records the cluster that this node has recovered from the recorded one.
func (d *Dir) Rebind(b Binding) error {
	return d.record(b, func(have Binding) bool {
		return len(b.Ancestors) > 0 && b.Ancestors[len(b.Ancestors)-1] == have.ClusterID
	})
}

// record writes a binding, in place of another one only if that may be.
func (d *Dir) record(b Binding, replaces func(have Binding) bool) error {
	if err := b.Validate(); err != nil {
		return err
	}
	if b.Cluster != d.id.Cluster || !b.Lists(d.id.Member()) {
		return refuse(ErrInvalid, "cluster %s does not list this node (%s, %s, id %s)",
			b.ClusterID, d.id.Node, d.id.Role, d.id.NodeID)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.closed {
		return os.ErrClosed
	}
	if have := d.mu.binding; have != nil {
		if have.ClusterID == b.ClusterID {
			return nil
		}
		if !replaces(*have) {
			return refuse(ErrBound, "directory %s is bound to cluster %s already and cannot be bound to %s",
				d.path, have.ClusterID, b.ClusterID)
		}
	}
	if err := writeFile(d.path, clusterFile, kindCluster, b.format(), b); err != nil {
		return err
	}
	d.mu.binding = &b
	return nil
}

// Close gives the directory up. It may be called more than once.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.closed {
		return nil
	}
	d.mu.closed = true
	return d.lock.Close()
}
