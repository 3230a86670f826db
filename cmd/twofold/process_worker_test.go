//go:build process

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"twofold/nfs/client"
	"twofold/replica/vfs"
)

// Bounds of one worker.
const (
	maxFileBytes  = 24 << 10
	maxWorkFiles  = 6                      // that it changes at a time
	maxRoundCalls = 20000                  // in one round
	peekLimit     = 250 * time.Millisecond // of a read at the other node, which may hang
)

// staleRead is what is said of a read that does not show what was acknowledged.
const staleRead = "read of %s at %s right after the acknowledgement: %s"

// worker is one client at work in a directory of its own. It knows what every
// file must hold: all that was acknowledged, and nothing else.
type worker struct {
	caller
	rng     *rand.Rand
	dir     client.FH
	dirName string

	present map[string]*workFile // every file that must be there
	inUse   []string             // those that are still changed
	open    []openCase           // calls whose outcome is unknown
	serial  int                  // of the last name and the last content
	resent  int                  // calls that were answered after they had been sent again

	peekConn *client.Client // to the node that it does not work at
	peekNode int
	done     *[2]atomic.Int64 // answered changes at each node, of all workers
	out      *[2]atomic.Int64 // changes that wait for their answer now, of all workers
	pace     *rate.Limiter    // of all workers together
	err      error            // what was wrong; the worker has stopped
	broken   chan struct{}    // closed after err was set
}

type workFile struct {
	fh   client.FH
	data []byte
}

// openCase is a call whose outcome is unknown: its names are either all as
// before or all as after. A nil content means that there is no such name.
type openCase struct{ before, after map[string][]byte }

// content is what a write puts into a file: known from the file's name at that
// time and the version alone, and different for each.
func content(name string, version, n int) []byte {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s v%d", name, version)
	b := make([]byte, n)
	var seed [32]byte
	copy(seed[:], h.Sum(nil))
	_, _ = rand.NewChaCha8(seed).Read(b) // it never fails
	copy(b, fmt.Sprintf("[%s v%d]", name, version))
	return b
}

// run works until stop, or until something is wrong.
func (w *worker) run(stop *atomic.Bool) {
	for n := 0; n < maxRoundCalls && !stop.Load() && w.err == nil; n++ {
		_ = w.pace.Wait(context.Background()) // its burst is one
		err := w.step()
		if err != nil && !errors.Is(err, errLeft) {
			w.err = fmt.Errorf("%s: %w", w.dirName, err)
			close(w.broken)
		}
	}
	w.closePeek()
}

// step makes one change, and now and then a read.
func (w *worker) step() error {
	if len(w.inUse) == 0 {
		return w.create()
	}
	switch n := w.rng.IntN(100); {
	case n < 12 && len(w.inUse) < maxWorkFiles:
		return w.create()
	case n < 20:
		return w.rename(w.newName())
	case n < 24 && len(w.inUse) > 1:
		return w.rename(w.pick())
	case n < 30:
		return w.remove()
	case n < 35:
		return w.truncate()
	case n < 45:
		return w.peek()
	case n < 70:
		return w.write(w.rng.IntN(maxFileBytes/4096)*4096, 4096)
	default:
		size := 1 + w.rng.IntN(6000)
		return w.write(w.rng.IntN(maxFileBytes-size), size)
	}
}

func (w *worker) newName() string {
	w.serial++
	return fmt.Sprintf("f%d", w.serial)
}

// pick chooses a file to work at.
func (w *worker) pick() string { return w.inUse[w.rng.IntN(len(w.inUse))] }

// retire ends the work at a file. What must be in it stays known.
func (w *worker) retire(name string) {
	w.inUse = slices.DeleteFunc(w.inUse, func(s string) bool { return s == name })
}

// settle takes over the state after a call: changed names with their files,
// nil for a name that is gone.
func (w *worker) settle(changed map[string]*workFile) {
	for name, f := range changed {
		w.retire(name)
		if f == nil {
			delete(w.present, name)
			continue
		}
		w.present[name] = f
		w.inUse = append(w.inUse, name)
	}
}

// leave notes that nobody knows whether the changes happened.
func (w *worker) leave(changed map[string]*workFile) {
	c := openCase{before: map[string][]byte{}, after: map[string][]byte{}}
	for name, f := range changed {
		c.before[name], c.after[name] = nil, nil
		if old := w.present[name]; old != nil {
			c.before[name] = old.data
		}
		if f != nil {
			c.after[name] = f.data
		}
		w.retire(name)
		delete(w.present, name)
	}
	w.open = append(w.open, c)
}

// change makes a call that changes names. A call that had to be sent again is
// answered as the first time: exactly once, whichever node it goes to.
func (w *worker) change(what string, changed map[string]*workFile, f call) error {
	out := &w.out[w.node]
	out.Add(1)
	st, again, err := w.do(f)
	out.Add(-1)
	switch {
	case errors.Is(err, errLeft):
		w.leave(changed)
		return err
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case st != client.OK:
		return fmt.Errorf("%s at %s, sent again %t: %w", what, dataNames[w.node], again, st)
	}
	if again {
		w.resent++
	}
	w.settle(changed)
	w.done[w.node].Add(1)
	return nil
}

func (w *worker) create() error {
	name, file := w.newName(), &workFile{data: []byte{}}
	how := client.CreateHow{Mode: vfs.CreateGuarded, Attr: client.SetAttr{Mode: client.Ptr(uint32(0o640))}}
	return w.change("CREATE "+name, map[string]*workFile{name: file}, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Create(ctx, w.dir, name, how)
		file.fh = res.FH
		return res.Status, err
	})
}

func (w *worker) write(off, size int) error {
	w.serial++
	name := w.pick()
	old := w.present[name]
	data := content(w.dirName+"/"+name, w.serial, size)
	file := &workFile{fh: old.fh, data: make([]byte, max(len(old.data), off+size))}
	copy(file.data, old.data)
	copy(file.data[off:], data)
	what := fmt.Sprintf("WRITE %s, %d bytes at %d", name, size, off)
	return w.change(what, map[string]*workFile{name: file}, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Write(ctx, old.fh, uint64(off), data, client.Unstable)
		if err == nil && res.Status == client.OK && (int(res.Count) != size || res.Committed != client.FileSync) {
			err = fmt.Errorf("%d of %d bytes, committed %d", res.Count, size, res.Committed)
		}
		return res.Status, err
	})
}

func (w *worker) truncate() error {
	name, size := w.pick(), w.rng.IntN(maxFileBytes)
	old := w.present[name]
	file := &workFile{fh: old.fh, data: make([]byte, size)}
	copy(file.data, old.data)
	what := fmt.Sprintf("SETATTR %s, size %d", name, size)
	return w.change(what, map[string]*workFile{name: file}, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Setattr(ctx, old.fh, client.SetAttr{Size: client.Ptr(uint64(size))}, nil)
		return res.Status, err
	})
}

// rename moves a file to a name that is new, or that is another file's.
func (w *worker) rename(to string) error {
	from := w.pick()
	if from == to {
		return nil
	}
	changed := map[string]*workFile{from: nil, to: w.present[from]}
	what := "RENAME " + from + " to " + to
	return w.change(what, changed, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Rename(ctx, w.dir, from, w.dir, to)
		return res.Status, err
	})
}

func (w *worker) remove() error {
	name := w.pick()
	return w.change("REMOVE "+name, map[string]*workFile{name: nil}, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Remove(ctx, w.dir, name)
		return res.Status, err
	})
}

// peek reads a file at the other node, which may be down or have no quorum. If
// it answers, it must know what this worker's node acknowledged.
func (w *worker) peek() error {
	name := w.pick()
	file := w.present[name]
	ctx, cancel := context.WithTimeout(context.Background(), peekLimit)
	defer cancel()
	if w.peekConn == nil {
		c, err := client.Dial(ctx, w.addrs[1-w.node])
		if err != nil {
			return nil
		}
		w.peekConn, w.peekNode = c, 1-w.node
	}
	res, err := w.peekConn.Read(ctx, file.fh, 0, maxFileBytes)
	if err != nil {
		w.closePeek()
		return nil
	}
	switch {
	case res.Status == client.ErrJukebox:
		return nil
	case res.Status != client.OK:
		return fmt.Errorf(staleRead, name, dataNames[w.peekNode], res.Status)
	case !bytes.Equal(res.Data, file.data):
		return fmt.Errorf(staleRead, name, dataNames[w.peekNode], difference(res.Data, file.data))
	}
	return nil
}

func (w *worker) closePeek() {
	if w.peekConn != nil {
		_ = w.peekConn.Close() // the connection is done with
		w.peekConn = nil
	}
}

// names returns the names that are in a set of files, for messages.
func names[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
