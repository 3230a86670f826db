package client_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

// encoded is a call of procedure 3 with arguments.
func encoded(c *client.Client, args string) []byte {
	var w xdr.Writer
	c.EncodeCall(&w, 1, 2, 3)
	w.B = append(w.B, args...)
	return w.B
}

func TestSlot_Call(t *testing.T) {
	srv := newFakeServer(t, client.WithFirstXID(7))
	s := srv.client.NewSlot()
	for i, data := range []string{"", "dataMORE"} {
		go func() {
			call := srv.next()
			if call.XID != uint32(7+i) || call.Proc != 3 || string(call.Args) != "args"+data {
				t.Errorf("call %d: %d %q", call.XID, call.Proc, call.Args)
			}
			srv.reply(call.XID, []byte("answer"+data))
		}()
		if res, err := s.Call(time.Now(), encoded(srv.client, "args"), []byte(data)); err != nil || string(res) != "answer"+data {
			t.Errorf("%q, %v", res, err)
		}
	}
}

func TestSlot_Abandon(t *testing.T) {
	srv := newFakeServer(t)
	s := srv.client.NewSlot()
	lost := errors.New("lost")
	if s.Abandon(time.Now(), lost) {
		t.Error("a call is abandoned that was not made")
	}
	made := time.Now()
	go func() {
		call := srv.next()
		if s.Abandon(made, lost) {
			t.Error("a call is abandoned that was made later")
		}
		if !s.Abandon(made.Add(1), lost) {
			t.Error("the call is not abandoned")
		}
		next := srv.next()
		srv.reply(call.XID, []byte("late"))
		srv.reply(next.XID, []byte("mine"))
	}()
	if _, err := s.Call(made, encoded(srv.client, ""), nil); !errors.Is(err, lost) {
		t.Errorf("error %v", err)
	}
	if res, err := s.Call(time.Now(), encoded(srv.client, ""), nil); err != nil || string(res) != "mine" {
		t.Errorf("%q, %v", res, err)
	}
}

func TestSlot_ConnectionFails(t *testing.T) {
	srv := newFakeServer(t)
	s := srv.client.NewSlot()
	go func() {
		srv.next()
		_ = srv.nc.Close()
	}()
	for range 2 { // the second one finds it so
		if _, err := s.Call(time.Now(), encoded(srv.client, ""), nil); err == nil {
			t.Error("no error")
		}
	}
}

// smallBuffers makes a connection take little at once.
func smallBuffers(t *testing.T, nc net.Conn) {
	tcp := nc.(*net.TCPConn)
	if err := errors.Join(tcp.SetReadBuffer(16<<10), tcp.SetWriteBuffer(16<<10)); err != nil {
		t.Error(err)
	}
}

// Large calls and large replies, both at once, over a socket whose buffers they exceed by far: neither end waits for the other for ever.
func TestSlot_BothWaysFull(t *testing.T) {
	const callers = 12
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var g sync.WaitGroup
	defer g.Wait()
	g.Go(func() {
		nc, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		smallBuffers(t, nc)
		srv := &fakeServer{t: t, nc: nc}
		srv.rr = newRecords(nc)
		var first []*rpc.Call
		for range callers { // answered all at once: their callers' large calls are then written by who reads
			first = append(first, srv.next())
		}
		for _, call := range first {
			srv.reply(call.XID, nil)
		}
		for { // it answers before it reads on
			call, err := srv.tryNext()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				return
			}
			srv.reply(call.XID, call.Args)
		}
	})
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	smallBuffers(t, nc)
	c := client.New(nc)
	defer c.Close()
	data := make([]byte, 1<<20)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			s := c.NewSlot()
			head := encoded(c, "")
			if _, err := s.Call(time.Now(), head, nil); err != nil {
				t.Error(err)
			}
			for range 2 {
				if res, err := s.Call(time.Now(), head, data); err != nil || len(res) != len(data) {
					t.Errorf("%d bytes, %v", len(res), err)
				}
			}
		})
	}
	all.Wait()
}

// echo answers every call of one connection with its arguments, without allocating.
func echo(l net.Listener) {
	nc, err := l.Accept()
	if err != nil {
		return
	}
	defer nc.Close()
	rr := newRecords(nc)
	var mem []byte
	var w xdr.Writer
	var call rpc.Call
	for {
		rec, err := rr.Next(func(b []byte, n int, _ bool) ([]byte, error) {
			if b == nil {
				b = mem[:0]
			}
			return slices.Grow(b, n)[:len(b)+n], nil
		})
		if err != nil {
			return
		}
		mem = rec
		_ = rpc.ParseCall(rec, &call, nil) // the client's own calls
		w.Truncate(0)
		rpc.BeginRecord(&w)
		rpc.BeginReply(&w, call.XID)
		w.B = append(w.B, call.Args...)
		rpc.EndRecord(&w, 0)
		if _, err := nc.Write(w.B); err != nil {
			return
		}
	}
}

// A call of a Slot allocates nothing but what the other end of the test does.
func BenchmarkSlot(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go echo(l)
	c, err := client.Dial(b.Context(), l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		s := c.NewSlot()
		head := encoded(c, "args")
		for pb.Next() {
			if _, err := s.Call(time.Now(), head, nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
