package command

import (
	"fmt"

	"twofold/replica/vfs"
)

// ReadKind says what a Read asks for. The numbers go over the wire: append only.
type ReadKind uint8

// The kinds of Read.
const (
	ReadGetAttr  ReadKind = 1
	ReadLookup   ReadKind = 2
	ReadReadlink ReadKind = 3
	ReadRead     ReadKind = 4
	ReadReadDir  ReadKind = 5
	ReadStatFS   ReadKind = 6
	ReadIndex    ReadKind = 7  // which entry shows all that was answered so far
	ReadHurry    ReadKind = 8  // tell the asking node soon that entry Offset is committed
	ReadFace     ReadKind = 9  // the tables that a node needs whose own copy is out of use
	ReadFetch    ReadKind = 10 // bring the asking node a state of entry Offset or later
	readKindEnd  ReadKind = 11
)

// ReadVersion is the format version of a Read and of its answer.
const ReadVersion = 1

// maxReadName bounds the name in a Read. One that no directory can hold is sent
// too: what is wrong with it comes after what is wrong with the directory.
const maxReadName = vfs.MaxName + 1

// MaxReadAnswer bounds an encoded answer to a Read.
const MaxReadAnswer = vfs.MaxIO + 1<<10

// Read is a read that one data node asks of another. Fields that its kind has no
// use for are zero.
type Read struct {
	Kind   ReadKind
	Cred   vfs.Cred
	Ref    vfs.Ref
	Name   string // ReadLookup
	Offset uint64 // ReadRead; ReadReadDir: the cookie; ReadHurry, ReadFetch: the index
	Count  uint32 // ReadRead, ReadReadDir
	Plus   bool   // ReadReadDir
}

// AppendRead appends an encoded Read: version u8, kind u8, uid u32, gid u32, number
// of groups u32 and the groups, ref (12 bytes), name text, offset u64, count u32,
// plus u8. It keeps at most vfs.MaxGroups groups, and of a name as much as shows
// that it is too long.
func AppendRead(b []byte, r *Read) []byte {
	groups := r.Cred.Groups[:min(len(r.Cred.Groups), vfs.MaxGroups)]
	name := r.Name[:min(len(r.Name), maxReadName)]
	b = append(b, ReadVersion, byte(r.Kind))
	b = be.AppendUint32(be.AppendUint32(b, r.Cred.UID), r.Cred.GID)
	b = be.AppendUint32(b, uint32(len(groups)))
	for _, g := range groups {
		b = be.AppendUint32(b, g)
	}
	b = appendString(appendRef(b, r.Ref), name, maxReadName)
	b = be.AppendUint32(be.AppendUint64(b, r.Offset), r.Count)
	return appendBool(b, r.Plus)
}

// DecodeRead reads a Read and checks that nothing follows.
func DecodeRead(b []byte) (Read, error) {
	c := cursor{b: b}
	c.readVersion()
	r := Read{Kind: ReadKind(c.u8())}
	if c.err == nil && (r.Kind == 0 || r.Kind >= readKindEnd) {
		c.fail(fmt.Errorf("%w: read of kind %d", ErrUnknown, r.Kind))
	}
	r.Cred.UID, r.Cred.GID = c.u32(), c.u32()
	r.Cred.Groups = decodeGroups(&c)
	r.Ref, r.Name = c.ref(), c.str(maxReadName)
	r.Offset, r.Count, r.Plus = c.u64(), c.u32(), c.flag()
	if r.Kind == ReadRead && r.Count > vfs.MaxIO {
		c.fail(fmt.Errorf("%w: read of %d bytes", ErrLimit, r.Count))
	}
	if err := c.end(); err != nil {
		return Read{}, fmt.Errorf("read: %w", err)
	}
	return r, nil
}

func (c *cursor) readVersion() {
	if v := c.u8(); c.err == nil && v != ReadVersion {
		c.fail(fmt.Errorf("%w: read of format version %d, want %d", ErrUnknown, v, ReadVersion))
	}
}

// An answer begins with the version u8, the verdict u16 and, but for ReadIndex, an
// optional attribute: u8 (0 or 1) and the attributes of the object or directory.
func appendAnswer(b []byte, kind vfs.Kind, has bool, a *vfs.Attr) []byte {
	b = be.AppendUint16(append(b, ReadVersion), uint16(kind))
	if b = appendBool(b, has); has {
		b = appendAttr(b, a)
	}
	return b
}

func (c *cursor) answer() (kind vfs.Kind, has bool, a vfs.Attr) {
	c.readVersion()
	kind = vfs.Kind(c.u16())
	if c.err == nil && !kind.Valid() {
		c.fail(fmt.Errorf("%w: verdict %d", ErrUnknown, uint16(kind)))
	}
	if has = c.flag(); has {
		a = c.attr()
	}
	return kind, has, a
}

// AppendGetAttr appends the answer to ReadGetAttr: nothing follows the attributes.
func AppendGetAttr(b []byte, r *vfs.AttrResult) []byte {
	return appendAnswer(b, r.Kind, r.Kind == vfs.OK, &r.Attr)
}

// DecodeGetAttr is the inverse of AppendGetAttr.
func DecodeGetAttr(b []byte) (r vfs.AttrResult, err error) {
	c := cursor{b: b}
	r.Kind, _, r.Attr = c.answer()
	return r, c.end()
}

// AppendLookup appends the answer to ReadLookup: the directory's attributes, and
// with the verdict OK the object's.
func AppendLookup(b []byte, r *vfs.LookupResult) []byte {
	b = appendAnswer(b, r.Kind, r.HasDir, &r.Dir)
	if r.Kind == vfs.OK {
		b = appendAttr(b, &r.Attr)
	}
	return b
}

// DecodeLookup is the inverse of AppendLookup.
func DecodeLookup(b []byte) (r vfs.LookupResult, err error) {
	c := cursor{b: b}
	if r.Kind, r.HasDir, r.Dir = c.answer(); r.Kind == vfs.OK {
		r.Attr = c.attr()
	}
	return r, c.end()
}

// AppendReadlink appends the answer to ReadReadlink: the target, a text.
func AppendReadlink(b []byte, r *vfs.ReadlinkResult) []byte {
	return appendString(appendAnswer(b, r.Kind, r.HasAttr, &r.Attr), r.Target, vfs.MaxTarget)
}

// DecodeReadlink is the inverse of AppendReadlink.
func DecodeReadlink(b []byte) (r vfs.ReadlinkResult, err error) {
	c := cursor{b: b}
	r.Kind, r.HasAttr, r.Attr = c.answer()
	r.Target = c.str(vfs.MaxTarget)
	return r, c.end()
}

// AppendData appends the answer to ReadRead: whether the file ends, u8, and the
// data up to the end of the answer.
func AppendData(b []byte, r *vfs.ReadResult, data []byte) []byte {
	b = appendBool(appendAnswer(b, r.Kind, r.HasAttr, &r.Attr), r.EOF)
	return append(b, data[:r.N]...)
}

// DecodeData is the inverse of AppendData. The data must fit into buf.
func DecodeData(b, buf []byte) (r vfs.ReadResult, err error) {
	c := cursor{b: b}
	r.Kind, r.HasAttr, r.Attr = c.answer()
	r.EOF = c.flag()
	if len(c.b) > len(buf) {
		c.fail(fmt.Errorf("%w: %d bytes of data where %d were asked for", ErrLimit, len(c.b), len(buf)))
	}
	if c.err != nil {
		return vfs.ReadResult{}, c.err
	}
	r.N = copy(buf, c.b)
	return r, nil
}

// direntLen is what an entry takes without its name and its attributes.
const (
	direntLen = 2 + 8 + 8 + 1
	attrLen   = 77
)

// AppendReadDir appends the answer to ReadReadDir: whether the directory ends, u8,
// number of entries u32, and per entry name text, inode u64, cookie u64, and
// optional attributes. It leaves out the last entries if they would make the answer
// larger than MaxReadAnswer; then the directory does not end.
func AppendReadDir(b []byte, r *vfs.ReadDirResult) []byte {
	start := len(b)
	b = appendAnswer(b, r.Kind, r.HasDir, &r.Dir)
	head := len(b)
	b = be.AppendUint32(append(b, 0), 0)
	n := 0
	for i := range r.Entries {
		e := &r.Entries[i]
		if len(b)-start+direntLen+len(e.Name)+attrLen > MaxReadAnswer {
			break
		}
		has := e.Attr.Type != 0
		b = be.AppendUint64(be.AppendUint64(appendName(b, e.Name), uint64(e.Ino)), uint64(e.Cookie))
		if b = appendBool(b, has); has {
			b = appendAttr(b, &e.Attr)
		}
		n++
	}
	if r.EOF && n == len(r.Entries) {
		b[head] = 1
	}
	be.PutUint32(b[head+1:], uint32(n))
	return b
}

// DecodeReadDir is the inverse of AppendReadDir, for a caller that asked for at
// most limit entries.
func DecodeReadDir(b []byte, limit int) (r vfs.ReadDirResult, err error) {
	c := cursor{b: b}
	r.Kind, r.HasDir, r.Dir = c.answer()
	r.EOF = c.flag()
	n := int(c.u32())
	if n > limit || n*direntLen > len(c.b) {
		c.fail(fmt.Errorf("%w: %d entries, %d were asked for", ErrLimit, n, limit))
	}
	if c.err == nil && n > 0 {
		r.Entries = make([]vfs.Dirent, n)
	}
	for i := range r.Entries {
		e := &r.Entries[i]
		e.Name, e.Ino, e.Cookie = c.name(), vfs.Ino(c.u64()), vfs.Cookie(c.u64())
		if c.flag() {
			e.Attr = c.attr()
		}
	}
	if err := c.end(); err != nil {
		return vfs.ReadDirResult{}, err
	}
	return r, nil
}

// AppendStatFS appends the answer to ReadStatFS: bytes in all and free, inodes in
// use and free, u64 each.
func AppendStatFS(b []byte, r *vfs.StatFSResult) []byte {
	b = appendAnswer(b, r.Kind, r.HasAttr, &r.Attr)
	for _, v := range [...]uint64{r.TotalBytes, r.FreeBytes, r.Inodes, r.FreeInodes} {
		b = be.AppendUint64(b, v)
	}
	return b
}

// DecodeStatFS is the inverse of AppendStatFS.
func DecodeStatFS(b []byte) (r vfs.StatFSResult, err error) {
	c := cursor{b: b}
	r.Kind, r.HasAttr, r.Attr = c.answer()
	r.TotalBytes, r.FreeBytes, r.Inodes, r.FreeInodes = c.u64(), c.u64(), c.u64(), c.u64()
	return r, c.end()
}

// AppendIndex appends the answer to ReadIndex: version u8, index u64.
func AppendIndex(b []byte, index uint64) []byte {
	return be.AppendUint64(append(b, ReadVersion), index)
}

// maxRefusal bounds the text of a refusal.
const maxRefusal = 400

// AppendFetch appends the answer to ReadFetch: version u8, and a text that says why
// no state is brought; it is empty if one is.
func AppendFetch(b []byte, refusal string) []byte {
	return appendString(append(b, ReadVersion), refusal[:min(len(refusal), maxRefusal)], maxRefusal)
}

// DecodeFetch is the inverse of AppendFetch.
func DecodeFetch(b []byte) (refusal string, err error) {
	c := cursor{b: b}
	c.readVersion()
	refusal = c.str(maxRefusal)
	return refusal, c.end()
}

// DecodeIndex is the inverse of AppendIndex.
func DecodeIndex(b []byte) (index uint64, err error) {
	c := cursor{b: b}
	c.readVersion()
	index = c.u64()
	return index, c.end()
}
