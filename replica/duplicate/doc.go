// Package duplicate decides which calls a duplicate request cache remembers.
//
// # Purpose
//
// Package state stores the answer to each change that a client asked for, so
// that a repeated call gets its first answer (rule R11 of the design). [Index]
// is what it keeps in memory of those records: it finds a call by its identity
// without a look at the store, and it says which records leave.
//
// # Contract
//
// Records have sequence numbers in log order, and each is later, by the log's
// age, than the one before. [Index.Evict], called once after the records of a
// log entry were added, applies this rule, and nothing else removes a record:
//
//  1. The newest [ClientRecords] of each client stay. The others are surplus, and
//     queue up in the order in which they came to be so. While the first of the
//     queue is older than [Life] it leaves.
//  2. While the records together have more bytes than the limit, the first of the
//     queue leaves, however young. If the queue is empty, it is the record with the
//     lowest sequence number, whosever it is.
//  3. At most [MaxEvict] leave in one call, so that no entry takes long to
//     apply: after a pause of the log, or when the limit is lowered, the rest
//     follows with the next entries. An entry adds fewer than that, so a limit
//     that is not lowered is kept at the end of every entry.
//
// What leaves depends on the records, their order and the times given alone. An
// Index that was built anew, by [Index.Add] for each record that is left, evicts
// exactly what the one would that was never lost.
//
// Every operation takes constant time but for what it evicts.
//
// So a client that makes more changes than the limit holds drives out its own
// answers, and the newest ones of the others stay. And whatever has left, what is
// left of a client are its newest records: hence the queue is found again from
// the records alone.
//
// # Memory
//
// A record counts with the bytes that it has in the store, and [Overhead] for
// its place here: 96 bytes in a table without pointers, 45 to 105 in the map by
// identity, and, if it is the only one of its client, up to 75 for the client.
// Memory that was once taken is kept for later records.
//
// # Concurrency
//
// An Index belongs to one goroutine.
package duplicate
