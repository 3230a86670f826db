//go:build !linux

package transport

import "net"

// setUserTimeout does nothing where the option does not exist; keepalives end
// idle streams there too.
func setUserTimeout(*net.TCPConn) error { return nil }
