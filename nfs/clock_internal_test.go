package nfs

import (
	"runtime"
	"testing"
	"time"
)

// All of the system's clocks go on, at about the same rate.
func TestSystemClock_GoesOn(t *testing.T) {
	c := systemClock{start: time.Now()}
	mono, wall := c.Now()
	boot, ok := c.Boot()
	if ok != (runtime.GOOS == "linux") {
		t.Fatalf("CLOCK_BOOTTIME: %v", ok)
	}
	time.Sleep(20 * time.Millisecond)
	mono2, wall2 := c.Now()
	boot2, _ := c.Boot()
	if mono2-mono < 20*time.Millisecond || wall2 <= wall || ok && boot2-boot < 20*time.Millisecond {
		t.Errorf("after 20ms: %s, %s, %s", mono2-mono, wall2-wall, boot2-boot)
	}
}

func TestPauseGuard_DoesNotAllocate(t *testing.T) {
	g := pauseGuard{clock: systemClock{start: time.Now()}, max: time.Minute}
	g.start()
	if n := testing.AllocsPerRun(100, func() { g.current() }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}
