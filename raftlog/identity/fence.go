package identity

import (
	"os"
	"path/filepath"
	"time"
)

// fenceFile says that the cluster goes on without this node.
const fenceFile = "fence.json"

// Fence is why a node may never take part again. It outlasts a restart: a node
// that is cut off from those who know must not form a quorum with others like it.
type Fence struct {
	Why  string    `json:"why"`
	Time time.Time `json:"time"`
}

// Fence records, durably, that this node is out of the cluster for ever. The first
// reason stays.
func (d *Dir) Fence(why string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.closed {
		return os.ErrClosed
	}
	if _, err := os.Stat(filepath.Join(d.path, fenceFile)); err == nil {
		return nil
	}
	return writeFile(d.path, fenceFile, kindFence, formatLater, Fence{Why: why, Time: time.Now().UTC().Truncate(time.Second)})
}

// checkFence refuses a directory that was fenced.
func checkFence(dir string) error {
	var f Fence
	err := readFile(dir, fenceFile, kindFence, &f)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return refuse(ErrFenced,
		"directory %s is out of its cluster for ever, since %s: %s: to bring this machine back, format another directory with \"twofold init --join\" and add it as a new member",
		dir, f.Time.Format(time.RFC3339), f.Why)
}
