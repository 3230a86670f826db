//go:build process

package main

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	bulkFiles    = 400
	bulkFileSize = 128 << 10
	bulkBytes    = bulkFiles * bulkFileSize
	// bulkRate is catch_up_rate: a transfer takes more than three seconds.
	bulkRate = 16 << 20
	// bulkDisturbed is how much must have been sent when a transfer is disturbed.
	bulkDisturbed = bulkBytes * 6 / 10
	// bulkLimit is how much may be sent in all. A transfer that began from nothing
	// after the disturbance would send 1.6 times the files. What a process that is
	// killed had not written to its disk is sent again, which memory.memtable bounds.
	bulkLimit = bulkBytes * 14 / 10
	// disturbance is how long a process or a link stands still.
	disturbance = 3 * time.Second
)

// A transfer is disturbed when more than half of it has come, while clients work at
// full speed: the node that takes the state is killed, or stopped; the one that
// gives it hangs for three seconds, so that the witness takes over and gives the
// lead back, or is stopped and started; the link between them is dead for three
// seconds. Each time the node is in sync in the end with all that was
// acknowledged, and what had come is not sent again.
//
// What is sent keeps to catch_up_rate, and status, metrics and log tell of it.
//
// Seen red: with a stage that always begins anew (replica/state, Stage.place), and
// with a source that does not keep to its rate (replica/catchup, Source.send).
func TestProcess_DeltaDisturbed(t *testing.T) {
	var links [2]*relay
	c := newBulk(t, &links)
	l := newLoad(t, c.procCluster)
	for _, d := range []struct {
		name    string
		disturb func(leader, away string)
	}{
		{"the taker is killed", func(_, away string) { c.kill(away); c.start(away) }},
		{"the taker is stopped", func(_, away string) { c.restart(away) }},
		{"the giver hangs", func(leader, _ string) {
			c.signal(syscall.SIGSTOP, leader)
			time.Sleep(disturbance)
			c.signal(syscall.SIGCONT, leader)
		}},
		{"the giver is stopped", func(leader, _ string) { c.restart(leader) }},
		{"the link is dead", func(_, _ string) {
			for _, r := range links {
				r.held.Lock()
			}
			time.Sleep(disturbance)
			for _, r := range links {
				r.held.Unlock()
			}
		}},
	} {
		c.awaitHealthy()
		l.start()
		leader, away := c.outage()
		old := [2]*program{c.running[leader], c.running[away]}
		before, _ := old[0].given(t)
		c.start(away)
		c.awaitSent(leader, bulkDisturbed)
		c.checkShown(leader, away)
		term := c.status(leader).Term
		d.disturb(leader, away)
		disturbed := time.Now()
		inSync := c.awaitInSync(away)
		l.progress(afterwards, 0, 1)
		l.end()
		sent, transfers := old[0].given(t)
		sent -= before
		if now := c.running[leader]; now != old[0] {
			more, n := now.given(t)
			sent, transfers = sent+more, transfers+n
		}
		t.Logf("%s: %d bytes by %s, with what went before in %d transfers; in sync %v afterwards, term %d, then %d",
			d.name, sent, leader, transfers, inSync.Sub(disturbed).Round(time.Millisecond), term, c.status(leader).Term)
		if sent < bulkBytes || sent > bulkLimit {
			t.Errorf("%s: %d bytes were sent, want %d to %d", d.name, sent, bulkBytes, bulkLimit)
		}
		l.verify(t)
		c.verify()
		if t.Failed() {
			t.FailNow()
		}
	}
	l.logRepetitions()
	c.stopAll()
}

// newBulk is a cluster whose transfers take some seconds.
func newBulk(t *testing.T, links *[2]*relay) *deltaCluster {
	t.Helper()
	c := newDeltaCluster(t, seam{KeepLog: 1 << 20, MaxLog: 16 << 20}, bulkFiles, bulkFileSize, func(c *procCluster) {
		for i, name := range dataNames {
			c.cfgs[name].CatchUpRate, c.cfgs[name].Memory.Memtable = bulkRate, minMemtable
			links[i] = newRelay(t, c, name, other(name))
		}
	})
	c.rewrite("a")
	return c
}

// restart stops a process as a supervisor does, and starts it again.
func (c *deltaCluster) restart(name string) {
	c.t.Helper()
	begun := time.Now()
	if code := c.running[name].stop(c.t, syscall.SIGTERM); code != exitOK {
		c.t.Errorf("%s stops with exit code %d", name, code)
	}
	c.t.Logf("%s took %v to stop", name, time.Since(begun).Round(time.Millisecond))
	c.start(name)
}

// awaitSent waits until a transfer has sent so much, and holds it to its rate.
func (c *deltaCluster) awaitSent(leader string, bytes uint64) {
	c.t.Helper()
	var first, last *transferStatus
	var begun, seen time.Time
	eventually(c.t, leader+" has sent a part", func() bool {
		now := c.transfer(leader, "given")
		if now == nil {
			return false
		}
		last, seen = now, time.Now()
		if first == nil {
			first, begun = last, seen
		}
		return last.Bytes >= bytes
	})
	rate := float64(last.Bytes-first.Bytes) / seen.Sub(begun).Seconds()
	c.t.Logf("%s sent %.1f MiB/s", leader, rate/(1<<20))
	if rate > bulkRate*1.1 || float64(last.Rate) > bulkRate*1.1 {
		c.t.Errorf("%.0f bytes a second were sent, %d by the status, with a limit of %d", rate, last.Rate, bulkRate)
	}
}

var shownTransfer = regexp.MustCompile(`problem: a state is (given|taken) by [ab]: \d+ of \d+ parts, [\d.]+ MiB, [\d.]+ MiB/s, time left \d+s\n`)

// checkShown looks at what both nodes tell of a transfer.
func (c *deltaCluster) checkShown(leader, away string) {
	t := c.t
	t.Helper()
	for name, direction := range map[string]string{leader: "given", away: "taken"} {
		p := c.threads.start(t, "status", "--config", c.paths[name])
		code := p.exit(t)
		if m := shownTransfer.FindStringSubmatch(p.stdout.String()); code != degraded.exitStatus() || m == nil || m[1] != direction {
			t.Errorf("status of %s: exit code %d\n%s", name, code, p.stdout.String())
		}
		code, body, err := httpGet(context.Background(), "http://"+c.cfgs[name].HTTP.Listen+"/metrics")
		if err != nil || code != http.StatusOK {
			t.Fatal(code, err)
		}
		for _, want := range []string{
			`twofold_replica_catchup_active{direction="` + direction + `"} 1\n`,
			`twofold_replica_catchup_bytes{direction="` + direction + `"} [1-9]`,
			`twofold_replica_catchup_left_seconds{direction="` + direction + `"} \d`,
		} {
			if !regexp.MustCompile(want).Match(body) {
				t.Errorf("%s shows no %s", name, want)
			}
		}
		if log := c.running[name].stderr.String(); !strings.Contains(log, `msg="a state is being brought"`) {
			t.Errorf("%s logs nothing of the transfer", name)
		}
	}
}
