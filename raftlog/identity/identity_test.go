package identity_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"twofold/raftlog"
	"twofold/raftlog/identity"
)

func config(node string) identity.Config {
	return identity.Config{Node: node, Cluster: "c1", Role: raftlog.RoleData, MinFreeBytes: 1}
}

func mustInit(t *testing.T, dir string, cfg identity.Config) identity.Identity {
	t.Helper()
	id, err := identity.Init(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// wantRefusal checks the reason, that it is one line, and that it says words.
func wantRefusal(t *testing.T, err, reason error, words ...string) {
	t.Helper()
	if !errors.Is(err, reason) {
		t.Fatalf("error %v, want %v", err, reason)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func TestInit_ThenOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x", "y", "state")
	id := mustInit(t, dir, config("a"))
	if id.Node != "a" || id.Cluster != "c1" || id.Role != raftlog.RoleData || id.NodeID.IsZero() || id.Created.IsZero() {
		t.Fatalf("identity %+v", id)
	}
	d, err := identity.Open(dir, config("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Identity() != id {
		t.Errorf("opened %+v, want %+v", d.Identity(), id)
	}
	if d.Binding() != nil {
		t.Errorf("bound to %v before any meeting", d.Binding())
	}
	other := mustInit(t, filepath.Join(t.TempDir(), "s"), config("a"))
	if other.NodeID == id.NodeID {
		t.Error("two directories have one node id")
	}
}

func TestInit_RefusesWhatIsThere(t *testing.T) {
	t.Run("foreign files", func(t *testing.T) {
		dir := t.TempDir()
		for _, n := range []string{"e", "d", "c", "b", "a", "lost+found"} {
			writeTestFile(t, filepath.Join(dir, n), "x")
		}
		_, err := identity.Init(dir, config("a"))
		wantRefusal(t, err, identity.ErrNotEmpty, dir, "a, b, c, d, ...")
		wantNames(t, dir, "a", "b", "c", "d", "e", "lost+found")
	})
	t.Run("formatted", func(t *testing.T) {
		dir := t.TempDir()
		id := mustInit(t, dir, config("a"))
		_, err := identity.Init(dir, config("b"))
		wantRefusal(t, err, identity.ErrNotEmpty, `node "a"`, `cluster "c1"`, "twofold serve")
		if again, err := identity.Load(dir, config("a")); err != nil || again != id {
			t.Errorf("after the refusal: %+v, %v", again, err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		writeTestFile(t, path, "x")
		_, err := identity.Init(path, config("a"))
		wantRefusal(t, err, identity.ErrNotEmpty, "not a directory")
	})
	t.Run("too little space", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "missing", "state")
		cfg := config("a")
		cfg.MinFreeBytes = 1 << 62
		_, err := identity.Init(dir, cfg)
		wantRefusal(t, err, identity.ErrNoSpace, dir, "minimum")
		if _, err := os.Stat(filepath.Dir(dir)); !os.IsNotExist(err) {
			t.Error("the refusal made a directory")
		}
	})
}

// What an interrupted Init and mkfs leave behind does not stand in the way.
func TestInit_AfterCrash(t *testing.T) {
	dir := t.TempDir()
	writeTestFile(t, filepath.Join(dir, "lock"), "123\n")
	writeTestFile(t, filepath.Join(dir, "identity.json.tmp"), `{"kind": "two`)
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Open(dir, config("a")); !errors.Is(err, identity.ErrNotFormatted) {
		t.Fatalf("half-formatted directory: %v", err)
	}
	id := mustInit(t, dir, config("a"))
	if got, err := identity.Load(dir, config("a")); err != nil || got != id {
		t.Fatalf("%+v, %v", got, err)
	}
	wantNames(t, dir, "identity.json", "lock", "lost+found")
}

func TestConfig_Names(t *testing.T) {
	long := strings.Repeat("n", identity.MaxName+1)
	for _, bad := range []identity.Config{
		{Node: "", Cluster: "c", Role: raftlog.RoleData},
		{Node: "a", Cluster: "", Role: raftlog.RoleData},
		{Node: "a/b", Cluster: "c", Role: raftlog.RoleData},
		{Node: "a\n", Cluster: "c", Role: raftlog.RoleData},
		{Node: long, Cluster: "c", Role: raftlog.RoleData},
		{Node: "a", Cluster: "c", Role: "arbiter"},
	} {
		_, err := identity.Init(filepath.Join(t.TempDir(), "s"), bad)
		wantRefusal(t, err, identity.ErrInvalid)
		_, err = identity.Open(t.TempDir(), bad)
		wantRefusal(t, err, identity.ErrInvalid)
	}
}

func TestLoad_WrongDirectory(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir, config("a"))
	tests := []struct {
		name   string
		edit   func(*identity.Config)
		reason error
		words  []string
	}{
		{"node", func(c *identity.Config) { c.Node = "b" }, identity.ErrOtherNode, []string{`"a"`, `"b"`}},
		{"cluster", func(c *identity.Config) { c.Cluster = "c2" }, identity.ErrOtherCluster, []string{`"c1"`, `"c2"`}},
		{"role", func(c *identity.Config) { c.Role = raftlog.RoleWitness }, identity.ErrOtherRole, []string{"data", "witness"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config("a")
			tt.edit(&cfg)
			_, err := identity.Load(dir, cfg)
			wantRefusal(t, err, tt.reason, append(tt.words, dir)...)
			_, err = identity.Open(dir, cfg)
			wantRefusal(t, err, tt.reason)
		})
	}
}

func TestOpen_NotFormatted(t *testing.T) {
	dir := t.TempDir()
	_, err := identity.Open(dir, config("a"))
	wantRefusal(t, err, identity.ErrNotFormatted, "twofold init", dir)
	wantNames(t, dir)
	_, err = identity.Open(filepath.Join(dir, "missing"), config("a"))
	wantRefusal(t, err, identity.ErrNotFormatted, "twofold init")
	_, err = identity.Load(dir, config("a"))
	wantRefusal(t, err, identity.ErrNotFormatted)

	// A binding without an identity is damage, not a fresh directory.
	writeTestFile(t, filepath.Join(dir, "cluster.json"), "{}")
	_, err = identity.Open(dir, config("a"))
	wantRefusal(t, err, identity.ErrDamaged, "replace this member")
	_, err = identity.Init(dir, config("a"))
	wantRefusal(t, err, identity.ErrNotEmpty, "cluster.json")
}

// Every single changed byte is found: as damage, or as a newer format.
func TestLoad_EveryByteCounts(t *testing.T) {
	dir := t.TempDir()
	id := mustInit(t, dir, config("a"))
	path := filepath.Join(dir, "identity.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x04
		writeTestFile(t, path, string(bad))
		got, err := identity.Load(dir, config("a"))
		if err == nil && got != id {
			t.Fatalf("byte %d (%q to %q) changed the identity to %+v", i, good[i], bad[i], got)
		}
		if err != nil && !errors.Is(err, identity.ErrDamaged) && !errors.Is(err, identity.ErrNewerFormat) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for n := range len(good) - 1 {
		writeTestFile(t, path, string(good[:n]))
		_, err := identity.Load(dir, config("a"))
		wantRefusal(t, err, identity.ErrDamaged)
	}
	writeTestFile(t, path, strings.Repeat("x", 65<<10))
	_, err = identity.Load(dir, config("a"))
	wantRefusal(t, err, identity.ErrDamaged, "too long")
}

func TestLoad_OtherFormat(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir, config("a"))
	path := filepath.Join(dir, "identity.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(good), `"format": 1`, `"format": 3`, 1)
	writeTestFile(t, path, newer)
	_, err = identity.Load(dir, config("a"))
	wantRefusal(t, err, identity.ErrNewerFormat, "format 3", "newer twofold")
	_, err = identity.Open(dir, config("a"))
	wantRefusal(t, err, identity.ErrNewerFormat)

	writeTestFile(t, path, strings.Replace(string(good), `"format": 1`, `"format": 0`, 1))
	_, err = identity.Load(dir, config("a"))
	wantRefusal(t, err, identity.ErrDamaged)
}

func TestOpen_OneProcessOnly(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir, config("a"))
	d, err := identity.Open(dir, config("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_, err = identity.Open(dir, config("a"))
	wantRefusal(t, err, identity.ErrLocked, dir)

	// A second process gets the same answer.
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperOpen$")
	cmd.Env = append(os.Environ(), "TWOFOLD_TEST_OPEN="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "in use by another process") {
		t.Fatalf("second process: %v\n%s", err, out)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := identity.Open(dir, config("a"))
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// TestHelperOpen is the second process of TestOpen_OneProcessOnly. Run by
// itself it has nothing to do.
func TestHelperOpen(t *testing.T) {
	dir := os.Getenv("TWOFOLD_TEST_OPEN")
	if dir == "" {
		return
	}
	_, err := identity.Open(dir, config("a"))
	t.Log(err)
	os.Stdout.WriteString(err.Error())
}

func writeTestFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s holds %v, want %v", dir, got, want)
	}
}
