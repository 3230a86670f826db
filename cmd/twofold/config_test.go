package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"twofold/nfs"
	"twofold/nfs/rpcbind"
	"twofold/raftlog"
)

// goodConfig is a correct config, for tests that spoil one thing in it.
const goodConfig = `cluster: team
node: a
role: data
dir: state
members:
  - {name: a, role: data, addr: "127.0.0.1:7001"}
  - {name: b, role: data, addr: "127.0.0.1:7002"}
  - {name: w, role: witness, addr: "127.0.0.1:7003"}
nfs: {listen: "127.0.0.1:12049"}
http: {listen: "127.0.0.1:12080"}
exports_file: exports
`

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfig_Good(t *testing.T) {
	path := writeConfig(t, goodConfig)
	cfg, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(path), "state"); cfg.Dir != want {
		t.Errorf("dir is %s, want %s, relative to the file", cfg.Dir, want)
	}
	if cfg.Listen != "127.0.0.1:7001" {
		t.Errorf("listen is %q, want the member's own address", cfg.Listen)
	}
	if cfg.Volume.RootMode != 0o755 || cfg.Memory.Cache != 64<<20 {
		t.Errorf("defaults: root mode %o, cache %s", cfg.Volume.RootMode, cfg.Memory.Cache)
	}
	if want := filepath.Join(filepath.Dir(path), "exports"); cfg.ExportsFile != want {
		t.Errorf("exports_file is %s, want %s, relative to the file", cfg.ExportsFile, want)
	}
	if cfg.NFS.RPCBind != rpcbind.ModeAuto || cfg.NFS.ServerGroups || cfg.NFS.Limits.limits().Conns != 1024 {
		t.Errorf("defaults of nfs: %+v", cfg.NFS)
	}
}

// What serve --print-config shows is a config that means the same.
func TestConfig_EffectiveRoundTrip(t *testing.T) {
	cfg, err := loadConfig(writeConfig(t, goodConfig+"volume: {root_mode: 1777, root_uid: 5, block_size: 8KiB}\nmemory: {limit: 1GiB}\n"))
	if err != nil {
		t.Fatal(err)
	}
	first, err := cfg.effective()
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadConfig(writeConfig(t, string(first)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, first)
	}
	second, err := again.effective()
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Errorf("first\n%s\nsecond\n%s", first, second)
	}
	if again.Volume.RootMode != 0o1777 || again.Volume.BlockSize != 8192 || again.Memory.Limit != 1<<30 {
		t.Errorf("volume %+v, memory %+v", again.Volume, again.Memory)
	}
}

// The sample is a config that could run, and names every key.
func TestConfig_Sample(t *testing.T) {
	text, err := os.ReadFile("../../docs/twofold.sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loadConfig("../../docs/twofold.sample.yaml"); err != nil {
		t.Error(err)
	}
	effective, err := defaultConfig().effective()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(effective), "\n") {
		key, _, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && !strings.Contains(string(text), key+":") {
			t.Errorf("the sample does not mention %s", key)
		}
	}
}

// Each mistake is told in one line that says where it is and what to do.
func TestConfig_Mistakes(t *testing.T) {
	tests := []struct {
		name     string
		old, new string // replaced in goodConfig; an empty old appends
		want     string
	}{
		{"unknown key", "", "nsf: {listen: x}\n", `:12: unknown key "nsf": correct or remove it`},
		{"unknown inner key", `{listen: "127.0.0.1:12049"}`, "{listn: x}", `:9: unknown key "listn"`},
		{"duplicate key", "", "node: b\n", `:12: mapping key "node" already defined`},
		{"syntax", "role: data\n", "role: [data\n", ":4: "},
		{"wrong type", "", "insecure_peers: perhaps\n", ":12: "},
		{"bad size", "", "memory: {cache: 64MB}\n", `:12: "64MB" is no size: write it like`},
		{"bad mode", "", "volume: {root_mode: 0799}\n", `:12: "0799" is no file mode`},
		{"number", "", "volume: {root_uid: me}\n", ":12: "},
		{"two documents", "", "---\nnode: b\n", "more than one YAML document"},
		{"no cluster", "cluster: team\n", "", "cluster is empty: give one"},
		{"bad name", "node: a\n", "node: a/b\n", `node "a/b" has a character`},
		{"no role", "role: data\n", "role: main\n", `role: is "main": set it to data or witness`},
		{"no dir", "dir: state\n", "", "dir: missing: name the directory"},
		{"not a member", "node: a\n", "node: c\n", `node: "c" is not in members`},
		{"role differs", "role: data\n", "role: witness\n", `role: is "witness", but members says that a is "data"`},
		{"two members", "  - {name: b, role: data, addr: \"127.0.0.1:7002\"}\n", "", "members: 1 data and 1 witness: list exactly two data nodes and one witness"},
		{"same name", "{name: b,", "{name: a,", `members[1].name: "a" is there twice`},
		{"same address", "127.0.0.1:7002", "127.0.0.1:7001", "members[1].addr: 127.0.0.1:7001 is a's address too"},
		{"no port", "127.0.0.1:7002", "127.0.0.1", `members[1].addr: "127.0.0.1" is no address: write host:port`},
		{"bad port", "127.0.0.1:7002", "127.0.0.1:70000", `members[1].addr: "70000" is no port`},
		{"no tls", "127.0.0.1:7002", "b.example.net:7002", "tls: missing, and members are not all on loopback"},
		{"half tls", "", "tls: {cert: c.pem}\n", "tls: set all of cert, key and ca, or none"},
		{"tls and insecure", "", "tls: {cert: c, key: k, ca: a}\ninsecure_peers: true\n", "insecure_peers: true contradicts the tls section"},
		{"port twice", "127.0.0.1:12080", "127.0.0.1:12049", "http.listen: 127.0.0.1:12049 is the address of nfs.listen too"},
		{"no nfs", "nfs: {listen: \"127.0.0.1:12049\"}\n", "", "nfs.listen: missing: give host:port"},
		{"exports of old", "", "exports:\n  - clients: [10.0.0.0/24]\n", ":12: exports: are not in the config"},
		{"rpcbind", ":12049\"}", ":12049\", rpcbind: perhaps}", `nfs.rpcbind: "perhaps" is not known: use auto,`},
		{"pause", ":12049\"}", ":12049\", max_pause: 2m}", "nfs.max_pause: 2m: use 5s to 1m"},
		{"wait", ":12049\"}", ":12049\", wait_limit: 1s}", "nfs.wait_limit: 1s: use 2s to 30s"},
		{"number for a time", ":12049\"}", ":12049\", max_pause: 30}", `:9: "30" is no time span: write it like`},
		{"no connections", ":12049\"}", ":12049\", limits: {conns_per_client: 0}}", "nfs.limits.conns_per_client: 0: use 1 to"},
		{"short record", ":12049\"}", ":12049\", limits: {record: 64KiB}}", "nfs.limits.record: 64KiB: use 1040KiB to 1TiB"},
		{"nothing for calls", ":12049\"}", ":12049\", limits: {unfinished: 256MiB}}", "nfs.limits.unfinished: 256MiB: use 1040KiB to half of bytes"},
		{"idle time", ":12049\"}", ":12049\", limits: {idle_time: 1m}}", "nfs.limits.idle_time: 1m: use at least 5m30s"},
		{"unknown limit", ":12049\"}", ":12049\", limits: {connections: 5}}", `:9: unknown key "connections"`},
		{"block size", "", "volume: {block_size: 5000}\n", "volume.block_size: 5000: use a power of two"},
		{"cache", "", "memory: {cache: 1MiB}\n", "memory.cache: 1MiB is too little: use at least 8MiB"},
		{"limit", "", "memory: {limit: 64MiB}\n", "memory.limit: 64MiB is too little"},
		{"reserve", "", "reserve: 1\n", "reserve: 1 is too little"},
		{"few duplicates", "", "duplicates: 64KiB\n", "duplicates: 64KiB: choose from 1MiB to 16GiB"},
		{"many duplicates", "", "duplicates: 17GiB\n", "duplicates: 17GiB: choose from 1MiB to 16GiB"},
		{"no colon", "cluster: ", "cluster ", ":1: no YAML: "},
		{"tab", "", "log:\n\tlevel: info\n", `no YAML: found character '\t'`},
		{"log store", "", "log_store: tape\n", `log_store: "tape" is not known: use `},
		{"log level", "", "log: {level: loud}\n", `log.level: "loud" is not known`},
		{"log format", "", "log: {format: xml}\n", `log.format: "xml" is not known`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := goodConfig + tt.new
			if tt.old != "" {
				text = strings.Replace(goodConfig, tt.old, tt.new, 1)
			}
			path := writeConfig(t, text)
			_, err := loadConfig(path)
			if err == nil {
				t.Fatalf("no error for\n%s", text)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant it to contain %s", err, tt.want)
			}
			if !strings.HasPrefix(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q does not name the file, or has more than one line", err.Error())
			}
		})
	}
}

// A witness has no clients.
func TestConfig_WitnessServesNobody(t *testing.T) {
	text := strings.Replace(goodConfig, "node: a\nrole: data", "node: w\nrole: witness", 1)
	_, err := loadConfig(writeConfig(t, text))
	if err == nil || !strings.Contains(err.Error(), "nfs: a witness serves no clients") ||
		!strings.Contains(err.Error(), "exports_file: a witness serves no clients") {
		t.Errorf("got %v", err)
	}
}

func TestConfig_RoleFollowsFromMembers(t *testing.T) {
	cfg, err := loadConfig(writeConfig(t, strings.Replace(goodConfig, "role: data\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Role != raftlog.RoleData {
		t.Errorf("role is %q", cfg.Role)
	}
}

func TestConfig_NotAFile(t *testing.T) {
	if _, err := loadConfig(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := loadConfig(writeConfig(t, "# nothing\n")); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty file: %v", err)
	}
	if _, err := loadConfig(writeConfig(t, strings.Repeat("#", maxConfigBytes+1))); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("huge file: %v", err)
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{"0": 0, "4096": 4096, "64KiB": 65536, "3 MiB": 3 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		got, err := parseByteSize(text)
		if err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1.5GiB", "64MB", "KiB", "99999999TiB"} {
		if got, err := parseByteSize(text); err == nil {
			t.Errorf("%q: %d without an error", text, got)
		}
	}
	for size, want := range map[byteSize]string{0: "0", 1: "1", 1024: "1KiB", 1500: "1500", 3 << 30: "3GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d is written %q, want %q", size, got, want)
		}
	}
}

// Every limit of the server has a key, and a key sets the limit of its name.
func TestConfig_LimitsAreTheServers(t *testing.T) {
	var c limitsConfig
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Uint64:
			f.SetUint(uint64(i + 1))
		default:
			f.SetInt(int64(i + 1))
		}
	}
	limits := reflect.ValueOf(c.limits())
	if limits.NumField() != v.NumField() {
		t.Errorf("%d keys for %d limits", v.NumField(), limits.NumField())
	}
	for i := range limits.NumField() {
		name := limits.Type().Field(i).Name
		key, ok := v.Type().FieldByName(name)
		if !ok || len(key.Index) != 1 || limits.Field(i).Int() != int64(key.Index[0]+1) {
			t.Errorf("limit %s: there: %t, is %d", name, ok, limits.Field(i).Int())
		}
		if tag := key.Tag.Get("yaml"); strings.ReplaceAll(tag, "_", "") != strings.ToLower(name) {
			t.Errorf("the key of limit %s is %q", name, tag)
		}
	}
}

// The bounds of max_pause are those of the server.
func TestConfig_MaxPauseIsTheServers(t *testing.T) {
	for p, ok := range map[time.Duration]bool{minMaxPause - 1: false, minMaxPause: true, maxMaxPause: true, maxMaxPause + 1: false} {
		cfg := nfs.Config{Programs: []nfs.Program{{Number: 1, Version: 1}}, MaxPause: p}
		err := cfg.Validate()
		if told := err != nil && strings.Contains(err.Error(), "MaxPause"); told == ok {
			t.Errorf("max_pause %s: the server says %v", p, err)
		}
		var m mistakes
		c := defaultNFS()
		c.MaxPause = duration(p)
		if c.validate(&m); (len(m) == 0) != ok {
			t.Errorf("max_pause %s: the config says %q", p, m)
		}
	}
}

func TestDuration_String(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Minute: "1m", 6 * time.Minute: "6m", 90 * time.Second: "1m30s", time.Hour: "1h", 10 * time.Minute: "10m",
		2 * time.Second: "2s", 500 * time.Millisecond: "500ms", 0: "0s", time.Hour + time.Second: "1h0m1s",
	} {
		if got := duration(d).String(); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
	}
}
