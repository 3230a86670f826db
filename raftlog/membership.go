package raftlog

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

// Configuration is the members by one entry of the log, by name.
type Configuration struct {
	Index   Index // of the entry; zero if it is not known
	Servers []Server
}

// Server returns the member of that name.
func (c Configuration) Server(name string) (Server, bool) {
	i := slices.IndexFunc(c.Servers, func(s Server) bool { return s.Name == name })
	if i < 0 {
		return Server{}, false
	}
	return c.Servers[i], true
}

// voters returns the names of the voters.
func (c Configuration) voters() (names []string) {
	for _, s := range c.Servers {
		if s.Voter {
			names = append(names, s.Name)
		}
	}
	return names
}

// votes reports that a member is one of the voters.
func (c Configuration) votes(name string) bool {
	s, _ := c.Server(name)
	return s.Voter
}

// quorum reports that a majority of the voters has a property.
func (c Configuration) quorum(has func(name string) bool) bool {
	voters := c.voters()
	n := 0
	for _, v := range voters {
		if has(v) {
			n++
		}
	}
	return n > len(voters)/2
}

// membership follows the configurations in the log. hashicorp/raft uses one as
// soon as it is appended, and appends the next one only after it is committed; so
// two are known: the newest, and the newest that is committed.
type membership struct {
	role func(name string) (Role, bool) // of founders
	fail func(error)

	mu struct {
		sync.Mutex
		latest    Configuration
		committed Configuration // Index 0 as long as none is known to be
		changed   chan struct{} // closed at the next change
	}
}

func newMembership(founders []Member, fail func(error)) *membership {
	m := &membership{fail: fail}
	m.role = func(name string) (Role, bool) {
		i := slices.IndexFunc(founders, func(f Member) bool { return f.Name == name })
		if i < 0 {
			return "", false
		}
		return founders[i].Role, true
	}
	m.mu.changed = make(chan struct{})
	return m
}

// parse returns the members of a configuration, by name.
func (m *membership) parse(index uint64, c raft.Configuration) (Configuration, error) {
	out := Configuration{Index: Index(index)}
	for _, s := range c.Servers {
		server, err := parseServer(s, m.role)
		if err != nil {
			return out, err
		}
		out.Servers = append(out.Servers, server)
	}
	slices.SortFunc(out.Servers, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// newest reads the newest configuration in a log, or the marker's if there is none
// after it.
func (m *membership) newest(store raft.LogStore, mark *marker) (Configuration, error) {
	first, _ := store.FirstIndex() // these two read memory and never fail
	last, _ := store.LastIndex()
	if mark != nil {
		first = max(first, mark.Index+1)
	}
	for i := last; i >= first && i > 0; i-- {
		var l raft.Log
		if err := store.GetLog(i, &l); err != nil {
			return Configuration{}, err
		}
		if l.Type == raft.LogConfiguration {
			return m.parse(i, raft.DecodeConfiguration(l.Data))
		}
	}
	if mark == nil {
		return Configuration{}, nil
	}
	return m.parse(mark.ConfigIndex, raft.Configuration{Servers: mark.Servers})
}

// begin takes what the log and the marker say at the start. hashicorp/raft has read
// the same, but tells no index.
func (m *membership) begin(store raft.LogStore, committed *marker) error {
	l, err := m.newest(store, committed)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.latest = l
	if committed != nil && committed.ConfigIndex > 0 {
		m.mu.committed, err = m.parse(committed.ConfigIndex, raft.Configuration{Servers: committed.Servers})
	}
	return err
}

// appended takes note of a configuration that was appended to the log. It is
// called before it counts.
func (m *membership) appended(l *raft.Log) {
	c, err := m.parse(l.Index, raft.DecodeConfiguration(l.Data))
	if err != nil {
		m.refuse(l, err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.latest = c
	m.signalLocked()
}

// delivered takes note of a configuration that is committed. What is committed was
// appended, and is read again only if it is not the newest, as after a restart.
func (m *membership) delivered(l *raft.Log) {
	c, _ := m.configurations()
	if c.Index != Index(l.Index) {
		var err error
		if c, err = m.parse(l.Index, raft.DecodeConfiguration(l.Data)); err != nil {
			m.refuse(l, err)
			return
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Index < m.mu.committed.Index {
		return
	}
	m.mu.committed = c
	if c.Index >= m.mu.latest.Index {
		m.mu.latest = c
	}
	m.signalLocked()
}

// refuse ends this node's part: the configuration is of a newer version.
func (m *membership) refuse(l *raft.Log, err error) {
	m.fail(fmt.Errorf("log entry %d: %w", l.Index, err))
}

func (m *membership) signalLocked() {
	close(m.mu.changed)
	m.mu.changed = make(chan struct{})
}

// truncated takes back what was appended and is gone.
func (m *membership) truncated(from uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.latest.Index >= Index(from) && m.mu.committed.Index > 0 {
		m.mu.latest = m.mu.committed
		m.signalLocked()
	}
}

// configurations returns those of which a quorum each is needed.
func (m *membership) configurations() (latest, committed Configuration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.committed.Index == 0 {
		return m.mu.latest, m.mu.latest
	}
	return m.mu.latest, m.mu.committed
}

// quorum reports that a majority of the voters of the newest and of the committed
// configuration, each, has a property.
func (m *membership) quorum(has func(name string) bool) bool {
	latest, committed := m.configurations()
	return latest.quorum(has) && committed.quorum(has)
}

// unknown returns a member of the newest configuration whose role nobody knows.
func (m *membership) unknown() (string, bool) {
	latest, _ := m.configurations()
	i := slices.IndexFunc(latest.Servers, func(s Server) bool { return s.Role == "" })
	if i < 0 {
		return "", false
	}
	return latest.Servers[i].Name, true
}

// lists reports that a member is in the newest configuration, or that there is none
// yet.
func (m *membership) lists(name string) bool {
	latest, _ := m.configurations()
	_, ok := latest.Server(name)
	return ok || len(latest.Servers) == 0
}
