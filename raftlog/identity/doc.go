// Package identity says what a node is: the name, role and random id that a
// state directory was formatted with, and the cluster that it is bound to.
//
// # Purpose
//
// A voter that loses its directory has lost its promises: the votes it gave
// and the entries it acknowledged. It must not come back as the same voter
// (rule M6). So a directory gets a random node id when [Init] formats it, the
// members of a cluster record each other's ids at their first meeting, and from
// then on an empty directory is a new node, whatever its configuration says.
//
// # Contract
//
//   - [Init] is the only function that formats. It refuses a directory that
//     holds anything. A crash inside it leaves a directory that a second Init
//     accepts, or a formatted one, never a third thing.
//   - [Open] locks the directory for this process, checks what it holds against
//     the configuration and never formats.
//   - [Dir.Bind] records the cluster once. It returns only when the record is
//     durable; a second call with the same binding does nothing, one with
//     another binding is refused.
//   - A node that joins a cluster later records the cluster's founders and itself.
//     Who the members are now is in the log, not here.
//   - [Binding.Recover] gives the survivor of a cluster a new one, with another id,
//     which names the old one as its ancestor; [Dir.Rebind] records it.
//   - [Dir.Fence] marks a directory whose node was removed, or left behind by a
//     recovery. Nothing opens it any more.
//   - The cluster id is a function of the cluster's name and of all founders'
//     names, roles and node ids, and of its ancestors. Every founder computes the same one, so no
//     coordinator hands it out.
//   - Every refusal is an [Error]: one line that says what is wrong and what to
//     do, wrapping one of the sentinels in errors.go.
//
// # Concurrency
//
// No goroutines. A [Dir] is safe for concurrent use; its mutex is held over the
// writing of cluster.json, because nothing else may go on without it. Between
// processes the flock on the file "lock" decides.
//
// # Format
//
// Three JSON files, each written as NAME.tmp, synced, renamed, and the directory
// synced:
//
//	identity.json  {"kind": "twofold identity", "format": 1, "body": {...}, "sha256": "..."}
//	cluster.json   {"kind": "twofold cluster",  "format": 1, "body": {...}, "sha256": "..."}
//	fence.json     {"kind": "twofold fence",    "format": 2, "body": {...}, "sha256": "..."}
//
// The first two have format 2 where they say what format 1 cannot: that the node
// was formatted to join, or joined, or that the cluster was recovered.
//
// The checksum covers kind, format and the body without insignificant white
// space. The format is read before the checksum, so that a later format may
// choose another checksum and is still told apart from damage.
//
// The cluster id is the first 16 bytes of SHA-256 over: the tag
// "twofold cluster id 1", the cluster's name, the number of members, and for
// each member in the order of names its name, role and node id; then, if it was
// recovered, the tag "recovered from" and each ancestor's id. Strings and ids
// are preceded by their length, numbers and lengths are 32-bit big endian.
package identity
