package billyfs

import (
	"errors"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/go-git/go-billy/v5"

	"twofold/replica/vfs"
)

// maxSymlinks is how many symbolic links one path may lead through, as in
// Linux (MAXSYMLINKS in include/linux/namei.h).
const maxSymlinks = 40

// maxPath is the most bytes that are resolved for one path, its links'
// targets included. A caller may give longer paths than PATH_MAX, not endless
// ones.
const maxPath = 1 << 16

// follow says what a walk does with a symbolic link at the path's end.
type follow bool

const (
	followLast follow = true
	keepLast   follow = false
)

// parents is the mode with which a walk makes the directories that are missing
// on the way; negative, it makes none.
type parents int64

const (
	makeParents = parents(defaultParentMode)
	noParents   = parents(-1)
)

// place is where a path leads to.
type place struct {
	dir    vfs.Ref // the directory that has the last name
	name   string  // empty if the path is the root
	linked bool    // the last name comes from a link's target
	found  bool
	attr   vfs.Attr // if found
}

// clean returns name as a relative path without dots; the root is "".
func clean(name string) (string, error) {
	rel := path.Clean(strings.TrimLeft(name, "/"))
	switch {
	case rel == "..", strings.HasPrefix(rel, "../"):
		return "", billy.ErrCrossedBoundary
	case rel == ".":
		return "", nil
	case len(rel) > maxPath:
		return "", syscall.ENAMETOOLONG
	}
	return rel, nil
}

// walk resolves a path. That the last name does not exist is no error.
func (fs *FS) walk(name string, last follow, mk parents) (place, error) {
	rel, err := clean(name)
	if err != nil {
		return place{}, err
	}
	root, err := fs.rootAttr(mk)
	if err != nil {
		return place{}, err
	}
	w := walker{fs: fs, last: last, mk: mk, stack: []vfs.Attr{root}}
	w.push(rel, false)
	return w.run()
}

// find is walk for a path that must exist.
func (fs *FS) find(name string, last follow) (place, error) {
	p, err := fs.walk(name, last, noParents)
	if err == nil && !p.found {
		err = syscall.ENOENT
	}
	return p, err
}

// rootAttr finds the directory that is this file system's root.
func (fs *FS) rootAttr(mk parents) (vfs.Attr, error) {
	if fs.parent == nil {
		r, err := fs.store.GetAttr(fs.ctx, vfs.RootRef())
		return r.Attr, verdict(r.Kind, err)
	}
	p, err := fs.parent.walk(fs.base, followLast, mk)
	if err != nil {
		return vfs.Attr{}, err
	}
	switch {
	case p.found:
		return p.attr, nil
	case mk == noParents, p.linked:
		return vfs.Attr{}, syscall.ENOENT
	default:
		return fs.mkdir(p.dir, p.name, os.FileMode(mk))
	}
}

// walker is one resolution of a path.
type walker struct {
	fs   *FS
	last follow
	mk   parents

	// stack are the directories from the root to where the walk stands. ".."
	// goes back along it and never past its first, so that no rename by
	// somebody else can lead a walk out of its root.
	stack   []vfs.Attr
	pending []component // what is still to be resolved, the next one last
	links   int
	bytes   int
}

type component struct {
	name   string
	linked bool // it comes from a link's target, not from the caller
}

// push puts the components of a path before all that is pending.
func (w *walker) push(p string, linked bool) {
	names := strings.Split(p, "/")
	for i := len(names) - 1; i >= 0; i-- {
		if names[i] != "" && names[i] != "." {
			w.pending = append(w.pending, component{names[i], linked})
		}
	}
	w.bytes += len(p)
}

func (w *walker) here() *vfs.Attr { return &w.stack[len(w.stack)-1] }

// run takes one component after the other.
func (w *walker) run() (place, error) {
	at := place{found: true, attr: *w.here()}
	for len(w.pending) > 0 {
		c := w.pending[len(w.pending)-1]
		w.pending = w.pending[:len(w.pending)-1]
		isLast := len(w.pending) == 0
		if c.name == ".." {
			if err := w.up(); err != nil {
				return place{}, err
			}
			at = place{found: true, attr: *w.here()}
			continue
		}
		at = place{dir: w.here().Ref, name: c.name, linked: c.linked}
		r, err := w.fs.store.Lookup(w.fs.ctx, w.fs.cred, at.dir, c.name)
		if err := pathVerdict(r.Kind, err); errors.Is(err, syscall.ENOENT) {
			if isLast {
				return at, w.stillThere(r)
			}
			if r.Attr, err = w.makeParent(at, c); err != nil {
				return place{}, err
			}
		} else if err != nil {
			return place{}, err
		}
		at.found, at.attr = true, r.Attr
		switch {
		case r.Attr.Type == vfs.TypeLnk && (!isLast || w.last == followLast):
			if err := w.expand(r.Attr.Ref); err != nil {
				return place{}, err
			}
			at = place{found: true, attr: *w.here()}
		case !isLast && r.Attr.Type != vfs.TypeDir:
			return place{}, syscall.ENOTDIR
		default:
			w.stack = append(w.stack, r.Attr)
		}
	}
	return at, nil
}

// stillThere tells a name that does not exist from a directory that does not.
func (w *walker) stillThere(r vfs.LookupResult) error {
	if r.Kind == vfs.Stale {
		return syscall.ENOENT
	}
	return nil
}

// up goes to the parent directory, as a ".." in a link's target asks for.
func (w *walker) up() error {
	if !vfs.Allowed(w.fs.cred, w.here(), vfs.WantExec) {
		return syscall.EACCES
	}
	switch {
	case len(w.stack) > 1:
		w.stack = w.stack[:len(w.stack)-1]
	case w.fs.parent != nil:
		return billy.ErrCrossedBoundary
	}
	return nil
}

// expand puts a link's target before what is pending.
func (w *walker) expand(link vfs.Ref) error {
	if w.links++; w.links > maxSymlinks {
		return syscall.ELOOP
	}
	r, err := w.fs.store.Readlink(w.fs.ctx, w.fs.cred, link)
	if err := pathVerdict(r.Kind, err); err != nil {
		return err
	}
	if strings.HasPrefix(r.Target, "/") {
		w.stack = w.stack[:1]
	}
	if w.push(r.Target, true); w.bytes > maxPath {
		return syscall.ENAMETOOLONG
	}
	return nil
}

// makeParent makes a directory on the way, if the caller named it and wants
// it. A link's target is not made: mkdir -p would not do that either.
func (w *walker) makeParent(at place, c component) (vfs.Attr, error) {
	if w.mk == noParents || c.linked {
		return vfs.Attr{}, syscall.ENOENT
	}
	return w.fs.mkdir(at.dir, at.name, os.FileMode(w.mk))
}
