// Package rafttest helps to test package raftlog and what is built on it.
//
// # Purpose
//
// [Network] is a raftlog.Net in memory for any number of members, with faults:
// cut, hold and delay, each for one direction, all members or one kind of
// stream. [Machine] is a state machine that records what it is given and checks
// the contract of raftlog.StateMachine. [Cluster] puts nodes, machines and
// directories together, and can crash and restart them.
//
// # Contract
//
// A cut is what a dead machine or a firewall that rejects looks like: streams
// break and dials fail. A hold is what a firewall that drops, a stopped process
// or a long garbage collection looks like: bytes stay where they are until
// Release, and then arrive all, in order. Everything works inside of a
// testing/synctest bubble.
//
// # Concurrency
//
// All types may be used from many goroutines. A Network has one mutex, a stream
// one per direction, which is taken first. The package starts no
// goroutine of its own, but for the nodes' ones.
package rafttest
