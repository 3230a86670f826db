// Guest runs one command inside a User Mode Linux guest, over real kernel NFSv3 mounts.
//
// # Purpose
//
// The tests need the Linux kernel's own NFS client, also on machines whose kernel has none and which cannot
// start a virtual machine. User Mode Linux is a Linux kernel that runs as an ordinary process; Debian's
// user-mode-linux package brings it with its NFS modules. This program boots it, mounts what it is told to, runs the
// command as root, passes on its output and its exit status, and takes everything down again.
//
//	guest [flags] -- COMMAND [ARG...]
//	guest -mount 127.0.0.1:12049/=/mnt/a -mount 127.0.0.1:12149/=/mnt/b -share /tmp/results -- ./check
//
// # Contract
//
// The guest sees the host's whole file tree at the same paths, copy-on-write into its own memory: nothing that it writes
// reaches the host but what it writes below a -share directory, where fsync reaches the host's disk. (A disk image would not do for a
// database: the block driver of Linux 6.1's User Mode Linux announces a write cache, but drops the flushes.) COMMAND gets the caller's environment and working
// directory and an empty standard input; GUEST_ADDR and HOST_ADDR hold the two ends of its network. The guest has one
// processor and is pinned to one of the host's: its system calls are ptrace stops, which take several times as
// long when the two sides wake each other across processors.
//
// A server that -mount names by a loopback address is reached by destination NAT, since a guest cannot reach the host's
// loopback otherwise. Any other address must be one that the host's end of the tap device can route to.
//
// The exit status is COMMAND's, or 124 when the time limit ended it, 125 when the guest died, 126 when it could not be
// set up, 130 when a signal ended it. The tap device, the NAT table, the guest's processes and its directory are removed on every way out,
// also on SIGINT, SIGTERM and SIGHUP.
//
// The same executable is the guest's init: the kernel starts it as process 1 with GUEST_CONTROL naming the directory through
// which both sides speak (spec.json in, status out).
//
// # Concurrency
//
// Any number of guests may run side by side: creating the tap device is what claims an instance number. On the host
// one goroutine waits for the guest's process and two copy its output; all three end with the process group. In
// the guest everything runs on the main goroutine, but for the unmounts, each of which has a goroutine of its own
// so that a server that no longer answers cannot hold up the power-off.
package main
