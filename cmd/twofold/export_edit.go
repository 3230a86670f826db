package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"twofold/nfs/export"
	"twofold/replica/vfs"
)

// exportStore is what this command needs of the replicated export table;
// [replica.Store] has it.
type exportStore interface {
	// Exports returns the table as this node has it, and a channel that is
	// closed when it changes.
	Exports() (vfs.ExportTable, <-chan struct{})
	// ReadExports returns the table with every change that was acknowledged
	// before the call.
	ReadExports(ctx context.Context) (vfs.ExportTable, error)
	// SetExports replaces the table if it still has the version base.
	SetExports(ctx context.Context, base uint64, exports []vfs.Export, source string) (vfs.Result, error)
}

// The actions of an exportEdit.
const (
	exportSet    = "set"
	exportRemove = "remove"
	exportApply  = "apply"
)

// exportEdit is one change of the export table, as an operator asks for it. It
// travels over the admin socket.
type exportEdit struct {
	Action  string   `json:"action"`
	Path    octets   `json:"path,omitempty"`    // of set and remove
	Clients []string `json:"clients,omitempty"` // of set, each CLIENT or CLIENT(OPTIONS)
	Text    octets   `json:"text,omitempty"`    // of apply: the file
	Name    string   `json:"name,omitempty"`    // of apply: what errors call the file
	// Base, if there is one, is the only version that may be replaced.
	Base *uint64 `json:"base,omitempty"`
	// DryRun shows what would change and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// source is what the table says that it came from.
func (e *exportEdit) source() string {
	if e.Action == exportApply {
		return "export apply " + e.Name
	}
	return "export " + e.Action + " " + string(e.Path)
}

// edit returns the entries after the change of a table. It changes nothing.
func (e *exportEdit) edit(table vfs.ExportTable) ([]vfs.Export, error) {
	if e.Base != nil && *e.Base != table.Version {
		return nil, fmt.Errorf("the export table has version %d, set by %s from %s, and not version %d: nothing was changed: look at export list, and repeat the command with --base %[1]d",
			table.Version, table.By, table.Source, *e.Base)
	}
	switch e.Action {
	case exportSet:
		entry, err := setEntry(string(e.Path), e.Clients)
		if err != nil {
			return nil, err
		}
		return withExport(table.Exports, entry), nil
	case exportRemove:
		return withoutExport(table.Exports, string(e.Path))
	case exportApply:
		entries, err := export.Parse(strings.NewReader(string(e.Text)), e.Name)
		if err != nil {
			return nil, fmt.Errorf("%w: nothing was changed", err)
		}
		return keepRoots(entries, table.Exports), nil
	}
	return nil, fmt.Errorf("%q is no change of the export table", e.Action)
}

// setEntry makes the entry of export set. Its directory is looked up anew, even
// if the path is in the table: the operator means what has this name now.
func setEntry(path string, clients []string) (vfs.Export, error) {
	entry, err := export.ParseExport(path, strings.Join(clients, " "))
	if err != nil {
		return vfs.Export{}, fmt.Errorf("export set: %w: nothing was changed", err)
	}
	return entry, nil
}

// withExport returns the entries with one replaced or added.
func withExport(old []vfs.Export, entry vfs.Export) []vfs.Export {
	next := slices.Clone(old)
	if i := findExport(next, entry.Path); i >= 0 {
		next[i] = entry
		return next
	}
	next = append(next, entry)
	slices.SortFunc(next, func(a, b vfs.Export) int { return strings.Compare(a.Path, b.Path) })
	return next
}

// withoutExport returns the entries without one.
func withoutExport(old []vfs.Export, path string) ([]vfs.Export, error) {
	if clean, err := export.CleanPath(path); err == nil {
		path = clean
	}
	i := findExport(old, path)
	if i < 0 {
		return nil, fmt.Errorf("export remove: %q is not in the export table: export list shows what is", path)
	}
	return slices.Delete(slices.Clone(old), i, i+1), nil
}

// keepRoots gives entries that stay as they are the directories that they have:
// a file that is read again must not move an export whose directory was renamed.
func keepRoots(entries, old []vfs.Export) []vfs.Export {
	for i, e := range entries {
		if j := findExport(old, e.Path); j >= 0 && old[j].Clients == e.Clients {
			entries[i].Root = old[j].Root
		}
	}
	return entries
}

// findExport returns the index of a path, or -1.
func findExport(entries []vfs.Export, path string) int {
	return slices.IndexFunc(entries, func(e vfs.Export) bool { return e.Path == path })
}

// sameExports reports that two tables say the same, in whatever order.
func sameExports(a, b []vfs.Export) bool { return len(diffExports(a, b)) == 0 }

// diffExports tells what changes from one table to another: the lines of a file
// that go, after "- ", and those that come, after "+ ".
func diffExports(from, to []vfs.Export) []string {
	var diff []string
	for _, e := range from {
		if j := findExport(to, e.Path); j < 0 || to[j].Clients != e.Clients {
			diff = append(diff, "- "+exportLine(e))
		}
		if j := findExport(to, e.Path); j >= 0 && to[j].Clients != e.Clients {
			diff = append(diff, "+ "+exportLine(to[j]))
		}
	}
	for _, e := range to {
		if findExport(from, e.Path) < 0 {
			diff = append(diff, "+ "+exportLine(e))
		}
	}
	return diff
}

// exportLine is an entry as one line of a file.
func exportLine(e vfs.Export) string {
	return strings.TrimSpace(export.Format([]vfs.Export{e}))
}

// refusedExports is the error of a table that the state machine refused; at is
// the number of the entry that was wrong.
func refusedExports(kind vfs.Kind, entries []vfs.Export, at uint32) error {
	path := "the export table"
	if int(at) < len(entries) {
		path = entries[at].Path
	}
	switch kind {
	case vfs.NotExist:
		return fmt.Errorf("%s: no such directory in the volume: make it through a mount of a directory above it, or correct the path; nothing was changed", path)
	case vfs.NotDir:
		return fmt.Errorf("%s: is not a directory: only directories can be exported; nothing was changed", path)
	case vfs.Exist:
		return fmt.Errorf("%s: is the directory of another export, which was renamed since: remove that one, or leave this one out; nothing was changed", path)
	case vfs.Invalid:
		return fmt.Errorf("%s: is no path of an export: write it from the volume's root, clean and once only, like /projects; nothing was changed", path)
	}
	return fmt.Errorf("%s: refused (%s); nothing was changed", path, kind)
}

// readExportsFile reads and checks an exports file.
func readExportsFile(path string) ([]vfs.Export, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return export.Parse(f, path)
}

// errOutcome marks an error after which nobody knows whether the table changed.
var errOutcome = errors.New("not known whether the export table was changed")
