package state

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"twofold/replica/vfs"
)

// nameCacheProblem compares what a cache has with what is stored.
func nameCacheProblem(c *nameCache, stored func(dir vfs.Ino, name string) (dirent, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	present, bytes := map[vfs.Ino]uint64{}, 0
	for _, id := range c.mu.lru.Keys() {
		d, _ := c.mu.lru.Peek(id)
		want, err := stored(id.dir, id.name)
		if err != nil {
			return err
		}
		if d != want {
			return fmt.Errorf("cached name %d/%q: %+v, stored %+v", id.dir, id.name, d, want)
		}
		if d.exists() {
			present[id.dir]++
		}
		bytes += nameCost + len(id.name)
	}
	if fmt.Sprint(present) != fmt.Sprint(c.mu.present) || bytes != c.mu.bytes || bytes > c.limit {
		return fmt.Errorf("cached names: counted %v and %d bytes, they are %v and %d of %d", c.mu.present, c.mu.bytes, present, bytes, c.limit)
	}
	return nil
}

// Whatever is put in, read and pushed out, a cache gives no wrong answer.
func TestNameCache(t *testing.T) {
	const seeds, steps = 200, 400
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 0))
		c := newNameCache([]int{1, 5 * nameCost, 1 << 20}[rng.IntN(3)])
		dirs := map[vfs.Ino]map[string]dirent{1: {}, 2: {}, 3: {}}
		known := 0
		for step := range steps {
			dir, name := vfs.Ino(1+rng.IntN(3)), fmt.Sprint(rng.IntN(8))
			files := dirs[dir]
			switch rng.IntN(3) {
			case 0:
				files[name] = dirent{ino: vfs.Ino(step + 10), cookie: vfs.Cookie(step)}
				c.put(dir, name, files[name])
			case 1:
				delete(files, name)
				c.put(dir, name, dirent{})
			default:
				d, ok := c.get(dir, uint64(len(files)), name)
				if ok && d != files[name] {
					t.Fatalf("seed %d, step %d: %d/%s is %+v in the cache, want %+v", seed, step, dir, name, d, files[name])
				}
				if ok {
					known++
				} else {
					c.put(dir, name, files[name])
				}
			}
			if err := nameCacheProblem(c, func(dir vfs.Ino, name string) (dirent, error) { return dirs[dir][name], nil }); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
		}
		if c.limit == 1<<20 && known < steps/10 {
			t.Errorf("seed %d: a cache with room for all knew %d names", seed, known)
		}
	}
}

// A directory whose entries are all in the cache can be asked for names that nobody
// has asked for.
func TestNameCache_WholeDirectory(t *testing.T) {
	c := newNameCache(10 * (nameCost + 1))
	ask := func(what string, entries uint64, want bool) {
		t.Helper()
		if d, ok := c.get(1, entries, "x"); ok != want || d.exists() {
			t.Errorf("%s: %+v, known %t, want known %t", what, d, ok, want)
		}
	}
	ask("an empty directory", 0, true)
	ask("one with an entry that is not here", 1, false)
	c.put(1, "a", dirent{ino: 7})
	c.put(1, "a", dirent{ino: 8})
	c.put(1, "b", dirent{})
	ask("one with one entry", 1, true)
	for i := range 10 {
		c.put(2, fmt.Sprint(i), dirent{ino: 9})
	}
	ask("one whose entry was pushed out", 1, false)
	c.purge()
	ask("after a purge", 0, true)
	ask("after a purge", 1, false)
}
