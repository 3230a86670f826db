// Package billyfstest has the tests of billyfs as functions, so that they run
// over every [vfs.FS]: the model in memory and the replicated store.
//
// # Purpose
//
// [Run] runs all of them on one volume, each in a directory of its own.
// [Conformance] runs go-billy's own suite alone.
//
// # Contract
//
// The volume's root must be writable for uid 0. The tests leave their
// directories behind; run twice on one volume they do not disturb each other.
// They build on Linux, whose Stat_t they look at.
//
// # Concurrency
//
// The functions run their subtests one after another; a subtest may use the
// volume from many goroutines, all of which end before it does.
package billyfstest
