package client

import "twofold/replica/vfs"

// Results of the procedures. Pointers and WCC are as the server sent them, on
// success and on failure; the other fields are valid if Status is OK.
type (
	// AttrRes answers GETATTR.
	AttrRes struct {
		Status Status
		Attr   Attr
	}

	// WCCRes answers SETATTR, REMOVE and RMDIR: the object, or the directory.
	WCCRes struct {
		Status Status
		WCC    WCC
	}

	// LookupRes answers LOOKUP.
	LookupRes struct {
		Status Status
		FH     FH
		Attr   *Attr
		Dir    *Attr
	}

	// AccessRes answers ACCESS.
	AccessRes struct {
		Status Status
		Attr   *Attr
		Access uint32
	}

	// ReadlinkRes answers READLINK.
	ReadlinkRes struct {
		Status Status
		Attr   *Attr
		Target string
	}

	// ReadRes answers READ.
	ReadRes struct {
		Status Status
		Attr   *Attr
		Count  uint32
		EOF    bool
		Data   []byte
	}

	// WriteRes answers WRITE.
	WriteRes struct {
		Status    Status
		WCC       WCC
		Count     uint32
		Committed Stable
		Verf      [8]byte
	}

	// CreateRes answers CREATE, MKDIR, SYMLINK and MKNOD.
	CreateRes struct {
		Status Status
		FH     FH // nil if the server sent none
		Attr   *Attr
		Dir    WCC
	}

	// RenameRes answers RENAME.
	RenameRes struct {
		Status Status
		From   WCC
		To     WCC
	}

	// LinkRes answers LINK.
	LinkRes struct {
		Status Status
		Attr   *Attr
		Dir    WCC
	}

	// Dirent is one entry of READDIR or READDIRPLUS.
	Dirent struct {
		FileID uint64
		Name   string
		Cookie uint64
		Attr   *Attr // READDIRPLUS only
		FH     FH    // READDIRPLUS only
	}

	// ReadDirRes answers READDIR and READDIRPLUS.
	ReadDirRes struct {
		Status  Status
		Dir     *Attr
		Verf    [8]byte
		Entries []Dirent
		EOF     bool
	}

	// FSStatRes answers FSSTAT.
	FSStatRes struct {
		Status         Status
		Attr           *Attr
		Tbytes, Fbytes uint64
		Abytes         uint64
		Tfiles, Ffiles uint64
		Afiles         uint64
		InvarSec       uint32
	}

	// FSInfoRes answers FSINFO.
	FSInfoRes struct {
		Status                Status
		Attr                  *Attr
		Rtmax, Rtpref, Rtmult uint32
		Wtmax, Wtpref, Wtmult uint32
		Dtpref                uint32
		MaxFileSize           uint64
		TimeDelta             Time
		Properties            uint32
	}

	// PathconfRes answers PATHCONF.
	PathconfRes struct {
		Status          Status
		Attr            *Attr
		Linkmax         uint32
		NameMax         uint32
		NoTrunc         bool
		ChownRestricted bool
		CaseInsensitive bool
		CasePreserving  bool
	}

	// CommitRes answers COMMIT.
	CommitRes struct {
		Status Status
		WCC    WCC
		Verf   [8]byte
	}
)

// Stable is stable_how.
type Stable uint32

// The values of Stable.
const (
	Unstable Stable = 0
	DataSync Stable = 1
	FileSync Stable = 2
)

// The bits of ACCESS (RFC 1813 section 3.3.4).
const (
	AccessRead    uint32 = 0x01
	AccessLookup  uint32 = 0x02
	AccessModify  uint32 = 0x04
	AccessExtend  uint32 = 0x08
	AccessDelete  uint32 = 0x10
	AccessExecute uint32 = 0x20
	AccessAll     uint32 = 0x3f
)

// CreateHow is createhow3: Attr for CreateUnchecked and CreateGuarded, Verf for
// CreateExclusive.
type CreateHow struct {
	Mode vfs.CreateMode
	Attr SetAttr
	Verf [8]byte
}

// MknodWhat is mknoddata3: Rdev for devices only.
type MknodWhat struct {
	Type vfs.FileType
	Attr SetAttr
	Rdev vfs.Device
}
