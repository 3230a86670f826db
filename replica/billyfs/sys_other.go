//go:build !linux

package billyfs

// sys gives the attributes themselves where there is no Stat_t to imitate.
func sys(i *fileInfo) any { return &i.attr }
