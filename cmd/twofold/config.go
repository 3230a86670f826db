package main

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"twofold/raftlog"
	"twofold/raftlog/identity"
	"twofold/replica"
	"twofold/replica/catchup"
	"twofold/replica/duplicate"
	"twofold/replica/state"
)

// Defaults. They let three nodes run on one small machine.
const (
	defaultCache    = 64 * mebibyte
	defaultMemtable = 32 * mebibyte
	defaultReserve  = 256 * mebibyte
	defaultRootMode = 0o755
)

// config is the config file of one node. Names of keys are part of the user's
// interface; docs/twofold.sample.yaml explains each.
type config struct {
	Cluster       string         `yaml:"cluster"`
	Node          string         `yaml:"node"`
	Role          raftlog.Role   `yaml:"role"`
	Dir           string         `yaml:"dir"`
	Listen        string         `yaml:"listen"`
	Members       []memberConfig `yaml:"members"`
	TLS           tlsConfig      `yaml:"tls"`
	InsecurePeers bool           `yaml:"insecure_peers"`
	NFS           nfsConfig      `yaml:"nfs"`
	HTTP          listenConfig   `yaml:"http"`
	ExportsFile   string         `yaml:"exports_file"`
	Volume        volumeConfig   `yaml:"volume"`
	LogStore      string         `yaml:"log_store"`
	Memory        memoryConfig   `yaml:"memory"`
	Reserve       byteSize       `yaml:"reserve"`
	Duplicates    byteSize       `yaml:"duplicates"`
	LogMaxBytes   byteSize       `yaml:"log_max_bytes"`
	WitnessMax    byteSize       `yaml:"witness_max_bytes"`
	CatchUpRate   byteSize       `yaml:"catch_up_rate"`
	Digests       digestConfig   `yaml:"digests"`
	Log           logConfig      `yaml:"log"`

	// tuneLog and tuneStore change what the log and the store are given: tests have
	// shorter logs, and stop a process between two steps. Both are nil otherwise.
	tuneLog   func(*raftlog.Config)
	tuneStore func(*replica.Config)
}

// memberConfig is one of the three machines.
type memberConfig struct {
	Name string       `yaml:"name"`
	Role raftlog.Role `yaml:"role"`
	Addr string       `yaml:"addr"`
}

// tlsConfig names the files of mutual TLS between nodes.
type tlsConfig struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	CA   string `yaml:"ca"`
}

// listenConfig is an address to serve on.
type listenConfig struct {
	Listen string `yaml:"listen"`
}

// volumeConfig is fixed when the volume is formatted; afterwards it has no
// effect.
type volumeConfig struct {
	RootUID   uint32    `yaml:"root_uid"`
	RootGID   uint32    `yaml:"root_gid"`
	RootMode  octalMode `yaml:"root_mode"`
	BlockSize byteSize  `yaml:"block_size"`
}

// memoryConfig bounds what the process takes.
type memoryConfig struct {
	Limit    byteSize `yaml:"limit"` // the Go runtime's soft limit; 0 for none
	Cache    byteSize `yaml:"cache"`
	Memtable byteSize `yaml:"memtable"`
}

// digestConfig says how the copies are compared and scanned.
type digestConfig struct {
	Every     duration `yaml:"every"`      // between two comparisons
	ScrubRate byteSize `yaml:"scrub_rate"` // bytes a second that a scan reads
}

// logConfig says how the process logs.
type logConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// defaultConfig has the value of every key that the file leaves out.
func defaultConfig() *config {
	return &config{
		NFS:        defaultNFS(),
		Volume:     volumeConfig{RootMode: defaultRootMode, BlockSize: state.DefaultBlockSize},
		LogStore:   logStores[0],
		Memory:     memoryConfig{Cache: defaultCache, Memtable: defaultMemtable},
		Reserve:    defaultReserve,
		Duplicates: duplicate.DefaultBytes,

		LogMaxBytes: raftlog.DefaultMaxLogBytes,
		WitnessMax:  raftlog.DefaultMaxLogBytes,
		CatchUpRate: catchup.DefaultRate,
		Digests:     digestConfig{Every: defaultDigestEvery, ScrubRate: defaultScrubRate},
		Log:         logConfig{Level: "info", Format: "text"},
	}
}

// self returns this node's own entry of the member list, or nil.
func (c *config) self() *memberConfig {
	for i := range c.Members {
		if c.Members[i].Name == c.Node {
			return &c.Members[i]
		}
	}
	return nil
}

// isData reports that this node keeps the volume and serves clients.
func (c *config) isData() bool { return c.Role == raftlog.RoleData }

// byteSize is a count of bytes, written as a number with an optional unit:
// 4096, 64KiB, 32MiB, 2GiB.
type byteSize uint64

const mebibyte byteSize = 1 << 20

// byteUnits are the units of byteSize, the largest first.
var byteUnits = []struct {
	name string
	size byteSize
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func parseByteSize(s string) (byteSize, error) {
	num, unit := s, byteSize(1)
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			num, unit = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseUint(num, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no size: write it like 4096, 64KiB, 32MiB or 2GiB", s)
	}
	hi, lo := bits.Mul64(n, uint64(unit))
	if hi != 0 {
		return 0, fmt.Errorf("%q is larger than 64 bits hold", s)
	}
	return byteSize(lo), nil
}

// String writes the size with the largest unit that divides it.
func (b byteSize) String() string {
	for _, u := range byteUnits {
		if b >= u.size && b%u.size == 0 {
			return fmt.Sprintf("%d%s", b/u.size, u.name)
		}
	}
	return strconv.FormatUint(uint64(b), 10)
}

// UnmarshalYAML reads the scalar as it is written.
func (b *byteSize) UnmarshalYAML(n ast.Node) error {
	v, err := parseByteSize(scalarText(n))
	if err != nil {
		return atNode(n, err)
	}
	*b = v
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (b byteSize) MarshalYAML() (any, error) { return b.String(), nil }

// octalMode is a file mode, written in octal as chmod takes it, quoted or not.
type octalMode uint32

// UnmarshalYAML reads the digits themselves: YAML 1.2 takes 0755 for decimal
// and YAML 1.1 for octal, and nobody means the first.
func (m *octalMode) UnmarshalYAML(n ast.Node) error {
	text := scalarText(n)
	v, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || v > 0o7777 {
		return atNode(n, fmt.Errorf("%q is no file mode: write it in octal like \"0755\"", text))
	}
	*m = octalMode(v)
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (m octalMode) MarshalYAML() (any, error) { return fmt.Sprintf("%04o", uint32(m)), nil }

// scalarText is the text of a scalar as the file has it, without quotes.
func scalarText(n ast.Node) string {
	if t := n.GetToken(); t != nil {
		return t.Value
	}
	return n.String()
}

// atNode adds the line to an error about one value.
func atNode(n ast.Node, err error) error {
	line := 0
	if t := n.GetToken(); t != nil && t.Position != nil {
		line = t.Position.Line
	}
	return &lineError{line: line, msg: err.Error()}
}

// identity is what the directory must have been formatted as.
func (c *config) identity() identity.Config {
	return identity.Config{Node: c.Node, Cluster: c.Cluster, Role: c.Role, MinFreeBytes: uint64(c.Reserve)}
}
