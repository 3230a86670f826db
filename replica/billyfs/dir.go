package billyfs

import (
	"math/rand/v2"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-git/go-billy/v5"

	"twofold/replica/vfs"
)

const (
	// readDirPage is how many entries are asked for in one call.
	readDirPage = 1024
	// maxTempTries bounds the search for a free name.
	maxTempTries = 10000
)

// ReadDir lists a directory, sorted by name.
func (fs *FS) ReadDir(name string) ([]os.FileInfo, error) {
	const op = "readdir"
	p, err := fs.find(name, followLast)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	fs.dirty.settleAll() // The entries come with their sizes.
	var infos []os.FileInfo
	for after := vfs.CookieDotDot; ; {
		r, err := fs.store.ReadDir(fs.ctx, fs.cred, p.attr.Ref, after, true, readDirPage)
		if err := pathVerdict(r.Kind, err); err != nil {
			return nil, pathError(op, name, err)
		}
		for i := range r.Entries {
			after = r.Entries[i].Cookie
			if r.Entries[i].Attr.Ino == 0 { // names can be read, but not searched
				return nil, pathError(op, name, syscall.EACCES)
			}
			infos = append(infos, fs.info(r.Entries[i].Name, r.Entries[i].Attr))
		}
		if r.EOF || len(r.Entries) == 0 {
			break
		}
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name() < infos[j].Name() })
	return infos, nil
}

// MkdirAll makes a directory and those that it needs, all with this mode.
func (fs *FS) MkdirAll(name string, perm os.FileMode) error {
	return pathError("mkdir", name, fs.mkdirAll(name, perm))
}

func (fs *FS) mkdirAll(name string, perm os.FileMode) error {
	p, err := fs.walk(name, followLast, parents(perm))
	if err != nil {
		return err
	}
	if !p.found {
		if p.linked {
			return syscall.EEXIST // A dangling link; mkdir(2) does not follow it.
		}
		p.attr, err = fs.mkdir(p.dir, p.name, perm)
	}
	if err == nil && p.attr.Type != vfs.TypeDir {
		err = syscall.ENOTDIR
	}
	return err
}

// mkdir makes one directory. Somebody else may have made it first.
func (fs *FS) mkdir(dir vfs.Ref, name string, perm os.FileMode) (vfs.Attr, error) {
	r, err := fs.mutate(&vfs.OpMkdir{Dir: dir, Name: name, Set: fs.newAttr(perm)})
	if err == nil && r.Kind == vfs.Exist {
		found, err := fs.store.Lookup(fs.ctx, fs.cred, dir, name)
		return found.Attr, pathVerdict(found.Kind, err)
	}
	return r.Attr, pathVerdict(r.Kind, err)
}

// TempFile makes a file in dir whose name begins with prefix and is not in
// use, and opens it. Without dir it is made in the root.
func (fs *FS) TempFile(dir, prefix string) (billy.File, error) {
	if strings.Contains(prefix, "/") {
		return nil, pathError("createtemp", prefix, syscall.EINVAL)
	}
	for range maxTempTries {
		name := path.Join(dir, prefix+strconv.FormatUint(uint64(rand.Uint32()), 10))
		f, err := fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, tempFileMode)
		if !os.IsExist(err) {
			return f, err
		}
	}
	return nil, pathError("createtemp", path.Join(dir, prefix), syscall.EEXIST)
}
