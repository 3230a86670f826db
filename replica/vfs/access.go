package vfs

// Want is a set of the permissions of one class: the low three mode bits.
type Want uint32

// The three permissions. For a directory WantExec is search.
const (
	WantRead  Want = 4
	WantWrite Want = 2
	WantExec  Want = 1
)

// InGroup reports whether the caller is a member of gid.
func (c Cred) InGroup(gid uint32) bool {
	if c.GID == gid {
		return true
	}
	for _, g := range c.Groups {
		if g == gid {
			return true
		}
	}
	return false
}

// Allowed reports whether mode bits and ownership alone give the caller every
// permission in want. UID 0 may do all, but may execute a file only if some
// execute bit is set (as Linux does it, capable_wrt_inode_uidgid in fs/namei.c).
func Allowed(c Cred, a *Attr, want Want) bool {
	if c.UID == 0 {
		return want&WantExec == 0 || a.Type == TypeDir || a.Mode&0o111 != 0
	}
	bits := a.Mode
	switch {
	case c.UID == a.UID:
		bits >>= 6
	case c.InGroup(a.GID):
		bits >>= 3
	}
	return Want(bits&7)&want == want
}

// AllowedIO is Allowed for READ and WRITE by an open file. A server does not
// know which files are open, so like Linux knfsd (nfsd_permission, with
// NFSD_MAY_OWNER_OVERRIDE and NFSD_MAY_READ_IF_EXEC) it lets the owner through
// whatever the mode, and lets whoever may execute a regular file read it.
func AllowedIO(c Cred, a *Attr, want Want) bool {
	if c.UID == a.UID && a.Type == TypeReg {
		return true
	}
	if Allowed(c, a, want) {
		return true
	}
	return want == WantRead && a.Type == TypeReg && Allowed(c, a, WantExec)
}
