package replica_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"twofold/replica/vfs"
)

// BenchmarkStore_Create makes files through each node: all three nodes in this
// process, on one disk, synced.
func BenchmarkStore_Create(b *testing.B) {
	p := newPair(b)
	leader := p.leader()
	var n atomic.Uint64
	for _, c := range []struct {
		at      string
		callers int
	}{{leader, 1}, {leader, 16}, {other(leader), 1}, {other(leader), 16}} {
		role := "leader"
		if c.at != leader {
			role = "follower"
		}
		b.Run(fmt.Sprintf("%s/%d", role, c.callers), func(b *testing.B) {
			s := p.stores[c.at]
			b.SetParallelism(max(1, c.callers/2)) // of two processors
			if c.callers == 1 {
				for b.Loop() {
					op := &vfs.OpCreate{Dir: vfs.RootRef(), Name: fmt.Sprint(n.Add(1)), Mode: vfs.CreateGuarded}
					if _, err := s.Mutate(context.Background(), &vfs.Call{}, op); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					op := &vfs.OpCreate{Dir: vfs.RootRef(), Name: fmt.Sprint(n.Add(1)), Mode: vfs.CreateGuarded}
					if _, err := s.Mutate(context.Background(), &vfs.Call{}, op); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
