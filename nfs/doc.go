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
// be written, which count from the moment the call is started. At a limit the
// server stops reading, which TCP passes on to the client. A record that does
// not come to its end in time, or replies that the client does not take in
// time, close the connection; so does a record over the limit. A connection
// over the limit on connections is closed at once.
//
// # Concurrency
//
//	goroutine      started by   ends when                            owns
//	accept loop    Serve        the listener is closed               the listener
//	connection     accept loop  its connection and its calls ended   reading from the socket
//	call           connection   its reply is written or left to      its task
//	                            another call of the connection
//
// There is no goroutine for writing. The call that ends while nobody writes
// becomes the writer and goes on until no reply is left; calls that end
// meanwhile leave theirs to it, so that replies gather in one system call.
//
// Lock order: Server.mu, then nothing; conn.out, then nothing; budget.mu, then
// nothing. No lock is held while a socket is read or written or a handler runs.
//
// [Server.Shutdown] is the planned end: no new calls, calls in flight are
// finished and answered, connections close with FIN. [Server.Close] is the
// immediate one.
package nfs
