package replica_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"twofold/replica"
	"twofold/replica/vfs"
)

// The clients of a simulation. Each change bears an identity, and is sent again,
// at either node, until it is answered: so every answer has to be that of one
// execution.
const simClientCount = 4

// simPatience is how long a client waits for an answer at most: everything is
// mended long before that.
const simPatience = 5 * time.Minute

type simClients struct {
	s     *sim
	rec   *recorder
	all   []*simClient
	wg    sync.WaitGroup
	stop  chan struct{} // closed when no more is to be begun
	quit  chan struct{} // closed when nobody is to wait any more
	files []vfs.Ref     // whose contents change
	sizes []vfs.Ref     // whose sizes change
}

// simClient is one client.
type simClient struct {
	*simClients
	id  int
	rng *rand.Rand
	xid uint32
	own int // changes of names that nobody else uses
}

func newSimClients(s *sim, seed uint64) *simClients {
	c := &simClients{s: s, rec: &recorder{}, stop: make(chan struct{}), quit: make(chan struct{})}
	for i := range simClientCount {
		c.all = append(c.all, &simClient{simClients: c, id: i, rng: rand.New(rand.NewPCG(seed, uint64(100+i)))})
	}
	return c
}

func (c *simClients) create(name string) vfs.Ref {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	res, err := c.s.store("a").Mutate(ctx, &vfs.Call{}, &vfs.OpCreate{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: name, Mode: vfs.CreateGuarded,
		Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o644}})
	if err != nil || res.Kind != vfs.OK {
		c.s.t.Fatalf("create %s: %v, %v", name, res.Kind, err)
	}
	return res.Attr.Ref
}

// begin makes the files, and lets the clients work on them.
func (c *simClients) begin() {
	c.rec.start = time.Now()
	for i := range 3 {
		c.files = append(c.files, c.create(fmt.Sprint("file", i)))
		c.sizes = append(c.sizes, c.create(fmt.Sprint("size", i)))
	}
	for _, k := range c.all {
		c.wg.Go(k.run)
	}
}

// end lets the clients finish what they began.
func (c *simClients) end() {
	close(c.stop)
	c.wg.Wait()
}

// abort ends them in any case.
func (c *simClients) abort() {
	if !isClosed(c.stop) {
		close(c.stop)
	}
	close(c.quit)
	c.wg.Wait()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (k *simClient) run() {
	for !isClosed(k.stop) {
		k.step()
		// Sometimes in a row, sometimes with a pause.
		if pause := k.rng.IntN(3); pause > 0 {
			time.Sleep(time.Duration(k.rng.IntN([]int{0, 5000, 150_000}[pause])) * time.Microsecond)
		}
	}
}

func (k *simClient) step() {
	f := k.rng.IntN(len(k.files))
	switch n := k.rng.IntN(12); {
	case n < 2:
		value := k.rng.Uint64() | 1
		k.change(opInput{key: fmt.Sprint("file", f), kind: "write", value: value}, &vfs.OpWrite{Ref: k.files[f], Data: binary.BigEndian.AppendUint64(nil, value)})
	case n < 5:
		k.read(f)
	case n < 6:
		size := k.rng.Uint64N(1 << 20)
		k.change(opInput{key: fmt.Sprint("size", f), kind: "write", value: size}, &vfs.OpSetAttr{Ref: k.sizes[f], Set: vfs.SetAttr{Mask: vfs.SetSize, Size: size}})
	case n < 8:
		k.size(f)
	case n < 11:
		k.name(fmt.Sprint("name", k.rng.IntN(3)))
	default:
		k.ownName()
	}
}

// at returns a node that runs, in most cases the client's own one; nil if none is
// to be waited for.
func (k *simClient) at() *replica.Store {
	for {
		name := []string{"a", "b"}[k.id%2]
		if k.rng.IntN(4) == 0 {
			name = other(name)
		}
		if st := k.s.store(name); st != nil {
			return st
		}
		if isClosed(k.quit) {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// change runs one change until it is answered, and records it.
func (k *simClient) change(in opInput, op vfs.Op) vfs.Result {
	k.xid++
	call := &vfs.Call{}
	if k.s.plant != plantTwice {
		call.ID = vfs.CallID{Client: [16]byte{1, byte(k.id)}, XID: k.xid, Prog: 100003, Vers: 3, Proc: 1, Sum: uint64(k.xid)}
	}
	begun := k.rec.now()
	for {
		st := k.at()
		if st == nil {
			return vfs.Result{}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(100+k.rng.IntN(3000))*time.Millisecond)
		res, err := st.Mutate(ctx, call, op)
		cancel()
		if err == nil {
			k.rec.add(k.id, in, opOutput{kind: res.Kind}, begun, k.rec.now())
			return res
		}
		if isClosed(k.quit) {
			return res
		}
		if k.rec.now()-begun > int64(simPatience) {
			k.s.t.Errorf("client %d: no answer to %+v: %v", k.id, in, err)
			k.rec.add(k.id, in, opOutput{unknown: true}, begun, math.MaxInt64)
			return res
		}
		time.Sleep(time.Millisecond)
	}
}

// look runs one read. No answer says nothing.
func (k *simClient) look(in opInput, run func(context.Context, vfs.FS) (opOutput, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(100+k.rng.IntN(6000))*time.Millisecond)
	defer cancel()
	st := k.at()
	if st == nil {
		return
	}
	begun := k.rec.now()
	if out, err := run(ctx, st); err == nil {
		k.rec.add(k.id, in, out, begun, k.rec.now())
	}
}

func (k *simClient) read(f int) {
	k.look(opInput{key: fmt.Sprint("file", f), kind: "read"}, func(ctx context.Context, fs vfs.FS) (opOutput, error) {
		var buf [8]byte
		_, err := fs.Read(ctx, vfs.Root, k.files[f], 0, buf[:])
		return opOutput{value: binary.BigEndian.Uint64(buf[:])}, err
	})
}

// size reads the size by name or by inode: LOOKUP finds the inode only while it
// reads.
func (k *simClient) size(f int) {
	k.look(opInput{key: fmt.Sprint("size", f), kind: "read"}, func(ctx context.Context, fs vfs.FS) (opOutput, error) {
		if k.rng.IntN(2) == 0 {
			res, err := fs.GetAttr(ctx, k.sizes[f])
			return opOutput{value: res.Attr.Size}, err
		}
		res, err := fs.Lookup(ctx, vfs.Root, vfs.Ref{Ino: vfs.RootIno}, fmt.Sprint("size", f))
		return opOutput{value: res.Attr.Size}, err
	})
}

func (k *simClient) name(name string) {
	root := vfs.Ref{Ino: vfs.RootIno}
	switch k.rng.IntN(4) {
	case 0:
		k.change(opInput{key: name, kind: "create"}, &vfs.OpCreate{Dir: root, Name: name, Mode: vfs.CreateGuarded})
	case 1:
		k.change(opInput{key: name, kind: "remove"}, &vfs.OpRemove{Dir: root, Name: name})
	default:
		k.look(opInput{key: name, kind: "lookup"}, func(ctx context.Context, fs vfs.FS) (opOutput, error) {
			res, err := fs.Lookup(ctx, vfs.Root, root, name)
			return opOutput{kind: res.Kind}, err
		})
	}
}

// ownName creates, renames and removes a name that nobody else uses. Had one of
// these run twice, it would not be answered with OK.
func (k *simClient) ownName() {
	root := vfs.Ref{Ino: vfs.RootIno}
	k.own++
	name := fmt.Sprintf("own-%d-%d", k.id, k.own)
	for _, op := range []vfs.Op{
		&vfs.OpCreate{Dir: root, Name: name, Mode: vfs.CreateGuarded},
		&vfs.OpRename{FromDir: root, FromName: name, ToDir: root, ToName: name + "-moved"},
		&vfs.OpRemove{Dir: root, Name: name + "-moved"},
	} {
		res := k.change(opInput{key: name, kind: "own"}, op)
		if isClosed(k.quit) {
			return
		}
		if res.Kind != vfs.OK {
			k.s.t.Errorf("client %d: %T of %s: %v: it was lost, or ran twice", k.id, op, name, res.Kind)
		}
	}
}

// readAll reads everything at both nodes, so that what was acknowledged last is
// looked at too.
func (c *simClients) readAll() {
	for i := range 2 {
		k := &simClient{simClients: c, id: simClientCount + i, rng: rand.New(rand.NewPCG(1, 1))}
		for f := range c.files {
			k.read(f)
			k.size(f)
		}
		for n := range 3 {
			name := fmt.Sprint("name", n)
			k.look(opInput{key: name, kind: "lookup"}, func(ctx context.Context, fs vfs.FS) (opOutput, error) {
				res, err := fs.Lookup(ctx, vfs.Root, vfs.Ref{Ino: vfs.RootIno}, name)
				return opOutput{kind: res.Kind}, err
			})
		}
	}
}

func (c *simClients) check() {
	switch porcupine.CheckOperationsTimeout(historyModel, c.rec.ops, 20*time.Second) {
	case porcupine.Illegal:
		c.s.t.Error("the history is not linearizable")
	case porcupine.Unknown:
		c.s.t.Error("the history could not be checked in time")
	}
}

func (c *simClients) counts() (answered, unknown int) {
	for _, op := range c.rec.ops {
		if op.Output.(opOutput).unknown {
			unknown++
		} else {
			answered++
		}
	}
	return answered, unknown
}
