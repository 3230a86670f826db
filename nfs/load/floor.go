package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// What a Floor writes, and its bounds.
const (
	floorFileSize = 64 << 20 // of the log files, which are written over and over
	floorMaxBytes = 1 << 20
	floorBlock    = 4096
	floorAnswer   = 4
)

// FloorConfig says what the least work for one durable change is measured with.
type FloorConfig struct {
	Dirs     [2]string // of the two nodes
	Bytes    int       // of one change
	Duration time.Duration
	Ops      int64 // instead of a duration, if it is not zero
}

// FloorResult is what a durable change costs at the very least.
type FloorResult struct {
	Operation string  `json:"operation"`
	Bytes     int     `json:"bytes"`
	Seconds   float64 `json:"seconds"`
	Ops       int64   `json:"ops"`
	OpsRate   float64 `json:"ops_per_second"`
	Latency   Latency `json:"latency_us"`
	// Sync is fdatasync alone, at each node.
	Sync [2]Latency `json:"fdatasync_us"`
}

// floorOperation is what one operation is.
const floorOperation = "one caller's message to node a over TCP; a sends it on to node b over TCP, and both write it to a log file of their own " +
	"and call fdatasync at the same time; b answers a, a answers the caller"

// floorNode is one node: a log file, and the other node if it is the first.
type floorNode struct {
	file  *os.File
	off   int64
	buf   []byte
	peer  net.Conn // nil at the second node
	syncs *hdrhistogram.Histogram
}

// Floor measures a lone caller's durable change without any of what makes it a file system.
func Floor(ctx context.Context, cfg FloorConfig) (*FloorResult, error) {
	if cfg.Bytes < 1 || cfg.Bytes > floorMaxBytes {
		return nil, fmt.Errorf("%d bytes: 1 to %d are possible", cfg.Bytes, floorMaxBytes)
	}
	var nodes [2]*floorNode
	for i, dir := range cfg.Dirs {
		n, err := newFloorNode(dir, cfg.Bytes)
		if err != nil {
			return nil, err
		}
		defer n.close()
		nodes[i] = n
	}
	peer, serveB, err := loopback()
	if err != nil {
		return nil, err
	}
	caller, serveA, err := loopback()
	if err != nil {
		return nil, errors.Join(err, peer.Close(), serveB.Close())
	}
	nodes[0].peer = peer
	var g sync.WaitGroup
	var errs [2]error
	g.Go(func() { errs[0] = nodes[0].serve(serveA) })
	g.Go(func() { errs[1] = nodes[1].serve(serveB) })
	res, err := floorCalls(ctx, caller, cfg)
	_ = caller.Close() // the nodes end with their connections
	g.Wait()
	if err = errors.Join(err, errs[0], errs[1]); err != nil {
		return nil, err
	}
	for i, n := range nodes {
		res.Sync[i] = latencyOf(n.syncs)
	}
	return res, nil
}

// newFloorNode makes a log file that is wholly allocated and written, so that fdatasync has nothing to do but the data.
func newFloorNode(dir string, bytes int) (*floorNode, error) {
	f, err := os.CreateTemp(dir, "floor-*")
	if err != nil {
		return nil, err
	}
	n := &floorNode{file: f, syncs: newHistogram(), buf: make([]byte, (bytes+floorBlock-1)/floorBlock*floorBlock)}
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < floorFileSize; off += int64(len(zeros)) {
		if _, err = f.WriteAt(zeros, off); err != nil {
			n.close()
			return nil, err
		}
	}
	if err = f.Sync(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *floorNode) close() {
	_ = n.file.Close() // of no use to anybody
	_ = os.Remove(n.file.Name())
}

// serve takes messages until the connection ends.
func (n *floorNode) serve(nc net.Conn) error {
	defer nc.Close()
	if n.peer != nil {
		defer n.peer.Close()
	}
	for {
		var head [4]byte
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		size := binary.BigEndian.Uint32(head[:])
		if int(size) > len(n.buf) {
			return fmt.Errorf("load: a message of %d bytes", size)
		}
		if _, err := io.ReadFull(nc, n.buf[:size]); err != nil {
			return err
		}
		if err := n.change(head[:], n.buf[:size]); err != nil {
			return err
		}
		if _, err := nc.Write(head[:floorAnswer]); err != nil {
			return err
		}
	}
}

// change makes a message durable here, and at the peer at the same time.
func (n *floorNode) change(head, msg []byte) error {
	if n.peer == nil {
		return n.store()
	}
	bufs := net.Buffers{head, msg}
	if _, err := bufs.WriteTo(n.peer); err != nil {
		return err
	}
	if err := n.store(); err != nil {
		return err
	}
	var answer [floorAnswer]byte
	_, err := io.ReadFull(n.peer, answer[:])
	return err
}

// store writes whole blocks and flushes them.
func (n *floorNode) store() error {
	if n.off+int64(len(n.buf)) > floorFileSize {
		n.off = 0
	}
	if _, err := n.file.WriteAt(n.buf, n.off); err != nil {
		return err
	}
	n.off += int64(len(n.buf))
	start := time.Now()
	if err := unix.Fdatasync(int(n.file.Fd())); err != nil {
		return fmt.Errorf("fdatasync %s: %w", filepath.Base(n.file.Name()), err)
	}
	observe(n.syncs, time.Since(start))
	return nil
}

// floorCalls is the caller.
func floorCalls(ctx context.Context, nc net.Conn, cfg FloorConfig) (*FloorResult, error) {
	msg := make([]byte, 4+cfg.Bytes)
	binary.BigEndian.PutUint32(msg, uint32(cfg.Bytes))
	var answer [floorAnswer]byte
	h := newHistogram()
	begin := time.Now()
	end := begin
	for ctx.Err() == nil {
		if n := h.TotalCount(); cfg.Ops > 0 && n >= cfg.Ops || cfg.Ops == 0 && end.Sub(begin) >= cfg.Duration {
			break
		}
		start := end
		if _, err := nc.Write(msg); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(nc, answer[:]); err != nil {
			return nil, err
		}
		end = time.Now()
		observe(h, end.Sub(start))
	}
	seconds := end.Sub(begin).Seconds()
	return &FloorResult{
		Operation: floorOperation, Bytes: cfg.Bytes, Seconds: seconds, Ops: h.TotalCount(),
		OpsRate: float64(h.TotalCount()) / max(seconds, 1e-9), Latency: latencyOf(h),
	}, nil
}

// loopback returns both ends of a TCP connection.
func loopback() (near, far net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	if far, err = l.Accept(); err != nil {
		return nil, nil, errors.Join(err, near.Close())
	}
	return near, far, nil
}
