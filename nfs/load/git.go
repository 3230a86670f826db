package load

import (
	"strconv"

	"twofold/nfs/client"
)

// The repository that callers look at and clone, and what git does in it. Real ones differ in size, not in the kinds of calls.
const (
	repoDirs      = 8
	repoFiles     = 48
	repoFileSize  = 3000
	repoIndexSize = 8 << 10
	repoPackSize  = 256 << 10
	repoPackRead  = 64 << 10

	commitObjects    = 6 // three blobs, two trees, a commit
	commitObjectSize = 900
	refSize          = 41
)

// gitCommands is the order of a caller's commands. Callers begin at different ones.
var gitCommands = []func(*caller) error{gitStatus, gitStatus, gitCommit, gitStatus, gitClone, gitStatus, gitCommit, gitStatus}

// repo is the repository that all callers of a server look at. It does not change.
type repo struct {
	dirs  []client.FH
	files []file
	index file
	pack  file
}

// beginRepo makes the directories and the large files.
func beginRepo(c *caller) error {
	r := &repo{files: make([]file, repoFiles)}
	if err := c.mkdir(c.sh.dir, []byte("repository")); err != nil {
		return err
	}
	top := append(client.FH(nil), c.fh...)
	for i := range repoDirs {
		if err := c.mkdir(top, c.nameOf("dir", i)); err != nil {
			return err
		}
		r.dirs = append(r.dirs, append(client.FH(nil), c.fh...))
	}
	var err error
	if r.index, err = c.makeLarge(top, "index", repoIndexSize); err != nil {
		return err
	}
	r.pack, err = c.makeLarge(top, "pack", repoPackSize)
	c.sh.repo = r
	return err
}

func (c *caller) makeLarge(dir client.FH, name string, size int) (file, error) {
	f, err := c.makeFile(dir, name, 0)
	if err == nil {
		err = c.writeWhole(f.fh, size)
	}
	return f, err
}

// fillRepo makes a share of the files.
func fillRepo(c *caller, s share) error {
	s.n = repoFiles
	return s.each(func(i int) (err error) {
		c.sh.repo.files[i], err = c.makeFile(c.sh.repo.dirs[i%repoDirs], "file-"+strconv.Itoa(i)+".c", repoFileSize)
		return err
	})
}

// ownRepo makes what a caller commits to: a directory of objects, and an index.
func ownRepo(c *caller) error {
	c.script = c.id % len(gitCommands)
	if err := c.mkdir(c.own, []byte("objects")); err != nil {
		return err
	}
	c.dir = append(client.FH(nil), c.fh...)
	for _, name := range []string{"index", "main", "COMMIT_EDITMSG"} {
		if _, err := c.makeFile(c.own, name, refSize); err != nil {
			return err
		}
	}
	log, err := c.makeFile(c.own, "log", 0)
	c.files = append(c.files, log)
	return err
}

// opGit makes one command. Each of its calls counts.
func opGit(c *caller) (int64, error) {
	do := gitCommands[c.script%len(gitCommands)]
	c.script++
	return 0, do(c)
}

// gitStatus reads the index, lists every directory and looks at every file (lstat, as the attribute cache has expired).
func gitStatus(c *caller) error {
	r := c.sh.repo
	if err := c.getattr(r.index.fh); err != nil {
		return err
	}
	if _, err := c.read(r.index.fh, 0, repoIndexSize); err != nil {
		return err
	}
	for i := range r.files {
		if err := c.getattr(r.files[i].fh); err != nil {
			return err
		}
	}
	for _, dir := range r.dirs {
		c.page = page{}
		if _, _, err := c.list(dir); err != nil {
			return err
		}
	}
	return nil
}

// gitCommit writes loose objects, the index, the reference, its log and the message. Each but the log goes to a new file that is renamed.
func gitCommit(c *caller) error {
	for range commitObjects {
		object := string(c.newName("object"))
		if err := c.lookupAbsent(c.dir, []byte(object)); err != nil {
			return err
		}
		if err := c.replace(c.dir, "tmp_obj", object, commitObjectSize); err != nil {
			return err
		}
	}
	if err := c.replace(c.own, "index.lock", "index", repoIndexSize); err != nil {
		return err
	}
	if err := c.replace(c.own, "COMMIT_EDITMSG.lock", "COMMIT_EDITMSG", refSize); err != nil {
		return err
	}
	log := &c.files[0]
	if err := c.getattr(log.fh); err != nil {
		return err
	}
	end := uint64(c.logged * refSize)
	if _, _, err := c.write(log.fh, end, c.content(refSize, 0), client.FileSync); err != nil {
		return err
	}
	c.logged++
	return c.replace(c.own, "main.lock", "main", refSize)
}

// replace writes a new file and renames it into its place. Its first name is one that no earlier command has left behind.
func (c *caller) replace(dir client.FH, temp, name string, size int) error {
	first := string(c.newName(temp))
	if err := c.lookupAbsent(dir, []byte(first)); err != nil {
		return err
	}
	if err := c.create(dir, []byte(first)); err != nil {
		return err
	}
	if err := c.writeWhole(c.fh, size); err != nil {
		return err
	}
	return c.rename(dir, []byte(first), []byte(name))
}

// gitClone reads the pack and writes it anew, then checks all files out.
func gitClone(c *caller) error {
	r := c.sh.repo
	if err := c.mkdir(c.own, c.newName("clone")); err != nil {
		return err
	}
	top := append(client.FH(nil), c.fh...)
	for off := 0; off < repoPackSize; off += repoPackRead {
		if _, err := c.read(r.pack.fh, uint64(off), repoPackRead); err != nil {
			return err
		}
	}
	if err := c.replace(top, "tmp_pack", "pack", repoPackSize); err != nil {
		return err
	}
	var dir client.FH
	for i := range repoFiles {
		if i%(repoFiles/repoDirs) == 0 {
			if err := c.mkdir(top, c.nameOf("dir", i)); err != nil {
				return err
			}
			dir = append(dir[:0], c.fh...)
		}
		if err := c.unpackFile(dir, &treeFile{name: "file-" + strconv.Itoa(i) + ".c", size: repoFileSize}); err != nil {
			return err
		}
	}
	return c.replace(top, "index.lock", "index", repoIndexSize)
}
