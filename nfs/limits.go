package nfs

import (
	"fmt"
	"time"

	"twofold/nfs/rpc"
)

// Limits bounds what clients can make the server hold. A zero field stands for
// the default, which is named first in its comment.
//
// A client is an address without its port, or what Config.ClientOf makes of it.
// No limit on calls or bytes drops a call: the server stops reading until there
// is room, which TCP passes on to the client. A call that is dropped would cost
// a Linux client 60 s.
//
// Calls and Bytes are shared by the clients: one of them may take more only
// while it holds no more than half of what is free. One busy client gets a third,
// two get a quarter each, and whoever comes next finds room.
type Limits struct {
	// Conns is 1024: the connections that are open. When there are as many, the
	// client that has most of them loses one that is idle to a client that has
	// fewer; if it has no idle one, the new connection is closed.
	Conns int
	// ConnsPerClient is 128: the connections of one client, which is eight
	// mounts with nconnect=16 that share no connections. One more takes the
	// place of that client's longest idle one, or is closed if none is idle.
	ConnsPerClient int
	// Calls is 4096: the calls in flight in all, from the end of the call to
	// the end of its reply.
	Calls int
	// CallsPerClient is 1024: the calls in flight of one client, over all its
	// connections. With nconnect=16 it is 64 on each.
	CallsPerClient int
	// CallsPerConn is 512: the calls in flight of one connection.
	CallsPerConn int
	// Bytes is 256 MiB: the bytes of records and replies in all.
	Bytes int
	// Unfinished is a quarter of Bytes: the part of it for large records that
	// are still arriving. The rest is for calls.
	Unfinished int
	// BytesPerClient is 64 MiB: the bytes of records and replies of the calls
	// in flight of one client, over all its connections. It is 64 READs or
	// WRITEs of 1 MiB.
	BytesPerClient int
	// BytesPerConn is 32 MiB: the bytes of records and replies of one
	// connection.
	BytesPerConn int
	// Record is 1 MiB and 16 KiB: the bytes of one record, a WRITE of 1 MiB
	// with its headers. A longer record closes its connection.
	Record int
	// Fragments is 1024: the fragments of one record, empty ones included.
	// More of them close the connection.
	Fragments int
	// RecordTime is 30 s: from a record's first byte to its last. A record
	// that takes longer closes its connection.
	RecordTime time.Duration
	// StallTime is 2 s: for the next 64 KiB of a large record, while others
	// wait for room. A record that takes longer closes its connection.
	StallTime time.Duration
	// WriteTime is 30 s: for one batch of replies, of about 1 MiB. A client
	// that takes none of it for so long loses its connection.
	WriteTime time.Duration
	// IdleTime is 6 minutes: a connection without a call for so long is closed
	// with FIN. The Linux client closes one that it does not use after 5
	// minutes (XS_IDLE_DISC_TO, net/sunrpc/xprtsock.c), and knfsd one after 6
	// at the earliest (svc_conn_age_period, net/sunrpc/svc_xprt.c). With less
	// than 5 minutes the server's FIN may meet a call that is under way; the
	// client sends it again over a new connection.
	IdleTime time.Duration
}

// DefaultLimits returns the limits that zero fields stand for. A Linux client
// opens one connection, or nconnect of them, and starts as many calls on it as
// the server keeps reading.
func DefaultLimits() Limits {
	return Limits{
		Conns:          1024,
		ConnsPerClient: 128,
		Calls:          4096,
		CallsPerClient: 1024,
		CallsPerConn:   512,
		Bytes:          256 << 20,
		Unfinished:     64 << 20,
		BytesPerClient: 64 << 20,
		BytesPerConn:   32 << 20,
		Record:         rpc.DefaultRecordLimits.Bytes,
		Fragments:      rpc.DefaultRecordLimits.Fragments,
		RecordTime:     30 * time.Second,
		StallTime:      2 * time.Second,
		WriteTime:      30 * time.Second,
		IdleTime:       6 * time.Minute,
	}
}

// Names of the limits, and of the reasons to close a connection, for an
// Observer. A connection that a limit closes has that limit as its reason.
const (
	limitConns          = "conns"
	limitConnsPerClient = "conns_per_client"
	limitCalls          = "calls"
	limitCallsPerClient = "calls_per_client"
	limitCallsPerConn   = "calls_per_conn"
	limitBytes          = "bytes"
	limitUnfinished     = "unfinished"
	limitBytesPerClient = "bytes_per_client"
	limitBytesPerConn   = "bytes_per_conn"
	limitRecord         = "record"
	limitFragments      = "fragments"
	limitRecordTime     = "record_time"
	limitStallTime      = "stall_time"
	limitWriteTime      = "write_time"
	limitIdleTime       = "idle_time"

	reasonEvicted     = "evicted"      // an idle connection made room for a new one
	reasonNotAdmitted = "not_admitted" // see Config.Admit
	reasonHeldBack    = "held_back"    // calls lay in its socket for longer than MaxPause
	reasonHung        = "hung"         // a call waits for a disk that hangs, see Config.Hung
	reasonPaused      = "paused"       // the node stood still for longer than MaxPause
)

// number and span are a field of Limits with its name.
type (
	number struct {
		name  string
		field *int
	}
	span struct {
		name  string
		field *time.Duration
	}
)

func (l *Limits) numbers() []number {
	return []number{
		{"Conns", &l.Conns}, {"ConnsPerClient", &l.ConnsPerClient},
		{"Calls", &l.Calls}, {"CallsPerClient", &l.CallsPerClient}, {"CallsPerConn", &l.CallsPerConn},
		{"Bytes", &l.Bytes}, {"Unfinished", &l.Unfinished},
		{"BytesPerClient", &l.BytesPerClient}, {"BytesPerConn", &l.BytesPerConn},
		{"Record", &l.Record}, {"Fragments", &l.Fragments},
	}
}

func (l *Limits) spans() []span {
	return []span{
		{"RecordTime", &l.RecordTime}, {"StallTime", &l.StallTime},
		{"WriteTime", &l.WriteTime}, {"IdleTime", &l.IdleTime},
	}
}

// withDefaults fills in the fields that are zero.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	if l.Bytes != 0 {
		d.Unfinished = l.Bytes / 4
	}
	defaults := d.numbers()
	for i, f := range l.numbers() {
		if *f.field == 0 {
			*f.field = *defaults[i].field
		}
	}
	times := d.spans()
	for i, f := range l.spans() {
		if *f.field == 0 {
			*f.field = *times[i].field
		}
	}
	return l
}

// Validate reports a limit that cannot work.
func (l Limits) Validate() error {
	for _, f := range l.numbers() {
		if *f.field < 0 {
			return fmt.Errorf("nfs: limit %s is negative: %d", f.name, *f.field)
		}
	}
	for _, f := range l.spans() {
		if *f.field < 0 {
			return fmt.Errorf("nfs: limit %s is negative: %s", f.name, *f.field)
		}
	}
	if d := l.withDefaults(); d.Unfinished >= d.Bytes {
		return fmt.Errorf("nfs: limit Unfinished, %d, leaves nothing of Bytes, %d, for calls", d.Unfinished, d.Bytes)
	}
	return nil
}
