package export

import (
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

// Rule is what a client may do on an export, and as whom. The zero value of a
// field is not always the safe choice: start from [DefaultRule].
type Rule struct {
	ReadWrite  bool
	RootSquash bool
	AllSquash  bool
	Secure     bool // source port below 1024
	AnonUID    uint32
	AnonGID    uint32
}

// DefaultRule is the rule of a client without any option: read-only,
// root_squash, secure.
func DefaultRule() Rule {
	return Rule{RootSquash: true, Secure: true, AnonUID: Anonymous, AnonGID: Anonymous}
}

// Squashes reports whether the caller acts as the anonymous user, so that its
// own ids do not matter.
func (r *Rule) Squashes(c rpc.Cred) bool {
	return r.AllSquash || c.Flavor != rpc.AuthSys || r.mapID(c.UID, r.AnonUID) != c.UID
}

// Cred returns the credential under which a call of c acts. Its group list is
// that of c unless a group has to be replaced. As in nfsd_setuser
// (fs/nfsd/auth.c) root squashing replaces user 0 alone, group 0 alone and
// group 0 in the list; all_squash leaves no groups.
func (r *Rule) Cred(c rpc.Cred) vfs.Cred {
	if r.AllSquash || c.Flavor != rpc.AuthSys {
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
func (r *Rule) mapGroups(groups []uint32, i int) []uint32 {
	mapped := append(make([]uint32, 0, len(groups)), groups[:i]...)
	for _, g := range groups[i:] {
		mapped = append(mapped, r.mapID(g, r.AnonGID))
	}
	return mapped
}

func (r *Rule) mapID(id, anon uint32) uint32 {
	if id == invalidID || id == 0 && r.RootSquash {
		return anon
	}
	return id
}
