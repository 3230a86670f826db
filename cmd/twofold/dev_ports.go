package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
)

// Where freeAddrs looks for ports.
const (
	portRangeFile    = "/proc/sys/net/ipv4/ip_local_port_range"
	defaultEphemeral = 32768 // Linux's own value of the range's begin
	firstPort        = 14000 // above those that dev serves on by default
	firstUserPort    = 1024  // below it one needs a right to listen
	minPorts         = 1000  // fewer are not worth a look
	portTries        = 1000
)

// checkPorts finds out whether the nodes could listen where they are told to,
// before anything is formatted or started. Without it dev might take the answers
// of another cluster on the same ports for those of its own nodes.
func checkPorts(cfgs []*config) error {
	for _, cfg := range cfgs {
		addrs := []string{cfg.Listen, cfg.HTTP.Listen}
		if cfg.isData() {
			addrs = append(addrs, cfg.NFS.Listen)
		}
		for _, addr := range addrs {
			l, err := net.Listen("tcp", addr)
			if err == nil {
				err = l.Close()
			}
			if err != nil {
				return fmt.Errorf("node %s: %w; --nfs and --http choose other addresses", cfg.Node, cannotListen(err))
			}
		}
	}
	return nil
}

// freeAddrs returns n loopback addresses whose ports nobody uses now. All are
// held until the last is known, so that they differ. The ports are none that the
// kernel gives to outgoing connections: a port of a node that is down must stay
// free. Dialled again and again it could otherwise become the source port of the
// very dial, which then connects to itself and keeps the node out.
func freeAddrs(n int) ([]string, error) {
	text, err := os.ReadFile(portRangeFile)
	if err != nil {
		text = nil // no Linux, or no /proc: its default will do
	}
	low, high := quietPorts(string(text))
	start := rand.IntN(high - low)
	var addrs []string
	for i := range min(portTries, high-low) {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", low+(start+i)%(high-low)))
		if err != nil {
			continue
		}
		defer l.Close() // of use only until the function returns
		if addrs = append(addrs, l.Addr().String()); len(addrs) == n {
			return addrs, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports on loopback from %d to %d: stop what uses them", n, low, high-1)
}

// quietPorts returns the ports from low up to high, high not included, that are
// not in the kernel's range of ports for outgoing connections, whose first and
// last are in text. Where that range leaves next to none, it returns some of it:
// then no port is better than another.
func quietPorts(text string) (low, high int) {
	const all = 1 << 16
	first, last := defaultEphemeral, all-1
	if n, err := fmt.Sscan(text, &first, &last); n != 2 || err != nil || first > last || first < 1 || last >= all {
		first, last = defaultEphemeral, all-1
	}
	for _, r := range [][2]int{{firstPort, first}, {firstUserPort, first}, {last + 1, all}} {
		if r[1]-r[0] >= minPorts {
			return r[0], r[1]
		}
	}
	return firstPort, all
}
