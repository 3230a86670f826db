package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// makeTree makes a small tree with fixed times.
func makeTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	when := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	err := steps(
		func() error { return os.Mkdir(filepath.Join(root, "dir"), 0o755) },
		func() error { return os.WriteFile(filepath.Join(root, "dir", "file"), []byte("content"), 0o644) },
		func() error { return os.Symlink("dir/file", filepath.Join(root, "link")) },
		func() error { return os.Chtimes(filepath.Join(root, "dir", "file"), when, when) },
	)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// sameTimes gives everything of a tree that was changed the times that it had, so that only the intended change is left.
func sameTimes(t *testing.T, want, got string) {
	t.Helper()
	for _, name := range []string{"dir/file", "dir", "."} {
		info, err := os.Stat(filepath.Join(want, name))
		if err != nil {
			t.Fatal(err)
		}
		err = os.Chtimes(filepath.Join(got, name), info.ModTime(), info.ModTime())
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// TestCompareTrees shows that every kind of difference is found: a check that finds nothing proves nothing.
func TestCompareTrees(t *testing.T) {
	file := filepath.Join("dir", "file")
	for name, tt := range map[string]struct {
		change    func(root string) error
		keepTimes bool
		same      bool
	}{
		"same":    {change: func(string) error { return nil }, same: true},
		"content": {change: func(r string) error { return os.WriteFile(filepath.Join(r, file), []byte("CONTENT"), 0) }},
		"size":    {change: func(r string) error { return os.WriteFile(filepath.Join(r, file), []byte("more content"), 0) }},
		"mode":    {change: func(r string) error { return os.Chmod(filepath.Join(r, file), 0o600) }},
		"missing": {change: func(r string) error { return os.Remove(filepath.Join(r, file)) }},
		"extra":   {change: func(r string) error { return os.WriteFile(filepath.Join(r, "dir", "extra"), nil, 0o644) }},
		"time": {keepTimes: true, change: func(r string) error {
			return os.Chtimes(filepath.Join(r, file), time.Time{}, time.Date(2001, 2, 3, 4, 5, 6, 790, time.UTC))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			want := makeTree(t)
			got := filepath.Join(t.TempDir(), "copy")
			if _, err := tool(t.Context(), "/", "cp", "-a", want, got); err != nil {
				t.Fatal(err)
			}
			if err := tt.change(got); err != nil {
				t.Fatal(err)
			}
			if !tt.keepTimes {
				sameTimes(t, want, got)
			}
			_, _, err := compareTrees(t.Context(), want, got)
			if (err == nil) != tt.same {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWantEachOnce_Missing(t *testing.T) {
	dir := t.TempDir()
	for i := range manyFiles {
		if i == manyFiles/2 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, manyName(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := wantEachOnce(dir); err == nil {
		t.Error("a missing file was not noticed")
	}
	if err := os.WriteFile(filepath.Join(dir, manyName(manyFiles/2)), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := wantEachOnce(dir); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "one more"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := wantEachOnce(dir); err == nil {
		t.Error("a file too many was not noticed")
	}
}

func TestWantSum_Differs(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	sum, err := writeRandom(t.Context(), name, bigChunk+5)
	if err != nil {
		t.Fatal(err)
	}
	if err := wantSum(t.Context(), name, bigChunk+5, sum); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0, 0}, bigChunk); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := wantSum(t.Context(), name, bigChunk+5, sum); err == nil {
		t.Error("two changed bytes were not noticed")
	}
}
