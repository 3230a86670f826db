package gonfs_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5/memfs"
	"github.com/willscott/go-nfs/helpers"

	"twofold/nfs/client"
)

// A handle stands for a path. A rename makes it stale, and another file that
// takes the old path takes the handle with it.
func TestStock_HandlesArePaths(t *testing.T) {
	c, root := stockOn(t, newProbe())
	held := create(t, c, root, "old")
	ren, err := c.Rename(t.Context(), root, "old", root, "new")
	ok(t, ren.Status, err)
	if res, err := c.Getattr(t.Context(), held); err != nil || res.Status != client.ErrStale {
		mended(t, "GETATTR of a file that was renamed: %v, %v", res.Status, err)
	}

	dir := mkdir(t, c, root, "dir")
	held = create(t, c, dir, "file")
	fill(t, c, held, "mine")
	ren, err = c.Rename(t.Context(), root, "dir", root, "elsewhere")
	ok(t, ren.Status, err)
	if res, err := c.Getattr(t.Context(), held); err != nil || res.Status != client.ErrNoEnt {
		mended(t, "GETATTR of a file whose directory was renamed: %v, %v", res.Status, err)
	}
	dir = mkdir(t, c, root, "dir")
	fill(t, c, create(t, c, dir, "file"), "other")
	res, err := c.Read(t.Context(), held, 0, 10)
	ok(t, res.Status, err)
	if string(res.Data) != "other" {
		mended(t, "READ by the handle of the first file: %q", res.Data)
	}
}

// Handles are of one server process: after a restart all of them are stale, and
// so they would be at the other node.
func TestStock_HandlesDieWithTheServer(t *testing.T) {
	fs := newProbe()
	c, root := stockOn(t, fs)
	held := create(t, c, root, "file")
	again, _ := stockOn(t, fs)
	if res, err := again.Getattr(t.Context(), held); err != nil || res.Status != client.ErrStale {
		mended(t, "GETATTR at another server of the same files: %v, %v", res.Status, err)
	}
}

// Each look at a handle walks over all handles that are remembered: twenty
// times as many take several times as long.
func TestStock_HandleCacheWalksEveryKey(t *testing.T) {
	const few, many, atLeast = 1000, 20000, 4
	small, large := handleTime(t, few), handleTime(t, many)
	t.Logf("FromHandle among %d handles: %v, among %d: %v", few, small, many, large)
	if large < atLeast*small {
		mended(t, "FromHandle among %d handles: %v, among %d: %v", few, small, many, large)
	}
}

// handleTime is how long the caching handler takes to resolve one of n handles:
// the best of many times, so that a busy machine does not matter.
func handleTime(t *testing.T, n int) time.Duration {
	t.Helper()
	const rounds = 30
	fs := memfs.New()
	h := helpers.NewCachingHandler(helpers.NewNullAuthHandler(fs), n)
	var fh []byte
	for i := range n {
		fh = h.ToHandle(fs, []string{fmt.Sprintf("%05d", i)})
	}
	best := time.Hour
	for range rounds {
		start := time.Now()
		if _, _, err := h.FromHandle(fh); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	return best
}

// names lists the entries of a reply without "." and "..".
func names(res client.ReadDirRes) (list []string) {
	for _, e := range res.Entries {
		if e.Name != "." && e.Name != ".." {
			list = append(list, e.Name)
		}
	}
	return list
}

// smallCount is a READDIR for which go-nfs gives a few entries at a time.
const smallCount = 4096

// populate makes n files.
func populate(t *testing.T, c *client.Client, root client.FH, n int) {
	t.Helper()
	for i := range n {
		create(t, c, root, fmt.Sprintf("file-%03d", i))
	}
}

// begin makes more files than smallCount has room for in any server's reply,
// and reads the first entries.
func begin(t *testing.T, c *client.Client, root client.FH) client.ReadDirRes {
	t.Helper()
	populate(t, c, root, 150)
	res, err := c.Readdir(t.Context(), root, 0, [8]byte{}, smallCount)
	ok(t, res.Status, err)
	if res.EOF || len(names(res)) == 0 {
		t.Fatalf("first reply: %d entries, end %v", len(res.Entries), res.EOF)
	}
	return res
}

// next reads on from the last entry of a reply.
func next(t *testing.T, c *client.Client, dir client.FH, after client.ReadDirRes, verf [8]byte) client.ReadDirRes {
	t.Helper()
	last := after.Entries[len(after.Entries)-1]
	res, err := c.Readdir(t.Context(), dir, last.Cookie, verf, smallCount)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// A cookie is a position in the sorted list of names: a name made before it
// makes an entry come twice, a name removed makes one be missed.
func TestStock_CookiesArePositions(t *testing.T) {
	c, root := stockOn(t, newProbe())
	first := begin(t, c, root)
	have := names(first)
	create(t, c, root, "a-new-file")
	// A verifier of zero, as of a client that ignores them: a listing kept for
	// the verifier would hide what the cookie is.
	res := next(t, c, root, first, [8]byte{})
	ok(t, res.Status, nil)
	if got := names(res); len(got) == 0 || got[0] != have[len(have)-1] {
		mended(t, "after %q and an insertion comes %q", have[len(have)-1], got)
	}
	for _, name := range []string{"a-new-file", have[0], have[1]} {
		rm, err := c.Remove(t.Context(), root, name)
		ok(t, rm.Status, err)
	}
	res = next(t, c, root, first, [8]byte{})
	ok(t, res.Status, nil)
	if got, missed := names(res), fmt.Sprintf("file-%03d", len(have)); slices.Contains(got, missed) {
		mended(t, "after %q and two removals comes %q", have[len(have)-1], got)
	}
}

// With a verifier the listing that was begun is kept, and goes on as it was, as
// long as it is among those remembered. Then the client has to start anew.
func TestStock_ListingEndsWhenItIsForgotten(t *testing.T) {
	const listings = 2
	fs := newProbe()
	h := helpers.NewCachingHandlerWithVerifierLimit(helpers.NewNullAuthHandler(fs), stockHandles, listings)
	c, root := dialStock(t, serveStock(t, h))
	first := begin(t, c, root)
	create(t, c, root, "a-new-file")
	res := next(t, c, root, first, first.Verf)
	ok(t, res.Status, nil)
	if got, want := names(res), fmt.Sprintf("file-%03d", len(names(first))); len(got) == 0 || got[0] != want {
		t.Errorf("the listing that is kept goes on with %q, want %q", got, want)
	}
	for i := range listings {
		dir := mkdir(t, c, root, fmt.Sprintf("dir-%d", i))
		res, err := c.Readdir(t.Context(), dir, 0, [8]byte{}, smallCount)
		ok(t, res.Status, err)
	}
	if res := next(t, c, root, first, first.Verf); res.Status != client.ErrBadCookie {
		mended(t, "a listing that other listings drove out: %v", res.Status)
	}
}

// Replies are far smaller than the size that go-nfs itself prefers.
func TestStock_FewEntriesInAReply(t *testing.T) {
	const most = 20 // with "." and ".."
	c, root := stockOn(t, newProbe())
	populate(t, c, root, 60)
	info, err := c.Fsinfo(t.Context(), root)
	ok(t, info.Status, err)
	res, err := c.Readdirplus(t.Context(), root, 0, [8]byte{}, info.Dtpref, info.Dtpref)
	ok(t, res.Status, err)
	t.Logf("READDIRPLUS of %d bytes: %d entries", info.Dtpref, len(res.Entries))
	if res.EOF || len(res.Entries) > most {
		mended(t, "READDIRPLUS of %d bytes has %d entries", info.Dtpref, len(res.Entries))
	}
}
