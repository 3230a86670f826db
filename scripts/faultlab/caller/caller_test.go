package caller_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"twofold/nfs/client"
	"twofold/scripts/faultlab/caller"
)

// server answers each call with the next status, as a reply that failed: those have nothing else. Where there is none it closes the connection.
func server(t *testing.T, statuses ...client.Status) (addr string, xids chan uint32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	xids = make(chan uint32, 100)
	next := make(chan client.Status, len(statuses))
	for _, s := range statuses {
		next <- s
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c, next, xids)
		}
	}()
	return l.Addr().String(), xids
}

// serve answers the calls of one connection until a status is OK, which here stands for a lost connection.
func serve(c net.Conn, next <-chan client.Status, xids chan<- uint32) {
	defer c.Close()
	for {
		head := make([]byte, 4)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		call := make([]byte, binary.BigEndian.Uint32(head)&^(1<<31))
		if _, err := io.ReadFull(c, call); err != nil {
			return
		}
		xid := binary.BigEndian.Uint32(call)
		xids <- xid
		status := <-next
		if status == client.OK {
			return
		}
		reply := []uint32{1<<31 | 28, xid, 1, 0, 0, 0, 0, uint32(status)}
		var b []byte
		for _, w := range reply {
			b = binary.BigEndian.AppendUint32(b, w)
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

func getattr(ctx context.Context, c *client.Client) (client.Status, error) {
	res, err := c.Getattr(ctx, client.FH{1})
	return res.Status, err
}

// A call whose connection was lost is sent again under its XID; one that was answered JUKEBOX, under a new one.
func TestDo_RepeatsUnderItsXID(t *testing.T) {
	const lost = client.OK
	addr, xids := server(t, lost, client.ErrJukebox, client.ErrStale, client.ErrNoEnt)
	c := caller.New([2]string{addr, addr}, 0, caller.Waits)
	defer c.Close()
	for _, want := range []client.Status{client.ErrStale, client.ErrNoEnt} {
		if st, err := c.Do(t.Context(), getattr); st != want || err != nil {
			t.Fatalf("%v, %v, want %v", st, err, want)
		}
	}
	first := <-xids
	for i, more := range []uint32{0, 1, 2} {
		if got := <-xids; got != first+more {
			t.Errorf("sending %d has the XID %d, want %d", i+2, got, first+more)
		}
	}
	if c.Repeats != 1 || c.Jukeboxes != 1 {
		t.Errorf("%d repeats and %d JUKEBOX, want one each", c.Repeats, c.Jukeboxes)
	}
}

// A client that leaves never uses the XID again.
func TestDo_Leaves(t *testing.T) {
	const lost = client.OK
	addr, xids := server(t, lost, client.ErrStale)
	c := caller.New([2]string{addr, addr}, 0, caller.Leaves)
	defer c.Close()
	if st, err := c.Do(t.Context(), getattr); !errors.Is(err, caller.ErrLeft) {
		t.Fatalf("%v, %v, want that the outcome is unknown", st, err)
	}
	if st, err := c.Do(t.Context(), getattr); st != client.ErrStale || err != nil {
		t.Fatalf("%v, %v", st, err)
	}
	if first, second := <-xids, <-xids; second != first+1 {
		t.Errorf("the XIDs are %d and %d", first, second)
	}
}

// A caller whose context ends has no answer.
func TestDo_ContextEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // it takes calls and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20e6)
	defer cancel()
	c := caller.New([2]string{l.Addr().String(), l.Addr().String()}, 0, caller.Waits)
	defer c.Close()
	if st, err := c.Do(ctx, getattr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v, want the context's error", st, err)
	}
}
