package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"twofold/raftlog"
	"twofold/raftlog/identity"
	"twofold/raftlog/transport"
)

// rosterFile remembers who the members were by the newest committed configuration
// that this node saw. The log decides; this is for the time until it is open.
const rosterFile = "members.json"

// roster is who the members are.
type roster struct {
	Index   uint64         `json:"index"` // of the configuration in the log
	Members []rosterMember `json:"members"`
}

// rosterMember is one of them.
type rosterMember struct {
	Name     string       `json:"name"`
	Role     raftlog.Role `json:"role"`
	Addr     string       `json:"addr"`
	Identity string       `json:"identity"`
	Voter    bool         `json:"voter"`
	Replaces string       `json:"replaces,omitempty"` // whom it takes the place of
}

// find returns the member of that name.
func (r *roster) find(name string) (rosterMember, bool) {
	i := slices.IndexFunc(r.Members, func(m rosterMember) bool { return m.Name == name })
	if i < 0 {
		return rosterMember{}, false
	}
	return r.Members[i], true
}

// forTransport is the roster by which hellos are judged.
func (r *roster) forTransport() (transport.Roster, error) {
	t := transport.Roster{Index: r.Index}
	for _, m := range r.Members {
		k := transport.Known{Member: transport.Member{Name: m.Name, Role: m.Role, Addr: m.Addr}}
		if err := k.NodeID.UnmarshalText([]byte(m.Identity)); err != nil {
			return t, fmt.Errorf("member %s: %w", m.Name, err)
		}
		t.Members = append(t.Members, k)
	}
	return t, nil
}

// loadRoster returns nil if there is none. It is a help, so that a damaged one is
// none.
func (n *node) loadRoster() *roster {
	text, err := os.ReadFile(filepath.Join(n.cfg.Dir, rosterFile))
	if err != nil {
		return nil
	}
	var r roster
	if err := json.Unmarshal(text, &r); err != nil {
		n.log.Warn("the record of the members is left aside: the log has them", "file", rosterFile, "err", err)
		return nil
	}
	return &r
}

// readdress takes the addresses of founders from the config, which alone has them:
// one that was remembered may be old, or of another cluster that had this directory.
func (n *node) readdress() {
	if n.remembered == nil || n.binding == nil {
		return
	}
	for i := range n.remembered.Members {
		m := &n.remembered.Members[i]
		if founder, _ := n.binding.Member(m.Name); founder.NodeID.String() == m.Identity {
			m.Addr = n.founderAddr(m.Name)
		}
	}
}

// saveRoster replaces the file.
func saveRoster(dir string, r *roster) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, rosterFile), append(text, '\n'))
}

// configuredRoster is what the config and the binding say, before there is a log.
func configuredRoster(cfg *config, b *identity.Binding) *roster {
	r := &roster{}
	for _, m := range cfg.Members {
		e := rosterMember{Name: m.Name, Role: m.Role, Addr: m.Addr, Voter: true}
		if b != nil {
			founder, _ := b.Member(m.Name)
			e.Identity = founder.NodeID.String()
		}
		r.Members = append(r.Members, e)
	}
	return r
}

// memberList returns who the members are, as far as this node knows.
func (n *node) memberList() []rosterMember { return n.roster.Load().Members }

// rosterOf completes what a configuration says: of a founder it has the name alone,
// the rest is in the binding and in the config.
func (n *node) rosterOf(c raftlog.Configuration) *roster {
	r := &roster{Index: uint64(c.Index)}
	for _, s := range c.Servers {
		m := rosterMember{Name: s.Name, Role: s.Role, Addr: s.Addr, Identity: s.Identity, Voter: s.Voter, Replaces: s.Replaces}
		if m.Identity == "" {
			founder, _ := n.binding.Member(s.Name)
			m.Identity = founder.NodeID.String()
		}
		if m.Addr == "" {
			m.Addr = n.founderAddr(s.Name)
		}
		r.Members = append(r.Members, m)
	}
	return r
}

// founderAddr is where a founder is: by the config, or else as it was remembered.
func (n *node) founderAddr(name string) string {
	for _, m := range n.cfg.Members {
		if m.Name == name {
			return m.Addr
		}
	}
	if n.remembered != nil {
		m, _ := n.remembered.find(name)
		return m.Addr
	}
	return ""
}

// learnMembers takes cluster and members from the meeting.
func (n *node) learnMembers(b identity.Binding) error {
	n.binding = &b
	if met := n.mux.Roster(); met.Index > 0 && n.remembered == nil {
		r := &roster{Index: met.Index}
		for _, k := range met.Members {
			r.Members = append(r.Members, rosterMember{Name: k.Name, Role: k.Role, Addr: k.Addr, Identity: k.NodeID.String()})
		}
		n.remembered = r
		return saveRoster(n.cfg.Dir, r)
	}
	return nil
}

// onMembers follows the members in the log. The newest configuration says with
// whom the log is shared; who gets in is decided by what is committed, since only
// that stays.
func (n *node) onMembers(latest, committed raftlog.Configuration) {
	if uint64(latest.Index) >= n.mux.Roster().Index { // a new member reads old ones first
		now := n.rosterOf(latest)
		n.roster.Store(now)
		if n.store != nil {
			n.store.SetPeers(otherData(now.Members, n.cfg.Node))
		}
	}
	if uint64(committed.Index) <= n.mux.Roster().Index {
		return
	}
	r := n.rosterOf(committed)
	t, err := r.forTransport()
	if err == nil {
		n.mux.SetRoster(t)
		err = saveRoster(n.cfg.Dir, r)
	}
	if err != nil {
		n.fail(fmt.Errorf("the members of entry %d cannot be recorded: %w", committed.Index, err))
		return
	}
	if m, ok := r.find(n.cfg.Node); !ok || m.Identity != n.id.NodeID.String() {
		n.fail(n.fence(fmt.Errorf("%w: entry %d of the log is its removal", transport.ErrRemoved, committed.Index)))
		return
	}
	n.compareConfig(r)
}

// otherData returns the names of the other data nodes.
func otherData(members []rosterMember, self string) (names []string) {
	for _, m := range members {
		if m.Role == raftlog.RoleData && m.Name != self {
			names = append(names, m.Name)
		}
	}
	return names
}

// compareConfig says where the config's members are not those of the log. They
// only have to do to find the cluster.
func (n *node) compareConfig(r *roster) {
	for _, m := range r.Members {
		if !slices.ContainsFunc(n.cfg.Members, func(c memberConfig) bool { return c.Name == m.Name && c.Role == m.Role && c.Addr == m.Addr }) {
			n.log.Info("the config's members are not those of the log, which count: correct the config when you like",
				"member", m.Name, "role", m.Role, "addr", m.Addr)
		}
	}
}

// fence records that this node is out of its cluster for ever, if err says so.
func (n *node) fence(err error) error {
	if !errors.Is(err, transport.ErrRemoved) && !errors.Is(err, transport.ErrFenced) {
		return err
	}
	dir := n.dir
	if dir == nil { // found before the directory was taken
		var openErr error
		if dir, openErr = identity.Open(n.cfg.Dir, n.cfg.identity()); openErr != nil {
			return errors.Join(err, openErr)
		}
		defer dir.Close()
	}
	return errors.Join(err, dir.Fence(err.Error()))
}
