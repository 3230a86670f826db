package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxInstances bounds the guests that run side by side; it is also the third byte of their networks.
const maxInstances = 250

// network is the host's side of a guest's network: a tap device with a /24 of its own.
type network struct {
	instance int
	tap      string
	host     netip.Addr
	guest    netip.Addr
	nat      bool
}

// newNetwork claims the first free instance and configures its tap device.
func newNetwork() (*network, error) {
	if err := ensureTun(); err != nil {
		return nil, err
	}
	var last error
	for i := 1; i <= maxInstances; i++ {
		tap := fmt.Sprintf("guest%d", i)
		if last = command("ip", "tuntap", "add", "dev", tap, "mode", "tap"); last != nil {
			continue
		}
		n := &network{
			instance: i, tap: tap,
			host:  netip.AddrFrom4([4]byte{10, 77, byte(i), 1}),
			guest: netip.AddrFrom4([4]byte{10, 77, byte(i), 2}),
		}
		err := errors.Join(
			command("ip", "addr", "add", n.host.String()+"/24", "dev", tap),
			command("ip", "link", "set", tap, "up"))
		if err != nil {
			n.close()
			return nil, err
		}
		return n, nil
	}
	return nil, fmt.Errorf("no tap device to be had: %w", last)
}

// ensureTun makes the device node that tap devices come from, where a container lacks it.
func ensureTun() error {
	const node = "/dev/net/tun"
	if _, err := os.Stat(node); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(node), 0o755); err != nil {
		return err
	}
	return unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200)))
}

// forwardLoopback makes every loopback server of the mounts reachable at the host's end of the tap device, and rewrites
// the mounts to name it. Only the ports that a mount names are forwarded.
func (n *network) forwardLoopback(mounts []nfsMount) error {
	var rules strings.Builder
	for i, m := range mounts {
		if !m.Server.Addr().IsLoopback() {
			continue
		}
		mountPort, err := m.mountPort()
		if err != nil {
			return err
		}
		fmt.Fprintf(&rules, "    iifname %q ip daddr %s tcp dport { %d, %d } dnat to %s\n",
			n.tap, n.host, m.Server.Port(), mountPort, m.Server.Addr())
		mounts[i].Server = netip.AddrPortFrom(n.host, m.Server.Port())
	}
	if rules.Len() == 0 {
		return nil
	}
	// Without this the kernel drops what comes from a device and is addressed to 127.0.0.0/8 as a martian
	// (Documentation/networking/ip-sysctl.rst, route_localnet).
	sysctl := "/proc/sys/net/ipv4/conf/" + n.tap + "/route_localnet"
	if err := os.WriteFile(sysctl, []byte("1"), 0); err != nil {
		return err
	}
	table := fmt.Sprintf("table ip %s {\n  chain forward_loopback {\n    type nat hook prerouting priority dstnat;\n%s  }\n}\n",
		n.tap, rules.String())
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(table)
	n.nat = true
	if out, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// close removes what newNetwork and forwardLoopback made.
func (n *network) close() error {
	var err error
	if n.nat {
		err = command("nft", "delete", "table", "ip", n.tap)
	}
	return errors.Join(err, command("ip", "tuntap", "del", "dev", n.tap, "mode", "tap"))
}

// command runs a program and gives what it printed with its error.
func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
