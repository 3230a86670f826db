package catchup_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"twofold/replica/catchup"
	"twofold/replica/command"
	"twofold/replica/state"
	"twofold/replica/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// copyOf is one node's copy of the volume, with a sink beside it.
type copyOf struct {
	t     testing.TB
	dir   string
	o     state.Options
	s     *state.State
	sink  *catchup.Sink
	index uint64
	clock vfs.Time

	ready, term uint64
}

func newCopy(t testing.TB) *copyOf {
	return newCopyIn(t, "db", state.Options{
		FS: pebblevfs.NewCrashableMem(), Logger: slog.New(slog.DiscardHandler),
		MemTableBytes: 8 << 20, CacheBytes: 8 << 20, InodeCache: 1024,
	})
}

// newCopyIn opens the copy in a directory.
func newCopyIn(t testing.TB, dir string, o state.Options) *copyOf {
	c := &copyOf{t: t, dir: dir, o: o, clock: 1_700_000_000_000_000_000}
	c.open()
	t.Cleanup(func() {
		if err := c.s.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *copyOf) open() {
	c.t.Helper()
	s, err := state.Open(c.dir, c.o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.s = s
	c.ready, c.term, err = state.Staged(c.dir, c.o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.sink = &catchup.Sink{
		State:    func() *state.State { return c.s },
		Staged:   func(i, t uint64) { c.ready, c.term = i, t },
		Ready:    func() (uint64, uint64) { return c.ready, c.term },
		Progress: catchup.NewProgress(),
	}
}

// apply applies commands as one entry.
func (c *copyOf) apply(ops ...any) []vfs.Result {
	c.t.Helper()
	var encs [][]byte
	for _, op := range ops {
		enc, err := command.Append(nil, &command.Command{Header: command.Header{Volume: 1, Cred: vfs.Root}, Op: op})
		if err != nil {
			c.t.Fatal(err)
		}
		c.clock++
		command.Seal(enc, c.clock, uint64(c.clock))
		encs = append(encs, enc)
	}
	cmds, err := command.DecodeBatch(command.AppendBatch(nil, encs))
	if err != nil {
		c.t.Fatal(err)
	}
	c.index++
	rs, err := c.s.Apply(c.index, 1, cmds)
	if err != nil {
		c.t.Fatal(err)
	}
	return rs
}

// fill formats the volume and makes files of 4 KiB, perDir of them in a directory.
func (c *copyOf) fill(files, perDir int) (refs []vfs.Ref) {
	c.t.Helper()
	c.apply(&command.Format{UUID: [16]byte{1}, HandleKey: [16]byte{2}, BlockSize: 4096, RootMode: 0o755})
	var dir vfs.Ref
	for i := 0; i < files; {
		if i%perDir == 0 {
			r := c.apply(&vfs.OpMkdir{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: fmt.Sprintf("d%d", i)})[0]
			dir = r.Attr.Ref
		}
		var ops []any
		for n := 0; n < 128 && i < files && (n == 0 || i%perDir != 0); n++ {
			ops = append(ops, &vfs.OpCreate{Dir: dir, Name: fmt.Sprintf("f%d", i)})
			i++
		}
		var made []vfs.Ref
		for _, r := range c.apply(ops...) {
			if r.Kind != vfs.OK {
				c.t.Fatal(r.Kind)
			}
			made = append(made, r.Attr.Ref)
		}
		c.write(made, 1)
		refs = append(refs, made...)
	}
	return refs
}

// write rewrites files whole.
func (c *copyOf) write(refs []vfs.Ref, seed int) {
	c.t.Helper()
	var ops []any
	for i, ref := range refs {
		data := make([]byte, 4096)
		for n := range data {
			data[n] = byte((n + i) * (seed*2 + 1) >> 3)
		}
		copy(data, fmt.Sprint(ref.Ino, seed))
		ops = append(ops, &vfs.OpWrite{Ref: ref, Data: data})
		if len(ops) == 64 || i == len(refs)-1 {
			for _, r := range c.apply(ops...) {
				if r.Kind != vfs.OK {
					c.t.Fatal(r.Kind)
				}
			}
			ops = ops[:0]
		}
	}
}

// become makes an empty copy like another one.
func (c *copyOf) become(from *copyOf) *catchup.Progress {
	c.t.Helper()
	p := catchup.NewProgress()
	if err := c.bring(from, p, nil); err != nil {
		c.t.Fatal(err)
	}
	c.install()
	c.index, c.clock = from.index, from.clock
	return p
}

// bring runs one transfer. cut may replace the source's connection.
func (c *copyOf) bring(from *copyOf, p *catchup.Progress, cut func(net.Conn) net.Conn) error {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = c.sink.Serve(context.Background(), conn)
		}
		served <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		c.t.Fatal(err)
	}
	if cut != nil {
		conn = cut(conn)
	}
	v, err := from.s.Pin()
	if err != nil {
		c.t.Fatal(err)
	}
	src := catchup.Source{View: v, Progress: p}
	err = src.Run(context.Background(), conn, v.Index)
	sinkErr := <-served
	if err := v.Close(); err != nil {
		c.t.Error(err)
	}
	if err == nil && sinkErr != nil {
		c.t.Errorf("the source is done, the sink says: %v", sinkErr)
	}
	return err
}

// install puts what is ready in place.
func (c *copyOf) install() {
	c.t.Helper()
	if err := c.s.Install(); err != nil {
		c.t.Fatal(err)
	}
	c.ready, c.term = 0, 0
}

// same fails unless both copies are the same, record by record.
func same(t testing.TB, a, b *copyOf) {
	t.Helper()
	ra, errA := a.s.ScanDigest()
	rb, errB := b.s.ScanDigest()
	if err := errors.Join(errA, errB, ra.Err(), rb.Err()); err != nil {
		t.Fatal(err)
	}
	if ra.Scanned != rb.Scanned || ra.Index != rb.Index {
		t.Fatalf("%v at %d and %v at %d", ra.Scanned, ra.Index, rb.Scanned, rb.Index)
	}
}

// volume returns the bytes of all records of a copy.
func (c *copyOf) volume() (n int) {
	c.t.Helper()
	v, err := c.s.Pin()
	if err != nil {
		c.t.Fatal(err)
	}
	defer v.Close()
	for b := range v.Buckets {
		if v.Buckets[b].IsZero() {
			continue
		}
		if err := v.Scan(b, nil, func(k, val []byte) bool { n += len(k) + len(val); return true }); err != nil {
			c.t.Fatal(err)
		}
	}
	return n
}

// An empty node becomes a copy, and one that was away gets what changed: new
// files, rewritten ones, and the removal of others.
func TestCatchUp_EmptyThenBehind(t *testing.T) {
	a, b := newCopy(t), newCopy(t)
	refs := a.fill(2000, 500)
	b.become(a)
	same(t, a, b)
	a.write(refs[100:150], 2)
	dir := a.apply(&vfs.OpMkdir{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: "new"})[0].Attr.Ref
	a.apply(&vfs.OpCreate{Dir: dir, Name: "x"}, &vfs.OpRmdir{Dir: vfs.Ref{Ino: vfs.RootIno}, Name: "d0"})
	first := vfs.Ref{}
	if r, err := a.s.Lookup(vfs.Root, vfs.Ref{Ino: vfs.RootIno}, "d0"); err == nil {
		first = r.Attr.Ref
	}
	for i := range 50 {
		a.apply(&vfs.OpRemove{Dir: first, Name: fmt.Sprintf("f%d", i)})
	}
	p := b.become(a)
	same(t, a, b)
	if sent, all := p.Status().Bytes, a.volume(); sent > uint64(all)/5 {
		t.Errorf("%d bytes were sent of a volume of %d", sent, all)
	}
}

// A transfer that is cut off anywhere is continued, and what was brought is not
// brought again.
func TestCatchUp_CutAnywhere(t *testing.T) {
	a, b := newCopy(t), newCopy(t)
	refs := a.fill(3000, 1000)
	p := catchup.NewProgress()
	cuts := 0
	for limit := 100; ; limit *= 3 {
		err := b.bring(a, p, func(c net.Conn) net.Conn { return &brittle{Conn: c, left: limit} })
		if err == nil {
			break
		}
		if cuts++; cuts > 30 {
			t.Fatal(err)
		}
		a.write(refs[cuts:cuts+1], cuts+1) // the view is another one each time
		if b.ready != 0 {
			t.Fatal("a part is called ready")
		}
	}
	if cuts < 5 {
		t.Errorf("%d cuts", cuts)
	}
	b.install()
	same(t, a, b)
}

// brittle breaks after so many bytes.
type brittle struct {
	net.Conn
	left int
}

func (b *brittle) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		b.Close()
		return 0, net.ErrClosed
	}
	return b.Conn.Write(p)
}

// The node loses its power before each step: what is there then is started again,
// as it was, and the transfer is done.
func TestCatchUp_CrashAtEachStep(t *testing.T) {
	for _, step := range []string{catchup.StepStage, catchup.StepCompare, catchup.StepChange, catchup.StepFinish, catchup.StepReady} {
		t.Run(step, func(t *testing.T) {
			a, b := newCopy(t), newCopy(t)
			refs := a.fill(600, 200)
			b.become(a)
			a.write(refs[:100], 5)
			old, _ := b.s.Applied()
			var crashed *pebblevfs.MemFS
			n := 0
			b.sink.Failpoint = func(at string) {
				if n++; at == step && (step != catchup.StepChange || n > 3) && crashed == nil {
					crashed = b.o.FS.(*pebblevfs.MemFS).CrashClone(pebblevfs.CrashCloneCfg{})
				}
			}
			if err := b.bring(a, catchup.NewProgress(), nil); err != nil {
				t.Fatal(err)
			}
			if crashed == nil {
				t.Fatal("the step was not taken")
			}
			if err := b.s.Close(); err != nil {
				t.Fatal(err)
			}
			b.o.FS = crashed
			b.open()
			if i, _ := b.s.Applied(); i != old {
				t.Errorf("after the crash the state is of %d, not %d", i, old)
			}
			if ready := b.ready != 0; ready != (step == catchup.StepReady) {
				t.Errorf("ready at %d", b.ready)
			}
			b.become(a)
			same(t, a, b)
		})
	}
}

// The source goes away, and another one, with another view, goes on.
func TestCatchUp_AnotherSource(t *testing.T) {
	a, c, b := newCopy(t), newCopy(t), newCopy(t)
	refs := a.fill(2000, 500)
	c.become(a)
	if err := b.bring(a, catchup.NewProgress(), func(conn net.Conn) net.Conn { return &brittle{Conn: conn, left: 7 << 20} }); err == nil {
		t.Fatal("the transfer was not cut off")
	}
	c.write(refs[500:600], 9)
	p := b.become(c)
	same(t, b, c)
	if sent, all := p.Status().Bytes, c.volume(); sent > uint64(all)*7/10 {
		t.Errorf("%d bytes of %d were sent although a part was there", sent, all)
	}
}

// What is not ahead of the node is refused, and what is ready is not sent again.
func TestCatchUp_Refusals(t *testing.T) {
	a, b := newCopy(t), newCopy(t)
	a.fill(100, 100)
	if err := b.bring(a, catchup.NewProgress(), nil); err != nil {
		t.Fatal(err)
	}
	p := catchup.NewProgress()
	if err := b.bring(a, p, nil); err != nil || p.Status().Bytes > 200 {
		t.Errorf("what is ready was sent again: %v, %d bytes", err, p.Status().Bytes)
	}
	b.install()
	if err := b.bring(a, p, nil); !errors.Is(err, catchup.ErrRefused) {
		t.Errorf("a state that is not ahead: %v", err)
	}
}

// A view that is too old is given up, and the rate is kept.
func TestCatchUp_AgeAndRate(t *testing.T) {
	a, b := newCopy(t), newCopy(t)
	a.fill(500, 500)
	v, err := a.s.Pin()
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, s := range []struct {
		src   catchup.Source
		least time.Duration
		want  error
	}{
		{catchup.Source{View: v, Age: time.Nanosecond}, 0, catchup.ErrViewAge},
		{catchup.Source{View: v, Rate: 8 << 20}, 300 * time.Millisecond, nil},
	} {
		mine, theirs := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- b.sink.Serve(context.Background(), theirs) }()
		begun := time.Now()
		if err := s.src.Run(context.Background(), mine, v.Index); !errors.Is(err, s.want) {
			t.Errorf("%v, want %v", err, s.want)
		}
		if took := time.Since(begun); took < s.least {
			t.Errorf("3 MiB and more at 8 MiB/s took %v", took)
		}
		<-served
	}
}

// One in a thousand files changed: far less than 2 % of the volume is sent.
func TestCatchUp_BytesSent(t *testing.T) {
	a, b := newCopy(t), newCopy(t)
	const files = 20_000 // TestFigures_Delta has a million
	refs := a.fill(files, 2000)
	b.become(a)
	var changed []vfs.Ref
	for i := 0; i < files; i += 1000 {
		changed = append(changed, refs[i+i/1000%997])
	}
	a.write(changed, 3)
	p := b.become(a)
	same(t, a, b)
	st, all := p.Status(), a.volume()
	t.Logf("%d files of %d changed: %d bytes of %d sent (%.2f %%), in %v", len(changed), files, st.Bytes, all, 100*float64(st.Bytes)/float64(all), st.Ended.Sub(st.Begun))
	if st.Bytes > uint64(all)/50 {
		t.Error("more than 2 % of the volume")
	}
}
