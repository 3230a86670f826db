package raftlog

import "time"

// Clock tells the time since some moment that never changes while the process
// runs. Promises and leases are measured by it alone. It must not stand still
// while the clocks of the other members run: not in a suspended machine, and not
// in a guest whose host has stopped it.
type Clock interface {
	Now() time.Duration
}
