package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// sumBytes is the size of the checksum of an entry.
const sumBytes = 4

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// errUnsealed is of an entry that was written before entries had checksums.
var errUnsealed = errors.New("logstore: the log is of an earlier version, whose entries have no checksums: replace this node by a new one")

// seal returns an entry as it is stored: with a checksum in front of its
// extensions, which goes with it through whatever store is below, and with its
// bytes masked. Masked bytes have no long run of zeros, so that a sector of zeros
// within an entry was never written: see tail.go.
func seal(l *raft.Log) *raft.Log {
	out := *l
	out.Data = mask(l.Index, l.Data)
	out.Extensions = append(binary.BigEndian.AppendUint32(nil, sum(l)), mask(^l.Index, l.Extensions)...)
	return &out
}

func sealAll(logs []*raft.Log) []*raft.Log {
	out := make([]*raft.Log, len(logs))
	for i, l := range logs {
		out[i] = seal(l)
	}
	return out
}

// unseal undoes seal, and fails if the entry is not what was stored at the index.
func unseal(index uint64, l *raft.Log) error {
	if len(l.Extensions) == 0 && l.Index == index {
		return errUnsealed
	}
	if l.Index != index || len(l.Extensions) < sumBytes {
		return fmt.Errorf("entry %d is not what was written", index)
	}
	want := binary.BigEndian.Uint32(l.Extensions)
	l.Data = mask(index, l.Data)
	l.Extensions = mask(^index, l.Extensions[sumBytes:])
	if sum(l) != want {
		return fmt.Errorf("the checksum of entry %d is wrong", index)
	}
	return nil
}

// sum covers what raft gives a meaning to.
func sum(l *raft.Log) uint32 {
	var head [25]byte
	binary.BigEndian.PutUint64(head[0:], l.Index)
	binary.BigEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	binary.BigEndian.PutUint64(head[17:], uint64(len(l.Data)))
	c := crc32.Checksum(head[:], crcTable)
	return crc32.Update(crc32.Update(c, crcTable, l.Data), crcTable, l.Extensions)
}

// mask returns b combined with a pseudo-random sequence (splitmix64) that the key
// chooses. Done twice it gives b.
func mask(key uint64, b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	out := make([]byte, len(b))
	i := 0
	for ; i+8 <= len(b); i += 8 {
		key += 0x9e3779b97f4a7c15
		binary.LittleEndian.PutUint64(out[i:], binary.LittleEndian.Uint64(b[i:])^mix(key))
	}
	last := mix(key + 0x9e3779b97f4a7c15)
	for ; i < len(b); i++ {
		out[i] = b[i] ^ byte(last)
		last >>= 8
	}
	return out
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
