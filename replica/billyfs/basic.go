package billyfs

import (
	"errors"
	"os"
	"path"
	"syscall"

	"github.com/go-git/go-billy/v5"

	"twofold/replica/vfs"
)

// maxRaces bounds how often an operation of two steps starts over because
// somebody else was quicker between them.
const maxRaces = 16

// Create makes or truncates a file and opens it for reading and writing.
func (fs *FS) Create(name string) (billy.File, error) {
	return fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, defaultFileMode)
}

// Open opens a file for reading.
func (fs *FS) Open(name string) (billy.File, error) {
	return fs.OpenFile(name, os.O_RDONLY, 0)
}

// OpenFile opens a file with the flags of os.OpenFile.
func (fs *FS) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	const op = "open"
	for range maxRaces {
		f, err := fs.open(name, flag, perm)
		if err == errRaced {
			continue
		}
		if err != nil {
			return nil, pathError(op, name, err)
		}
		return f, nil
	}
	return nil, pathError(op, name, syscall.EBUSY)
}

// errRaced asks the caller to look again.
var errRaced = errors.New("name changed meanwhile")

func (fs *FS) open(name string, flag int, perm os.FileMode) (*File, error) {
	create, exclusive := flag&os.O_CREATE != 0, flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0
	last := followLast
	if exclusive {
		last = keepLast // POSIX: with O_EXCL a link at the end is a name in use.
	}
	mk := noParents
	if create {
		mk = makeParents
	}
	p, err := fs.walk(name, last, mk)
	switch {
	case err != nil:
		return nil, err
	case !p.found && !create:
		return nil, syscall.ENOENT
	case !p.found:
		return fs.createFile(p, name, flag, perm)
	case exclusive:
		return nil, syscall.EEXIST
	}
	if err := fs.mayOpen(&p.attr, flag); err != nil {
		return nil, err
	}
	if flag&os.O_TRUNC != 0 {
		fs.dirty.settle(p.attr.Ref, nil)
		set := vfs.SetAttr{Mask: vfs.SetSize}
		r, err := fs.mutate(&vfs.OpSetAttr{Ref: p.attr.Ref, Set: set})
		if err == nil && r.Kind == vfs.Stale {
			return nil, errRaced
		}
		if err := verdict(r.Kind, err); err != nil {
			return nil, err
		}
	}
	return fs.newFile(p.attr.Ref, name, flag), nil
}

// createFile makes the file that a walk did not find. Whoever makes a file
// may use it as asked for, whatever its mode says.
func (fs *FS) createFile(p place, name string, flag int, perm os.FileMode) (*File, error) {
	r, err := fs.mutate(&vfs.OpCreate{
		Dir: p.dir, Name: p.name, Mode: vfs.CreateGuarded, Set: fs.newAttr(perm),
	})
	if err == nil && r.Kind == vfs.Exist {
		if flag&os.O_EXCL != 0 {
			return nil, syscall.EEXIST
		}
		return nil, errRaced
	}
	if err := pathVerdict(r.Kind, err); err != nil {
		return nil, err
	}
	return fs.newFile(r.Attr.Ref, name, flag), nil
}

// mayOpen are the checks of open(2) on a file that exists.
func (fs *FS) mayOpen(a *vfs.Attr, flag int) error {
	readable, writable := access(flag)
	writes := writable || flag&os.O_TRUNC != 0
	switch a.Type {
	case vfs.TypeReg:
	case vfs.TypeDir:
		if writes || flag&os.O_CREATE != 0 {
			return syscall.EISDIR
		}
	default:
		return syscall.ENXIO // There is no device or pipe behind it here.
	}
	var want vfs.Want
	if readable {
		want |= vfs.WantRead
	}
	if writes {
		want |= vfs.WantWrite
	}
	if !vfs.Allowed(fs.cred, a, want) {
		return syscall.EACCES
	}
	return nil
}

// access splits the access mode of a flag word.
func access(flag int) (readable, writable bool) {
	switch flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR) {
	case os.O_RDONLY:
		return true, false
	case os.O_WRONLY:
		return false, true
	default:
		return true, true
	}
}

// Stat describes what a path leads to.
func (fs *FS) Stat(name string) (os.FileInfo, error) {
	return fs.stat("stat", name, followLast)
}

// Lstat is Stat, but of a link itself.
func (fs *FS) Lstat(name string) (os.FileInfo, error) {
	return fs.stat("lstat", name, keepLast)
}

func (fs *FS) stat(op, name string, last follow) (os.FileInfo, error) {
	p, err := fs.find(name, last)
	if err == nil && fs.dirty.settle(p.attr.Ref, nil) {
		p, err = fs.find(name, last) // Its size was older than its bytes.
	}
	if err != nil {
		return nil, pathError(op, name, err)
	}
	return fs.info(baseName(name), p.attr), nil
}

func baseName(name string) string { return path.Base(path.Clean("/" + name)) }

// Rename moves a name and replaces what the new name was, in one command.
// Parent directories of the new name are made before, if the old name exists.
func (fs *FS) Rename(from, to string) error {
	const op = "rename"
	source, err := fs.find(from, keepLast)
	if err != nil {
		return pathError(op, from, err)
	}
	target, err := fs.walk(to, keepLast, makeParents)
	if err != nil {
		return pathError(op, to, err)
	}
	if source.name == "" || target.name == "" {
		return pathError(op, from, syscall.EBUSY) // A root cannot be moved.
	}
	r, err := fs.mutate(&vfs.OpRename{
		FromDir: source.dir, FromName: source.name, ToDir: target.dir, ToName: target.name,
	})
	return pathError(op, from, pathVerdict(r.Kind, err))
}

// Remove removes a name; a directory must be empty.
func (fs *FS) Remove(name string) error {
	const op = "remove"
	p, err := fs.find(name, keepLast)
	if err != nil {
		return pathError(op, name, err)
	}
	if p.name == "" {
		return pathError(op, name, syscall.EBUSY)
	}
	isDir := p.attr.Type == vfs.TypeDir
	r, err := fs.mutate(removal(p, isDir))
	if err == nil && (r.Kind == vfs.IsDir || r.Kind == vfs.NotDir) {
		// The name means something else since it was looked up.
		r, err = fs.mutate(removal(p, !isDir))
	}
	return pathError(op, name, pathVerdict(r.Kind, err))
}

func removal(p place, isDir bool) vfs.Op {
	if isDir {
		return &vfs.OpRmdir{Dir: p.dir, Name: p.name}
	}
	return &vfs.OpRemove{Dir: p.dir, Name: p.name}
}
