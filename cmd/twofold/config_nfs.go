package main

import (
	"fmt"
	"time"

	"github.com/goccy/go-yaml/ast"

	"twofold/nfs"
	"twofold/nfs/rpcbind"
	"twofold/replica"
)

// nfsConfig is how clients are served.
type nfsConfig struct {
	Listen       string       `yaml:"listen"`
	RPCBind      rpcbind.Mode `yaml:"rpcbind"`
	WaitLimit    duration     `yaml:"wait_limit"`
	MaxPause     duration     `yaml:"max_pause"`
	DrainDelay   duration     `yaml:"drain_delay"`
	ServerGroups bool         `yaml:"server_groups"`
	Limits       limitsConfig `yaml:"limits"`
}

// limitsConfig is nfs.Limits: each field with the same meaning.
type limitsConfig struct {
	Conns          int      `yaml:"conns"`
	ConnsPerClient int      `yaml:"conns_per_client"`
	Calls          int      `yaml:"calls"`
	CallsPerClient int      `yaml:"calls_per_client"`
	CallsPerConn   int      `yaml:"calls_per_conn"`
	Bytes          byteSize `yaml:"bytes"`
	Unfinished     byteSize `yaml:"unfinished"` // 0: a quarter of Bytes
	BytesPerClient byteSize `yaml:"bytes_per_client"`
	BytesPerConn   byteSize `yaml:"bytes_per_conn"`
	Record         byteSize `yaml:"record"`
	Fragments      int      `yaml:"fragments"`
	RecordTime     duration `yaml:"record_time"`
	StallTime      duration `yaml:"stall_time"`
	WriteTime      duration `yaml:"write_time"`
	IdleTime       duration `yaml:"idle_time"`
}

// defaultNFS has the values of the packages that use them.
func defaultNFS() nfsConfig {
	d := nfs.DefaultLimits()
	return nfsConfig{
		RPCBind:   rpcbind.ModeAuto,
		WaitLimit: duration(replica.DefaultWaitLimit),
		MaxPause:  duration(maxMaxPause),
		Limits: limitsConfig{
			Conns: d.Conns, ConnsPerClient: d.ConnsPerClient,
			Calls: d.Calls, CallsPerClient: d.CallsPerClient, CallsPerConn: d.CallsPerConn,
			Bytes: byteSize(d.Bytes), BytesPerClient: byteSize(d.BytesPerClient), BytesPerConn: byteSize(d.BytesPerConn),
			Record: byteSize(d.Record), Fragments: d.Fragments,
			RecordTime: duration(d.RecordTime), StallTime: duration(d.StallTime),
			WriteTime: duration(d.WriteTime), IdleTime: duration(d.IdleTime),
		},
	}
}

// limits are the limits for the server.
func (c *limitsConfig) limits() nfs.Limits {
	return nfs.Limits{
		Conns: c.Conns, ConnsPerClient: c.ConnsPerClient,
		Calls: c.Calls, CallsPerClient: c.CallsPerClient, CallsPerConn: c.CallsPerConn,
		Bytes: int(c.Bytes), Unfinished: int(c.Unfinished), BytesPerClient: int(c.BytesPerClient), BytesPerConn: int(c.BytesPerConn),
		Record: int(c.Record), Fragments: c.Fragments,
		RecordTime: time.Duration(c.RecordTime), StallTime: time.Duration(c.StallTime),
		WriteTime: time.Duration(c.WriteTime), IdleTime: time.Duration(c.IdleTime),
	}
}

// Least values of limits that do not keep honest clients out. A record holds a
// WRITE of the size that FSINFO tells, with its headers.
const (
	minRecord     = mebibyte + 16<<10
	minTime       = time.Second
	minIdleTime   = 5*time.Minute + 30*time.Second // over the Linux client's own (XS_IDLE_DISC_TO, net/sunrpc/xprtsock.c)
	minConnBytes  = 2 * minRecord
	maxLimitCount = 1 << 20
	maxLimitBytes = 1 << 40
)

// Bounds of max_pause, as package nfs has them; the upper one is the default.
const (
	minMaxPause = 5 * time.Second
	maxMaxPause = time.Minute
)

// Bounds of wait_limit: above the pause of an election, and well below the time
// after which a Linux client that is mounted soft gives up.
const (
	minWaitLimit = 2 * time.Second
	maxWaitLimit = 30 * time.Second
)

func (c *nfsConfig) validate(m *mistakes) {
	switch c.RPCBind {
	case rpcbind.ModeAuto, rpcbind.ModeRegister, rpcbind.ModeServe, rpcbind.ModeOff:
	default:
		m.add("nfs.rpcbind: %q is not known: use auto, register, serve or off", c.RPCBind)
	}
	if p := time.Duration(c.MaxPause); p < minMaxPause || p > maxMaxPause {
		m.add("nfs.max_pause: %s: use %s to %s: answers are remembered for twice as long", c.MaxPause, duration(minMaxPause), duration(maxMaxPause))
	}
	if c.DrainDelay > duration(maxDrainDelay) {
		m.add("nfs.drain_delay: %s: use %s at most", c.DrainDelay, duration(maxDrainDelay))
	}
	if w := time.Duration(c.WaitLimit); w < minWaitLimit || w > maxWaitLimit {
		m.add("nfs.wait_limit: %s: use %s to %s", c.WaitLimit, duration(minWaitLimit), duration(maxWaitLimit))
	}
	c.Limits.validate(m)
}

func (c *limitsConfig) validate(m *mistakes) {
	for _, f := range []struct {
		key   string
		value int
	}{
		{"conns", c.Conns}, {"conns_per_client", c.ConnsPerClient},
		{"calls", c.Calls}, {"calls_per_client", c.CallsPerClient}, {"calls_per_conn", c.CallsPerConn},
		{"fragments", c.Fragments},
	} {
		if f.value < 1 || f.value > maxLimitCount {
			m.add("nfs.limits.%s: %d: use 1 to %d", f.key, f.value, maxLimitCount)
		}
	}
	for _, f := range []struct {
		key         string
		value, from byteSize
	}{
		{"bytes", c.Bytes, 2 * minConnBytes}, {"bytes_per_client", c.BytesPerClient, minConnBytes},
		{"bytes_per_conn", c.BytesPerConn, minConnBytes}, {"record", c.Record, minRecord},
	} {
		if f.value < f.from || f.value > maxLimitBytes {
			m.add("nfs.limits.%s: %s: use %s to %s", f.key, f.value, f.from, byteSize(maxLimitBytes))
		}
	}
	if c.Unfinished != 0 && (c.Unfinished < minRecord || c.Unfinished > c.Bytes/2) {
		m.add("nfs.limits.unfinished: %s: use %s to half of bytes, or 0 for a quarter", c.Unfinished, minRecord)
	}
	for _, f := range []struct {
		key   string
		value duration
		from  time.Duration
	}{
		{"record_time", c.RecordTime, minTime}, {"stall_time", c.StallTime, minTime},
		{"write_time", c.WriteTime, minTime}, {"idle_time", c.IdleTime, minIdleTime},
	} {
		if time.Duration(f.value) < f.from {
			m.add("nfs.limits.%s: %s: use at least %s", f.key, f.value, duration(f.from))
		}
	}
}

// duration is a time span, written like 2s, 90s, 6m or 1h30m.
type duration time.Duration

// String writes the span as time.Duration does, without zero minutes and seconds.
func (d duration) String() string {
	s := time.Duration(d).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if n := len(s) - len(zero); n > 0 && s[n:] == zero {
			s = s[:n+1]
		}
	}
	return s
}

// UnmarshalYAML reads the scalar as it is written. A number without a unit is
// refused: nobody knows which one was meant.
func (d *duration) UnmarshalYAML(n ast.Node) error {
	text := scalarText(n)
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return atNode(n, fmt.Errorf("%q is no time span: write it like 500ms, 30s, 6m or 1h", text))
	}
	*d = duration(v)
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (d duration) MarshalYAML() (any, error) { return d.String(), nil }
