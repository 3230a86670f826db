package main

import (
	"bytes"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"twofold/nfs/rpcbind"
)

// defaultDev are the options of dev without flags.
func defaultDev(dir string) devOptions {
	return devOptions{dir: dir, nfs: defaultDevNFS, http: defaultDevHTTP}
}

// prepareDev does what dev does before it starts processes.
func prepareDev(t *testing.T, o devOptions) ([]*devNode, error) {
	t.Helper()
	d, err := openDevDir(o.dir, o.fresh)
	if err != nil {
		return nil, err
	}
	defer d.close()
	return d.prepare(o, new(bytes.Buffer))
}

// A directory that dev did not make is left alone, with --fresh most of all.
func TestDev_ForeignDirectory(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"documents":  {"letter.txt": "dear"},
		"own a":      {"a": "mine"},
		"own marker": {devMarker: "notes about twofold", "a": "mine"},
	} {
		for _, fresh := range []bool{false, true} {
			dir := t.TempDir()
			for f, content := range files {
				if err := os.WriteFile(filepath.Join(dir, f), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, dir)
			o := defaultDev(dir)
			o.fresh = fresh
			if _, err := prepareDev(t, o); err == nil || !strings.Contains(err.Error(), "choose another --dir") {
				t.Errorf("%s, fresh %t: %v", name, fresh, err)
			}
			if !maps.Equal(before, tree(t, dir)) {
				t.Errorf("%s, fresh %t: the directory was changed", name, fresh)
			}
		}
	}
}

// The ports between the nodes are chosen once; flags change the others.
func TestDev_ConfigsAreKept(t *testing.T) {
	o := defaultDev(filepath.Join(t.TempDir(), "dev"))
	first, err := prepareDev(t, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range first {
		checkDevExports(t, n)
		if mode := n.cfg.NFS.RPCBind; n.cfg.isData() && mode != rpcbind.ModeOff {
			t.Errorf("node %d: rpcbind is %q, which this machine would notice", i, mode)
		}
	}
	mine := "/ 10.1.1.1(ro) # mine\n"
	writeFile(t, first[0].cfg.ExportsFile, mine)
	rewrite(t, first[1].configPath(), "level: info", "level: debug # mine")
	o.nfs, o.nfsGiven = []string{"127.0.0.1:13049", "0.0.0.0:13149"}, true
	o.http = []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"} // not given
	second, err := prepareDev(t, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range second {
		if n.cfg.Listen != first[i].cfg.Listen || n.cfg.HTTP.Listen != defaultDevHTTP[i] {
			t.Errorf("%s: listen %s was %s, http %s", n.name, n.cfg.Listen, first[i].cfg.Listen, n.cfg.HTTP.Listen)
		}
	}
	if got := second[1].cfg; got.NFS.Listen != "0.0.0.0:13149" || got.Log.Level != "debug" {
		t.Errorf("b: nfs %s, log level %s", got.NFS.Listen, got.Log.Level)
	}
	// Nothing to change: the user's comment stays.
	rewrite(t, first[1].configPath(), "level: debug", "level: debug # mine")
	if _, err := prepareDev(t, o); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(first[1].configPath())
	if err != nil || !strings.Contains(string(text), "# mine") {
		t.Errorf("the comment is gone (%v)", err)
	}
	if got := mountCommand("0.0.0.0:13149", "/mnt/b"); !strings.Contains(got, "port=13149,mountport=13149,nolock 127.0.0.1:/ /mnt/b") {
		t.Errorf("mount command for every interface: %s", got)
	}
	if got := mountCommand("[::1]:13149", "/mnt/b"); !strings.HasSuffix(got, "nolock [::1]:/ /mnt/b") {
		t.Errorf("mount command for IPv6: %s", got)
	}
}

// Fresh starts over, and only then.
func TestDev_Fresh(t *testing.T) {
	o := defaultDev(filepath.Join(t.TempDir(), "dev"))
	nodes, err := prepareDev(t, o)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(nodes[0].cfg.Dir, "identity.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fresh := range []bool{false, true} {
		o.fresh = fresh
		if _, err := prepareDev(t, o); err != nil {
			t.Fatal(err)
		}
		now, err := os.ReadFile(filepath.Join(nodes[0].cfg.Dir, "identity.json"))
		if err != nil {
			t.Fatal(err)
		}
		if same := bytes.Equal(old, now); same == fresh {
			t.Errorf("fresh %t: same identity %t", fresh, same)
		}
	}
}

// A config that is missing is not made up, since its ports are on record.
func TestDev_MissingConfig(t *testing.T) {
	o := defaultDev(filepath.Join(t.TempDir(), "dev"))
	nodes, err := prepareDev(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(nodes[1].configPath()); err != nil {
		t.Fatal(err)
	}
	if _, err := prepareDev(t, o); err == nil || !strings.Contains(err.Error(), "--fresh") {
		t.Errorf("got %v", err)
	}
}

func TestDev_Flags(t *testing.T) {
	for name, change := range map[string]func(*devOptions){
		"one nfs address":   func(o *devOptions) { o.nfs = o.nfs[:1] },
		"two http":          func(o *devOptions) { o.http = o.http[:2] },
		"no port":           func(o *devOptions) { o.nfs = []string{"127.0.0.1:0", "127.0.0.1"} },
		"nothing of a host": func(o *devOptions) { o.http = []string{":1", ":2", ":3"} },
	} {
		o := defaultDev("x")
		change(&o)
		if err := o.validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The ports that are given away are none of the kernel's own, wherever its range
// is, and each is given once.
func TestFreeAddrs_BelowTheKernelsRange(t *testing.T) {
	for text, want := range map[string][2]int{
		"32768\t60999\n": {14000, 32768},
		"":               {14000, 32768},
		"x\ty\n":         {14000, 32768},
		"99999\t1\n":     {14000, 32768},
		"15000\t60999\n": {14000, 15000},
		"10000\t65535\n": {1024, 10000},
		"1024\t60999\n":  {61000, 65536},
		"1024\t65535\n":  {14000, 65536}, // there is no quiet one
	} {
		if low, high := quietPorts(text); low != want[0] || high != want[1] {
			t.Errorf("range %q: ports from %d to %d, want %d to %d", text, low, high, want[0], want[1])
		}
	}
	text, err := os.ReadFile(portRangeFile)
	if err != nil {
		t.Skipf("this machine does not tell its range: %v", err)
	}
	low, high := quietPorts(string(text))
	addrs, err := freeAddrs(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range addrs {
		_, port, _ := net.SplitHostPort(a)
		if n, err := strconv.Atoi(port); err != nil || n < low || n >= high || seen[a] {
			t.Errorf("address %s: not from %d to %d, or there twice", a, low, high)
		}
		seen[a] = true
		occupy(t, a)
	}
	if more, err := freeAddrs(50); err != nil || slices.ContainsFunc(more, func(a string) bool { return seen[a] }) {
		t.Errorf("addresses that are taken are given away: %v, %v", more, err)
	}
	if _, err := freeAddrs(portTries + 1); err == nil {
		t.Error("more addresses than tries")
	}
}

// checkDevExports looks at the exports file of a node: all of the volume for this
// machine and private guests, and none on the witness.
func checkDevExports(t *testing.T, n *devNode) {
	t.Helper()
	path := filepath.Join(n.dir, devExportsFile)
	if !n.cfg.isData() {
		if _, err := os.Stat(path); err == nil || n.cfg.ExportsFile != "" {
			t.Errorf("the witness has exports: %q, %v", n.cfg.ExportsFile, err)
		}
		return
	}
	entries, err := readExportsFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n.cfg.ExportsFile != path || len(entries) != 1 || entries[0].Path != "/" || strings.Count(entries[0].Clients, "(") != 3 ||
		strings.Count(entries[0].Clients, "rw,no_root_squash,insecure") != 3 {
		t.Errorf("%s has %v, the config names %s", path, entries, n.cfg.ExportsFile)
	}
}
