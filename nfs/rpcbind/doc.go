// Package rpcbind makes the programs of a node known at port 111, where clients
// ask for their ports: `mount -t nfs -o vers=3 HOST:/path /mnt` then works without
// port options, and showmount finds the node.
//
// # Purpose
//
// On a host that runs rpcbind the node registers there, as the kernel's NFS server
// does. Where none runs the node can be the port mapper itself: RFC 1833 in its
// versions 2, 3 and 4, over UDP and TCP, IPv4 and IPv6. [Mode] says which.
//
// # Contract
//
// [Start] returns at once: a rpcbind that is slow, or missing, holds up nothing.
// What goes wrong is logged when it changes, told by [Registrar.State], and tried
// again every [CheckInterval]; so a rpcbind that lost its entries gets them back.
//
// Registered is each service on tcp, and on tcp6 if its listener has IPv6. What
// rpcbind was seen to do (1.2.6):
//
//   - Over its AF_UNIX socket it knows our user id, which becomes the owner, root's
//     being "superuser"; the owner in the call is ignored. Over TCP to 127.0.0.1
//     or ::1 a reserved port means "superuser", any other "unknown", in all
//     versions and without -i; from other addresses, even of the host, SET and
//     UNSET are denied with AUTH_TOOWEAK.
//   - SET of what is there already is TRUE, of another address FALSE, and netid and
//     address may be any string. UNSET by root removes whatever is there.
//   - It never looks whether anybody listens. At its end it writes its entries to
//     /run, and with -w it begins with them.
//
// So it protects nobody from root, and this package looks before it acts. An entry
// of one of our programs, in any version and on any transport, is ours if it is at
// the address of our listener: as long as that is open nobody else can be there,
// and the entry is what an earlier process left. Any other is foreign, such as
// that of the kernel's server or of another node on this host: then nothing is
// registered and nothing removed, and the error says so ([ForeignError]). Between
// the look and the SET somebody may still come; SET does not overwrite.
// [Registrar.Stop] removes what this process has registered, if it still has our
// address. It must come before the listeners are closed.
//
// Two nodes on one host, at different addresses or ports, cannot both register:
// version 2 knows one port of a program, whatever the address.
//
// In ModeAuto the choice is made when the first of the two works. A node that has
// once met rpcbind never takes port 111 from it. If rpcbind is installed it should
// be started first (systemd: After=rpcbind.socket); one that comes later is
// reported.
//
// # Our own server
//
// The programs of the node, and the port mapper itself, are always there. Other
// programs of the host (statd and the kernel's lockd, for its own NFS client) may
// register and unregister theirs, over loopback and from a reserved port: any user
// may call from another. They are kept in memory only: after a restart of the node
// they have to be started again. Nobody else's SET and UNSET has an effect; the
// answer is FALSE. There is no AF_UNIX socket, since it is rpcbind's: programs fall
// back to loopback, but `rpcinfo -p` without a host does not.
//
// Of a program that clients look for and nobody serves, the lock manager, they are
// given the node's address, at which it is PROG_UNAVAIL ([Config.Absent]): a lock
// then fails, where a client without an address would ask for ever. It is in no
// list, and the host's own lockd may register its entry, for servers that call it.
//
// GETADDR gives an address that the caller can reach: that at which it asked, for
// a program that listens on all of them. CALLIT, BCAST and INDIRECT are
// PROC_UNAVAIL, and so are GETSTAT and the address conversions.
//
// Limits: maxConns connections, the oldest of which makes room; idleTime for the
// next call of one; recordLimits; maxSet foreign entries; maxDatagram bytes in a
// UDP reply (SYSTEM_ERR beyond); maxSurplus bytes per second by which UDP replies
// to other hosts exceed their calls, beyond which they are dropped. A datagram
// that is no call of ours is dropped silently, and a broadcast is not answered.
//
// # Concurrency
//
//	goroutine   started by  ends when                    owns
//	run         Start       Stop                         the registration
//	accept      listen      the listener is closed       the listener
//	connection  accept      the client or Stop closes it the connection
//	UDP         listen      the socket is closed         the socket, one call at a time
//
// Registrar.mu, server.mu, table.mu and surplus.mu guard what stands below them;
// none is held while another is taken, or during a call.
//
// # Format
//
// RFC 1833: struct mapping (version 2), struct rpcb and the rpcblist, on RFC 5531
// messages; universal addresses are those of RFC 5665 section 5.2.3.
package rpcbind
