// Command twofold runs, makes and watches the nodes of a two-way replicated
// NFSv3 volume.
//
// # Purpose
//
// One file holds each subcommand (init, serve, dev, status, version). The type
// [node] builds a whole node from a [config], so that tests start nodes in
// their own process too. This is the only place that knows every package, that
// merges the config file with flags, and that ends the process.
//
// # Contract
//
// init formats a directory and serve never does. A mistake that is found before
// a node runs (config, port, identity, version of the state, disk space) is one
// line on stderr, exit code 1, and changes nothing on disk: ports are bound,
// identity is read and the other members are asked whether they know it before
// anything is opened for writing. That the directory is of another cluster can
// come out later, if the others start after this node: then it ends as well.
// status exits with 0 if all is well, 1 if something is missing, 2 if nobody
// can be served or nobody answers.
//
// # Concurrency
//
// A node's long-lived goroutines, each started by node.run and joined by
// node.close:
//
//	NFS server      nfs.Server.Serve on the nfs address (data nodes only)
//	HTTP server     metrics.Server.Serve on the http address
//	admin server    adminServer.serve on the Unix socket in the directory
//	observer        node.observe, copies the lag of the other members into the metrics
//
// The packages below start their own; their doc.go say which. The dev command
// has one goroutine that launches child processes and keeps its thread, since
// the kernel ends them with it, and one for each child, which waits for its end
// and reports it on a channel that the command's own goroutine reads. The
// package has no locks; what the HTTP server reads of a node while it starts
// and stops (parts, draining) is atomic.
//
// # Format
//
// In the directory of a node, beside the files of package identity:
//
//	formats.json  versions of the formats that the last program wrote
//	log-begun     empty; made once the node has its log (see openLog)
//	log/          package raftlog
//	volume/       package state, on a data node
//	admin.sock    Unix socket, mode 0600, while the node runs
//
// In a dev directory: twofold-dev, the marker that --fresh asks for, and for
// each node a directory with twofold.yaml, log, pid and state/.
package main
