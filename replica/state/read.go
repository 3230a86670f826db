package state

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/vfs"
)

// inode returns a committed inode, or nil. The caller must not change it. Both
// readers (under the lock) and the apply goroutine (which alone commits) call
// it, so whatever goes into the cache is of the present moment.
func (s *State) inode(volume uint32, ino vfs.Ino) (*inode, error) {
	if n, ok := s.cache.Get(ino); ok {
		return n, nil
	}
	key := inodeKey(make([]byte, 0, inodeKeyLen), volume, ino)
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, asCorrupt(err)
	}
	n, err := decodeInode(key, ino, v)
	if err = errors.Join(err, closer.Close()); err != nil {
		return nil, err
	}
	s.cache.Add(ino, n)
	return n, nil
}

// dirent returns a committed entry of a directory, or the zero value. Who may call
// it, inode says.
func (s *State) dirent(volume uint32, dir *inode, name string) (dirent, error) {
	if d, ok := s.names.get(dir.Ino, dir.entries, name); ok {
		return d, nil
	}
	d, err := s.storedDirent(volume, dir.Ino, name)
	if err == nil {
		s.names.put(dir.Ino, name, d)
	}
	return d, err
}

func (s *State) storedDirent(volume uint32, dir vfs.Ino, name string) (dirent, error) {
	var buf [entryKeyLen + 64]byte
	key := direntKey(buf[:0], volume, dir, name)
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return dirent{}, nil
	}
	if err != nil {
		return dirent{}, asCorrupt(err)
	}
	d, err := decodeDirent(key, v)
	return d, errors.Join(err, closer.Close())
}

// view is the state at one moment, for one read. It holds the lock.
type view struct {
	*State
	super *super
}

// view locks the state for reading; the caller calls done.
func (s *State) view() (view, error) {
	s.mu.RLock()
	switch {
	case s.mu.closed:
		s.mu.RUnlock()
		return view{}, vfs.ErrShutdown
	case !s.mu.super.formatted():
		s.mu.RUnlock()
		return view{}, vfs.ErrNotReady
	}
	return view{State: s, super: &s.mu.super}, nil
}

func (v view) done() { v.mu.RUnlock() }

// find resolves a handle; nil means Stale.
func (v view) find(ref vfs.Ref) (*inode, error) {
	n, err := v.inode(v.super.ID, ref.Ino)
	if err != nil || n == nil || n.Gen != ref.Gen {
		return nil, err
	}
	return n, nil
}

// must is for an inode that another record names.
func (v view) must(ino vfs.Ino) (*inode, error) {
	n, err := v.inode(v.super.ID, ino)
	if err == nil && n == nil {
		err = corrupt(inodeKey(nil, v.super.ID, ino), "no inode for a name")
	}
	return n, err
}

// Volume returns the constants of the volume, or vfs.ErrNotReady before it was
// formatted.
func (s *State) Volume() (vfs.Volume, error) {
	v, err := s.view()
	if err != nil {
		return vfs.Volume{}, err
	}
	defer v.done()
	return v.super.Volume, nil
}

// GetAttr returns the attributes of an inode.
func (s *State) GetAttr(ref vfs.Ref) (vfs.AttrResult, error) {
	v, err := s.view()
	if err != nil {
		return vfs.AttrResult{}, err
	}
	defer v.done()
	n, err := v.find(ref)
	switch {
	case err != nil:
		return vfs.AttrResult{}, fmt.Errorf("state.GetAttr: %w", err)
	case n == nil:
		return vfs.AttrResult{Kind: vfs.Stale}, nil
	default:
		return vfs.AttrResult{Attr: n.attr()}, nil
	}
}

// Lookup finds a name in a directory, "." and ".." included.
func (s *State) Lookup(cred vfs.Cred, dir vfs.Ref, name string) (vfs.LookupResult, error) {
	v, err := s.view()
	if err != nil {
		return vfs.LookupResult{}, err
	}
	defer v.done()
	r, err := v.lookup(cred, dir, name)
	if err != nil {
		return vfs.LookupResult{}, fmt.Errorf("state.Lookup: %w", err)
	}
	return r, nil
}

func (v view) lookup(cred vfs.Cred, dir vfs.Ref, name string) (vfs.LookupResult, error) {
	d, err := v.find(dir)
	if err != nil || d == nil {
		return vfs.LookupResult{Kind: vfs.Stale}, err
	}
	r := vfs.LookupResult{HasDir: true, Dir: d.attr()}
	switch {
	case !d.isDir():
		r.Kind = vfs.NotDir
		return r, nil
	case !vfs.Allowed(cred, &d.Attr, vfs.WantExec):
		r.Kind = vfs.Access
		return r, nil
	}
	ino := d.Ino
	switch name {
	case ".":
	case "..":
		ino = d.parent
	default:
		if r.Kind = checkName(name); r.Kind != vfs.OK {
			return r, nil
		}
		e, err := v.dirent(v.super.ID, d, name)
		if err != nil {
			return r, err
		}
		if ino = e.ino; !e.exists() {
			r.Kind = vfs.NotExist
			return r, nil
		}
	}
	n, err := v.must(ino)
	if err != nil {
		return r, err
	}
	r.Attr = n.attr()
	return r, nil
}

// Readlink returns the target of a symbolic link. It needs no permission.
func (s *State) Readlink(_ vfs.Cred, ref vfs.Ref) (vfs.ReadlinkResult, error) {
	v, err := s.view()
	if err != nil {
		return vfs.ReadlinkResult{}, err
	}
	defer v.done()
	n, err := v.find(ref)
	switch {
	case err != nil:
		return vfs.ReadlinkResult{}, fmt.Errorf("state.Readlink: %w", err)
	case n == nil:
		return vfs.ReadlinkResult{Kind: vfs.Stale}, nil
	}
	r := vfs.ReadlinkResult{HasAttr: true, Attr: n.attr(), Target: n.target}
	switch n.Type {
	case vfs.TypeLnk:
	case vfs.TypeDir:
		r.Kind = vfs.IsDir // nfsd_mode_check in fs/nfsd/nfsfh.c
	default:
		r.Kind = vfs.Invalid
	}
	return r, nil
}

// Read fills buf from off, up to the end of the file.
func (s *State) Read(cred vfs.Cred, ref vfs.Ref, off uint64, buf []byte) (vfs.ReadResult, error) {
	v, err := s.view()
	if err != nil {
		return vfs.ReadResult{}, err
	}
	defer v.done()
	r, err := v.read(cred, ref, off, buf)
	if err != nil {
		return vfs.ReadResult{}, fmt.Errorf("state.Read: inode %d: %w", ref.Ino, err)
	}
	return r, nil
}

func (v view) read(cred vfs.Cred, ref vfs.Ref, off uint64, buf []byte) (vfs.ReadResult, error) {
	n, err := v.find(ref)
	if err != nil || n == nil {
		return vfs.ReadResult{Kind: vfs.Stale}, err
	}
	r := vfs.ReadResult{Kind: dataKind(n.Type), HasAttr: true, Attr: n.attr()}
	if r.Kind == vfs.OK && !vfs.AllowedIO(cred, &n.Attr, vfs.WantRead) {
		r.Kind = vfs.Access
	}
	if r.Kind != vfs.OK {
		return r, nil
	}
	if off >= n.Size {
		r.EOF = true
		return r, nil
	}
	r.N = int(min(uint64(len(buf)), n.Size-off))
	r.EOF = off+uint64(r.N) == n.Size
	return r, v.readData(n, off, buf[:r.N])
}

// fewBlocks is up to how many blocks are looked up one by one; for more an
// iterator is cheaper.
const fewBlocks = 4

// readData fills buf, which ends within the file.
func (v view) readData(n *inode, off uint64, buf []byte) error {
	if len(buf) == 0 {
		return nil
	}
	bs := uint64(v.super.BlockSize)
	first, last := off/bs, (off+uint64(len(buf))-1)/bs
	if n.Used == 0 {
		clear(buf)
		return nil
	}
	if last-first >= fewBlocks {
		return v.scanBlocks(n, first, last, off, buf)
	}
	var buffer [entryKeyLen]byte
	for number := first; number <= last; number++ {
		part, at := window(buf, off, number, bs)
		key := blockKey(buffer[:0], v.super.ID, n.Ino, number)
		value, closer, err := v.db.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			clear(part)
			continue
		}
		if err != nil {
			return asCorrupt(err)
		}
		data, err := openBlock(key, value)
		fill(part, data, at)
		if err := errors.Join(err, asCorrupt(closer.Close())); err != nil {
			return err
		}
	}
	return nil
}

func (v view) scanBlocks(n *inode, first, last, off uint64, buf []byte) error {
	it, err := v.db.NewIter(&pebble.IterOptions{
		LowerBound: blockKey(nil, v.super.ID, n.Ino, first),
		UpperBound: blockKey(nil, v.super.ID, n.Ino, last+1),
	})
	if err != nil {
		return asCorrupt(err)
	}
	clear(buf)
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var number uint64
		var value, data []byte
		if number, err = lastPart(it.Key()); err != nil {
			break
		}
		if value, err = it.ValueAndErr(); err != nil {
			break
		}
		if data, err = openBlock(it.Key(), value); err == nil {
			part, at := window(buf, off, number, uint64(v.super.BlockSize))
			fill(part, data, at)
		}
	}
	return errors.Join(asCorrupt(err), asCorrupt(it.Close()))
}

// window returns the part of buf, which begins at offset off of the file, that
// a block covers, and where in the block it begins.
func window(buf []byte, off, number, bs uint64) (part []byte, at uint64) {
	start := number * bs
	from := max(start, off)
	to := min(start+bs, off+uint64(len(buf)))
	return buf[from-off : to-off], from - start
}

// fill copies from a block value that may be shorter than the block.
func fill(part, data []byte, at uint64) {
	n := 0
	if at < uint64(len(data)) {
		n = copy(part, data[at:])
	}
	clear(part[n:])
}

// StatFS tells what the volume holds, and what is free on this node's disk.
func (s *State) StatFS(ref vfs.Ref) (vfs.StatFSResult, error) {
	v, err := s.view()
	if err != nil {
		return vfs.StatFSResult{}, err
	}
	defer v.done()
	n, err := v.find(ref)
	switch {
	case err != nil:
		return vfs.StatFSResult{}, fmt.Errorf("state.StatFS: %w", err)
	case n == nil:
		return vfs.StatFSResult{Kind: vfs.Stale}, nil
	}
	r := vfs.StatFSResult{
		HasAttr: true, Attr: n.attr(),
		Inodes: v.super.inodes, FreeInodes: maxInodes - min(v.super.inodes, maxInodes),
	}
	// A file system that cannot tell (one in memory) leaves the bytes zero.
	if u, err := v.opts.FS.GetDiskUsage(v.dir); err == nil {
		r.TotalBytes, r.FreeBytes = v.super.bytes+u.AvailBytes, u.AvailBytes
	}
	return r, nil
}

// maxInodes is what StatFS tells of a volume whose inode numbers do not run
// out in practice.
const maxInodes = 1 << 40
