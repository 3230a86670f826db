package vfs

// Kind is the file system's verdict on one call. The numbers are written to
// the log's results and sent between nodes: append only.
type Kind uint16

// The verdicts. Each is decided by the state alone, alike at both nodes.
const (
	OK           Kind = 0
	Perm         Kind = 1  // not owner
	NotExist     Kind = 2  // no such name
	IO           Kind = 3  // the state cannot be read; never a policy verdict
	NXIO         Kind = 4  // no such device
	Access       Kind = 5  // permission bits forbid it
	Exist        Kind = 6  // the name is there
	CrossDevice  Kind = 7  // two volumes in one call
	NotDir       Kind = 8  // a directory was needed
	IsDir        Kind = 9  // a directory was not allowed
	Invalid      Kind = 10 // an argument makes no sense for this object
	TooBig       Kind = 11 // beyond MaxFileSize
	NoSpace      Kind = 12
	ReadOnly     Kind = 13
	TooManyLinks Kind = 14
	NameTooLong  Kind = 15
	NotEmpty     Kind = 16
	Quota        Kind = 17
	Stale        Kind = 18 // the inode is gone, or the generation differs
	BadHandle    Kind = 19
	NotSync      Kind = 20 // SETATTR's guard does not match
	BadCookie    Kind = 21
	NotSupported Kind = 22
	TooSmall     Kind = 23
	BadType      Kind = 24
	kindEnd      Kind = 25
)

var kindNames = [...]string{
	"ok", "not owner", "not found", "input/output error", "no such device",
	"permission denied", "exists", "cross-device", "not a directory", "is a directory",
	"invalid argument", "file too large", "no space", "read-only", "too many links",
	"name too long", "directory not empty", "quota exceeded", "stale", "bad handle",
	"not in sync", "bad cookie", "not supported", "too small", "bad type",
}

// Kinds returns every verdict, for tables that must be exhaustive.
func Kinds() []Kind {
	all := make([]Kind, 0, kindEnd)
	for k := OK; k < kindEnd; k++ {
		all = append(all, k)
	}
	return all
}

// Valid reports whether k is a verdict that this version knows.
func (k Kind) Valid() bool { return k < kindEnd }

// String names the verdict in lower case.
func (k Kind) String() string {
	if !k.Valid() {
		return "unknown kind"
	}
	return kindNames[k]
}
