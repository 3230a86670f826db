package replica

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"twofold/raftlog"
	"twofold/replica/command"
)

// A disk that does not take the state ends the node with an error. It must not
// hang whoever waits for a flush, nor be tried for ever.
func TestStore_FlushFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := Open(Config{Dir: dir, ReserveBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.Commit([]raftlog.Entry{entryOf(t, 1, 1, 1, origin(1), &command.Format{BlockSize: 4096})})
	s.applied.wait(1, nil)
	if err := os.RemoveAll(dir); err != nil { // as good as EIO or ENOSPC
		t.Fatal(err)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- s.Flush() }()
	for what, c := range map[string]<-chan error{"Flush": flushed, "Fatal": s.Fatal()} {
		select {
		case err := <-c:
			if !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s hangs", what)
		}
	}
	if err := s.Close(); err == nil {
		t.Error("Close says that all is well")
	}
}
