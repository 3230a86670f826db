// Clientcheck is the part of the client test that runs inside a guest: it uses a volume through the Linux kernel's
// NFS client as people's programs would, and checks every result exactly.
//
// # Purpose
//
//	clientcheck volume -a /mnt/a -b /mnt/b -source DIR -repository DIR [-only REGEXP] [-skip REGEXP]
//		[-results FILE]
//	clientcheck self -twofold FILE -config FILE -nfs-port PORT -ready URL -other ADDR -other-http URL -other-lead FILE
//		[-node-log FILE] [-results FILE]
//	clientcheck lock fcntl|flock FILE
//
// The first form works on one volume through a mount of each node. The second formats and starts a data node on this
// very machine. It sets the machine's wall clock an hour ahead and two hours behind, which clients of both nodes must not
// notice. Then it mounts the node here, and writes and reads several times the machine's memory: a node must go on serving while
// its own kernel waits for it to take dirty pages. Then it mounts this node and the other one by their addresses alone,
// beside a rpcbind and rpc.statd that serve this machine's client. The third asks for
// one lock and prints what became of it; the second runs it.
//
// # Contract
//
// Each case gets an empty directory of its own, prints one line with its verdict and its time, and has a time limit.
// A case that passes its limit hangs in the kernel, more often than not: the program prints its goroutines, runs
// nothing more and exits. The exit status is 0 only when every case passed.
//
// In a guest a system call is slow and starting a program slower still, so the checks are made in this one process; programs
// are run where they are the point (cp, git, sqlite3).
//
// # Concurrency
//
// Each case runs in a goroutine of its own, one at a time. Cases that compare or make many files use a bounded
// group of goroutines, which ends with the case.
package main
