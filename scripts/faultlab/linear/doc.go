// Package linear has random clients work at both nodes, records what they were told, and checks that some order of single steps explains it.
//
// # Purpose
//
// Linearizability is the promise that both gateways are one volume: each operation takes effect at one instant between its call and its answer. An
// [Epoch] is some seconds of clients at a few files and small directories, and [History.Check] decides by porcupine whether what they saw can be. It
// also finds operations that ran twice: each is in the history once, so that no order explains what a second run of it did.
//
// # Contract
//
// Each file is a model of its own, with its bytes, its size and its mode; each directory is one with all of its names, so that RENAME and READDIR are
// steps like all others. What a client creates is owned by a user id that no other call has, by which LOOKUP and READDIRPLUS know it again,
// whoever learned of the creation. An operation whose outcome nobody knows may take effect at any time after its call, or never. One that was repeated
// under its XID is one operation, from its first sending to its answer. Changes move the ctime of a file; an answer that was asked for later never
// shows an older one.
//
// A verdict is Illegal, Ok, or Unknown if the search took too long: that is counted and told, never taken for either.
//
// # Concurrency
//
// Each client is a goroutine, started by Epoch.Start and joined by Epoch.Stop. History.mu guards what they have recorded.
package linear
