// Command twofold runs, makes and watches the nodes of a two-way replicated
// NFSv3 volume.
//
// # Purpose
//
// One file holds each subcommand (init, serve, dev, status, bench,
// leader, drain, member, recover, export, version). The type
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
// can be served or nobody answers. export exits with 0 if it is done, 1 if it
// was refused and nothing was changed, 2 if nobody knows: an unknown outcome is
// told as such. check and scrub exit with 0 if the copy is sound, 1 if it is
// damaged, 2 if that is not known.
//
// A node that is stopped, or drained by command, first fails its readiness, then
// hands leadership over, then answers the calls in flight and closes its clients'
// connections with FIN. A drained node serves nobody and stays a member.
//
// Who the members are is in the log. A node keeps what it last saw committed in
// members.json, for the time until its log is open. Changes of the members are
// made at the leader; what of them is left to do is in the log as well, and any
// leader finishes it. A node that finds itself removed, or left behind by a
// recovery, writes that down and never starts again.
//
// The replicated export table alone says who may mount. The exports_file of a
// config is proposed as the table by a node that finds a new cluster without
// one (the first entry in the log wins, and the other node says so), and on
// SIGHUP, against the version that it was compared with. A node serves clients
// once the table that the cluster has now is in force, and keeps the old one if
// a newer one does not compile.
//
// That rpcbind cannot be had, or knows another server, is shown in log, status
// and metrics and ends nothing: clients that name the port are served.
//
// # Concurrency
//
// A node's long-lived goroutines, each started by node.run and joined by
// node.close:
//
//	NFS server      nfs.Server.Serve on the nfs address (data nodes only)
//	HTTP server     metrics.Server.Serve on the http address
//	admin server    adminServer.serve on the Unix socket in the directory
//	tender          node.tendMembers, finishes changes of the members as the leader
//	observer        node.observe, copies the lag of the other members into the metrics
//	members         node.keepMembers, publishes this host's addresses (data nodes only)
//	exports         exportKeeper.run, puts each export table in force (data nodes only)
//	hangups         exportKeeper.awaitReloads, proposes the exports file on SIGHUP
//	port mapper     portMapper.run, begins once NFS is served; its registration goes
//	                before the NFS port is closed
//
// The packages below start their own; their doc.go say which. The dev command
// has one goroutine that launches child processes and keeps its thread, since
// the kernel ends them with it, and one for each child, which waits for its end
// and reports it on a channel that the command's own goroutine reads. The
// package has two locks: node.front, held over the whole of a drain, its undoing and
// the end of serving, and then the one of portMapper, which guards what it has started. What
// the HTTP server reads of a node while it starts and stops (parts, refusal,
// the table in force) is atomic.
//
// # Format
//
// In the directory of a node, beside the files of package identity:
//
//	members.json  who the members were, by the newest committed configuration
//	formats.json  versions of the formats that the last program wrote
//	log-begun     empty; made once the node has its log (see openLog)
//	log/          package raftlog
//	volume/       package state, on a data node
//	volume.agreed/ and the like: copies of it for comparisons (package replica)
//	admin.sock    Unix socket, mode 0600, while the node runs
//
// In a dev directory: twofold-dev, the marker that --fresh asks for, and for
// each node a directory with twofold.yaml, exports, log, pid and state/.
package main
