package replica

import "slices"

// SetPeers says who the other data nodes are from now on.
func (s *Store) SetPeers(names []string) {
	s.others.Lock()
	defer s.others.Unlock()
	s.others.names = names
	if !s.others.started {
		return
	}
	s.followPeersLocked()
}

// startPeers begins with the data nodes that there are.
func (s *Store) startPeers() {
	s.others.Lock()
	defer s.others.Unlock()
	s.others.started = true
	s.followPeersLocked()
}

func (s *Store) followPeersLocked() {
	select {
	case <-s.stopped:
		return
	default:
	}
	names := s.others.names
	for name, gone := range s.others.gone {
		if !slices.Contains(names, name) {
			close(gone)
			delete(s.others.gone, name)
			s.disk.forget(name)
			s.skew.forget(name)
		}
	}
	for _, name := range names {
		if s.others.gone[name] != nil {
			continue
		}
		gone := make(chan struct{})
		s.others.gone[name] = gone
		s.disk.expect(name)
		s.skew.expect(name)
		s.running.Go(func() { s.runSpace(name, gone) })
	}
}

// expect counts a data node from now on.
func (d *diskWatch) expect(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.mu.peers[name]; !ok {
		d.mu.peers[name] = peerSpace{free: unknownSpace}
	}
}

// forget counts a data node no more.
func (d *diskWatch) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.mu.peers, name)
}

// expect compares a data node's clock from now on.
func (w *skewWatch) expect(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.mu.peers[name]; !ok {
		w.mu.peers[name] = peerSkew{}
	}
}

// forget compares a data node's clock no more.
func (w *skewWatch) forget(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.mu.peers, name)
	w.metrics.SetClockSkew(name, 0, false)
}
