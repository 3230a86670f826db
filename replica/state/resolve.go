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
	e, err := v.dirent(v.super.ID, dir, name)
	if err != nil {
		return 0, fmt.Errorf("state.Resolve: %w", err)
	}
	return e.ino, nil
}
