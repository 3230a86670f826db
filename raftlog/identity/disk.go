package identity

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxNamesFound bounds how many names a refusal of Init lists.
const maxNamesFound = 4

// maxPIDBytes bounds what is read of the lock file.
const maxPIDBytes = 16

// harmless are the names that Init does not mind: what it leaves itself when it
// is interrupted, and what mkfs puts into every new ext4 file system.
var harmless = []string{lockFile, identityFile + tmpSuffix, "lost+found"}

// checkEmpty refuses a directory that holds anything but harmless names. A
// missing directory is empty.
func checkEmpty(dir string) error {
	f, err := os.Open(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return refuse(ErrNotEmpty, "%s is not a directory: give an empty or missing one", dir)
	}
	// One name more than the list and the harmless ones may need.
	names, err := f.Readdirnames(maxNamesFound + len(harmless) + 1)
	if err != nil && err != io.EOF {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(harmless, n) })
	if len(names) == 0 {
		return nil
	}
	return notEmpty(dir, names)
}

func notEmpty(dir string, names []string) error {
	if _, err := os.Lstat(filepath.Join(dir, identityFile)); err == nil {
		who := "a node"
		if id, err := readIdentity(dir); err == nil {
			who = fmt.Sprintf("node %q of cluster %q", id.Node, id.Cluster)
		}
		return refuse(ErrNotEmpty,
			"directory %s is formatted already, as %s: start it with \"twofold serve\", or give another directory",
			dir, who)
	}
	slices.Sort(names)
	list := strings.Join(names, ", ")
	if len(names) > maxNamesFound {
		list = strings.Join(names[:maxNamesFound], ", ") + ", ..."
	}
	return refuse(ErrNotEmpty, "directory %s is not empty (it holds %s): give an empty or missing one", dir, list)
}

// checkSpace refuses a file system with less than min bytes free for dir, which
// need not exist yet.
func checkSpace(dir string, min uint64) error {
	if min == 0 {
		min = DefaultMinFreeBytes
	}
	at := dir
	for {
		var st unix.Statfs_t
		err := unix.Statfs(at, &st)
		if err == nil {
			free := st.Bavail * uint64(st.Bsize)
			if free < min {
				return refuse(ErrNoSpace, "only %d MiB are free for directory %s, and %d MiB are the minimum (reserve in the config): free some space, give another directory, or lower reserve",
					free>>20, dir, min>>20)
			}
			return nil
		}
		parent := filepath.Dir(at)
		if err != unix.ENOENT || parent == at {
			return &os.PathError{Op: "statfs", Path: at, Err: err}
		}
		at = parent
	}
}

// makeDir makes dir and what is missing above it, each durable in its parent.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if os.IsExist(err) {
		return nil
	}
	parent := filepath.Dir(dir)
	if os.IsNotExist(err) && parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil && !os.IsExist(err) {
		return err
	}
	return syncDir(parent)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// lockDir takes the directory for this process. The kernel drops the lock when
// the file is closed, so a killed process leaves none behind. The file's content
// is only a hint for people.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		pid, _ := io.ReadAll(io.LimitReader(f, maxPIDBytes))
		f.Close()
		return nil, refuse(ErrLocked, "directory %s is in use by another process (pid %s): stop that one first",
			dir, orUnknown(strings.TrimSpace(string(pid))))
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	// A hint that cannot be written, on a full disk, is no reason to refuse.
	if f.Truncate(0) == nil {
		fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
