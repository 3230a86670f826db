package vfs

import (
	"context"
	"net/netip"
)

// Limits of the replicated tables. The state machine enforces them.
const (
	MaxExports     = 256       // entries of the export table
	MaxExportBytes = 256 << 10 // bytes of all their paths and client lists
	MaxPath        = 1024      // bytes of an export's or a mount's path (MNTPATHLEN, RFC 1813 section 5.1.1)
	MaxHost        = 255       // bytes of a client's name in the list of mounts (MNTNAMLEN)
	MaxMounts      = 4096      // entries of the list of mounts; the oldest goes first
	MaxMembers     = 16        // member records
	MaxAddrs       = 64        // addresses of one member
)

// Export is one entry of the export table: a directory of the volume and who
// may use it how.
type Export struct {
	// Path is absolute and clean. It is the export's name: its directory is
	// looked up when the entry is made, and stays the export's when it is
	// renamed.
	Path string
	// Root is the directory. In a change of the table a zero Root asks that
	// Path is looked up.
	Root Ref
	// Clients is the list of clients with their options, in the words of
	// package nfs/export. The state machine does not read it.
	Clients string
}

// ExportTable is the export table of the cluster.
type ExportTable struct {
	Version uint64 // counts the changes of the table; 0 means that it was never set
	Time    Time   // of the last change, by the log's clock
	By      string // the node that proposed it
	Source  string // what it came from: a command, or a file's name
	Exports []Export
}

// Mount is one entry of the list of mounts.
type Mount struct {
	Host string // the client's address
	Path string
}

// MountList is the cluster's list of mounts, which the MOUNT program keeps for
// its procedure DUMP. It is a courtesy to administrators: whether a client may
// use the volume never depends on it.
type MountList interface {
	// AddMount puts m at the end, once.
	AddMount(ctx context.Context, m Mount) error
	// RemoveMount takes m out if it is there.
	RemoveMount(ctx context.Context, m Mount) error
	// RemoveMounts takes out all entries of a host.
	RemoveMounts(ctx context.Context, host string) error
	// Mounts returns the list, the oldest entry first.
	Mounts(ctx context.Context) ([]Mount, error)
}

// Member is what a node of the cluster publishes of itself.
type Member struct {
	Name  string
	ID    [16]byte     // the identity of its directory
	Addrs []netip.Addr // of its host, without loopback
}
