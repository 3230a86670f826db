package peer_test

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"twofold/replica/peer"
)

func TestRead(t *testing.T) {
	c, _ := start(t, &echo{})
	for _, want := range [][]byte{{}, []byte("x"), bytes.Repeat([]byte("y"), 1<<20)} {
		st, got, err := c.Read(t.Context(), "b", want)
		if err != nil || st != peer.StatusOK || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: status %d, %d bytes, %v", len(want), st, len(got), err)
		}
	}
}

// Reads that wait at the server keep neither others nor changes from being answered,
// as long as there are not too many; those beyond are told so. Close ends them.
func TestRead_ManyThatWait(t *testing.T) {
	c, srv := start(t, &echo{})
	var wg sync.WaitGroup
	var busy atomic.Int32
	for range peer.MaxReads + 3 {
		wg.Go(func() {
			if st, _, err := c.Read(context.Background(), "b", []byte("held")); err == nil && st == peer.StatusBusy {
				busy.Add(1)
			}
		})
	}
	for end := time.Now().Add(10 * time.Second); busy.Load() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d reads are refused", busy.Load())
		}
	}
	if st, _, err := c.Forward(t.Context(), "b", 7, 0, []byte("x")); err != nil || st != peer.StatusOK {
		t.Errorf("a change meanwhile: %d, %v", st, err)
	}
	srv.Close()
	wg.Wait()
	if n := busy.Load(); n != 3 {
		t.Errorf("%d reads were refused, want 3", n)
	}
}

// More large answers than fit into the buffer wait for room: they neither end the
// connection nor keep changes from being answered.
func TestRead_LargeAnswersLeaveRoom(t *testing.T) {
	c, _ := start(t, &echo{})
	big := make([]byte, 1<<20)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if st, got, err := c.Read(context.Background(), "b", big); err != nil || st != peer.StatusOK || len(got) != len(big) {
				t.Errorf("status %d, %d bytes, %v", st, len(got), err)
			}
		})
		wg.Go(func() {
			if st, _, err := c.Forward(context.Background(), "b", 7, 0, []byte("x")); err != nil || st != peer.StatusOK {
				t.Errorf("a change: %d, %v", st, err)
			}
		})
	}
	wg.Wait()
}
