package vfs

import "context"

// FS is one volume. Every method is linearizable: it sees every change whose
// reply was sent, at either data node, before the method was called.
//
// A method returns when its answer is known, when ctx ends (then with an error
// that wraps one of errors.go), or when a bound of the implementation is
// reached.
type FS interface {
	// Volume returns the constants of the volume, or ErrNotReady before the
	// volume was formatted in the log. It does not block.
	Volume() (Volume, error)

	// Mutate applies op on behalf of call and returns after the change is
	// durable and visible.
	Mutate(ctx context.Context, call *Call, op Op) (Result, error)

	// GetAttr needs no permission.
	GetAttr(ctx context.Context, ref Ref) (AttrResult, error)

	// Lookup needs execute permission on dir. The names "." and ".." are
	// understood; the root is its own parent.
	Lookup(ctx context.Context, cred Cred, dir Ref, name string) (LookupResult, error)

	// Readlink returns a symlink's target; Invalid for other types.
	Readlink(ctx context.Context, cred Cred, ref Ref) (ReadlinkResult, error)

	// Read fills buf from off, up to the end of the file. IsDir for a
	// directory, Invalid for what is neither file nor directory.
	Read(ctx context.Context, cred Cred, ref Ref, off uint64, buf []byte) (ReadResult, error)

	// ReadDir returns at most max entries whose cookies follow after, "." and
	// ".." included, in cookie order. It needs read permission on dir. With
	// plus each entry has its attributes (of the inode, not following), but
	// only "." and ".." for one who may not search dir.
	ReadDir(ctx context.Context, cred Cred, dir Ref, after Cookie, plus bool, max int) (ReadDirResult, error)

	// StatFS tells what the volume holds and what is free.
	StatFS(ctx context.Context, ref Ref) (StatFSResult, error)
}

type (
	// AttrResult answers GetAttr.
	AttrResult struct {
		Kind Kind
		Attr Attr
	}

	// LookupResult answers Lookup. Dir is valid if HasDir, on failure too.
	LookupResult struct {
		Kind   Kind
		Attr   Attr
		HasDir bool
		Dir    Attr
	}

	// ReadlinkResult answers Readlink. Attr is valid if HasAttr.
	ReadlinkResult struct {
		Kind    Kind
		Target  string
		HasAttr bool
		Attr    Attr
	}

	// ReadResult answers Read. Attr is valid if HasAttr. N counts the bytes
	// put into the buffer; EOF says that they end at or after the file's end.
	ReadResult struct {
		Kind    Kind
		N       int
		EOF     bool
		HasAttr bool
		Attr    Attr
	}

	// Dirent is one directory entry.
	Dirent struct {
		Name   string
		Ino    Ino
		Cookie Cookie
		Attr   Attr // with plus only
	}

	// ReadDirResult answers ReadDir. Dir is valid if HasDir. EOF says that
	// nothing follows the last entry.
	ReadDirResult struct {
		Kind    Kind
		Entries []Dirent
		EOF     bool
		HasDir  bool
		Dir     Attr
	}

	// StatFSResult answers StatFS. Bytes and inodes, total and free.
	StatFSResult struct {
		Kind       Kind
		HasAttr    bool
		Attr       Attr
		TotalBytes uint64
		FreeBytes  uint64 // at the fuller of the two data nodes
		Inodes     uint64 // in use
		FreeInodes uint64
	}
)
