package state

import (
	"twofold/replica/vfs"
)

// Field tags of the volume's record.
const (
	tagVolume   byte = 1 // 36 bytes: UUID, handle key, block size u32
	tagCounters byte = 2 // 32 bytes: next inode, last time, inodes, bytes
	tagAnswers  byte = 3 // 32 bytes: duplicate request cache: next record, its limit, records, bytes
)

// super is the record of the volume: its constants and its counters.
type super struct {
	vfs.Volume
	nextIno  vfs.Ino
	lastTime vfs.Time // of the latest command; the next one is later
	inodes   uint64   // in use
	bytes    uint64   // of file data stored
	duplicates
	unknown []byte
}

// formatted reports that the volume exists.
func (v *super) formatted() bool { return v.BlockSize != 0 }

func appendSuper(b []byte, v *super) []byte {
	b = append(b, tagVolume, 36)
	b = append(b, v.UUID[:]...)
	b = append(b, v.HandleKey[:]...)
	b = be.AppendUint32(b, v.BlockSize)
	b = append(b, tagCounters, 32)
	b = be.AppendUint64(b, uint64(v.nextIno))
	b = be.AppendUint64(b, uint64(v.lastTime))
	b = be.AppendUint64(b, v.inodes)
	b = be.AppendUint64(b, v.bytes)
	b = append(b, tagAnswers, 32)
	b = be.AppendUint64(b, v.nextAnswer)
	b = be.AppendUint64(b, v.answerLimit)
	b = be.AppendUint64(b, v.answers)
	b = be.AppendUint64(b, v.answerBytes)
	return append(b, v.unknown...)
}

func decodeSuper(key, b []byte) (super, error) {
	if len(key) != prefixLen {
		return super{}, corrupt(key, "volume key of %d bytes", len(key))
	}
	v := super{Volume: vfs.Volume{ID: be.Uint32(key[1:])}}
	unknown, err := fields(key, b, func(tag byte, f []byte) (bool, error) {
		switch {
		case tag == tagVolume && len(f) == 36:
			v.UUID, v.HandleKey = [16]byte(f), [16]byte(f[16:])
			v.BlockSize = be.Uint32(f[32:])
		case tag == tagCounters && len(f) == 32:
			v.nextIno, v.lastTime = vfs.Ino(be.Uint64(f)), vfs.Time(be.Uint64(f[8:]))
			v.inodes, v.bytes = be.Uint64(f[16:]), be.Uint64(f[24:])
		case tag == tagAnswers && len(f) == 32:
			v.nextAnswer, v.answerLimit = be.Uint64(f), be.Uint64(f[8:])
			v.answers, v.answerBytes = be.Uint64(f[16:]), be.Uint64(f[24:])
		case tag == tagVolume || tag == tagCounters || tag == tagAnswers:
			return true, corrupt(key, "volume field %d of %d bytes", tag, len(f))
		default:
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return super{}, err
	}
	v.unknown = unknown
	if !validBlockSize(v.BlockSize) || v.nextIno <= vfs.RootIno {
		return super{}, corrupt(key, "block size %d, next inode %d", v.BlockSize, v.nextIno)
	}
	if !validAnswerLimit(v.answerLimit) {
		return super{}, corrupt(key, "%d bytes for the duplicate request cache", v.answerLimit)
	}
	return v, nil
}

// Limits of a volume's block size, which is a power of two.
const (
	MinBlockSize     = 512
	MaxBlockSize     = 1 << 20
	DefaultBlockSize = 16 << 10
)

func validBlockSize(n uint32) bool {
	return n >= MinBlockSize && n <= MaxBlockSize && n&(n-1) == 0
}
