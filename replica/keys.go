package replica

import (
	"github.com/cespare/xxhash/v2"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// A key stands for something that a change may alter and a read may depend on
// (rule R9): an inode (its attributes, data and ".."), or a name in a directory.
// Keys of inodes are their numbers, which stay below nameBit; keys of names are
// hashes, which is enough, since a collision only makes a reader wait longer.
type key = uint64

const (
	nameBit = 1 << 63
	// tablesKey is of the tables beside the files. Their readers wait for all of the
	// log (Store.current), and an entry without any key is not a part of that.
	tablesKey key = 0
)

func inodeKey(ino vfs.Ino) key { return uint64(ino) &^ nameBit }

// nameKey is in the log, so it is part of the format: XXH64 with seed 0 of the
// directory's number, big endian, and the name.
func nameKey(dir vfs.Ino, name string) key {
	var buf [8 + vfs.MaxName + 1]byte
	b := be.AppendUint64(buf[:0], uint64(dir))
	b = append(b, name[:min(len(name), vfs.MaxName+1)]...)
	return xxhash.Sum64(b) | nameBit
}

// touch says what a change may alter, before its names are looked up.
type touch struct {
	all     bool       // everything
	tables  bool       // tablesKey
	inodes  [2]vfs.Ino // those that the change names by their handles; 0 is none
	names   [2]place   // a place of directory 0 is none
	resolve bool       // also the inodes that the names have
}

// place is a name in a directory.
type place struct {
	dir  vfs.Ino
	name string
}

// touchOf returns what op may alter. An inode that op makes is not in it: nobody
// knows its number before, and a reader who finds no inode under a handle waits
// for all of the log before it says so (reading.sound).
func touchOf(op any) touch {
	switch o := op.(type) {
	case *vfs.OpSetAttr:
		return touch{inodes: [2]vfs.Ino{o.Ref.Ino}}
	case *vfs.OpWrite:
		return touch{inodes: [2]vfs.Ino{o.Ref.Ino}}
	case *vfs.OpCreate:
		return touchName(o.Dir, o.Name)
	case *vfs.OpMkdir:
		return touchName(o.Dir, o.Name)
	case *vfs.OpSymlink:
		return touchName(o.Dir, o.Name)
	case *vfs.OpMknod:
		return touchName(o.Dir, o.Name)
	case *vfs.OpRemove:
		return touchName(o.Dir, o.Name)
	case *vfs.OpRmdir:
		return touchName(o.Dir, o.Name)
	case *vfs.OpLink:
		return touch{
			inodes: [2]vfs.Ino{o.Dir.Ino, o.Ref.Ino},
			names:  [2]place{{o.Dir.Ino, o.Name}},
		}
	case *vfs.OpRename:
		return touch{
			inodes:  [2]vfs.Ino{o.FromDir.Ino, o.ToDir.Ino},
			names:   [2]place{{o.FromDir.Ino, o.FromName}, {o.ToDir.Ino, o.ToName}},
			resolve: true,
		}
	case *command.Nop, *command.Integrity:
		return touch{}
	case *command.MountChange:
		return touch{tables: true}
	default:
		return touch{all: true}
	}
}

func touchName(dir vfs.Ref, name string) touch {
	return touch{inodes: [2]vfs.Ino{dir.Ino}, names: [2]place{{dir.Ino, name}}, resolve: true}
}
