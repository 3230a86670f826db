package state

import (
	"strings"

	"twofold/replica/vfs"
)

// checkName refuses what cannot be a name. The kernel's verdict for an empty
// name and for '/' and NUL in one is EACCES (lookup_one_len, fs/namei.c).
func checkName(name string) vfs.Kind {
	if len(name) > vfs.MaxName {
		return vfs.NameTooLong
	}
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return vfs.Access
	}
	return vfs.OK
}

// isDots reports the names that every directory has and no call may change.
func isDots(name string) bool { return name == "." || name == ".." }

// lookup finds a name that is neither "." nor "..". The entry is there for
// NotExist too, so that it can be made.
func (c *call) lookup(d *node, name string) (*entry, *node, vfs.Kind) {
	if kind := checkName(name); kind != vfs.OK {
		return nil, nil, kind
	}
	e := c.entry(d, name)
	if e == nil {
		return nil, nil, vfs.IO // The txn has failed; no verdict gets out.
	}
	if !e.now.exists() {
		return e, nil, vfs.NotExist
	}
	n := c.must(e.now.ino)
	if n == nil {
		return nil, nil, vfs.IO
	}
	return e, n, vfs.OK
}

// mayChange is what every change of a directory's entries needs.
func (c *call) mayChange(d *node) vfs.Kind {
	if !vfs.Allowed(c.cred, &d.Attr, vfs.WantWrite|vfs.WantExec) {
		return vfs.Access
	}
	return vfs.OK
}

// mayUnlink decides whether the name of victim may be taken out of d, by an
// operation on directories or on anything else (may_delete, fs/namei.c).
func (c *call) mayUnlink(d, victim *node, asDir bool) vfs.Kind {
	sticky := d.Mode&vfs.ModeSticky != 0
	switch {
	case sticky && !c.owns(victim) && !c.owns(d):
		return vfs.Perm
	case asDir && !victim.isDir():
		return vfs.NotDir
	case !asDir && victim.isDir():
		return vfs.IsDir
	default:
		return vfs.OK
	}
}

// owns is inode_owner_or_capable.
func (c *call) owns(n *node) bool { return c.cred.UID == 0 || c.cred.UID == n.UID }

// mayKeepSetgid reports whether the caller may have the setgid bit on a file
// of that group.
func (c *call) mayKeepSetgid(gid uint32) bool { return c.cred.UID == 0 || c.cred.InGroup(gid) }

// groupExec is the bit without which setgid does not mean privilege.
const groupExec uint32 = 0o010

// dropPrivilege returns the mode after data or owner changed: no setuid, and
// no setgid where it gives privilege, or where the caller could not set it
// (setattr_should_drop_sgid, fs/attr.c).
func dropPrivilege(mode uint32, mayKeepSetgid bool) uint32 {
	mode &^= vfs.ModeSetuid
	if mode&groupExec != 0 || !mayKeepSetgid {
		mode &^= vfs.ModeSetgid
	}
	return mode
}

// touch notes that the entries of d changed.
func (c *call) touch(d *node) {
	i := d.edit()
	i.Mtime, i.Ctime = c.now, c.now
}

// enter gives d a new name for n.
func (c *call) enter(d *node, e *entry, n *node) {
	i := d.edit()
	e.now = dirent{ino: n.Ino, cookie: i.nextCookie}
	i.nextCookie++
	i.entries++
	c.touch(d)
}

// leave takes the name out of d.
func (c *call) leave(d *node, e *entry) {
	e.now = dirent{}
	d.edit().entries--
	c.touch(d)
}

// unlink settles the link counts of n, whose name in d is gone, and frees it
// with its last name. NFSv3 knows no open files: clients rename what they hold
// open.
func (c *call) unlink(d, n *node) {
	i := n.edit()
	i.Ctime = c.now
	if n.isDir() {
		d.edit().Nlink-- // the ".." of n
		i.Nlink = 0
	} else {
		i.Nlink--
	}
	if i.Nlink == 0 {
		c.destroy(n)
	}
}
