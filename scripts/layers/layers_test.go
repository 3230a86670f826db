package layers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxLines is the ceiling for one file of code.
const maxLines = 600

// topLevel is everything that the repository has at its top level.
var topLevel = []string{
	".ci", ".gitignore", "LICENSE", "Makefile", "README.md", "cmd", "docs", "go.mod", "go.sum",
	"metrics", "nfs", "raftlog", "replica", "scripts",
}

// layer is a rule: a package at or below Tree may depend on itself, on what is below it, and on the trees of May. The first rule
// that fits a package is its own.
type layer struct {
	tree string
	may  []string
}

var layers = []layer{
	{"replica/vfs", nil},
	{"metrics", nil},
	{"raftlog/model", nil},
	{"raftlog", []string{"metrics"}},
	{"nfs", []string{"replica/vfs", "metrics"}},
	{"replica/command", []string{"replica/vfs"}},
	{"replica/duplicate", []string{"replica/vfs"}},
	{"replica/state", []string{"replica/vfs", "replica/command", "replica/duplicate", "metrics"}},
	{"replica/modelfs", []string{"replica/vfs"}},
	{"replica/billyfs", []string{"replica/vfs"}},
	{"replica/peer", []string{"replica/vfs", "replica/command", "raftlog", "metrics"}},
	{"replica", []string{"raftlog", "metrics"}},
	{"scripts/conformance", []string{"nfs", "replica/vfs"}},
	{"scripts/faultlab", []string{"nfs", "replica/vfs"}},
	{"scripts/clientcheck", []string{"nfs", "replica/vfs", "replica/duplicate", "scripts/faultlab"}},
	{"scripts/benchlab", []string{"nfs", "replica/vfs"}},
	{"scripts", nil},
	{"cmd", []string{"nfs", "replica", "raftlog", "metrics"}},
}

// goPackage is what `go list -json` tells of a package.
type goPackage struct {
	ImportPath string
	Dir        string
	Deps       []string
	Module     struct{ Path, Dir string }
}

// listPackages gives every package of the module with all that it depends on, its tests left out.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Deps,Module", "./...")
	cmd.Dir = filepath.Join("..", "..")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, errs.String())
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		list = append(list, p)
	}
}

// within says whether a path is a tree's root or below it.
func within(path, tree string) bool {
	return path == tree || strings.HasPrefix(path, tree+"/")
}

// forbidden gives those of deps that a package must not depend on. All are paths within the module.
func forbidden(pkg string, deps []string) []string {
	i := slices.IndexFunc(layers, func(l layer) bool { return within(pkg, l.tree) })
	if i < 0 {
		return []string{"anything: no layer has this package"}
	}
	allowed := func(dep string) bool {
		return within(dep, layers[i].tree) ||
			slices.ContainsFunc(layers[i].may, func(tree string) bool { return within(dep, tree) })
	}
	return slices.DeleteFunc(slices.Clone(deps), allowed)
}

func TestLayers(t *testing.T) {
	for _, p := range listPackages(t) {
		prefix := p.Module.Path + "/"
		var deps []string
		for _, d := range p.Deps {
			if dep, ok := strings.CutPrefix(d, prefix); ok {
				deps = append(deps, dep)
			}
		}
		for _, d := range forbidden(strings.TrimPrefix(p.ImportPath, prefix), deps) {
			t.Errorf("%s must not depend on %s", p.ImportPath, d)
		}
	}
}

// TestForbidden shows that the rules refuse what they are there for.
func TestForbidden(t *testing.T) {
	for _, tt := range []struct {
		pkg, dep string
		want     bool
	}{
		{"nfs/nfs3", "nfs/xdr", false},
		{"nfs/nfs3", "replica/vfs", false},
		{"nfs/nfs3", "replica", true},
		{"nfs/nfs3", "replica/state", true},
		{"nfs", "raftlog", true},
		{"raftlog/logstore", "raftlog", false},
		{"raftlog", "metrics", false},
		{"raftlog", "replica/vfs", true},
		{"raftlog", "nfs/xdr", true},
		{"replica", "raftlog", false},
		{"replica", "nfs", true},
		{"replica/vfs", "metrics", true},
		{"replica/command", "raftlog", true},
		{"metrics", "replica/vfs", true},
		{"cmd/twofold", "nfs", false},
		{"scripts/guest", "nfs/client", true},
		{"nowhere", "metrics", true},
		{"nfsish", "replica/vfs", true},
	} {
		if got := len(forbidden(tt.pkg, []string{tt.dep})) > 0; got != tt.want {
			t.Errorf("%s on %s: forbidden is %v, want %v", tt.pkg, tt.dep, got, tt.want)
		}
	}
}

func TestDocumentation(t *testing.T) {
	for _, p := range listPackages(t) {
		text, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
		if err != nil {
			t.Errorf("every package has a doc.go: %v", err)
			continue
		}
		for _, heading := range []string{"# Contract", "# Concurrency"} {
			if !strings.Contains(string(text), "\n// "+heading+"\n") {
				t.Errorf("%s/doc.go has no heading %q", p.ImportPath, heading)
			}
		}
	}
}

func TestTopLevel(t *testing.T) {
	ignored := ignoredNames(t)
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if !ignored[e.Name()] {
			got = append(got, e.Name())
		}
	}
	for _, name := range got {
		if !slices.Contains(topLevel, name) {
			t.Errorf("%s does not belong at the top level", name)
		}
	}
	for _, name := range topLevel {
		if !slices.Contains(got, name) {
			t.Errorf("%s is missing at the top level", name)
		}
	}
}

// ignoredNames gives the names at the top level that git does not keep.
func ignoredNames(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{".git": true}
	for line := range strings.Lines(string(text)) {
		names[strings.Trim(strings.TrimSpace(line), "/")] = true
	}
	return names
}

func TestFileSize(t *testing.T) {
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == ".git" || name == "bin" || name == "testdata" || name == ".twofold-dev") {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() || filepath.Ext(name) != ".go" && filepath.Ext(name) != ".sh" && name != "client-test" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := bytes.Count(text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, the ceiling is %d", path, n, maxLines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
