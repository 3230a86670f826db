package state

import (
	"context"
	"time"
)

// ScanOptions says how a scan goes.
type ScanOptions struct {
	// BytesPerSecond bounds how fast records are read. Zero: as fast as it goes.
	BytesPerSecond uint64
	// Progress, if it is set, is called about every progressEvery with what was
	// read so far.
	Progress func(records, bytes uint64)
}

const (
	progressEvery = 200 * time.Millisecond
	// scanStep is after how many bytes a scan looks at the clock.
	scanStep = 256 << 10
)

// pacer slows a scan down, tells its progress and ends it early.
type pacer struct {
	ctx     context.Context
	o       ScanOptions
	start   time.Time
	told    time.Time
	records uint64
	bytes   uint64
	next    uint64 // bytes at which to look at the clock
}

func newPacer(ctx context.Context, o ScanOptions) *pacer {
	now := time.Now()
	return &pacer{ctx: ctx, o: o, start: now, told: now}
}

// read notes one record, and waits if the scan is ahead of its rate.
func (p *pacer) read(n int) error {
	p.records++
	p.bytes += uint64(n)
	if p.bytes < p.next {
		return nil
	}
	p.next = p.bytes + scanStep
	if err := p.ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	if p.o.Progress != nil && now.Sub(p.told) >= progressEvery {
		p.told = now
		p.o.Progress(p.records, p.bytes)
	}
	if p.o.BytesPerSecond == 0 {
		return nil
	}
	due := p.start.Add(time.Duration(float64(p.bytes) / float64(p.o.BytesPerSecond) * float64(time.Second)))
	if !due.After(now) {
		return nil
	}
	wait := time.NewTimer(due.Sub(now))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// done tells the last of the progress.
func (p *pacer) done() {
	if p.o.Progress != nil {
		p.o.Progress(p.records, p.bytes)
	}
}
