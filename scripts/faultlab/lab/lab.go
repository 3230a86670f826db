package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// readyLimit is how long a cluster may take until it serves.
const readyLimit = 2 * time.Minute

// Options say what Open makes.
type Options struct {
	Index      int    // of this lab among those of the program
	Binary     string // the twofold program
	Logs       string // directory for the nodes' logs
	ImageBytes int64  // size of each node's disk; 0 for 2 GiB
}

// Lab is a running cluster.
type Lab struct {
	options  Options
	dir      string
	lock     *os.File
	guardian *guardian
	network  network
	members  [Nodes]*member
}

// Open formats and starts a cluster, and waits until clients are served.
func Open(ctx context.Context, o Options) (*Lab, error) {
	if os.Getenv(insideVariable) == "" {
		return nil, errors.New("lab: Enter was not called")
	}
	if o.ImageBytes == 0 {
		o.ImageBytes = 2 << 30
	}
	binary, err := filepath.Abs(o.Binary)
	if err != nil {
		return nil, err
	}
	o.Binary = binary
	if err := os.MkdirAll(o.Logs, 0o755); err != nil {
		return nil, err
	}
	l := &Lab{options: o, network: network{o.Index}}
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	if err := l.makeDir(); err != nil {
		return err
	}
	if err := l.network.open(); err != nil {
		return err
	}
	for n := range Nodes {
		if err := l.addMember(Node(n)); err != nil {
			return err
		}
	}
	for _, m := range l.members {
		if err := m.start(l.options.Binary); err != nil {
			return err
		}
	}
	return l.AwaitHealthy(ctx, readyLimit)
}

// makeDir makes the run's directory, with its lock and its guardian.
func (l *Lab) makeDir() (err error) {
	if err := removeDeadRuns(os.TempDir()); err != nil {
		return err
	}
	if l.dir, err = os.MkdirTemp("", runPrefix); err != nil {
		return err
	}
	// It gets its name once it is locked: an unlocked one would be taken for that of a dead run.
	path := filepath.Join(l.dir, lockName)
	if l.lock, err = os.Create(path + ".new"); err != nil {
		return err
	}
	if err := errors.Join(unix.Flock(int(l.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB), os.Rename(path+".new", path)); err != nil {
		return err
	}
	l.guardian, err = newGuardian(l.dir, l.lock)
	return err
}

// addMember makes one node with all that belongs to it.
func (l *Lab) addMember(n Node) (err error) {
	m := &member{
		name:   n,
		config: filepath.Join(l.dir, n.String()+".yaml"),
		log:    filepath.Join(l.options.Logs, fmt.Sprintf("%d-%s.log", l.options.Index, n)),
	}
	l.members[n] = m
	if err := os.Remove(m.log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if m.thread, err = newThread(); err != nil {
		return err
	}
	if err := l.network.join(n, m.thread); err != nil {
		return err
	}
	if m.disk, err = newDisk(l.dir, n, l.options.ImageBytes); err != nil {
		return err
	}
	exports := fmt.Sprintf("/ %s/24(rw,no_root_squash,insecure)\n", l.network.addr(0))
	err = errors.Join(
		os.WriteFile(filepath.Join(l.dir, "exports"), []byte(exports), 0o600),
		os.WriteFile(m.config, []byte(l.configText(n)), 0o600))
	if err != nil {
		return err
	}
	return m.format(l.options.Binary)
}

// configText is the config file of a node.
func (l *Lab) configText(n Node) string {
	role, nfs := "data", "nfs: {listen: \"0.0.0.0:2049\", rpcbind: \"off\"}\nexports_file: exports\n"
	if n == W {
		role, nfs = "witness", ""
	}
	return fmt.Sprintf(`cluster: lab
node: %s
role: %s
dir: %s
members:
  - {name: a, role: data, addr: "%s:%d"}
  - {name: b, role: data, addr: "%s:%d"}
  - {name: w, role: witness, addr: "%s:%d"}
listen: "0.0.0.0:%d"
insecure_peers: true
http: {listen: "0.0.0.0:%d"}
reserve: 64MiB
memory: {limit: 192MiB, cache: 16MiB, memtable: 8MiB}
%s`, n, role, l.stateDir(n),
		l.network.nodeAddr(A), peerPort, l.network.nodeAddr(B), peerPort, l.network.nodeAddr(W), peerPort,
		peerPort, httpPort, nfs)
}

// stateDir is where a node keeps all that it has.
func (l *Lab) stateDir(n Node) string { return filepath.Join(l.dir, n.String(), "state") }

// NFSAddrs returns the addresses for clients.
func (l *Lab) NFSAddrs() [2]string {
	return [2]string{
		fmt.Sprintf("%s:%d", l.network.nodeAddr(A), nfsPort),
		fmt.Sprintf("%s:%d", l.network.nodeAddr(B), nfsPort),
	}
}

// Close ends the cluster and removes all of it but its logs.
func (l *Lab) Close() error {
	var errs []error
	for _, m := range l.members {
		if m != nil {
			errs = append(errs, m.close())
		}
	}
	if l.members[A] != nil { // then there is a bridge
		errs = append(errs, l.network.close())
	}
	if l.dir != "" {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	if l.guardian != nil {
		errs = append(errs, l.guardian.close())
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close())
	}
	return errors.Join(errs...)
}

// Ended tells which processes ended without being told to, since the last call.
func (l *Lab) Ended() []string {
	var all []string
	for _, m := range l.members {
		all = append(all, m.takeEnded()...)
	}
	return all
}

// Start starts a node that is down.
func (l *Lab) Start(n Node) error { return l.members[n].start(l.options.Binary) }

// Kill ends a node's process at once.
func (l *Lab) Kill(n Node) error { return l.members[n].end(syscall.SIGKILL) }

// Stop asks a node to end and waits until it has.
func (l *Lab) Stop(n Node) error { return l.members[n].end(syscall.SIGTERM) }

// Terminate asks a node to end and does not wait.
func (l *Lab) Terminate(n Node) error {
	_, err := l.members[n].signal(syscall.SIGTERM)
	return err
}

// Fill leaves so many bytes of a node's disk free; Empty gives the space back.
func (l *Lab) Fill(n Node, leave int64) error { return l.members[n].disk.fill(leave) }

// Empty ends Fill.
func (l *Lab) Empty(n Node) error { return l.members[n].disk.empty() }

// Index tells this lab from others of the program.
func (l *Lab) Index() int { return l.options.Index }
