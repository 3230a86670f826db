package identity

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"twofold/raftlog"
)

// Names in the directory.
const (
	identityFile = "identity.json"
	clusterFile  = "cluster.json"
	lockFile     = "lock"
	tmpSuffix    = ".tmp"
)

const (
	// Format is the version of the files of a node that is with its cluster from
	// the beginning.
	Format = 1
	// formatLater is that of the files of a node that joined later, or of a
	// cluster that was recovered, and of fence.json.
	formatLater = 2
	// MaxName bounds node names and cluster names. A node name must fit into
	// a DNS label, because certificates carry it as one.
	MaxName = 63
	// DefaultMinFreeBytes is what Init wants free when Config says nothing:
	// enough for a log segment and a store that flushes and compacts.
	DefaultMinFreeBytes = 256 << 20
)

// Config is what the configuration says about this node.
type Config struct {
	Node    string
	Cluster string
	Role    raftlog.Role
	// Join makes Init format the directory for a cluster that there is already: it
	// never takes part in founding one.
	Join bool
	// MinFreeBytes is what Init wants free; zero means DefaultMinFreeBytes.
	MinFreeBytes uint64
}

// Validate checks the names and the role.
func (c Config) Validate() error {
	if err := CheckName("node name", c.Node); err != nil {
		return err
	}
	if err := CheckName("cluster name", c.Cluster); err != nil {
		return err
	}
	return checkRole(c.Node, c.Role)
}

// CheckName refuses a name that is empty, longer than MaxName, or made of other
// characters than letters, digits, '-', '_' and '.'. What says which name it is.
func CheckName(what, name string) error {
	if name == "" {
		return refuse(ErrInvalid, "%s is empty: give one of 1 to %d letters, digits, '-', '_' or '.'", what, MaxName)
	}
	if len(name) > MaxName {
		return refuse(ErrInvalid, "%s of %d characters is too long: at most %d", what, len(name), MaxName)
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '_' && c != '.' {
			return refuse(ErrInvalid, "%s %q has a character other than letters, digits, '-', '_' and '.'", what, name)
		}
	}
	return nil
}

func checkRole(node string, role raftlog.Role) error {
	if role != raftlog.RoleData && role != raftlog.RoleWitness {
		return refuse(ErrInvalid, "role %q of node %q is unknown: use %q or %q",
			role, node, raftlog.RoleData, raftlog.RoleWitness)
	}
	return nil
}

// Identity is what a directory was formatted as.
type Identity struct {
	Node    string       `json:"node"`
	Cluster string       `json:"cluster"`
	Role    raftlog.Role `json:"role"`
	NodeID  NodeID       `json:"node_id"`
	Created time.Time    `json:"created"`
	Join    bool         `json:"join,omitempty"` // formatted for a cluster that there is already
}

// Member is the identity as the members of a binding have it.
func (id Identity) Member() Member {
	return Member{Name: id.Node, Role: id.Role, NodeID: id.NodeID}
}

// Init formats an empty or missing directory and returns what it became.
func Init(dir string, cfg Config) (Identity, error) {
	if err := cfg.Validate(); err != nil {
		return Identity{}, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Identity{}, err
	}
	// Both checks come before anything is made, so that a refusal leaves the
	// disk as it was.
	if err := checkEmpty(dir); err != nil {
		return Identity{}, err
	}
	if err := checkSpace(dir, cfg.MinFreeBytes); err != nil {
		return Identity{}, err
	}
	if err := makeDir(dir); err != nil {
		return Identity{}, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return Identity{}, err
	}
	defer lock.Close()
	// Another Init may have been quicker; under the lock the answer holds.
	if err := checkEmpty(dir); err != nil {
		return Identity{}, err
	}
	id := Identity{
		Node:    cfg.Node,
		Cluster: cfg.Cluster,
		Role:    cfg.Role,
		NodeID:  newNodeID(),
		Created: time.Now().UTC().Truncate(time.Second),
		Join:    cfg.Join,
	}
	format := Format
	if id.Join {
		format = formatLater
	}
	if err := writeFile(dir, identityFile, kindIdentity, format, id); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// Load reads what dir was formatted as and checks it against the configuration.
// It takes no lock and changes nothing, so that tools may use it beside a
// running node.
func Load(dir string, cfg Config) (Identity, error) {
	if err := cfg.Validate(); err != nil {
		return Identity{}, err
	}
	id, err := readIdentity(dir)
	if err == nil {
		err = checkFence(dir)
	}
	if err != nil {
		return Identity{}, err
	}
	switch {
	case id.Cluster != cfg.Cluster:
		return Identity{}, refuse(ErrOtherCluster,
			"directory %s belongs to cluster %q, but the configuration says %q: correct the configuration, or use the directory of that cluster",
			dir, id.Cluster, cfg.Cluster)
	case id.Node != cfg.Node:
		return Identity{}, refuse(ErrOtherNode,
			"directory %s belongs to node %q, but the configuration says %q: correct the configuration, or use the directory of that node",
			dir, id.Node, cfg.Node)
	case id.Role != cfg.Role:
		return Identity{}, refuse(ErrOtherRole,
			"directory %s was formatted for role %q, but the configuration says %q: correct the configuration, or format another directory for the new role",
			dir, id.Role, cfg.Role)
	}
	return id, nil
}

// readIdentity reads identity.json and checks it by itself.
func readIdentity(dir string) (Identity, error) {
	var id Identity
	err := readFile(dir, identityFile, kindIdentity, &id)
	if os.IsNotExist(err) {
		return id, notFormatted(dir)
	}
	if errors.Is(err, unix.ENOTDIR) {
		return id, refuse(ErrNotFormatted, "%s is not a directory: correct it in the configuration", dir)
	}
	if err != nil {
		return id, err
	}
	cfg := Config{Node: id.Node, Cluster: id.Cluster, Role: id.Role}
	if err := cfg.Validate(); err != nil {
		return id, damaged(dir, identityFile, err.Error())
	}
	if id.NodeID.IsZero() {
		return id, damaged(dir, identityFile, "it has no node id")
	}
	return id, nil
}

func notFormatted(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, clusterFile)); err == nil {
		return refuse(ErrDamaged,
			"directory %s has %s but no %s: restore the directory, or replace this member by a new one",
			dir, clusterFile, identityFile)
	}
	return refuse(ErrNotFormatted,
		"directory %s is not formatted: run \"twofold init\" once for this node (if it was formatted before, its file system may not be mounted)",
		dir)
}
