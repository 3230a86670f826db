package nfs

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"twofold/nfs/rpc"
)

// Limits bounds what clients can make the server hold. A zero field stands for
// the default named beside it.
type Limits struct {
	Conns        int           // connections; 1024
	Calls        int           // calls in flight in all; 4096
	CallsPerConn int           // calls in flight of one connection; 512
	Bytes        int           // bytes of records and replies in all; 256 MiB
	Unfinished   int           // part of Bytes for large records that are still arriving; a quarter of Bytes
	BytesPerConn int           // bytes of records and replies of one connection; 32 MiB
	Record       int           // bytes of one record; rpc.DefaultRecordLimits
	Fragments    int           // fragments of one record; rpc.DefaultRecordLimits
	RecordTime   time.Duration // from a record's first byte to its last; 30 s
	StallTime    time.Duration // for the next 64 KiB of a record, while others wait for room; 2 s
	WriteTime    time.Duration // for one batch of replies; 30 s
}

// DefaultLimits returns the limits that zero fields stand for. A Linux client
// opens one connection, or nconnect of them, and starts as many calls on it as
// the server keeps reading.
func DefaultLimits() Limits {
	return Limits{
		Conns:        1024,
		Calls:        4096,
		CallsPerConn: 512,
		Bytes:        256 << 20,
		Unfinished:   64 << 20,
		BytesPerConn: 32 << 20,
		Record:       rpc.DefaultRecordLimits.Bytes,
		Fragments:    rpc.DefaultRecordLimits.Fragments,
		RecordTime:   30 * time.Second,
		StallTime:    2 * time.Second,
		WriteTime:    30 * time.Second,
	}
}

// withDefaults fills in the fields that are zero.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ field, def *int }{
		{&l.Conns, &d.Conns}, {&l.Calls, &d.Calls}, {&l.CallsPerConn, &d.CallsPerConn},
		{&l.Bytes, &d.Bytes}, {&l.BytesPerConn, &d.BytesPerConn},
		{&l.Record, &d.Record}, {&l.Fragments, &d.Fragments},
	} {
		if *f.field == 0 {
			*f.field = *f.def
		}
	}
	if l.Unfinished == 0 {
		l.Unfinished = l.Bytes / 4
	}
	for _, f := range []struct{ field, def *time.Duration }{
		{&l.RecordTime, &d.RecordTime}, {&l.StallTime, &d.StallTime}, {&l.WriteTime, &d.WriteTime},
	} {
		if *f.field == 0 {
			*f.field = *f.def
		}
	}
	return l
}

// validate reports a limit that cannot work.
func (l Limits) validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"Conns", l.Conns}, {"Calls", l.Calls}, {"CallsPerConn", l.CallsPerConn},
		{"Bytes", l.Bytes}, {"Unfinished", l.Unfinished}, {"BytesPerConn", l.BytesPerConn},
		{"Record", l.Record}, {"Fragments", l.Fragments},
	} {
		if f.value < 0 {
			return fmt.Errorf("nfs: limit %s is negative", f.name)
		}
	}
	if l.RecordTime < 0 || l.StallTime < 0 || l.WriteTime < 0 {
		return errors.New("nfs: a time limit is negative")
	}
	if d := l.withDefaults(); d.Unfinished >= d.Bytes {
		return fmt.Errorf("nfs: limit Unfinished, %d, leaves nothing of Bytes, %d, for calls", d.Unfinished, d.Bytes)
	}
	return nil
}

// Observer is told what happens, for metrics. Its methods must not block.
type Observer interface {
	ConnOpened()
	ConnClosed()
	CallStarted()
	CallEnded()
}

// Config is what a Server needs.
type Config struct {
	Programs []Program    // at least one
	Limits   Limits       // zero fields: DefaultLimits
	Observer Observer     // nil: nobody is told
	Logger   *slog.Logger // nil: nothing is logged
	// Admit reports whether records over 4 KiB are taken from a client; nil
	// means from everybody. It is asked before such a record gets any memory,
	// from many goroutines, and must not block. The first large record of a
	// client that is turned down is answered AUTH_BADCRED and ends the
	// connection. Smaller calls are served: their programs refuse for
	// themselves, with better reasons.
	Admit func(client netip.AddrPort) bool
}

// Validate reports what is wrong with c.
func (c *Config) Validate() error {
	if err := c.Limits.validate(); err != nil {
		return err
	}
	_, err := newTable(c.Programs)
	return err
}

// nobody is the Observer that there always is.
type nobody struct{}

func (nobody) ConnOpened()  {}
func (nobody) ConnClosed()  {}
func (nobody) CallStarted() {}
func (nobody) CallEnded()   {}
