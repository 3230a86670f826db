package modelfs

import (
	"strings"

	"twofold/replica/vfs"
)

// checkName refuses what cannot be a name in a directory. The kernel refuses
// an empty name, '/' and NUL with EACCES (lookup_one_len in fs/namei.c).
func checkName(name string) vfs.Kind {
	switch {
	case len(name) > vfs.MaxName:
		return vfs.NameTooLong
	case name == "", strings.ContainsAny(name, "/\x00"):
		return vfs.Access
	default:
		return vfs.OK
	}
}

// isDot reports the two names that every directory has.
func isDot(name string) bool { return name == "." || name == ".." }

// mayChangeDir asks for what every change of a directory's entries needs.
func mayChangeDir(cred vfs.Cred, d *inode) vfs.Kind {
	if !vfs.Allowed(cred, &d.attr, vfs.WantWrite|vfs.WantExec) {
		return vfs.Access
	}
	return vfs.OK
}

// mayDelete is may_delete of fs/namei.c: whether the entry for victim may be
// taken out of d, by an operation that removes a directory (wantDir) or
// anything else.
func mayDelete(cred vfs.Cred, d, victim *inode, wantDir bool) vfs.Kind {
	isDir := victim.attr.Type == vfs.TypeDir
	switch {
	case sticky(cred, d, victim):
		return vfs.Perm
	case wantDir && !isDir:
		return vfs.NotDir
	case !wantDir && isDir:
		return vfs.IsDir
	default:
		return vfs.OK
	}
}

// sticky reports that the sticky bit of d keeps the caller from removing or
// renaming victim.
func sticky(cred vfs.Cred, d, victim *inode) bool {
	return d.attr.Mode&vfs.ModeSticky != 0 &&
		cred.UID != 0 && cred.UID != victim.attr.UID && cred.UID != d.attr.UID
}

// isOwner reports that the caller owns n or is root.
func isOwner(cred vfs.Cred, n *inode) bool { return cred.UID == 0 || cred.UID == n.attr.UID }

// keepsSetgid reports that the caller may give the setgid bit to a file of
// group gid.
func keepsSetgid(cred vfs.Cred, gid uint32) bool { return cred.UID == 0 || cred.InGroup(gid) }

// withoutPrivileges is mode after a change that takes setuid and setgid away.
// Setgid without group execute means something else (mandatory locking, once)
// and stays if the caller could set it.
func withoutPrivileges(mode uint32, keepsSetgid bool) uint32 {
	mode &^= vfs.ModeSetuid
	if mode&0o010 != 0 || !keepsSetgid {
		mode &^= vfs.ModeSetgid
	}
	return mode
}
