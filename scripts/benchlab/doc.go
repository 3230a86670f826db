// Benchlab measures twofold and other NFS servers side by side, and writes docs/performance.md.
//
// # Purpose
//
// Figures of different runs cannot be compared: machines are never equally busy. Benchlab has every server do the same work in the same run, in turn,
// with the same client ("twofold bench"), and gives medians of several rounds, their spread, and ratios.
//
// # Contract
//
// It starts "twofold dev" with shipped defaults in a directory of its own and stops it at the end. Peers are servers that run already; -peers names
// them, and -notes is a JSON file that says of each what it is:
//
//	{"NAME": {"version": "...", "settings": "...", "durability": "...", "processes": {"PROCESS": "PID, or a file that holds it"}}}
//
// A peer without processes is the one that listens on its port, if it is on this host. What is measured: each workload with each number of callers,
// round after round, in each round all servers one after the other, the first one changing from round to round. A measurement that fails is made once
// more; one that fails twice shows as failed. Reports go to the results directory as they are. The document is changed between its two marks only.
//
// # Concurrency
//
// One measurement at a time. The only other goroutine waits for "twofold dev".
package main
