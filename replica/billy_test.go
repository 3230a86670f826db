package replica_test

import (
	"testing"

	"twofold/replica/billyfs/billyfstest"
)

// The billy filesystem must be as good over the replicated volume as over the
// model: go-billy's suite, go-git and stock go-nfs, all through one Raft log.
func TestBilly_OverTheStore(t *testing.T) {
	p := newPair(t)
	billyfstest.Run(t, p.stores[other(p.leader())])
	p.sameDigest()
}
