// Package catchup brings the state of a data node that is behind to that of
// another one, by sending what differs.
//
// # Purpose
//
// A node that was away for longer than the log is kept, that is new, or whose
// state was found damaged cannot go on by the log alone. [Source] has a pinned
// view of a good state; [Sink] has a stage, which begins as a copy of the node's
// own state (package replica/state). They compare the digests of all buckets, then
// the sums of short ranges of keys in the buckets that differ, then the sums of
// single records in those ranges; the records that differ are sent. What the
// source does not have is deleted. An empty node is the case where all differs.
//
// # Contract
//
// After [Source.Run] returned nil the other node has, complete and on disk, a
// state of the view's index, or had one already that is far enough. The source's
// state goes on meanwhile; a view that gets too old is given up with
// [ErrViewAge], and what was sent so far counts for the next one. A transfer may
// be cut off at any moment on either side: the next one compares again and finds
// what is there. A stage is called ready only after all of its digests, and the
// records of the buckets that changed, were found to be those of the view.
//
// A Sink takes part in one transfer at a time: a new one ends the one before.
//
// # Concurrency
//
// Run works in its caller's goroutine, and has another one that closes the
// connection when ctx ends. Serve starts, for the transfer, one goroutine that
// reads replies and [workers] that each bring one bucket at a time; they end with
// the transfer, which Serve waits for. The stage is changed under Sink's transfer
// lock. Progress may be asked for from any goroutine.
//
// # Format
//
// A frame is
//
//	length u32 | type u8 | id u32 | body
//
// big-endian, where length counts what follows it, at most [MaxFrame]. The source
// begins with an offer; the sink answers with nothing-needed or ready, or asks, and
// each question is answered by a frame with its id:
//
//	1 offer    version u8 (1) | at u64 | index u64 | term u64 | total [16]
//	2 digests  bucket u32                 -> u16 count, count digests from that bucket on
//	3 ranges   bucket u32 | above key     -> last u8, then (end key, sum [16]) of each range
//	4 keys     bucket u32 | above key | end key -> last u8, then (key, sum [16])
//	5 records  keys                       -> (key, value length u32, value), of the first keys at least one
//	6 ready    index u64 | term u64
//	7 progress done u32 | all u32
//	8 refused  text
//
// A key is its length, u16, and its bytes. An empty key stands for the beginning or
// the end of a bucket. Answers carry the type of their question.
package catchup
