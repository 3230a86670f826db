// Package load makes NFSv3 load and measures what a server makes of it.
//
// # Purpose
//
// It is the engine of "twofold bench". It knows no server in particular: whatever answers RFC 1813 over TCP can be measured, so that
// servers can be compared by the same calls.
//
// # Contract
//
// [Open] connects to one server, or to several that serve one volume, and makes a directory there that nothing outside of it is
// touched but. [Bench.Run] runs one [Cell], a workload with a number of callers: it prepares files, which is not measured, then each caller
// makes operations one after the other, and the [Result] says how many there were within the measured time and how long they took. What
// one operation is each [Workload] says. [Bench.Clean] removes everything that was made.
//
// An operation counts if all its calls were answered as they should be, replies of READ and READDIRPLUS looked at, and if it ended within the
// measured time. A call that fails is counted by its status, and its operation not at all. JUKEBOX is no failure: the call is made again, and the
// operation's time includes that. A call without an answer for Config.Timeout counts as lost; it is not sent again, and whether the server acted
// on it is not known. When a connection fails, the calls that wait for answers are repeated over a new one, with their XIDs, as NFS clients do, and are
// counted; only if there is no new one the run ends with an error.
//
// The calls of a caller follow from the seed and the caller's number alone. What they meet does not: callers overtake one another.
//
// Workloads with an endless supply of names run for a warm-up and then for the measured time. Those that use up what was prepared (remove,
// seqwrite) run in rounds; the rounds' times are added up, and the preparation between them is left out.
//
// # Concurrency
//
// Each caller is a goroutine with a [client.Slot] of its own; one more goroutine abandons calls that got no answer and tells of progress. Of each
// server's shared files only seqFile and pool change during a run, under their own locks. A Bench runs one cell at a time.
package load
