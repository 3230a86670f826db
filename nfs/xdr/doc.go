// Package xdr reads and writes the External Data Representation (RFC 4506) on
// byte slices, without reflection and without copying opaque data.
//
// # Contract
//
// A [Reader] walks over one record that is wholly in memory. Its error is
// sticky: after the first failure every method returns a zero value, so that a
// decoder checks [Reader.Err] once, at its end. No method allocates by a length
// from the wire: opaque data is a sub-slice of the record and its length is
// bounded by what is there and by the caller's limit.
//
// A [Writer] appends to a slice that the caller owns and may reuse.
//
// # Concurrency
//
// None: each value belongs to one goroutine at a time.
package xdr
