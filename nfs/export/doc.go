// Package export decides who may use the volume, and as whom.
//
// # Purpose
//
// An export rule names a network and what its hosts may do. The MOUNT program
// and every NFS procedure ask the same [Table], so that a file handle that was
// learnt elsewhere gives a client without a rule nothing.
//
// # Contract
//
// The rule with the longest matching prefix wins; the order in which rules are
// written does not matter. No rule means no access. An IPv4-mapped IPv6 address
// counts as the IPv4 address. A secure rule admits source ports below 1024
// only. AUTH_NONE is the anonymous user. With root squashing user 0 becomes the
// anonymous user, and group 0, also in the group list, the anonymous group, as
// Linux has it (nfsd_setuser in fs/nfsd/auth.c).
//
// # Concurrency
//
// A Table does not change after New and may be used by any number of
// goroutines. There are no goroutines and no locks.
package export
