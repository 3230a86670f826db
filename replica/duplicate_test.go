package replica_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twofold/replica"
	"twofold/replica/duplicate"
	"twofold/replica/vfs"
)

// The same call comes in at both nodes at one time, several times at each, as
// when a client sends it again over a new connection while the first copy is on
// its way: it has one effect, and each copy has the same answer. Copies at one
// node share log entries; those of the two nodes often do.
func TestStore_CopiesInFlightAtBothNodes(t *testing.T) {
	p := newPair(t)
	const calls, copies = 60, 3
	for i := range uint32(calls) {
		name := fmt.Sprintf("name %d", i)
		id := vfs.CallID{Client: [16]byte{15: 1}, XID: i + 1, Prog: 100003, Vers: 3, Proc: 8, Sum: 7}
		op := &vfs.OpCreate{Dir: vfs.RootRef(), Name: name, Mode: vfs.CreateGuarded}
		results := make([]vfs.Result, 2*copies)
		errs := make([]error, 2*copies)
		var wg sync.WaitGroup
		for k := range results {
			fs := p.stores[[2]string{"a", "b"}[k%2]]
			wg.Go(func() {
				results[k], errs[k] = fs.Mutate(t.Context(), &vfs.Call{ID: id}, op)
			})
		}
		wg.Wait()
		for k := range results {
			if errs[k] != nil || results[k].Kind != vfs.OK {
				t.Fatalf("%s, copy %d: %v, %v", name, k, results[k].Kind, errs[k])
			}
			if d := cmp.Diff(results[0], results[k]); d != "" {
				t.Fatalf("%s: copy %d is answered otherwise:\n%s", name, k, d)
			}
		}
	}
	p.sameDigest()
	for name, s := range p.stores {
		if d := s.Duplicates(); d.Records != calls || d.Hits != calls*(2*copies-1) {
			t.Errorf("%s: %+v, want %d records and all other copies found", name, d, calls)
		}
	}
}

// The limit of the duplicate request cache is the leader's, at both nodes, and
// changes with the leader.
func TestStore_LimitIsTheLeaders(t *testing.T) {
	p := newPair(t)
	agreed := func(what string, want uint64) {
		t.Helper()
		for name, s := range p.stores {
			p.await(name, func(context.Context, *replica.Store) error {
				if got := s.Duplicates().Limit; got != want {
					return fmt.Errorf("%s: the limit at %s is %d, want %d", what, name, got, want)
				}
				return nil
			})
		}
	}
	holds := map[string]uint64{"a": duplicate.DefaultBytes, "b": duplicate.DefaultBytes}
	agreed("as configured by none", duplicate.DefaultBytes)
	p.limits = map[string]uint64{"a": 2 << 20, "b": 3 << 20}
	for range 3 {
		was := p.leader()
		p.stop(was)
		now := p.leader()
		agreed("with one node", holds[now])
		p.start(was)
		agreed("with both nodes", holds[now])
		holds[was] = p.limits[was]
	}
	p.sameDigest()
}

func TestOpen_BadLimit(t *testing.T) {
	for _, n := range []uint64{duplicate.MinBytes - 1, duplicate.MaxBytes + 1} {
		_, err := replica.Open(replica.Config{Dir: t.TempDir(), DuplicateBytes: n})
		if err == nil || !strings.Contains(err.Error(), "choose from") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
