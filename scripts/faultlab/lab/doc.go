// Package lab is a twofold cluster of real processes to which faults happen: two data nodes and a witness, each in a network namespace and on a
// disk of its own.
//
// # Purpose
//
// The failure matrix, the linearizability test and the measured pauses need machines that die, hang, sleep and lose their links. A [Lab] has
// three nodes on one machine. Each process runs in its own network namespace, joined to the others and to the clients by a bridge, so that
// single directions of single links can be cut; and its directory is on an ext4 image of its own behind a loop device, which can be frozen
// or filled.
//
// # Contract
//
// [Enter] must have been called first: it moves the program into a network and a mount namespace of its own, where no port is taken and no
// device, table or mount can be left behind. [Open] gives a cluster that serves, [Lab.Close] ends it. A [Situation] says how each node and each
// link is; [Lab.Apply] brings it about and [Lab.Heal] ends it. Faults never touch the links between clients and nodes. A process that ends
// without being told to is remembered ([Lab.Ended]).
//
// Whatever the end of the program, its processes die with it, and a frozen disk is thawed and removed by a guardian process that outlives
// it. Should that be killed as well, the next Open cleans up what it finds of runs that are no more.
//
// # Concurrency
//
// A Lab's methods that change something are for one goroutine at a time. Status, Digest, Leader and the addresses may be asked by any. For each
// node there is one goroutine that keeps an operating-system thread in the node's network namespace and starts its processes, which the
// kernel kills when that thread ends, and one for each process that waits for its end. Node.mu guards what both know.
package lab
