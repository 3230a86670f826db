package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"twofold/raftlog"
	"twofold/raftlog/identity"
	"twofold/replica/duplicate"
	"twofold/replica/state"
)

// Limits of config values.
const (
	minReserve     = 16 * mebibyte
	minCache       = 8 * mebibyte
	minMemtable    = 4 * mebibyte
	minMemoryLimit = 128 * mebibyte
	memtables      = 4 // that the state may hold before it stops writers
)

// logLevels and logFormats are what the log section may say.
var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
)

// mistakes collects one line for each thing to mend.
type mistakes []string

func (m *mistakes) add(format string, args ...any) {
	*m = append(*m, fmt.Sprintf(format, args...))
}

// Validate returns one line for each mistake, each with what to do. It looks
// at the values alone: neither at the disk nor at the network.
func (c *config) Validate() []string {
	var m mistakes
	c.validateIdentity(&m)
	c.validateMembers(&m)
	c.validatePeers(&m)
	c.validateServices(&m)
	if c.isData() {
		c.NFS.validate(&m)
		c.validateVolume(&m)
	}
	c.validateResources(&m)
	return m
}

func (c *config) validateIdentity(m *mistakes) {
	checkName(m, "cluster", c.Cluster)
	checkName(m, "node", c.Node)
	if c.Role != raftlog.RoleData && c.Role != raftlog.RoleWitness {
		m.add("role: is %q: set it to data or witness", c.Role)
	}
	if c.Dir == "" {
		m.add("dir: missing: name the directory that twofold init formats for this node")
	}
}

func checkName(m *mistakes, key, name string) {
	if err := identity.CheckName(key, name); err != nil {
		m.add("%v", err)
	}
}

func (c *config) validateMembers(m *mistakes) {
	seen := map[string]bool{}
	roles := map[raftlog.Role]int{}
	addrs := map[string]string{}
	for i, mem := range c.Members {
		key := fmt.Sprintf("members[%d]", i)
		checkName(m, key+".name", mem.Name)
		if seen[mem.Name] {
			m.add("%s.name: %q is there twice: give every member its own name", key, mem.Name)
		}
		seen[mem.Name] = true
		if mem.Role != raftlog.RoleData && mem.Role != raftlog.RoleWitness {
			m.add("%s.role: is %q: set it to data or witness", key, mem.Role)
		}
		roles[mem.Role]++
		checkAddr(m, key+".addr", mem.Addr, false)
		if other, dup := addrs[mem.Addr]; dup && mem.Addr != "" {
			m.add("%s.addr: %s is %s's address too: give every member its own", key, mem.Addr, other)
		}
		addrs[mem.Addr] = mem.Name
	}
	if roles[raftlog.RoleData] != 2 || roles[raftlog.RoleWitness] != 1 || len(c.Members) != 3 {
		m.add("members: %d data and %d witness: list exactly two data nodes and one witness", roles[raftlog.RoleData], roles[raftlog.RoleWitness])
	}
	switch self := c.self(); {
	case self == nil && c.Node != "":
		m.add("node: %q is not in members: add it there, or correct the name", c.Node)
	case self != nil && self.Role != c.Role:
		m.add("role: is %q, but members says that %s is %q: make them agree", c.Role, c.Node, self.Role)
	}
}

// checkAddr checks a host:port. A listen address may leave the host out and
// may ask for any port with 0.
func checkAddr(m *mistakes, key, addr string, listen bool) {
	if addr == "" {
		m.add("%s: missing: give host:port", key)
		return
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		m.add("%s: %q is no address: write host:port, and an IPv6 host in brackets", key, addr)
		return
	}
	if host == "" && !listen {
		m.add("%s: %q has no host: the other members must be able to reach it", key, addr)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !listen {
		m.add("%s: %q is no port: use a number from 1 to 65535", key, port)
	}
}

func (c *config) validatePeers(m *mistakes) {
	checkAddr(m, "listen", c.Listen, true)
	files := 0
	for _, f := range []string{c.TLS.Cert, c.TLS.Key, c.TLS.CA} {
		if f != "" {
			files++
		}
	}
	switch {
	case files != 0 && files != 3:
		m.add("tls: set all of cert, key and ca, or none")
	case files != 0 && c.InsecurePeers:
		m.add("insecure_peers: true contradicts the tls section: remove one of them")
	case files == 0 && !c.InsecurePeers && !c.loopbackOnly():
		m.add("tls: missing, and members are not all on loopback: set cert, key and ca, " +
			"or insecure_peers: true to let the nodes talk without encryption or proof of who they are")
	}
}

// loopbackOnly reports that no node-to-node traffic can leave this machine. A
// host name other than localhost may resolve to anything.
func (c *config) loopbackOnly() bool {
	addrs := []string{c.Listen}
	for _, mem := range c.Members {
		addrs = append(addrs, mem.Addr)
	}
	// What is missing is told by itself.
	return !slices.ContainsFunc(addrs, func(a string) bool { return a != "" && !isLoopback(a) })
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (c *config) validateServices(m *mistakes) {
	checkAddr(m, "http.listen", c.HTTP.Listen, true)
	if c.isData() {
		checkAddr(m, "nfs.listen", c.NFS.Listen, true)
	} else if c.Role == raftlog.RoleWitness {
		if c.NFS.Listen != "" {
			m.add("nfs: a witness serves no clients: remove it")
		}
		if c.ExportsFile != "" {
			m.add("exports_file: a witness serves no clients: remove it")
		}
	}
	keys := map[string]string{}
	for _, s := range []struct{ key, addr string }{
		{"listen", c.Listen}, {"nfs.listen", c.NFS.Listen}, {"http.listen", c.HTTP.Listen},
	} {
		if other, dup := keys[s.addr]; dup && s.addr != "" && !strings.HasSuffix(s.addr, ":0") {
			m.add("%s: %s is the address of %s too: give each its own port", s.key, s.addr, other)
		}
		keys[s.addr] = s.key
	}
}

func (c *config) validateVolume(m *mistakes) {
	bs := c.Volume.BlockSize
	if bs < state.MinBlockSize || bs > state.MaxBlockSize || bs&(bs-1) != 0 {
		m.add("volume.block_size: %s: use a power of two from %s to %s", bs, byteSize(state.MinBlockSize), byteSize(state.MaxBlockSize))
	}
}

// Bounds of catch_up_rate.
const (
	minCatchUpRate          = mebibyte
	maxCatchUpRate byteSize = 1 << 40
)

func (c *config) validateResources(m *mistakes) {
	if c.Reserve < minReserve {
		m.add("reserve: %s is too little to keep the log out of danger: use at least %s", c.Reserve, minReserve)
	}
	if c.Duplicates < duplicate.MinBytes || c.Duplicates > duplicate.MaxBytes {
		m.add("duplicates: %s: choose from %s to %s", c.Duplicates, byteSize(duplicate.MinBytes), byteSize(duplicate.MaxBytes))
	}
	for _, l := range []struct {
		key  string
		size byteSize
	}{{"log_max_bytes", c.LogMaxBytes}, {"witness_max_bytes", c.WitnessMax}} {
		if l.size < raftlog.DefaultKeepLogBytes {
			m.add("%s: %s is less than what is kept of the log in any case: use at least %s", l.key, l.size, byteSize(raftlog.DefaultKeepLogBytes))
		}
	}
	if c.CatchUpRate < minCatchUpRate || c.CatchUpRate > maxCatchUpRate {
		m.add("catch_up_rate: %s a second: choose from %s to %s", c.CatchUpRate, minCatchUpRate, maxCatchUpRate)
	}
	if c.Digests.Every < minDigestEvery {
		m.add("digests.every: %s is too short: use at least %s", time.Duration(c.Digests.Every), time.Duration(minDigestEvery))
	}
	if c.Digests.ScrubRate < minScrubRate {
		m.add("digests.scrub_rate: %s is too little: use at least %s a second", c.Digests.ScrubRate, minScrubRate)
	}
	if !slices.Contains(logStores, c.LogStore) {
		m.add("log_store: %q is not known: use %s", c.LogStore, strings.Join(logStores, " or "))
	}
	if c.Memory.Cache < minCache {
		m.add("memory.cache: %s is too little: use at least %s", c.Memory.Cache, minCache)
	}
	if c.Memory.Memtable < minMemtable {
		m.add("memory.memtable: %s is too little: use at least %s", c.Memory.Memtable, minMemtable)
	}
	// About half of what a remembered answer counts is in memory.
	floor := max(minMemoryLimit, c.Memory.Cache+memtables*c.Memory.Memtable+c.Duplicates/2)
	if c.Memory.Limit != 0 && c.Memory.Limit < floor {
		m.add("memory.limit: %s is too little for this cache, memtable and duplicates: use at least %s, or 0 for no limit", c.Memory.Limit, floor)
	}
	if !slices.Contains(logLevels, c.Log.Level) {
		m.add("log.level: %q is not known: use %s", c.Log.Level, strings.Join(logLevels, ", "))
	}
	if !slices.Contains(logFormats, c.Log.Format) {
		m.add("log.format: %q is not known: use %s", c.Log.Format, strings.Join(logFormats, " or "))
	}
}
