package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

const (
	bigFileSize = 1 << 30
	bigChunk    = 1 << 20
)

// checkBigFile writes 1 GiB at node a and reads it back at node b.
func checkBigFile(ctx context.Context, s *setup) (string, error) {
	name := "big"
	started := time.Now()
	sum, err := writeRandom(ctx, filepath.Join(s.A, name), bigFileSize)
	if err != nil {
		return "", err
	}
	written := time.Now()
	if err := wantSum(ctx, filepath.Join(s.B, name), bigFileSize, sum); err != nil {
		return "", err
	}
	read := time.Now()
	return fmt.Sprintf("written at %s, read at %s", rate(bigFileSize, written.Sub(started)), rate(bigFileSize, read.Sub(written))),
		os.Remove(filepath.Join(s.A, name))
}

func rate(bytes int64, d time.Duration) string {
	return fmt.Sprintf("%.0f MiB/s", float64(bytes)/(1<<20)/d.Seconds())
}

// writeRandom writes size bytes that no block repeats, has them made stable, and gives their checksum.
func writeRandom(ctx context.Context, name string, size int64) (sum [sha256.Size]byte, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	source := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), size), h)
	if err := copyChunks(ctx, f, source); err != nil {
		return sum, err
	}
	return sumOf(h), f.Sync()
}

// wantSum checks a file's size and checksum.
func wantSum(ctx context.Context, name string, size int64, want [sha256.Size]byte) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := sha256.New()
	if err := copyChunks(ctx, h, f); err != nil {
		return err
	}
	if got := sumOf(h); info.Size() != size || got != want {
		return fmt.Errorf("%s has %d bytes with checksum %x, want %d with %x", name, info.Size(), got, size, want)
	}
	return nil
}

// copyChunks copies with plain reads and writes of bigChunk bytes each, as dd would.
func copyChunks(ctx context.Context, dst io.Writer, src io.Reader) error {
	buf := make([]byte, bigChunk)
	for ctx.Err() == nil {
		n, err := io.ReadFull(src, buf)
		if _, werr := dst.Write(buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func sumOf(h hash.Hash) (sum [sha256.Size]byte) {
	h.Sum(sum[:0])
	return sum
}
