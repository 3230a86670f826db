package load

import (
	"math"
	"math/rand/v2"
	"strconv"

	"twofold/nfs/client"
)

// The tree: about what a content management system or a shop unpacks.
const (
	treeFiles   = 1800
	treeDirs    = 180
	treeDepth   = 6
	treeMedian  = 2600 // bytes of a file
	treeSpread  = 1.4  // of the logarithm
	treeLargest = 256 << 10
	treeSeed    = 1800 // the tree is the same for every seed of a run, so that runs can be compared
)

// treeDir is a directory. The first one is the root, and has itself as its parent.
type treeDir struct {
	parent int
	depth  int
	name   string
	files  []treeFile
}

type treeFile struct {
	name string
	size int
}

// newTree makes the tree. Sizes are log-normal, as those of source trees are: most files have a few kilobytes, a few make up half of the bytes.
func newTree(files, dirs int) []treeDir {
	rng := rand.New(rand.NewPCG(treeSeed, uint64(files)))
	tree := []treeDir{{name: "tree"}}
	for i := 1; i < dirs; i++ {
		parent := rng.IntN(i)
		for tree[parent].depth >= treeDepth {
			parent = tree[parent].parent
		}
		tree = append(tree, treeDir{parent: parent, depth: tree[parent].depth + 1, name: "dir-" + strconv.Itoa(i)})
	}
	for i := range files {
		size := int(treeMedian * math.Exp(treeSpread*rng.NormFloat64()))
		d := &tree[rng.IntN(dirs)]
		d.files = append(d.files, treeFile{name: "source-file-" + strconv.Itoa(i) + ".php", size: min(max(size, tagSize), treeLargest)})
	}
	return tree
}

// unpack is a caller at work on a tree.
type unpack struct {
	tree    []treeDir
	fhs     []client.FH // of the directories that were made
	dir     int         // that is being filled
	file    int         // next in it
	unpacks int
}

// opTree unpacks the next file, and makes the directories that it needs before.
func opTree(c *caller) (int64, error) {
	if c.unpack.tree == nil {
		c.unpack.tree = newTree(treeFiles, treeDirs)
	}
	u := &c.unpack
	if len(u.fhs) == len(u.tree) && u.dir == len(u.tree) {
		u.fhs, u.dir, u.file = nil, 0, 0
	}
	for u.dir == len(u.fhs) || u.file == len(u.tree[u.dir].files) {
		if err := c.unpackDir(); err != nil {
			u.fhs, u.dir, u.file = nil, 0, 0 // begin a new one: the directory may be there or not
			return 0, err
		}
		if u.dir == len(u.tree) {
			return opTree(c) // the tree is complete; the next one
		}
	}
	f := u.tree[u.dir].files[u.file]
	u.file++
	return 0, c.unpackFile(u.fhs[u.dir], &f)
}

// unpackDir makes the directory that comes next, or leaves one that is full.
func (c *caller) unpackDir() error {
	u := &c.unpack
	if u.dir < len(u.fhs) {
		u.dir, u.file = u.dir+1, 0
		return nil
	}
	d := &u.tree[u.dir]
	parent, name := c.own, []byte(d.name)
	if u.dir == 0 {
		u.unpacks++
		name = c.nameOf(d.name, u.unpacks)
	} else {
		parent = u.fhs[d.parent]
	}
	if err := c.mkdir(parent, name); err != nil {
		return err
	}
	u.fhs = append(u.fhs, append(client.FH(nil), c.fh...))
	return nil
}

// unpackFile makes the calls of the Linux client for a file that tar makes: the data go out at close, in one stable WRITE, since they fit.
func (c *caller) unpackFile(dir client.FH, f *treeFile) error {
	name := []byte(f.name)
	if err := c.lookupAbsent(dir, name); err != nil {
		return err
	}
	if err := c.create(dir, name); err != nil {
		return err
	}
	if err := c.writeWhole(c.fh, f.size); err != nil {
		return err
	}
	return c.setattr(c.fh, fileMode)
}

// writeWhole writes a file's content: stable if one WRITE takes it, else by several and a COMMIT.
func (c *caller) writeWhole(fh client.FH, size int) error {
	data := c.content(size, c.rng.Uint64())
	if size <= c.sh.srv.ioSize {
		_, _, err := c.write(fh, 0, data, client.FileSync)
		return err
	}
	var first uint64
	for off := 0; off < size; off += c.sh.srv.ioSize {
		_, verf, err := c.write(fh, uint64(off), data[off:min(size, off+c.sh.srv.ioSize)], client.Unstable)
		if err != nil {
			return err
		}
		if off == 0 {
			first = verf
		} else if verf != first {
			return bad(client.ProcWrite, "the write verifier changed: the server lost writes")
		}
	}
	verf, err := c.commit(fh)
	if err == nil && verf != first {
		err = bad(client.ProcCommit, "the write verifier changed: the server lost writes")
	}
	return err
}
