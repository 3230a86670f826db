// Package command is the binary form of what the log carries: commands, the
// batches that one log entry holds, and the results that apply gives back.
//
// # Purpose
//
// A [Command] holds everything that apply may know of a call: the change
// itself, the caller's resolved credentials, the identity of the call, and what
// is not deterministic (time, randomness, the verdict on free space), chosen by
// the proposer. The node that takes a call encodes it with [Append]; the leader
// stamps time and seed with [Seal]; every data node reads it with [Decode].
//
// # Contract
//
// Type numbers, flag bits and field layouts are given once and never reused.
// Encoding is canonical: decoding and encoding again gives the same bytes. A
// decoder never panics, and never allocates more than a small multiple of the
// bytes it was given. What it does not know (version, type, flag, mask bit) is
// an error, since to ignore it at one node and obey it at the other would make
// the two diverge.
//
// A name longer than [vfs.MaxName] is cut to MaxName+1 bytes by Append, and a
// symlink's target likewise: every such name gets the same verdict from apply,
// so its tail need not be in the log.
//
// # Concurrency
//
// Plain functions on the caller's slices. A decoded OpWrite's Data aliases the
// input, which must not change while the command is in use.
//
// # Format
//
// Integers are big endian. A command is a header of 96 bytes, the caller's
// supplementary groups, and a body by type:
//
//	 0  u8      format version (2)
//	 1  u8      type
//	 2  u16     flags
//	 4  u32     volume
//	 8  i64     time, ns since the epoch          stamped by Seal
//	16  u64     seed                              stamped by Seal
//	24  u64     origin: instance
//	32  u64     origin: sequence
//	40  16 B    client address                    identity of the call
//	56  u32     XID
//	60  u32     program
//	64  u32     version
//	68  u32     procedure
//	72  u64     sum of credentials and arguments
//	80  u32     CRC-32C of all other bytes        set by Seal
//	84  u32     uid
//	88  u32     gid
//	92  u32     number of groups, then a u32 each
//
// A batch is a version byte, a u16 count, and per command a u32 length and the
// command. A result is described at [AppendResult]; docs/formats.md has all
// bodies.
package command
