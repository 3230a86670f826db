// Package layers holds the rules of the repository that the compiler does not: which package may depend on which, what lies at
// the top level, and how large a file may be.
//
// # Purpose
//
// The layers keep the parts apart that must be understood apart: NFS knows nothing of Raft, the log nothing of files. A rule
// that nothing checks is soon broken.
//
// # Contract
//
// There is no code here, only tests. They look at what `go list` says of the packages, tests left out, and at the
// files themselves.
//
// # Concurrency
//
// None.
package layers
