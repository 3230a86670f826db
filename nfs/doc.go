// Package nfs owns the sockets of the gateway: it takes TCP connections, reads
// ONC RPC calls from them, has them served and writes the replies.
//
// # Purpose
//
// One port serves several RPC programs, NFSv3 and MOUNT among them. A program
// is an [rpc.Handler]; it knows nothing of connections, and this package knows
// nothing of files.
//
// # Contract
//
// Calls of one connection run concurrently and are answered in the order in
// which they end. Each call is answered once, unless its handler returns an
// error that is to close the connection ([rpc.ErrDrop] and any error that is
// not an answer): then nothing more is read from that connection, replies of
// calls that have ended already go out, and calls still running get no answer,
// so that the client asks again elsewhere or over a new connection.
//
// A handler that panics is logged with its stack and answered SYSTEM_ERR.
//
// The handler's context ends when the server must stop at once, and when its
// connection is gone, since then nobody is there to be answered. It does not
// end when the client merely closes its sending half.
//
// Nothing grows without a bound. [Limits] holds for connections, for calls and
// for bytes: of the records of calls in flight, and of the replies that wait to
// be written, which count from the moment the call is started. At a limit on
// calls or bytes the server stops reading, which TCP passes on to the client; no
// call is dropped. A record that does not come to its end in time, or replies
// that the client does not take in time, close the connection; so does a record
// over a limit. So does idle time, with FIN. One connection too many takes the
// place of an idle one, or is closed at once.
//
// # Clients
//
// The limits hold for each connection, for each client (its address, or what
// Config.ClientOf makes of it) and in all. What there is in all is shared: a
// client takes more only while it holds no more than half of what is free, and
// clients that wait have their turns one after the other, however many
// connections each has. So a client that floods the server, or never reads its
// replies, over as many connections as it likes, leaves room for others. One that
// comes after many of such clients may wait for room until some are cut off, at
// the latest when Limits.WriteTime is up.
//
// # Pauses
//
// A node that stood still for longer than Config.MaxPause closes all client
// connections that there were, and no call that lay in them is executed (rule
// R11): another node may have answered it and forgotten the answer. How that is
// found out, and what remains, is said at pauseGuard.
//
// # Records that are not complete
//
// What a record mark announces takes no memory; what has arrived does. A record
// of up to 8 KiB is awaited in the buffer that its connection has anyway. A
// larger one moves from there into the intake, a part of the bytes of its own
// (Limits.Unfinished), and gets a larger buffer when it has filled the one it
// has: 16, 64, 256 KiB, then all of it. Only a complete record becomes a call
// and takes from the budget of calls, so a call that is complete never waits for
// one that is not. A client without permission for anything (Config.Admit)
// gets no further than 4 KiB.
//
// Halves of records may wait for room that other halves hold, but not for ever.
// The oldest record in the intake never waits for room there, though the intake
// exceed its limit by that one record. It either arrives, or fails with its
// connection, at the latest when Limits.RecordTime is up. An arrived record
// waits only for calls in flight, which need nothing from the intake: their
// handlers and replies are charged without waiting. So the oldest leaves, the
// next becomes the oldest, and each has its turn. Its connection's own budget
// is taken before it enters, from that connection's earlier calls. While others
// wait, who makes no progress for Limits.StallTime is cut off earlier.
//
// Hosts (for IPv6, networks of 64 bits) share the intake: the records of one never take more of it than
// they leave free. A host that sends many halves holds up itself, and those who
// share its address; others find room at once.
//
// # Concurrency
//
//	goroutine      started by   ends when                            owns
//	accept loop    Serve        the listener is closed               the listener
//	house          Serve        the server is closed                 looking at clocks, idle connections
//	connection     accept loop  its connection and its calls ended,  reading from the socket,
//	                            or its turn is over                  and quick calls
//	worker         connection   its call's reply is written or left  its task
//	                            to another call, and enough wait,
//	                            or the server has ended
//
// A worker whose call is done waits for the next of any connection. Calls that a
// handler says are quick (rpc.Quick) are run by the goroutine that reads the connection; one that
// has to wait after all hands the reading over to a worker (see turn). There is no
// goroutine for writing. The call that ends while nobody writes
// becomes the writer and goes on until no reply is left; calls that end
// meanwhile leave theirs to it, so that replies gather in one system call.
//
// While records wait for room in the intake a timer looks for those that stall.
//
// Lock order: Server.mu, then budget.mu; after conn.out, budget.mu, shares.mu,
// intake.mu and pauseGuard.mu nothing. No lock is held while a socket is read or
// written or a handler runs; under intake.mu a read deadline may be set.
//
// [Server.Shutdown] is the planned end: no new calls, calls in flight are
// finished and answered, connections close with FIN. [Server.Close] is the
// immediate one.
package nfs
