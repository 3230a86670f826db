package billyfs

import (
	"syscall"

	"twofold/replica/vfs"
)

// maxBuffer is how many bytes a file gathers before it sends them: one WRITE.
const maxBuffer = vfs.MaxIO

// Write writes at the file's position, or with O_APPEND at its end, and moves
// the position. See the package's documentation for when it is durable.
func (f *File) Write(p []byte) (int, error) {
	f.fs.dirty.settle(f.ref, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.writeLocked(p)
	return n, pathError("write", f.name, err)
}

func (f *File) writeLocked(p []byte) (int, error) {
	if err := f.mayWriteLocked(); err != nil {
		return 0, err
	}
	if f.appends && len(f.mu.buf) == 0 && len(p) > 0 {
		a, err := f.attrLocked()
		if err != nil {
			return 0, err
		}
		f.mu.pos = int64(a.Size)
	}
	n, err := f.putLocked(p, f.mu.pos)
	if !f.appends { // Otherwise putLocked and flushLocked moved it.
		f.mu.pos += int64(n)
	}
	return n, err
}

// WriteAt writes at off and leaves the position as it is. As with package os
// a file opened to append refuses it.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	const op = "writeat"
	f.fs.dirty.settle(f.ref, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.mayWriteLocked(); err != nil {
		return 0, pathError(op, f.name, err)
	}
	if off < 0 || f.appends {
		return 0, pathError(op, f.name, syscall.EINVAL)
	}
	n, err := f.putLocked(p, off)
	return n, pathError(op, f.name, err)
}

func (f *File) mayWriteLocked() error {
	if err := f.useLocked(); err != nil {
		return err
	}
	if !f.writable {
		return syscall.EBADF
	}
	return f.mu.failed
}

// putLocked takes p into the buffer and sends the buffer whenever it is full
// or the next bytes do not follow its last. It returns how many bytes of p it
// took before an error.
func (f *File) putLocked(p []byte, off int64) (int, error) {
	if uint64(off) > vfs.MaxFileSize || uint64(off)+uint64(len(p)) > vfs.MaxFileSize {
		return 0, syscall.EFBIG
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if f.appends {
			at = f.mu.pos
		}
		if len(f.mu.buf) > 0 && at != f.mu.bufOff+int64(len(f.mu.buf)) {
			if err := f.flushLocked(); err != nil {
				return done, err
			}
		}
		if len(f.mu.buf) == 0 {
			f.mu.bufOff = at
			f.fs.dirty.add(f)
		}
		n := min(len(p)-done, maxBuffer-len(f.mu.buf))
		f.mu.buf = append(f.mu.buf, p[done:done+n]...)
		if f.appends {
			f.mu.pos = f.mu.bufOff + int64(len(f.mu.buf))
		}
		if len(f.mu.buf) == maxBuffer {
			if err := f.flushLocked(); err != nil {
				return done, err
			}
		}
		done += n
	}
	return done, nil
}

// flushLocked sends the buffer. The first error stays: from then on nobody
// can tell what the file holds, so nothing more is written.
func (f *File) flushLocked() error {
	if f.mu.failed != nil || len(f.mu.buf) == 0 {
		return f.mu.failed
	}
	off := f.mu.bufOff
	if f.appends {
		// Others may have appended since the bytes were taken. The position is
		// the buffer's end: whatever else moves it sends the buffer first.
		r, err := f.fs.store.GetAttr(f.fs.ctx, f.ref)
		if err := verdict(r.Kind, err); err != nil {
			return f.failLocked(err)
		}
		off = int64(r.Attr.Size)
		f.mu.pos = off + int64(len(f.mu.buf))
	}
	r, err := f.fs.mutate(&vfs.OpWrite{Ref: f.ref, Offset: uint64(off), Data: f.mu.buf})
	if err := verdict(r.Kind, err); err != nil {
		return f.failLocked(err)
	}
	if int(r.Count) != len(f.mu.buf) {
		return f.failLocked(syscall.EIO) // A WRITE is one command: all or nothing.
	}
	f.mu.buf = f.mu.buf[:0]
	f.fs.dirty.drop(f)
	return nil
}

func (f *File) failLocked(err error) error {
	f.mu.failed = err
	f.mu.buf = nil
	f.fs.dirty.drop(f)
	return err
}

// Sync returns nil when every write so far is durable.
func (f *File) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.useLocked()
	if err == nil {
		err = f.flushLocked()
	}
	return pathError("sync", f.name, err)
}

// Truncate sets the file's size and is durable when it returns nil. The
// position stays.
func (f *File) Truncate(size int64) error {
	f.fs.dirty.settle(f.ref, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	return pathError("truncate", f.name, f.truncateLocked(size))
}

func (f *File) truncateLocked(size int64) error {
	if err := f.useLocked(); err != nil {
		return err
	}
	if !f.writable || size < 0 {
		return syscall.EINVAL // As ftruncate(2).
	}
	if err := f.flushLocked(); err != nil {
		return err
	}
	set := vfs.SetAttr{Mask: vfs.SetSize, Size: uint64(size)}
	r, err := f.fs.mutate(&vfs.OpSetAttr{Ref: f.ref, Set: set})
	return verdict(r.Kind, err)
}
