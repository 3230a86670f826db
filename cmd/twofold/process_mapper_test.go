//go:build process

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"twofold/nfs"
	"twofold/nfs/rpcbind"
)

// actAsForeign is set in the environment of the test process that is another NFS
// server, to its address.
const actAsForeign = "TWOFOLD_TEST_ACT_AS_FOREIGN"

// netHost is a host of a test: a network and a mount namespace, kept by a
// process that sleeps. /run is its own, since rpcbind has its socket there.
type netHost struct {
	t      *testing.T
	keeper *program
	addr   string
}

// newNetHosts makes two hosts with a wire between them.
func newNetHosts(t *testing.T, threads *tiedThread) [2]*netHost {
	t.Helper()
	var hosts [2]*netHost
	for i := range hosts {
		h := &netHost{t: t, addr: fmt.Sprintf("10.78.0.%d", i+1)}
		h.keeper = threads.startCommand(t, exec.Command("sleep", "infinity"), syscall.CLONE_NEWNET|syscall.CLONE_NEWNS)
		h.must("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
		h.must("ip", "link", "set", "lo", "up")
		hosts[i] = h
	}
	peer := fmt.Sprint(hosts[1].keeper.cmd.Process.Pid)
	hosts[0].must("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", peer)
	for _, h := range hosts {
		h.must("ip", "addr", "add", h.addr+"/24", "dev", "wire")
		h.must("ip", "link", "set", "wire", "up")
	}
	return hosts
}

// command is a command on the host.
func (h *netHost) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net", "--mount", "--target", fmt.Sprint(h.keeper.cmd.Process.Pid)}, args...)...)
}

// run runs a command on the host and returns what it prints.
func (h *netHost) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	cmd := h.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), actAsProgram+"=1")
	context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() }) // it is gone, or hangs
	err := cmd.Run()
	return out.String(), err
}

func (h *netHost) must(args ...string) string {
	h.t.Helper()
	out, err := h.run(args...)
	if err != nil {
		h.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

// says waits until a command prints a text.
func (h *netHost) says(want string, args ...string) {
	h.t.Helper()
	out := ""
	defer func() {
		if h.t.Failed() {
			h.t.Logf("%q at %s prints\n%s", args, h.addr, out)
		}
	}()
	eventually(h.t, fmt.Sprintf("%q prints %q", args, want), func() bool {
		out, _ = h.run(args...)
		return strings.Contains(out, want)
	})
}

// needForMapper skips the test where it cannot run, and says why.
func needForMapper(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	missing := ""
	if os.Geteuid() != 0 {
		missing = "only root may make network namespaces"
	}
	for _, program := range []string{"showmount", "rpcbind", "rpcinfo", "nsenter", "ip", "nfs-ls"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = program + " is missing: scripts/deps.sh installs it"
		}
	}
	switch {
	case missing == "":
	case os.Getenv("CI") == "true":
		t.Fatalf("in CI nothing may be skipped: %s", missing)
	default:
		t.Skip(missing)
	}
}

// mapperPair is a cluster on two hosts: node a serves port 111 itself, and b
// registers with its host's rpcbind. The witness is beside a.
type mapperPair struct {
	*procCluster
	hosts [2]*netHost
}

func newMapperPair(t *testing.T) *mapperPair {
	t.Helper()
	needForMapper(t)
	c := &procCluster{testCluster: newTestCluster(t), t: t, threads: newTiedThread(t), running: map[string]*program{}}
	p := &mapperPair{procCluster: c, hosts: newNetHosts(t, c.threads)}
	a, b := p.hosts[0], p.hosts[1]
	members := append([]memberConfig(nil), devMembers...)
	members[0].Addr, members[1].Addr, members[2].Addr = a.addr+":7401", b.addr+":7401", a.addr+":7403"
	for i, m := range members {
		cfg := c.cfgs[m.Name]
		cfg.Members, cfg.Listen, cfg.InsecurePeers = members, m.Addr, true
		cfg.HTTP.Listen = fmt.Sprintf("127.0.0.1:%d", 7480+i)
		if cfg.isData() {
			cfg.NFS.Listen, cfg.NFS.RPCBind = "[::]:2049", rpcbind.ModeAuto
			writeFile(t, cfg.ExportsFile, "/ 10.78.0.0/24(rw,no_root_squash) 127.0.0.0/8(rw) ::1(rw)\n")
		}
		c.write(t, m.Name)
		c.init(t, m.Name)
	}
	return p
}

// host is where a node runs.
func (p *mapperPair) host(node string) *netHost {
	if node == "b" {
		return p.hosts[1]
	}
	return p.hosts[0]
}

// startOn starts a node on its host.
func (p *mapperPair) startOn(node string) {
	p.t.Helper()
	cmd := p.host(node).command(os.Args[0], "serve", "--config", p.paths[node])
	cmd.Env = append(os.Environ(), actAsProgram+"=1")
	p.running[node] = p.threads.startCommand(p.t, cmd, 0)
}

// Clients that name no port find both nodes: the one that serves port 111 itself,
// and the one that registers beside a rpcbind that serves its own host's client.
// The list of mounts is the cluster's. What was registered goes with the node.
func TestProcess_PortMapper(t *testing.T) {
	if addr := os.Getenv(actAsForeign); addr != "" {
		beForeign(t, addr)
		return
	}
	p := newMapperPair(t)
	a, b := p.hosts[0], p.hosts[1]
	p.threads.startCommand(t, b.command("rpcbind", "-f"), 0)
	b.says("portmapper", "rpcinfo", "-p", "127.0.0.1")
	for _, m := range devMembers {
		p.startOn(m.Name)
	}
	a.says("rpcbind: port 111 is served by this node", os.Args[0], "status", "--config", p.paths["a"])
	b.says("rpcbind: registered", os.Args[0], "status", "--config", p.paths["b"])
	a.says("cluster test: healthy", os.Args[0], "status", "--config", p.paths["a"])

	for _, server := range p.hosts {
		client := a
		if server == a {
			client = b
		}
		if list := client.must("showmount", "-e", server.addr); !strings.Contains(list, "\n/ ") || !strings.Contains(list, "10.78.0.0/24") {
			t.Errorf("showmount -e %s prints\n%s", server.addr, list)
		}
		client.must("nfs-ls", "nfs://"+server.addr+"/?version=3")
	}
	for _, server := range p.hosts {
		for _, client := range p.hosts {
			server.says(client.addr+":/", "showmount", "-a", server.addr)
		}
	}
	p.checkRegistered(b)
	p.checkForeign(b)
	p.running["a"].stop(t, syscall.SIGTERM)
	if out, err := b.run("showmount", "-e", a.addr); err == nil {
		t.Errorf("node a is stopped, and showmount prints\n%s", out)
	}
}

// checkRegistered looks at the entries of b's rpcbind, with what else is there,
// and that they go when b stops.
func (p *mapperPair) checkRegistered(b *netHost) {
	p.t.Helper()
	list := b.must("rpcinfo", "-p", "127.0.0.1")
	for _, want := range []string{"100003    3   tcp   2049", "100005    3   tcp   2049", "100000    2   udp    111"} {
		if !strings.Contains(list, want) {
			p.t.Errorf("rpcbind does not list %q:\n%s", want, list)
		}
	}
	if code := p.running["b"].stop(p.t, syscall.SIGTERM); code != exitOK {
		p.t.Errorf("b stops with exit code %d", code)
	}
	if list := b.must("rpcinfo", "-p", "127.0.0.1"); strings.Contains(list, "100003") || strings.Contains(list, "100005") {
		p.t.Errorf("b is stopped, and rpcbind lists\n%s", list)
	}
}

// checkForeign starts b beside another server's entries. It says so, serves, and
// leaves them alone.
func (p *mapperPair) checkForeign(b *netHost) {
	p.t.Helper()
	foreign := b.command(os.Args[0], "-test.run=^TestProcess_PortMapper$")
	foreign.Env = append(os.Environ(), actAsForeign+"=10.78.0.2:3049")
	if out, err := foreign.CombinedOutput(); err != nil {
		p.t.Fatalf("a foreign entry cannot be registered: %v\n%s", err, out)
	}
	p.startOn("b")
	b.says("problem: rpcbind: clients of b have to name the port: rpcbind: another NFS server is registered on this host", os.Args[0], "status", "--config", p.paths["b"])
	p.says("b", "another NFS server is registered on this host")
	b.must("nfs-ls", "nfs://127.0.0.1/?version=3&nfsport=2049&mountport=2049")
	p.running["b"].stop(p.t, syscall.SIGTERM)
	if list := b.must("rpcinfo", "-p", "127.0.0.1"); !strings.Contains(list, "100003    4   tcp   3049") {
		p.t.Errorf("the foreign entry is gone:\n%s", list)
	}
}

// beForeign leaves an entry for NFS version 4 at rpcbind, as another server on
// this host does.
func beForeign(t *testing.T, addr string) {
	t.Helper()
	r, err := rpcbind.Start(rpcbind.Config{
		Mode:     rpcbind.ModeRegister,
		Services: []rpcbind.Service{{Program: nfs.ProgramNFS, Version: 4, Addr: netip.MustParseAddrPort(addr)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the entry is registered", func() bool { return r.State().Doing == rpcbind.Registered })
	// It is not stopped, so that the entry stays.
}
