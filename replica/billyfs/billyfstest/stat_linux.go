package billyfstest

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

const modeChr = syscall.S_IFCHR

var errNXIO error = syscall.ENXIO

// statOf is what tests look at in FileInfo.Sys.
type statOf struct {
	ino, nlink uint64
	uid, gid   uint32
	atime      time.Time
}

func stat(t *testing.T, fi os.FileInfo) statOf {
	t.Helper()
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatalf("Sys is a %T", fi.Sys())
	}
	return statOf{st.Ino, uint64(st.Nlink), st.Uid, st.Gid, time.Unix(st.Atim.Unix())}
}

// staleFile reports that a file was replaced while it was being read.
func staleFile(err error) bool { return errors.Is(err, syscall.ESTALE) }
