//go:build !linux

package replica

import "time"

// bootTime has no clock to read that goes on while the system is suspended.
func bootTime() (time.Duration, bool) { return 0, false }
