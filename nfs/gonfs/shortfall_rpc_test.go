package gonfs_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	stock "github.com/willscott/go-nfs"
	stockxdr "github.com/willscott/go-nfs-client/nfs/xdr"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
	"twofold/nfs/xdr"
)

const (
	programNFS   = 100003
	programMount = 100005
)

// A call that waits for its file holds up every later call of its connection.
func TestStock_CallsOfOneConnectionRunOneAfterAnother(t *testing.T) {
	fs := newProbe()
	fs.held = "slow"
	c, root := stockOn(t, fs)
	first := make(chan error, 1)
	go func() {
		_, err := c.Lookup(t.Context(), root, "slow")
		first <- err
	}()
	<-fs.began
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	_, err := c.Getattr(ctx, root)
	close(fs.hold)
	if !errors.Is(err, context.DeadlineExceeded) {
		mended(t, "a second call is answered while the first one waits: %v", err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	getattr(t, c, root)
}

// Every version of a program is taken for version 3, every version of RPC for
// version 2.
func TestStock_ChecksNoVersions(t *testing.T) {
	addr := serveProbe(t, newProbe())
	c, _ := dialStock(t, addr)
	for _, p := range []struct{ prog, vers uint32 }{{programNFS, 2}, {programNFS, 4}, {programMount, 1}} {
		if _, err := c.Call(t.Context(), p.prog, p.vers, 0, nil); err != nil {
			mended(t, "program %d version %d: %v", p.prog, p.vers, err)
		}
	}
	b := message(programNFS, 3, 0)
	binary.BigEndian.PutUint32(b[rpc.MarkLen+8:], 3) // the version of RPC
	if reply := exchange(t, addr, b, patience); reply == nil {
		mended(t, "RPC version 3 is not answered")
	} else if _, err := rpc.ParseReply(reply[rpc.MarkLen:]); err != nil {
		mended(t, "RPC version 3: %v", err)
	}
}

// The statuses of refused calls are counted without PROG_MISMATCH, so that a
// program or procedure which is not there is answered by that number, without
// the versions that have to follow it.
func TestStock_MisnumbersRefusals(t *testing.T) {
	const (
		progMismatch = 2     // RFC 5531 section 9, accept_stat
		offset       = 5 * 4 // of accept_stat in a reply
		length       = 24    // of a reply without anything after it
	)
	addr := serveProbe(t, newProbe())
	for name, b := range map[string][]byte{
		"program 100021": message(100021, 4, 0),
		"procedure 22":   message(programNFS, 3, 22),
	} {
		reply := exchange(t, addr, b, patience)
		if len(reply) != rpc.MarkLen+length {
			mended(t, "%s: reply of %d bytes", name, len(reply))
		} else if stat := binary.BigEndian.Uint32(reply[rpc.MarkLen+offset:]); stat != progMismatch {
			mended(t, "%s: accept_stat %d", name, stat)
		}
	}
}

// message is a call without arguments, with its record mark.
func message(prog, vers, proc uint32) []byte {
	var w xdr.Writer
	rpc.BeginRecord(&w)
	rpc.AppendCall(&w, 1, prog, vers, proc, &rpc.Cred{})
	rpc.EndRecord(&w, 0)
	return w.B
}

// A record in two fragments gets no answer.
func TestStock_ReadsNoFragments(t *testing.T) {
	addr := serveProbe(t, newProbe())
	whole := message(programNFS, 3, 0)
	body := whole[rpc.MarkLen:]
	half := len(body) / 2
	parts := append(binary.BigEndian.AppendUint32(nil, uint32(half)), body[:half]...)
	parts = binary.BigEndian.AppendUint32(parts, 1<<31|uint32(len(body)-half))
	parts = append(parts, body[half:]...)
	if exchange(t, addr, whole, patience) == nil {
		t.Error("a record of one fragment is not answered either")
	}
	if reply := exchange(t, addr, parts, silence); reply != nil {
		mended(t, "a reply to two fragments: %x", reply)
	}
}

// exchange sends bytes over a connection of its own and returns what comes
// back: the first reply with its record mark, or nil if there is none in time.
func exchange(t *testing.T, addr string, b []byte, wait time.Duration) []byte {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := nc.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, rpc.MarkLen)
	if _, err := io.ReadFull(nc, reply); err != nil {
		return nil
	}
	n := binary.BigEndian.Uint32(reply) &^ (1 << 31)
	reply = append(reply, make([]byte, n)...)
	if _, err := io.ReadFull(nc, reply[rpc.MarkLen:]); err != nil {
		t.Fatal(err)
	}
	return reply
}

// A call that is sent again is run again.
func TestStock_HasNoDuplicateRequestCache(t *testing.T) {
	c, root := stockOn(t, newProbe())
	create(t, c, root, "once")
	var args xdr.Writer
	args.Opaque(root)
	args.String("once")
	call := client.Request{XID: c.NextXID(), Prog: programNFS, Vers: 3, Proc: client.ProcRemove,
		Cred: client.Sys(0, 0), Args: args.B}
	first, err := c.Do(t.Context(), call)
	ok(t, status(t, first), err)
	again, err := c.Do(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if st := status(t, again); st != client.ErrNoEnt {
		mended(t, "REMOVE, sent again: %v", st)
	}
}

// A length in a message of 100 bytes is believed before the bytes are there.
func TestStock_AllocatesWhatALengthSays(t *testing.T) {
	const claimed = 64 << 20
	c, _ := stockOn(t, newProbe())
	args := make([]byte, 60)
	binary.BigEndian.PutUint32(args, claimed)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = c.Call(t.Context(), programNFS, 3, client.ProcGetattr, args) // whatever the answer is
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got < claimed {
		mended(t, "%d bytes allocated for a handle of %d that is not there", got, claimed)
	}
}

// Decoding by reflection allocates for every field.
func TestStock_DecodesByReflection(t *testing.T) {
	const most = 4 // more than this is too much for one WRITE
	var w xdr.Writer
	w.Opaque(make([]byte, 36))
	w.Uint64(0)
	w.Uint32(4096)
	w.Uint32(uint32(client.FileSync))
	w.Opaque(make([]byte, 4096))
	n := testing.AllocsPerRun(100, func() {
		var args struct {
			Handle []byte
			Offset uint64
			Count  uint32
			How    uint32
			Data   []byte
		}
		if err := stockxdr.Read(bytes.NewReader(w.B), &args); err != nil || len(args.Data) != 4096 {
			t.Fatal(len(args.Data), err)
		}
	})
	t.Logf("%v allocations for the arguments of one WRITE", n)
	if n <= most {
		mended(t, "%v allocations for the arguments of one WRITE", n)
	}
}

// One procedure cannot be replaced by a better one: its number is taken.
func TestStock_ProceduresCannotBeReplaced(t *testing.T) {
	if err := stock.RegisterMessageHandler(programNFS, client.ProcLink, nil); err == nil {
		mended(t, "LINK can be registered again")
	}
}

// DUMP, UMNTALL and EXPORT are not there, and a path of no bytes is not read:
// the reasons why package mount and the bridge answer them.
func TestStock_ServesAPartOfMount(t *testing.T) {
	c, _ := stockOn(t, newProbe())
	for _, proc := range []uint32{client.MountProcDump, client.MountProcUmntAll, client.MountProcExport} {
		if _, err := c.Call(t.Context(), programMount, 3, proc, nil); err == nil {
			mended(t, "MOUNT procedure %d is answered", proc)
		}
	}
	if res, err := c.Mnt(t.Context(), ""); err == nil {
		mended(t, "MNT of an empty path: status %d", res.Status)
	}
}
