package billyfs

import (
	"io"
	"math"
	"os"
	"sync"
	"syscall"

	"github.com/go-git/go-billy/v5"

	"twofold/replica/vfs"
)

// File is an open file.
type File struct {
	fs       *FS
	ref      vfs.Ref
	name     string // as opened, cleaned
	readable bool
	writable bool
	appends  bool

	mu struct {
		sync.Mutex
		pos    int64
		closed bool

		// buf are bytes that were written and not yet sent; they belong at
		// bufOff. Without bytes bufOff means nothing.
		buf    []byte
		bufOff int64
		// failed is the first error of a write. Nothing is written after it.
		failed error
	}
}

var _ billy.File = (*File)(nil)

func (fs *FS) newFile(ref vfs.Ref, name string, flag int) *File {
	f := &File{fs: fs, ref: ref, appends: flag&os.O_APPEND != 0}
	f.name, _ = clean(name) // It was walked, so it is clean.
	f.readable, f.writable = access(flag)
	return f
}

// Name returns the path with which the file was opened.
func (f *File) Name() string { return f.name }

// useLocked fails if the file is closed.
func (f *File) useLocked() error {
	if f.mu.closed {
		return os.ErrClosed
	}
	return nil
}

// Stat describes the file, its unsent bytes included.
func (f *File) Stat() (os.FileInfo, error) {
	const op = "stat"
	f.fs.dirty.settle(f.ref, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.useLocked(); err != nil {
		return nil, pathError(op, f.name, err)
	}
	a, err := f.attrLocked()
	if err != nil {
		return nil, pathError(op, f.name, err)
	}
	return f.fs.info(baseName(f.name), a), nil
}

// attrLocked sends what is unsent and returns the attributes after it.
func (f *File) attrLocked() (vfs.Attr, error) {
	if err := f.flushLocked(); err != nil {
		return vfs.Attr{}, err
	}
	r, err := f.fs.store.GetAttr(f.fs.ctx, f.ref)
	return r.Attr, verdict(r.Kind, err)
}

// Read reads from the file's position and moves it.
func (f *File) Read(p []byte) (int, error) {
	f.fs.dirty.settle(f.ref, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	n, eof, err := f.readLocked(p[:min(len(p), vfs.MaxIO)], f.mu.pos)
	if err != nil {
		return 0, pathError("read", f.name, err)
	}
	f.mu.pos += int64(n)
	if n == 0 && len(p) > 0 && eof {
		return 0, io.EOF
	}
	return n, nil
}

// ReadAt reads all of p unless the file ends before it.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	const op = "readat"
	if off < 0 {
		return 0, pathError(op, f.name, syscall.EINVAL)
	}
	f.fs.dirty.settle(f.ref, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	done := 0
	for done < len(p) {
		part := p[done:min(len(p), done+vfs.MaxIO)]
		n, eof, err := f.readLocked(part, off+int64(done))
		done += n
		if err != nil {
			return done, pathError(op, f.name, err)
		}
		if eof && done < len(p) {
			return done, io.EOF
		}
	}
	return done, nil
}

// readLocked is one READ, after the file's own unsent writes.
func (f *File) readLocked(p []byte, off int64) (n int, eof bool, err error) {
	if err := f.useLocked(); err != nil {
		return 0, false, err
	}
	if !f.readable {
		return 0, false, syscall.EBADF
	}
	if err := f.flushLocked(); err != nil {
		return 0, false, err
	}
	r, err := f.fs.store.Read(f.fs.ctx, f.fs.cred, f.ref, uint64(off), p)
	if err := verdict(r.Kind, err); err != nil {
		return 0, false, err
	}
	// A store that answers nothing before the end must not make a caller spin.
	return r.N, r.EOF || r.N == 0 && len(p) > 0, nil
}

// Seek sets the position. It may lie beyond the end.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	const op = "seek"
	f.fs.dirty.settle(f.ref, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	base, err := f.seekBaseLocked(whence)
	if err != nil {
		return 0, pathError(op, f.name, err)
	}
	if offset > 0 && base > math.MaxInt64-offset || base+offset < 0 {
		return 0, pathError(op, f.name, syscall.EINVAL)
	}
	f.mu.pos = base + offset
	return f.mu.pos, nil
}

// seekBaseLocked returns the position from which whence counts.
func (f *File) seekBaseLocked(whence int) (int64, error) {
	if err := f.useLocked(); err != nil {
		return 0, err
	}
	if f.appends { // The position is known once the bytes are sent.
		if err := f.flushLocked(); err != nil {
			return 0, err
		}
	}
	switch whence {
	case io.SeekStart:
		return 0, nil
	case io.SeekCurrent:
		return f.mu.pos, nil
	case io.SeekEnd:
		a, err := f.attrLocked()
		return int64(a.Size), err
	default:
		return 0, syscall.EINVAL
	}
}

// Lock waits for the file's exclusive lock; see the package's documentation
// for whom it keeps out. Close lets it go.
func (f *File) Lock() error {
	const op = "lock"
	if err := f.fs.locks.acquire(f.fs.ctx, f); err != nil {
		return pathError(op, f.name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.useLocked(); err != nil {
		f.fs.locks.release(f) // Closed while it waited.
		return pathError(op, f.name, err)
	}
	return nil
}

// Unlock lets the lock go. Without one it does nothing.
func (f *File) Unlock() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.useLocked(); err != nil {
		return pathError("unlock", f.name, err)
	}
	f.fs.locks.release(f)
	return nil
}

// Close sends what is unsent and returns the first error of any write. The
// file is closed even then.
func (f *File) Close() error {
	const op = "close"
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.useLocked(); err != nil {
		return pathError(op, f.name, err)
	}
	err := f.flushLocked()
	f.mu.closed = true
	f.mu.buf = nil
	f.fs.locks.release(f)
	return pathError(op, f.name, err)
}
