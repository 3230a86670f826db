package mount

import (
	pathpkg "path"
	"slices"
	"sync"
)

// MaxMounts bounds the list that DUMP shows.
const MaxMounts = 1024

// mounted is one entry: a client's address and the path that it mounted.
type mounted struct{ host, path string }

// mountList is the list of DUMP, the oldest entry first.
type mountList struct {
	mu      sync.Mutex
	entries []mounted
}

func entry(host, path string) mounted {
	return mounted{host: host, path: pathpkg.Clean("/" + path)}
}

// add puts an entry at the end, once.
func (l *mountList) add(host, path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := entry(host, path)
	if slices.Contains(l.entries, e) {
		return
	}
	if len(l.entries) == MaxMounts {
		l.entries = slices.Delete(l.entries, 0, 1)
	}
	l.entries = append(l.entries, e)
}

// remove takes an entry out if it is there.
func (l *mountList) remove(host, path string) {
	e := entry(host, path)
	l.delete(func(m mounted) bool { return m == e })
}

// removeAll takes out all entries of a client.
func (l *mountList) removeAll(host string) {
	l.delete(func(m mounted) bool { return m.host == host })
}

func (l *mountList) delete(which func(mounted) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.DeleteFunc(l.entries, which)
}

// all returns a copy.
func (l *mountList) all() []mounted {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}
