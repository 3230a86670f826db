package export

import (
	"errors"
	"fmt"
	"net/netip"

	"twofold/nfs/rpc"
	"twofold/replica/vfs"
)

// Anonymous is the user and group id of nobody, the default of squashing.
const Anonymous uint32 = 65534

// invalidID is uid and gid -1: it means "no id" to every Unix. Like Linux knfsd
// (nfsd_setuser) we map it to the anonymous id whatever the export's options
// are; unlike knfsd also in the group list, since no inode may match it.
const invalidID uint32 = 1<<32 - 1

// portSecure is the first port that needs no privilege to bind.
const portSecure = 1024

// Rule says what the clients of one network may do. The zero value of a field
// is not always the safe choice: start from [DefaultRule].
type Rule struct {
	Clients    netip.Prefix
	ReadWrite  bool
	RootSquash bool
	Secure     bool // source port below 1024
	AnonUID    uint32
	AnonGID    uint32
}

// DefaultRule returns the rule for clients without any option: read-only,
// root_squash, secure.
func DefaultRule(clients netip.Prefix) Rule {
	return Rule{
		Clients:    clients,
		RootSquash: true,
		Secure:     true,
		AnonUID:    Anonymous,
		AnonGID:    Anonymous,
	}
}

// Validate reports what is wrong with r.
func (r Rule) Validate() error {
	if !r.Clients.IsValid() {
		return errors.New("export rule without a client network")
	}
	if _, err := normalize(r.Clients); err != nil {
		return err
	}
	if r.AnonUID == invalidID || r.AnonGID == invalidID {
		return fmt.Errorf("export rule for %s: an anonymous id of %d is no id", r.Clients, invalidID)
	}
	return nil
}

// Cred returns the credential under which a call of c acts. Its group list is
// that of c unless a group has to be replaced.
func (r Rule) Cred(c rpc.Cred) vfs.Cred {
	if c.Flavor != rpc.AuthSys {
		return vfs.Cred{UID: r.AnonUID, GID: r.AnonGID}
	}
	cred := vfs.Cred{UID: r.mapID(c.UID, r.AnonUID), GID: r.mapID(c.GID, r.AnonGID), Groups: c.Groups}
	for i, g := range c.Groups {
		if r.mapID(g, r.AnonGID) != g {
			cred.Groups = r.mapGroups(c.Groups, i)
			break
		}
	}
	return cred
}

// mapGroups copies groups, since they belong to the call, and replaces from the
// i-th on.
func (r Rule) mapGroups(groups []uint32, i int) []uint32 {
	mapped := append(make([]uint32, 0, len(groups)), groups[:i]...)
	for _, g := range groups[i:] {
		mapped = append(mapped, r.mapID(g, r.AnonGID))
	}
	return mapped
}

func (r Rule) mapID(id, anon uint32) uint32 {
	if id == invalidID || id == 0 && r.RootSquash {
		return anon
	}
	return id
}

// normalize clears the host bits of p and turns an IPv4-mapped network into the
// IPv4 network that it stands for.
func normalize(p netip.Prefix) (netip.Prefix, error) {
	if !p.Addr().Is4In6() {
		return p.Masked(), nil
	}
	const mappedBits = 96 // ::ffff:0:0/96 holds all of IPv4
	if p.Bits() < mappedBits {
		return netip.Prefix{}, fmt.Errorf("client network %s: a mapped IPv4 network needs a prefix length of at least %d", p, mappedBits)
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits).Masked(), nil
}
