// Package pace says when a line may be written that clients can cause.
//
// # Purpose
//
// A client in a loop, or a broken disk under load, must not fill the log. Time is
// measured by the monotonic clock: a wall clock that is set back silences nothing.
//
// # Contract
//
// [Due] decides and returns; the line is written by who asked, outside of any lock.
// A log that hangs then holds up whoever writes to it, and nobody who only asks.
//
// # Concurrency
//
// Due may be called concurrently. There are no goroutines.
package pace
