package state

import (
	"errors"
	"fmt"
	"sync"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// MaxFace bounds an encoded Face: the export table, whose paths and client lists are
// 256 KiB at most, and the members.
const MaxFace = 1 << 20

// Face is what a node has to know of the volume in order to take calls that it
// sends on to another one: who the volume is, what is exported, who the members
// are, and the age of the log. A node whose own copy is out of use takes it from
// the node that leads.
type Face struct {
	Volume  vfs.Volume
	Exports vfs.ExportTable
	Members []vfs.Member // by name

	mu    sync.Mutex
	super super // its age and time go on with the log
}

// AppendFace appends what DecodeFace reads, of this moment: records, each a key and
// a value, with their lengths before them (u16, u32).
func (s *State) AppendFace(b []byte) ([]byte, error) {
	v, err := s.Pin()
	if err != nil {
		return b, err
	}
	start := len(b)
	for _, table := range []byte{tableSuper, tableExport, tableMember} {
		err := scanRange(v.snap, []byte{table}, []byte{table + 1}, func(key, value []byte) error {
			b = append(be.AppendUint16(b, uint16(len(key))), key...)
			b = append(be.AppendUint32(b, uint32(len(value))), value...)
			if len(b)-start > MaxFace {
				return fmt.Errorf("state: the tables take more than %d bytes", MaxFace)
			}
			return nil
		})
		if err != nil {
			return b, errors.Join(err, v.Close())
		}
	}
	return b, v.Close()
}

var errFace = errors.New("state: malformed face of a volume")

// DecodeFace is the inverse of AppendFace.
func DecodeFace(b []byte) (*Face, error) {
	f := &Face{}
	exports := exportReader{}
	for len(b) > 0 {
		key, rest, ok := cutPart(b, 2)
		if !ok || len(key) < prefixLen {
			return nil, errFace
		}
		value, rest, ok := cutPart(rest, 4)
		if !ok {
			return nil, errFace
		}
		b = rest
		var err error
		switch key[0] {
		case tableSuper:
			f.super, err = decodeSuper(key, value)
		case tableExport:
			err = exports.add(key, value)
		case tableMember:
			var m vfs.Member
			m, err = decodeMember(key, value)
			f.Members = append(f.Members, m)
		default:
			err = errFace
		}
		if err != nil {
			// What another node sent says nothing of this node's copy.
			return nil, fmt.Errorf("%w: %v", errFace, err)
		}
	}
	var err error
	if f.Exports, err = exports.table(); err != nil || !f.super.formatted() {
		return nil, fmt.Errorf("%w: %v", errFace, err)
	}
	f.Volume = f.super.Volume
	return f, nil
}

// cutPart splits off what a length of so many bytes precedes.
func cutPart(b []byte, width int) (part, rest []byte, ok bool) {
	if len(b) < width {
		return nil, nil, false
	}
	n := uint64(0)
	for _, d := range b[:width] {
		n = n<<8 | uint64(d)
	}
	if b = b[width:]; n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// Age is State.Age.
func (f *Face) Age() vfs.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.super.age
}

// Follow is State.Follow. What the leader had applied when it gave the face away is
// in it already.
func (f *Face) Follow(term uint64, cmds []command.Command) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range cmds {
		if term < f.super.ageTerm || cmds[i].Time <= f.super.lastTime {
			continue
		}
		f.super.pass(term, cmds[i].Time)
	}
}
