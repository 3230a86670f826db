package raftlog

import "sync"

// marking keeps the making of markers of this node's own state and the
// installation of another state apart: raft would remember the older one of them
// as its last snapshot.
type marking struct {
	mu         sync.Mutex
	writers    int
	installing bool
}

// beginWrite reports whether a marker of the own state may be made now.
func (m *marking) beginWrite() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.installing {
		m.writers++
	}
	return !m.installing
}

func (m *marking) endWrite() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writers--
}

// beginInstall reports whether a state may be installed now.
func (m *marking) beginInstall() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.writers == 0 {
		m.installing = true
	}
	return m.installing
}

func (m *marking) endInstall() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.installing = false
}
