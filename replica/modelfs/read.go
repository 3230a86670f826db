package modelfs

import (
	"context"
	"sort"

	"twofold/replica/vfs"
)

// GetAttr returns the attributes of an inode.
func (fs *FS) GetAttr(ctx context.Context, ref vfs.Ref) (vfs.AttrResult, error) {
	if err := alive(ctx); err != nil {
		return vfs.AttrResult{}, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.getLocked(ref)
	if n == nil {
		return vfs.AttrResult{Kind: vfs.Stale}, nil
	}
	return vfs.AttrResult{Attr: n.attr}, nil
}

// Lookup finds a name in a directory.
func (fs *FS) Lookup(ctx context.Context, cred vfs.Cred, dir vfs.Ref, name string) (vfs.LookupResult, error) {
	if err := alive(ctx); err != nil {
		return vfs.LookupResult{}, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d, kind := fs.getDirLocked(dir)
	if d == nil {
		return vfs.LookupResult{Kind: kind}, nil
	}
	r := vfs.LookupResult{Kind: kind, HasDir: true, Dir: d.attr}
	if kind != vfs.OK {
		return r, nil
	}
	if !vfs.Allowed(cred, &d.attr, vfs.WantExec) {
		r.Kind = vfs.Access
		return r, nil
	}
	var child *inode
	child, r.Kind = fs.lookupLocked(d, name)
	if r.Kind == vfs.OK {
		r.Attr = child.attr
	}
	return r, nil
}

// lookupLocked resolves one name, "." and ".." included.
func (fs *FS) lookupLocked(d *inode, name string) (*inode, vfs.Kind) {
	switch name {
	case ".":
		return d, vfs.OK
	case "..":
		return fs.mu.inodes[d.parent], vfs.OK
	}
	if kind := checkName(name); kind != vfs.OK {
		return nil, kind
	}
	e, ok := d.entries[name]
	if !ok {
		return nil, vfs.NotExist
	}
	return fs.mu.inodes[e.ino], vfs.OK
}

// Readlink returns the target of a symbolic link.
func (fs *FS) Readlink(ctx context.Context, _ vfs.Cred, ref vfs.Ref) (vfs.ReadlinkResult, error) {
	if err := alive(ctx); err != nil {
		return vfs.ReadlinkResult{}, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.getLocked(ref)
	switch {
	case n == nil:
		return vfs.ReadlinkResult{Kind: vfs.Stale}, nil
	case n.attr.Type == vfs.TypeDir:
		return vfs.ReadlinkResult{Kind: vfs.IsDir, HasAttr: true, Attr: n.attr}, nil
	case n.attr.Type != vfs.TypeLnk:
		return vfs.ReadlinkResult{Kind: vfs.Invalid, HasAttr: true, Attr: n.attr}, nil
	default:
		return vfs.ReadlinkResult{Target: n.target, HasAttr: true, Attr: n.attr}, nil
	}
}

// Read fills buf from off, up to the end of the file.
func (fs *FS) Read(ctx context.Context, cred vfs.Cred, ref vfs.Ref, off uint64, buf []byte) (vfs.ReadResult, error) {
	if err := alive(ctx); err != nil {
		return vfs.ReadResult{}, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.getLocked(ref)
	if n == nil {
		return vfs.ReadResult{Kind: vfs.Stale}, nil
	}
	r := vfs.ReadResult{Kind: fileKind(n.attr.Type), HasAttr: true, Attr: n.attr}
	if r.Kind == vfs.OK && !vfs.AllowedIO(cred, &n.attr, vfs.WantRead) {
		r.Kind = vfs.Access
	}
	if r.Kind != vfs.OK {
		return r, nil
	}
	size := n.attr.Size
	if off >= size {
		r.EOF = true
		return r, nil
	}
	r.N = int(min(uint64(len(buf)), size-off))
	n.data.readAt(buf[:r.N], off, fs.volume.BlockSize)
	r.EOF = off+uint64(r.N) >= size
	return r, nil
}

// fileKind says whether data can be read from or written to this type.
func fileKind(t vfs.FileType) vfs.Kind {
	switch t {
	case vfs.TypeReg:
		return vfs.OK
	case vfs.TypeDir:
		return vfs.IsDir
	default:
		return vfs.Invalid
	}
}

// ReadDir lists a directory in the order of its cookies.
func (fs *FS) ReadDir(ctx context.Context, cred vfs.Cred, dir vfs.Ref, after vfs.Cookie, plus bool, limit int) (vfs.ReadDirResult, error) {
	if err := alive(ctx); err != nil {
		return vfs.ReadDirResult{}, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d, kind := fs.getDirLocked(dir)
	if d == nil {
		return vfs.ReadDirResult{Kind: kind}, nil
	}
	r := vfs.ReadDirResult{Kind: kind, HasDir: true, Dir: d.attr}
	if kind == vfs.OK && !vfs.Allowed(cred, &d.attr, vfs.WantRead) {
		r.Kind = vfs.Access
	}
	if r.Kind != vfs.OK {
		return r, nil
	}
	all := []vfs.Dirent{
		{Name: ".", Ino: d.attr.Ino, Cookie: vfs.CookieDot},
		{Name: "..", Ino: d.parent, Cookie: vfs.CookieDotDot},
	}
	for name, e := range d.entries {
		all = append(all, vfs.Dirent{Name: name, Ino: e.ino, Cookie: e.cookie})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Cookie < all[j].Cookie })
	start := sort.Search(len(all), func(i int) bool { return all[i].Cookie > after })
	end := min(len(all), start+max(limit, 0))
	r.Entries = all[start:end]
	r.EOF = end == len(all)
	maySearch := vfs.Allowed(cred, &d.attr, vfs.WantExec)
	for i := range r.Entries {
		if plus && (maySearch || isDot(r.Entries[i].Name)) {
			r.Entries[i].Attr = fs.mu.inodes[r.Entries[i].Ino].attr
		}
	}
	return r, nil
}

// StatFS tells what the volume holds.
func (fs *FS) StatFS(ctx context.Context, ref vfs.Ref) (vfs.StatFSResult, error) {
	if err := alive(ctx); err != nil {
		return vfs.StatFSResult{}, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.getLocked(ref)
	if n == nil {
		return vfs.StatFSResult{Kind: vfs.Stale}, nil
	}
	used, inodes := uint64(0), uint64(len(fs.mu.inodes))
	for _, n := range fs.mu.inodes {
		if n.attr.Type == vfs.TypeReg {
			used += n.attr.Used
		}
	}
	return vfs.StatFSResult{
		HasAttr: true, Attr: n.attr,
		TotalBytes: totalBytes, FreeBytes: totalBytes - min(used, totalBytes),
		Inodes: inodes, FreeInodes: totalInodes - min(inodes, totalInodes),
	}, nil
}
