package load

import "twofold/nfs/client"

// mixedParts are the upper ends, of a hundred, of what an operation of mixed is.
const (
	mixedGetattr = 40
	mixedLookup  = mixedGetattr + 20
	mixedAccess  = mixedLookup + 10
	mixedRead    = mixedAccess + 15
	mixedCreate  = mixedRead + 8
	mixedRemove  = mixedCreate + 5
	// the rest is RENAME
	mixedAll = 100
)

func opMixed(c *caller) (int64, error) {
	n := c.rng.IntN(mixedAll)
	f := &c.sh.files[c.rng.IntN(len(c.sh.files))]
	switch {
	case n < mixedGetattr:
		return 0, c.getattr(f.fh)
	case n < mixedLookup:
		w := c.begin(client.ProcLookup)
		w.Opaque(c.sh.set)
		w.String(f.name)
		_, err := c.send(client.ProcLookup, nil)
		return 0, err
	case n < mixedAccess:
		w := c.begin(client.ProcAccess)
		w.Opaque(f.fh)
		w.Uint32(accessAll)
		_, err := c.send(client.ProcAccess, nil)
		return 0, err
	case n < mixedRead:
		data, err := c.read(f.fh, 0, smallSize)
		if err != nil {
			return 0, err
		}
		return 0, checkData(data, smallSize, f.tag)
	case n < mixedCreate || len(c.files) == 0:
		return 0, c.mixedCreate()
	case n < mixedRemove:
		last := c.files[len(c.files)-1]
		c.files = c.files[:len(c.files)-1]
		return 0, c.remove(c.ownDirOf(&last), []byte(last.name))
	}
	return 0, c.mixedRename()
}

// mixedCreate makes a file and writes it. It may be removed later.
func (c *caller) mixedCreate() error {
	name := string(c.newName("file"))
	if err := c.create(c.dir, []byte(name)); err != nil {
		return err
	}
	c.files = append(c.files, file{name: name, dir: c.dir})
	_, _, err := c.write(c.fh, 0, c.content(smallSize, 0), client.FileSync)
	return err
}

func (c *caller) mixedRename() error {
	f := &c.files[len(c.files)-1]
	to := c.newName("moved")
	err := c.rename(c.ownDirOf(f), []byte(f.name), to)
	if err == nil {
		f.name = string(to)
		return nil
	}
	c.files = c.files[:len(c.files)-1] // under which name it is, is not known
	return err
}

// ownDirOf is the directory of one of the caller's own files.
func (c *caller) ownDirOf(f *file) client.FH {
	if f.dir != nil {
		return f.dir
	}
	return c.own
}
