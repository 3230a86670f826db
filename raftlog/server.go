package raftlog

import (
	"fmt"
	"strings"

	"github.com/hashicorp/raft"
)

// Server is a member as a configuration in the log has it.
type Server struct {
	Member
	Voter bool
	// Identity and Addr are opaque here, and empty for a founder whose name says
	// all.
	Identity string
	Addr     string
	// Replaces is a member that is to go once this one is a voter; empty for none.
	Replaces string
}

// serverTag begins the address, in Raft's terms, of a member that was added. A
// founder's address is its name.
const serverTag = "member1"

// MaxServerText bounds each of a server's texts.
const MaxServerText = 300

// address is what Raft's configuration has for the address of a server: a record,
// since messages go by the name (see byName).
func (s Server) address() (raft.ServerAddress, error) {
	if s.Identity == "" && s.Addr == "" && s.Replaces == "" {
		return raft.ServerAddress(s.Name), nil
	}
	parts := []string{serverTag, s.Name, string(s.Role), s.Identity, s.Addr, s.Replaces}
	for _, p := range parts {
		if strings.Contains(p, "|") || len(p) > MaxServerText {
			return "", fmt.Errorf("raftlog: %q cannot be in the record of member %s", p, s.Name)
		}
	}
	return raft.ServerAddress(strings.Join(parts, "|")), nil
}

// parseServer is the reverse. role tells a founder's; it stays empty if nobody
// knows it, as of those that a recovered cluster has left behind.
func parseServer(s raft.Server, role func(name string) (Role, bool)) (Server, error) {
	out := Server{Member: Member{Name: string(s.ID)}, Voter: s.Suffrage == raft.Voter}
	parts := strings.Split(string(s.Address), "|")
	if len(parts) == 1 && parts[0] == out.Name {
		out.Role, _ = role(out.Name)
		return out, nil
	}
	if len(parts) != 6 || parts[0] != serverTag || parts[1] != out.Name {
		return out, fmt.Errorf("raftlog: the record of member %q in the log, %q, is of a newer version", out.Name, s.Address)
	}
	out.Role, out.Identity, out.Addr, out.Replaces = Role(parts[2]), parts[3], parts[4], parts[5]
	if out.Role != RoleData && out.Role != RoleWitness {
		return out, fmt.Errorf("raftlog: member %q has the unknown role %q in the log", out.Name, out.Role)
	}
	return out, nil
}

// byName has Raft's transport reach members by their names, which the Net knows,
// and not by what the configuration has for an address.
type byName struct{}

func (byName) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	return raft.ServerAddress(id), nil
}
