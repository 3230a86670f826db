package load

import (
	"slices"

	"twofold/nfs/client"
)

// How many files of its own a caller begins with.
const (
	renameFiles = 4
	mixedFiles  = 16
)

// roll sees that the caller has a directory that is not full.
func (c *caller) roll() error {
	if c.dir != nil && c.entries < c.run.cfg.Width {
		return nil
	}
	c.dirs++
	if err := c.mkdir(c.own, c.nameOf("dir", c.dirs)); err != nil {
		return err
	}
	c.dir, c.entries = append(client.FH(nil), c.fh...), 0
	return nil
}

// newName makes a name that the caller never made before.
func (c *caller) newName(prefix string) []byte {
	c.made++
	c.entries++
	return c.nameOf(prefix, c.made)
}

func opCreate(c *caller) (int64, error) { return 0, c.create(c.dir, c.newName("file")) }

func opMkdir(c *caller) (int64, error) { return 0, c.mkdir(c.dir, c.newName("sub")) }

func opSmallfile(c *caller) (int64, error) {
	name := c.newName("file")
	if err := c.lookupAbsent(c.own, name); err != nil {
		return 0, err
	}
	if err := c.create(c.own, name); err != nil {
		return 0, err
	}
	tag := c.rng.Uint64()
	if _, _, err := c.write(c.fh, 0, c.content(smallSize, tag), client.FileSync); err != nil {
		return 0, err
	}
	if err := c.getattr(c.fh); err != nil {
		return 0, err
	}
	data, err := c.read(c.fh, 0, smallSize)
	if err == nil {
		err = checkData(data, smallSize, tag)
	}
	if err != nil {
		return 0, err
	}
	return 0, c.remove(c.own, name)
}

// ownFiles makes the caller's own files.
func ownFiles(n int) func(*caller) error {
	return func(c *caller) error {
		for range n {
			f, err := c.makeFile(c.own, string(c.newName("own")), 0)
			if err != nil {
				return err
			}
			c.files = append(c.files, f)
		}
		return nil
	}
}

// opRename renames one of the caller's files. One whose name is in doubt is left alone from then on.
func opRename(c *caller) (int64, error) {
	if len(c.files) == 0 {
		if err := ownFiles(renameFiles)(c); err != nil {
			return 0, err
		}
	}
	i := c.made % len(c.files)
	to := c.newName("moved")
	if err := c.rename(c.own, []byte(c.files[i].name), to); err != nil {
		c.files = slices.Delete(c.files, i, i+1)
		return 0, err
	}
	c.files[i].name = string(to)
	return 0, nil
}

// refillPool makes a share of the files that are to be removed.
func refillPool(c *caller, s share) error {
	return s.each(func(int) error {
		if err := c.roll(); err != nil {
			return err
		}
		name := c.newName("file")
		if err := c.create(c.dir, name); err != nil {
			return err
		}
		c.sh.pool.put(pooled{dir: c.dir, name: string(name)})
		return nil
	})
}

func opRemove(c *caller) (int64, error) {
	f, ok := c.sh.pool.get()
	if !ok {
		return 0, errUsedUp
	}
	return 0, c.remove(f.dir, []byte(f.name))
}
