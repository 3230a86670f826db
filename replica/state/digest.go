package state

import (
	"encoding/hex"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Digest is a sum, modulo 2^128, of the hashes of records: the sum of a bucket,
// of a file's data, of a whole copy. A sum does not depend on the order, and a
// record that changes costs the hash of what it was and of what it is.
type Digest [16]byte

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports the sum of nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// Plus returns the sum of both.
func (d Digest) Plus(o Digest) Digest {
	lo, carry := bits.Add64(be.Uint64(d[8:]), be.Uint64(o[8:]), 0)
	hi, _ := bits.Add64(be.Uint64(d[:]), be.Uint64(o[:]), carry)
	return newDigest(hi, lo)
}

// Minus returns what is left of d without o.
func (d Digest) Minus(o Digest) Digest {
	lo, borrow := bits.Sub64(be.Uint64(d[8:]), be.Uint64(o[8:]), 0)
	hi, _ := bits.Sub64(be.Uint64(d[:]), be.Uint64(o[:]), borrow)
	return newDigest(hi, lo)
}

func newDigest(hi, lo uint64) (d Digest) {
	be.PutUint64(d[:], hi)
	be.PutUint64(d[8:], lo)
	return d
}

// hash is XXH3 with 128 bits: it finds damage and mistakes, and is no defence
// against someone who makes records up.
func hash(b []byte) Digest {
	h := xxh3.Hash128(b)
	return newDigest(h.Hi, h.Lo)
}

// The buckets of the digest. They are on disk and on the wire: to change one of
// these numbers is to change the format of the state.
const (
	inodeBuckets  = 1 << 16
	answerBuckets = 1 << 8
	tableBuckets  = 1 << 8

	// DigestBuckets is the number of buckets.
	DigestBuckets = inodeBuckets + answerBuckets + tableBuckets

	// A bucket has runs of records that lie together in the store, so that one
	// can be listed without a look at the others.
	inodeRunBits  = 6  // 64 inodes
	answerRunBits = 12 // 4,096 duplicate requests

	superBucket = inodeBuckets + answerBuckets + int(tableSuper)
)

// bucketOf returns the bucket of a replicated record. What belongs to an inode
// (its record, its names and cookies, its data) goes by the inode, a duplicate
// request by its number, and every other table is a bucket of its own.
func bucketOf(key []byte) int {
	run, shape, ok := runOf(key)
	if !ok {
		return inodeBuckets + answerBuckets + int(key[0])
	}
	return shape.first + int(run%shape.buckets)
}

// runs says how the records of a table are spread over buckets.
type runs struct {
	bits    uint   // a run is so many bits of consecutive numbers
	first   int    // bucket
	buckets uint64 // a power of two
}

// runsOf returns how a table is spread, if it is.
func runsOf(table byte) (runs, bool) {
	switch table {
	case tableInode, tableDirent, tableCookie, tableBlock, tableExtent:
		return runs{bits: inodeRunBits, first: 0, buckets: inodeBuckets}, true
	case tableDuplicate:
		return runs{bits: answerRunBits, first: inodeBuckets, buckets: answerBuckets}, true
	default:
		return runs{}, false
	}
}

// runOf returns the run in which a key lies.
func runOf(key []byte) (run uint64, shape runs, ok bool) {
	shape, ok = runsOf(key[0])
	if !ok || len(key) < prefixLen+8 {
		return 0, shape, false
	}
	return be.Uint64(key[prefixLen:]) >> shape.bits, shape, true
}

// recordSum is what a record adds to the digest: the hash of key, value, and the
// key's length. A data block is taken for the checksum that it begins with,
// which is why a scan must find that checksum right.
func recordSum(key, value []byte) Digest {
	if key[0] == tableBlock && len(value) > checksumLen {
		if sum := hash(value[checksumLen:]); sum == Digest(value) {
			return blockSum(key, sum)
		}
	}
	var buf [512]byte
	b := append(append(buf[:0], key...), value...)
	return hash(be.AppendUint32(b, uint32(len(key))))
}

// blockSum is recordSum of a data block whose content has this checksum.
func blockSum(key []byte, checksum Digest) Digest {
	var buf [entryKeyLen + checksumLen]byte
	return hash(append(append(buf[:0], key...), checksum[:]...))
}
