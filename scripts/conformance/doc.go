// Conformance makes a list of NFS calls to a server and compares what it answers with what the Linux kernel's server answered.
//
// # Purpose
//
// Clients are written against the Linux kernel's server, knfsd: where RFC 1813 leaves a choice, its choice is the one that they
// have met. This program holds twofold to it, call by call: status, attributes before and after, side effects. scripts/conformance-test
// runs it against a pair and against knfsd in a guest; the unit test here runs it against the reference file system.
//
// # Contract
//
// What knfsd answers is in testdata/knfsd.txt, which only a run against knfsd writes (make knfsd). reasons.go lists every difference that
// is meant, as edits of that record; docs/nfs-conformance.md has the same list for readers. A difference that is not listed is an error, and
// so is one that is listed and no longer there.
//
// A record tells nothing that differs from server to server by its nature: no handles, inode numbers, cookies, verifiers, or times.
// Of a time it tells whether it moved, or the value if the case set it; of used space whether it is none, all, or less than the size.
//
// # Format
//
// The cases are in cases/*.txt. "# NAME" begins a case, which has a directory of its own, "." in its calls. A line is
//
//	[@CALLER[/EXPORT]] VERB ARG...
//
// A verb in lower case prepares an object as root, and must succeed; one in upper case is a call whose answer is recorded. Callers are
// root, alice (who owns things), bob (of her group), dave and many (of it by supplementary groups), carol (a stranger), wheel (whose groups are
// root's), minus (whose ids are -1), anon and none (AUTH_NONE). Exports are rw, ro and squash. Objects are paths below the directory, "." itself, "/" for the root of the export, "//" for that of a second one, $NAME for a handle that
// "keep" remembered, and !NAME for a forged one. Words may be quoted as in Go, and x{255} is that many x.
//
// The answer to a call is its status, then in braces each object that the reply has attributes of: "pre" and "post" if these are what
// GETATTR says before and after the call, "fh" for a handle that is right, "-" for what is left out, "gone" for what
// has no attributes any more. A line follows for each
// object that changed. END lists the directory after the last call.
//
// # Concurrency
//
// Several cases run at a time, each in a goroutine with its own connections; the calls of one case come one after the other, to the given
// servers in turn.
package main
