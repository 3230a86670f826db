package logstore

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

const (
	probeFile  = "probe"
	probeBytes = 4 << 10 // one page: the least that a disk is written
)

// Probe is a file of one block on the log's disk that is written over and over: to
// find out whether the disk answers. Nobody reads it.
type Probe struct {
	f     io.WriterAt
	sync  func() error
	close func() error
	await func() // of a Disk
	block [probeBytes]byte
}

// OpenProbe opens or makes the probe in dir, or on fsys if there is one. It writes
// the block once, so that later writes need no space.
func OpenProbe(dir string, fsys FS) (*Probe, error) {
	p := &Probe{await: func() {}}
	if d, ok := fsys.(Disk); ok {
		p.await = d.Await
	}
	if err := p.open(dir, fsys); err != nil {
		return nil, err
	}
	if err := p.Write(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Probe) open(dir string, fsys FS) error {
	if fsys == nil {
		// O_DSYNC: a write returns when the device has the block. The file's times are
		// not waited for (fsync would write them to the file system's journal).
		f, err := os.OpenFile(filepath.Join(dir, probeFile), os.O_CREATE|os.O_RDWR|syscall.O_DSYNC, 0o600)
		if err != nil {
			return err
		}
		p.f, p.sync, p.close = f, func() error { return nil }, f.Close
		return nil
	}
	f, err := fsys.OpenWriter(dir, probeFile)
	if errors.Is(err, os.ErrNotExist) {
		f, err = fsys.Create(dir, probeFile, probeBytes)
	}
	if err != nil {
		return err
	}
	p.f, p.sync, p.close = f, f.Sync, f.Close
	return nil
}

// Write writes the block and returns when it is on the disk.
func (p *Probe) Write() error {
	p.await()
	if _, err := p.f.WriteAt(p.block[:], 0); err != nil {
		return err
	}
	return p.sync()
}

// Close closes the file. No Write may be under way.
func (p *Probe) Close() error { return p.close() }
