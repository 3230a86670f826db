// Package metrics has the Prometheus collectors of a node and the HTTP server
// that shows them.
//
// # Purpose
//
// The packages that do the work get one of [NFS], [Raft], [Replica] and
// [Gateway] and call it where something happened. [Server] answers /metrics,
// /healthz, /readyz and /status from what it is given.
//
// # Contract
//
// Collectors belong to an instance and register on the Registerer that they
// are given, never on the default one: two nodes in one process do not meet.
// Every method is safe on a nil receiver, so that a package under test needs no
// collectors. Label values come from tables of this package or from the
// cluster's member list; a value outside of its table is counted as "other".
// There are no paths, clients or credentials in any label. Every metric has a
// row in docs/operations/metrics.md, which a test compares with the registry.
//
// HTTP only reads: any method but GET and HEAD is refused.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine; the collectors are
// atomic counters. [Server.Serve] runs in its caller's goroutine and net/http
// starts one goroutine for each of at most maxConns connections; they end with
// [Server.Shutdown]. There are no locks here.
package metrics
