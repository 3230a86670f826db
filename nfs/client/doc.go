// Package client is a small NFSv3 and MOUNT client for tests, tools and
// benchmarks.
//
// # Purpose
//
// It keeps many calls outstanding on one TCP connection at little cost for each
// (a [Slot] makes calls that were encoded beforehand without allocating), and
// shows results as the server sent them, attributes of failed calls
// included. It caches nothing, retries nothing and resolves no paths.
//
// # Contract
//
// A method returns an error only if there is no result: the connection failed,
// the context ended, the RPC layer refused the call (the errors of package rpc),
// or the reply does not decode. The server's verdict is the result's Status, and
// a result has whatever the RFC's failure arm carries. Names follow RFC 1813.
//
// A call whose context ends is forgotten, not undone: the server may still act
// on it. When the connection fails every outstanding call fails with the same
// error, and so does every later one; there is no reconnection. An XID may be
// chosen ([Request]), to send the same call again.
//
// # Concurrency
//
// A Client may be used by any number of goroutines, as may all that were made
// from it by As; a Slot by one, and Abandon by any. Each connection has two
// goroutines, which end when the connection fails or is closed. One reads: it
// hands out all replies that are at hand, lets their callers run, and writes the
// calls that these have made in one go, without waiting for the kernel. The other
// one writes what comes while there is nothing to read, and what the first one
// could not write at once. conn.pending guards who waits for a reply, outbox what
// waits to be written; neither lock is held during network calls.
package client
