package rpcbind

import (
	"net"
	"net/netip"
)

// BoundAddr returns where the own server of r listens.
func BoundAddr(r *Registrar) netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.server.mu.listeners[0].Addr().(*net.TCPAddr).AddrPort()
}

// MaxConns is the limit on connections.
const MaxConns = maxConns
