// Package peer is the stream between the two data nodes: changes and reads that a
// follower forwards to the leader, and how much room each has on its disk.
//
// # Contract
//
// A [Client] keeps one connection to each peer, dials it when it is needed,
// and carries any number of requests on it at once. Each request is answered
// by its reply, by [ErrNotSent] (no byte of it left this node) or by
// [ErrBroken] (it may have arrived). A [Server] hands requests to a [Handler]
// and sends its replies in whatever order they are ready.
//
// This package knows neither files nor Raft: commands and results are bytes.
//
// # Concurrency
//
// A Client may be used by many goroutines. Each connection has one reading and
// one writing goroutine at either end; they end with the connection, and
// Close waits for them. Handler methods are called on the reading goroutine
// and must not block; replies may come from any goroutine and never block. Reads
// are different: each has a goroutine of its own at the server, and its reply waits
// for room, so that large answers leave some to the replies to changes.
//
// # Format
//
// A frame is
//
//	length u32 | type u8 | id u64 | body
//
// in big-endian order, where length counts what follows it. The id is chosen
// by the client and repeated in the reply. Bodies:
//
//	1 forward        term u64 | age of the log when the call was taken u64 | unsealed command (package replica/command)
//	2 forward reply  status u8 | result (status OK only)
//	5 space          version u8 (2) | how short it is of space u8 | bytes that the sender can still take u64 | its wall clock, ns since 1970 i64
//	6 space reply    the same of the receiver
//	7 read           versioned read (package replica/command)
//	8 read reply     status u8 | answer (status OK only)
//
// A space frame of another version is answered by a reply that holds its
// receiver's version alone, and counts as silence at both ends. The protocol version is part of the hello of raftlog/transport.
package peer
