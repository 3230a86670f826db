package state

import (
	"path"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// The export table is a head record, whose key is the table's prefix, and one
// record for each entry, by its place.
const (
	tagExportsVersion byte = 1 // 20 bytes: version u64, time, number of entries u32
	tagExportsBy      byte = 2 // the node that proposed it
	tagExportsSource  byte = 3 // where it came from

	tagExportPath    byte = 1
	tagExportRoot    byte = 2 // 12 bytes: inode u64, generation u32
	tagExportClients byte = 3
)

// setExports replaces the export table, if the proposer saw the present one.
func (c *call) setExports(op *command.SetExports) vfs.Result {
	now := c.exportTable()
	if op.Base != now.Version {
		return vfs.Result{Kind: vfs.NotSync}
	}
	next := vfs.ExportTable{Version: now.Version + 1, Time: c.now, By: op.By, Source: op.Source}
	if len(op.Exports) > vfs.MaxExports {
		return vfs.Result{Kind: vfs.Invalid, Count: vfs.MaxExports}
	}
	size := 0
	for i, e := range op.Exports {
		size += len(e.Path) + len(e.Clients)
		kind := vfs.Invalid
		if size <= vfs.MaxExportBytes {
			e.Root, kind = c.exportRoot(now, next.Exports, e)
		}
		if kind != vfs.OK {
			return vfs.Result{Kind: kind, Count: uint32(i)}
		}
		next.Exports = append(next.Exports, e)
	}
	c.tables.exports = &next
	return vfs.Result{}
}

// exportTable is the table as this txn has made it so far.
func (t *txn) exportTable() *vfs.ExportTable {
	if t.tables.exports != nil {
		return t.tables.exports
	}
	return &t.s.mu.exports // The apply goroutine is the only one to replace it.
}

// exportRoot finds the directory of an entry that follows those of done. Two
// entries of one directory are refused, since a file handle names its export by
// the directory alone.
func (c *call) exportRoot(now *vfs.ExportTable, done []vfs.Export, e vfs.Export) (vfs.Ref, vfs.Kind) {
	if !validExportPath(e.Path) {
		return vfs.Ref{}, vfs.Invalid
	}
	root, kind := e.Root, vfs.Invalid
	if root == (vfs.Ref{}) {
		root, kind = c.walk(e.Path)
	} else {
		for i := range now.Exports {
			if now.Exports[i].Path == e.Path && now.Exports[i].Root == root {
				kind = vfs.OK
			}
		}
	}
	if kind != vfs.OK {
		return vfs.Ref{}, kind
	}
	for i := range done {
		switch {
		case done[i].Path == e.Path:
			return vfs.Ref{}, vfs.Invalid
		case done[i].Root == root:
			return vfs.Ref{}, vfs.Exist
		}
	}
	return root, vfs.OK
}

func validExportPath(p string) bool {
	if len(p) > vfs.MaxPath || !path.IsAbs(p) || path.Clean(p) != p || strings.Contains(p, "\x00") {
		return false
	}
	for name := range strings.SplitSeq(p, "/") {
		if len(name) > vfs.MaxName {
			return false
		}
	}
	return true
}

// walk looks a clean absolute path up, as root. It follows no symbolic links:
// one among the components is NotDir, as anything else that is no directory.
func (c *call) walk(p string) (vfs.Ref, vfs.Kind) {
	d := c.must(vfs.RootIno)
	for name := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		if d == nil {
			return vfs.Ref{}, vfs.IO // The txn has failed; no verdict gets out.
		}
		if name == "" {
			break // "/" alone
		}
		_, n, kind := c.lookup(d, name)
		switch {
		case kind != vfs.OK:
			return vfs.Ref{}, kind
		case !n.isDir():
			return vfs.Ref{}, vfs.NotDir
		}
		d = n
	}
	if d == nil {
		return vfs.Ref{}, vfs.IO
	}
	return d.Ref, vfs.OK
}

func (t *txn) fillExports(b *pebble.Batch) error {
	e := t.tables.exports
	if e == nil {
		return nil
	}
	if err := t.set(b, exportsKey(nil, t.super.ID), appendExports(nil, e)); err != nil {
		return err
	}
	// Entries beyond those of the new table go with the old one.
	for i := len(e.Exports); i < len(t.s.mu.exports.Exports); i++ {
		t.keyBuf = exportKey(t.keyBuf[:0], t.super.ID, uint32(i))
		if err := t.delete(b, t.keyBuf); err != nil {
			return err
		}
	}
	for i := range e.Exports {
		t.keyBuf = exportKey(t.keyBuf[:0], t.super.ID, uint32(i))
		t.valueBuf = appendExport(t.valueBuf[:0], &e.Exports[i])
		if err := t.set(b, t.keyBuf, t.valueBuf); err != nil {
			return err
		}
	}
	return nil
}

func appendExports(b []byte, t *vfs.ExportTable) []byte {
	b = append(b, tagExportsVersion, 20)
	b = be.AppendUint64(b, t.Version)
	b = be.AppendUint64(b, uint64(t.Time))
	b = be.AppendUint32(b, uint32(len(t.Exports)))
	b = appendField(b, tagExportsBy, []byte(t.By))
	return appendField(b, tagExportsSource, []byte(t.Source))
}

func appendExport(b []byte, e *vfs.Export) []byte {
	b = appendField(b, tagExportPath, []byte(e.Path))
	b = append(b, tagExportRoot, 12)
	b = be.AppendUint64(b, uint64(e.Root.Ino))
	b = be.AppendUint32(b, e.Root.Gen)
	return appendField(b, tagExportClients, []byte(e.Clients))
}

// loadExports reads the table.
func (s *State) loadExports() (vfs.ExportTable, error) {
	var r exportReader
	if err := s.scan(tableExport, r.add); err != nil {
		return vfs.ExportTable{}, err
	}
	return r.table()
}

// exportReader puts the table together from its records. Its head comes first in
// key order.
type exportReader struct {
	t           vfs.ExportTable
	count, seen uint32
}

func (r *exportReader) add(key, value []byte) (err error) {
	if len(key) == prefixLen {
		r.t, r.count, err = decodeExports(key, value)
		return err
	}
	if len(key) != exportKeyLen || be.Uint32(key[prefixLen:]) != r.seen || r.seen >= r.count {
		return corrupt(key, "export number %d of %d", r.seen, r.count)
	}
	r.seen++
	e, err := decodeExport(key, value)
	r.t.Exports = append(r.t.Exports, e)
	return err
}

func (r *exportReader) table() (vfs.ExportTable, error) {
	if r.seen != r.count {
		return r.t, corrupt([]byte{tableExport}, "%d of %d exports", r.seen, r.count)
	}
	return r.t, nil
}

func decodeExports(key, b []byte) (t vfs.ExportTable, count uint32, err error) {
	_, err = fields(key, b, func(tag byte, v []byte) (bool, error) {
		switch tag {
		case tagExportsVersion:
			if len(v) != 20 {
				return true, corrupt(key, "version field of %d bytes", len(v))
			}
			t.Version, t.Time, count = be.Uint64(v), vfs.Time(be.Uint64(v[8:])), be.Uint32(v[16:])
		case tagExportsBy:
			t.By = string(v)
		case tagExportsSource:
			t.Source = string(v)
		default:
			return false, nil
		}
		return true, nil
	})
	if err == nil && (t.Version == 0 || count > vfs.MaxExports) {
		err = corrupt(key, "export table %d of %d entries", t.Version, count)
	}
	return t, count, err
}

func decodeExport(key, b []byte) (e vfs.Export, err error) {
	_, err = fields(key, b, func(tag byte, v []byte) (bool, error) {
		switch tag {
		case tagExportPath:
			e.Path = string(v)
		case tagExportRoot:
			if len(v) != 12 {
				return true, corrupt(key, "root field of %d bytes", len(v))
			}
			e.Root = vfs.Ref{Ino: vfs.Ino(be.Uint64(v)), Gen: be.Uint32(v[8:])}
		case tagExportClients:
			e.Clients = string(v)
		default:
			return false, nil
		}
		return true, nil
	})
	if err == nil && (!validExportPath(e.Path) || e.Root.Ino == 0) {
		err = corrupt(key, "export of %q at inode %d", e.Path, e.Root.Ino)
	}
	return e, err
}
