package billyfs

import (
	"sync"

	"twofold/replica/vfs"
)

// dirtyTable knows which files opened through one [New] hold unsent bytes.
// Programs expect that what is written through one open file can be read
// through another: go-git reads a pack while it writes it. So whoever reads an
// inode, or changes it otherwise, has the unsent bytes for it sent first.
//
// Its mutex is taken under a File's, never the other way round, and no File's
// mutex is held while another File is asked to send.
type dirtyTable struct {
	mu    sync.Mutex
	files map[vfs.Ref]map[*File]struct{}
}

func newDirtyTable() *dirtyTable {
	return &dirtyTable{files: make(map[vfs.Ref]map[*File]struct{})}
}

// add notes that f holds unsent bytes.
func (t *dirtyTable) add(f *File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.files[f.ref] == nil {
		t.files[f.ref] = make(map[*File]struct{}, 1)
	}
	t.files[f.ref][f] = struct{}{}
}

// drop notes that f holds none.
func (t *dirtyTable) drop(f *File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.files[f.ref], f)
	if len(t.files[f.ref]) == 0 {
		delete(t.files, f.ref)
	}
}

// settle has every file but one send its unsent bytes for ref, and reports
// whether there were any. An error stays with the file that wrote the bytes.
func (t *dirtyTable) settle(ref vfs.Ref, but *File) bool {
	t.mu.Lock()
	var files []*File
	for f := range t.files[ref] {
		if f != but {
			files = append(files, f)
		}
	}
	t.mu.Unlock()
	for _, f := range files {
		f.mu.Lock()
		_ = f.flushLocked() // Kept in f for its own Sync and Close.
		f.mu.Unlock()
	}
	return len(files) > 0
}

// settleAll is settle for every inode.
func (t *dirtyTable) settleAll() {
	t.mu.Lock()
	refs := make([]vfs.Ref, 0, len(t.files))
	for ref := range t.files {
		refs = append(refs, ref)
	}
	t.mu.Unlock()
	for _, ref := range refs {
		t.settle(ref, nil)
	}
}
