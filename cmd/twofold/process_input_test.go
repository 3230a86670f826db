//go:build process

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
	"twofold/replica/vfs"
)

// Bounds of the bombardment. The connections stay below what one port takes
// (1,024); what their half records announce is more than twice its budget of
// 256 MiB.
const (
	attackers     = 48  // at a time
	attacks       = 480 // connections in all
	halfRecords   = 600 // connections that stay within a record of 1 MiB
	attackLimit   = 5 * time.Second
	maxCallTime   = 3 * time.Second // of an honest client meanwhile
	maxExtraFiles = 40              // descriptors more than before, at the end
	maxMemoryKiB  = 700 << 10       // resident, at the end
)

// Programs and versions that are not there have their own answer; the lock
// manager is one of them, so that nobody mounts without nolock and believes
// that there are locks.
func TestProcess_ProgramsThatAreNotThere(t *testing.T) {
	c := newProcCluster(t)
	for i, addr := range c.nfsAddrs() {
		conn, _ := session(t, addr)
		for _, prog := range []uint32{100021, 100024, 100000, 100227, 7} {
			if _, err := conn.Call(t.Context(), prog, 4, 0, nil); !errors.Is(err, rpc.ErrProgUnavail) {
				t.Errorf("program %d at %s: %v, want PROG_UNAVAIL", prog, dataNames[i], err)
			}
		}
		for _, prog := range []uint32{100003, 100005} {
			var mismatch *rpc.MismatchError
			if _, err := conn.Call(t.Context(), prog, 9, 0, nil); !errors.As(err, &mismatch) || mismatch.Low > 3 || mismatch.High != 3 {
				t.Errorf("version 9 of program %d at %s: %v, want PROG_MISMATCH with version 3", prog, dataNames[i], err)
			}
			if _, err := conn.Call(t.Context(), prog, 3, 99, nil); !errors.Is(err, rpc.ErrProcUnavail) {
				t.Errorf("procedure 99 of program %d at %s: %v, want PROC_UNAVAIL", prog, dataNames[i], err)
			}
		}
		if _, err := conn.Call(t.Context(), 100003, 3, client.ProcWrite, []byte{0, 0, 0, 64, 1}); !errors.Is(err, rpc.ErrGarbageArgs) {
			t.Errorf("half arguments at %s: %v, want GARBAGE_ARGS", dataNames[i], err)
		}
		if err := conn.Null(t.Context()); err != nil {
			t.Errorf("the same connection afterwards: %v", err)
		}
	}
	c.stopAll()
}

// Garbage on some connections does not hurt the others: an honest client goes
// on, nothing stays behind, and the process is the same one.
func TestProcess_GarbageHurtsNobodyElse(t *testing.T) {
	c := formatted(t)
	// On this machine all of them are one client, whose own limits would save
	// the others and not the honest one.
	limits := &c.cfgs["a"].NFS.Limits
	limits.ConnsPerClient, limits.CallsPerClient, limits.BytesPerClient = limits.Conns, limits.Calls, limits.Bytes
	c.write(t, "a")
	c.startAll()
	addr := c.nfsAddrs()[0]
	pid := c.running["a"].cmd.Process.Pid
	files := openFiles(t, pid)
	seed := rand.Uint64()
	t.Logf("the seed is %d", seed)

	held := holdHalfRecords(t, addr)
	done := make(chan struct{})
	honest := make(chan error, 1)
	slowest := time.Duration(0)
	calls := 0
	go func() { honest <- workHonestly(addr, done, &slowest, &calls) }()
	var wg sync.WaitGroup
	for k := range attackers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(k)))
			for range attacks / attackers {
				attack(addr, garbage(rng))
			}
		})
	}
	wg.Wait()
	close(done)
	if err := <-honest; err != nil {
		t.Errorf("an honest client meanwhile: %v", err)
	}
	t.Logf("%d connections with garbage; of %d honest calls the slowest took %s", attacks, calls, slowest.Round(time.Millisecond))
	if slowest > maxCallTime {
		t.Errorf("an honest call took %s, more than %s", slowest, maxCallTime)
	}
	if calls == 0 {
		t.Error("no honest call was made meanwhile")
	}
	for _, nc := range held {
		_ = nc.Close() // done with
	}
	c.awaitHealthy()
	if now := c.running["a"].cmd.Process.Pid; now != pid {
		t.Errorf("process %d became %d", pid, now)
	}
	eventually(t, "the connections are gone", func() bool { return openFiles(t, pid) <= files+maxExtraFiles })
	if kib := residentKiB(t, pid); kib > maxMemoryKiB {
		t.Errorf("%d KiB resident, more than %d", kib, maxMemoryKiB)
	}
	c.stopAll()
}

// workHonestly writes and reads back until done.
func workHonestly(addr string, done <-chan struct{}, slowest *time.Duration, calls *int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	root, err := c.Root(ctx, "/")
	if err != nil {
		return err
	}
	made, err := c.Create(ctx, root, "honest", client.CreateHow{Mode: vfs.CreateGuarded})
	if err == nil {
		err = made.Status.Err()
	}
	for v := 0; err == nil; v++ {
		select {
		case <-done:
			return nil
		default:
		}
		begin := time.Now()
		err = writeAndRead(ctx, c, made.FH, content("honest", v, 4096))
		*slowest = max(*slowest, time.Since(begin))
		*calls += 2
	}
	return err
}

func writeAndRead(ctx context.Context, c *client.Client, fh client.FH, data []byte) error {
	w, err := c.Write(ctx, fh, 0, data, client.FileSync)
	if err != nil || w.Status != client.OK {
		return fmt.Errorf("WRITE: %v, %w", w.Status, err)
	}
	r, err := c.Read(ctx, fh, 0, uint32(len(data)))
	if err != nil || r.Status != client.OK {
		return fmt.Errorf("READ: %v, %w", r.Status, err)
	}
	if !bytes.Equal(r.Data, data) {
		return errors.New("READ: " + difference(r.Data, data))
	}
	return nil
}

// holdHalfRecords opens connections that begin a record of 1 MiB each and do
// not end it.
func holdHalfRecords(t *testing.T, addr string) (held []net.Conn) {
	t.Helper()
	for range halfRecords {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, nc)
		b := binary.BigEndian.AppendUint32(nil, 1<<31|1<<20)
		if _, err := nc.Write(append(b, make([]byte, 100)...)); err != nil {
			t.Fatal(err)
		}
	}
	return held
}

// attack sends bytes to the port and reads what comes back, until the server
// ends the connection or says nothing for a while.
func attack(addr string, b []byte) {
	nc, err := net.DialTimeout("tcp", addr, attackLimit)
	if err != nil {
		return
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(attackLimit))
	if _, err := nc.Write(b); err != nil {
		return // refused before it was all said
	}
	_ = nc.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, _ = nc.Read(make([]byte, 64<<10)) // whatever it is
}

// garbage is one kind of malformed input.
func garbage(rng *rand.Rand) []byte {
	noise := make([]byte, rng.IntN(3000))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	mark := func(m uint32, rest []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, m), rest...) }
	switch rng.IntN(9) {
	case 0: // nothing makes sense
		return noise
	case 1: // a record of 2 GiB
		return mark(0xffffffff, noise)
	case 2: // a little over the limit
		return mark(1<<31|(1<<20+16<<10+1), noise)
	case 3: // ends within a record
		return mark(1<<31|uint32(len(noise)+1+rng.IntN(100000)), noise)
	case 4: // a fragment that is never the last
		return bytes.Repeat(mark(uint32(4), []byte{1, 2, 3, 4}), 3000)
	case 5: // fragments of nothing
		return make([]byte, 4*3000)
	case 6: // well-formed records of noise
		return mark(1<<31|uint32(len(noise)), noise)
	case 7: // a mark that is cut
		return []byte{0x80, 0}
	default: // calls with a good header and noise for arguments
		var w xdr.Writer
		for proc := range uint32(25) {
			at := w.Len()
			rpc.BeginRecord(&w)
			cred := client.Sys(rng.Uint32(), 0)
			rpc.AppendCall(&w, proc, 100003+2*(proc%2), 3, proc, &cred)
			w.B = append(w.B, noise...)
			rpc.EndRecord(&w, at)
		}
		return w.B
	}
}

// openFiles counts the descriptors of a process.
func openFiles(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// residentKiB is a process's resident memory.
func residentKiB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kib, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return kib
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
