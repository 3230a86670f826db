package main

import (
	"fmt"
	"path/filepath"
	"syscall"
)

// wantMode checks type and permission bits.
func wantMode(name string, want uint32) error {
	st, err := statOf(name)
	if err != nil {
		return err
	}
	if st.Mode != want {
		return fmt.Errorf("%s has mode %o, want %o", name, st.Mode, want)
	}
	return nil
}

// wantPermissions checks the permission bits alone.
func wantPermissions(name string, want uint32) error {
	st, err := statOf(name)
	if err != nil {
		return err
	}
	if st.Mode&0o7777 != want {
		return fmt.Errorf("%s has permissions %o, want %o", name, st.Mode&0o7777, want)
	}
	return nil
}

// wantOwner checks a file's user and group.
func wantOwner(name string, uid, gid int) error {
	st, err := statOf(name)
	if err != nil {
		return err
	}
	if int(st.Uid) != uid || int(st.Gid) != gid {
		return fmt.Errorf("%s belongs to %d:%d, want %d:%d", name, st.Uid, st.Gid, uid, gid)
	}
	return nil
}

// wantSize checks a file's size.
func wantSize(name string, want int64) error {
	st, err := statOf(name)
	if err != nil {
		return err
	}
	if st.Size != want {
		return fmt.Errorf("%s has %d bytes, want %d", name, st.Size, want)
	}
	return nil
}

func wantSameInode(one, other string) error {
	a, err := statOf(one)
	if err != nil {
		return err
	}
	b, err := statOf(other)
	if err != nil {
		return err
	}
	if a.Ino != b.Ino {
		return fmt.Errorf("%s is inode %d and %s is %d, want one", one, a.Ino, other, b.Ino)
	}
	return nil
}

// statAll gives the attributes of names in a directory as the server has them now.
func statAll(dir string, names ...string) ([]*syscall.Stat_t, error) {
	if err := forgetCached(); err != nil {
		return nil, err
	}
	all := make([]*syscall.Stat_t, len(names))
	for i, name := range names {
		st, err := statOf(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		all[i] = st
	}
	return all, nil
}

// ctimeMoved says whether the inode was changed in between. The ctime never stands still over a change, nor goes back.
func ctimeMoved(before, after *syscall.Stat_t) bool {
	return after.Ctim.Nano() > before.Ctim.Nano()
}
