package state

import (
	"fmt"

	"twofold/replica/vfs"
)

// Resolve returns the inode that a name has in a directory, or 0 if it has none.
// It asks for no permission.
func (s *State) Resolve(dir vfs.Ino, name string) (vfs.Ino, error) {
	v, err := s.view()
	if err != nil {
		return 0, err
	}
	defer v.done()
	d, err := v.inode(v.super.ID, dir)
	if err != nil {
		return 0, fmt.Errorf("state.Resolve: %w", err)
	}
	if d == nil || !d.isDir() {
		return 0, nil
	}
	e, err := v.dirent(v.super.ID, d, name)
	if err != nil {
		return 0, fmt.Errorf("state.Resolve: %w", err)
	}
	return e.ino, nil
}
