package billyfs

import (
	"syscall"

	"twofold/replica/vfs"
)

// Symlink makes a symbolic link. The target is stored as it is.
func (fs *FS) Symlink(target, link string) error {
	return pathError("symlink", link, fs.symlink(target, link))
}

func (fs *FS) symlink(target, link string) error {
	if target == "" {
		return syscall.ENOENT // As symlink(2).
	}
	p, err := fs.newName(link, makeParents)
	if err != nil {
		return err
	}
	r, err := fs.mutate(&vfs.OpSymlink{Dir: p.dir, Name: p.name, Target: target})
	return pathVerdict(r.Kind, err)
}

// Readlink returns the target of a symbolic link.
func (fs *FS) Readlink(link string) (string, error) {
	const op = "readlink"
	p, err := fs.find(link, keepLast)
	if err != nil {
		return "", pathError(op, link, err)
	}
	r, err := fs.store.Readlink(fs.ctx, fs.cred, p.attr.Ref)
	return r.Target, pathError(op, link, pathVerdict(r.Kind, err))
}

// Link gives the file name another name, link. A symbolic link at the end of
// name is itself linked, as link(2) does it.
func (fs *FS) Link(name, link string) error {
	return pathError("link", link, fs.link(name, link))
}

func (fs *FS) link(name, link string) error {
	source, err := fs.find(name, keepLast)
	if err != nil {
		return err
	}
	if source.attr.Type == vfs.TypeDir {
		return syscall.EPERM // As link(2); the store says IsDir, as NFS has it.
	}
	p, err := fs.newName(link, noParents)
	if err != nil {
		return err
	}
	r, err := fs.mutate(&vfs.OpLink{Ref: source.attr.Ref, Dir: p.dir, Name: p.name})
	return pathVerdict(r.Kind, err)
}

// newName finds where a name is to be made that must not be there.
func (fs *FS) newName(name string, mk parents) (place, error) {
	p, err := fs.walk(name, keepLast, mk)
	if err == nil && p.found {
		err = syscall.EEXIST
	}
	return p, err
}
