package vfs

// Op is one change to the volume. The implementations are the struct types of
// this file, passed by pointer.
type Op interface{ isOp() }

// SetMask says which fields of a [SetAttr] are to be set.
type SetMask uint16

// The fields of SetAttr. A server-time bit wins over its client-time bit.
const (
	SetMode SetMask = 1 << iota
	SetUID
	SetGID
	SetSize
	SetAtime       // to the given time
	SetMtime       // to the given time
	SetAtimeServer // to the command's time
	SetMtimeServer // to the command's time
)

// SetAttr is sattr3 of RFC 1813: the attributes a caller chooses.
type SetAttr struct {
	Mask  SetMask
	Mode  uint32
	UID   uint32
	GID   uint32
	Size  uint64
	Atime Time
	Mtime Time
}

// Has reports whether all bits of m are set.
func (s SetAttr) Has(m SetMask) bool { return s.Mask&m == m }

// CreateMode is createmode3 of RFC 1813.
type CreateMode uint8

// The ways to create a regular file.
const (
	CreateUnchecked CreateMode = 0 // whatever has the name is success; only a regular file is changed
	CreateGuarded   CreateMode = 1 // an existing name is Exist
	CreateExclusive CreateMode = 2 // an existing name is Exist unless Verf matches
)

type (
	// OpSetAttr changes attributes. With HasGuard it is refused with NotSync
	// unless the ctime equals Guard. Result: Attr and WCC[0] of the object.
	OpSetAttr struct {
		Ref      Ref
		Set      SetAttr
		HasGuard bool
		Guard    Time
	}

	// OpWrite writes Data at Offset and is durable when answered. Result:
	// Attr and WCC[0] of the file, Count.
	OpWrite struct {
		Ref    Ref
		Offset uint64
		Data   []byte // at most MaxIO bytes
	}

	// OpCreate makes a regular file. Result: Attr of the file, WCC[0] of the
	// directory.
	OpCreate struct {
		Dir  Ref
		Name string
		Mode CreateMode
		Set  SetAttr // not for CreateExclusive
		Verf [8]byte // for CreateExclusive
	}

	// OpMkdir makes a directory. Result as for OpCreate.
	OpMkdir struct {
		Dir  Ref
		Name string
		Set  SetAttr
	}

	// OpSymlink makes a symbolic link. Result as for OpCreate.
	OpSymlink struct {
		Dir    Ref
		Name   string
		Set    SetAttr
		Target string
	}

	// OpMknod makes a fifo, socket or device. Result as for OpCreate.
	OpMknod struct {
		Dir  Ref
		Name string
		Type FileType
		Set  SetAttr
		Rdev Device
	}

	// OpRemove removes a name that is not a directory. Result: WCC[0] of the
	// directory.
	OpRemove struct {
		Dir  Ref
		Name string
	}

	// OpRmdir removes an empty directory. Result as for OpRemove.
	OpRmdir struct {
		Dir  Ref
		Name string
	}

	// OpRename moves a name and replaces what the new name was. Result:
	// WCC[0] of FromDir, WCC[1] of ToDir.
	OpRename struct {
		FromDir  Ref
		FromName string
		ToDir    Ref
		ToName   string
	}

	// OpLink gives an inode that is not a directory another name. Result:
	// Attr of the inode, WCC[0] of the directory.
	OpLink struct {
		Ref  Ref
		Dir  Ref
		Name string
	}
)

func (*OpSetAttr) isOp() {}
func (*OpWrite) isOp()   {}
func (*OpCreate) isOp()  {}
func (*OpMkdir) isOp()   {}
func (*OpSymlink) isOp() {}
func (*OpMknod) isOp()   {}
func (*OpRemove) isOp()  {}
func (*OpRmdir) isOp()   {}
func (*OpRename) isOp()  {}
func (*OpLink) isOp()    {}

// Result is the whole answer to a change. Attributes come from the same atomic
// step as the change, on failure too where the object exists.
type Result struct {
	Kind    Kind
	HasAttr bool
	Attr    Attr   // the object made or changed, after the call
	WCC     [2]WCC // see the Op; unused ones are zero
	Count   uint32 // bytes written (OpWrite)
}
