// Package export decides who may use which part of the volume, and as whom.
//
// # Purpose
//
// An export is a directory of the volume with the clients that may use it and
// what they may do. This package reads files of exports, writes clients in one
// canonical form for the replicated table ([vfs.ExportTable]), and compiles that
// table. The MOUNT program and every NFS procedure ask the compiled table,
// [Exports], so that a file handle that was learnt elsewhere gives a client
// without a rule nothing.
//
// # Contract
//
// [Parse] takes all of a file or, after an error, which names the line, nothing.
// [Exports.Set] puts a table in force as a whole, or leaves the old one.
//
// Among the clients of one export the most specific that fits a caller decides:
// an address, then the address of a host name, then longer prefixes before
// shorter ones, then everybody; the order in which they are written does not
// matter. If two host names have one address the first in the alphabet decides.
// No client that fits means no access. An IPv4-mapped IPv6 address counts as the
// IPv4 address. A secure rule admits source ports below 1024 only.
//
// AUTH_NONE is the anonymous user. With root squashing user 0 becomes the
// anonymous user, and group 0, also in the group list, the anonymous group, as
// Linux has it (nfsd_setuser in fs/nfsd/auth.c). With all_squash everybody is
// the anonymous user.
//
// Host names are resolved in the background, at first at once and then every
// minute; a call never waits for it. A name that does not resolve matches
// nobody, as one that the name service says is not there any more. While the name
// service itself fails, names are asked for again every 15 s and keep their
// addresses for an hour ([KeepTime]). The search list, the hosts file and the name
// servers are those of the node, so that two nodes may differ.
//
// # Format
//
// A file of exports has the syntax of exports(5), one export in a line:
//
//	PATH [-DEFAULTS] CLIENT(OPTION,OPTION) CLIENT ...
//
// White space separates words, # at the beginning of a word starts a comment, and
// a backslash at the end of a line joins the next one to it; a comment that would
// hide the line after it so is refused. A path may be in quotes on one line, and
// \NNN in it is the byte of that octal number. Lines with the same path add up.
// DEFAULTS are options for all clients of the line; a client's own options go
// before them.
//
// A CLIENT is an address, a network (10.0.0.0/24, 10.0.0.0/255.255.255.0,
// fd00::/64), a host name, or * for everybody. Netgroups, and wildcards in
// names, are refused, as is a space before a parenthesis.
//
// Options are ro (default) and rw; root_squash (default), no_root_squash,
// all_squash and no_all_squash (default); secure (default) and insecure;
// anonuid=N and anongid=N (65534). Options that say what is so here anyway are
// accepted: sync, no_subtree_check, wdelay, no_wdelay, hide, nocrossmnt, no_acl,
// no_pnfs, sec=sys, xprtsec=none. Others that exports(5) knows are refused, with
// the reason.
//
// The canonical text of an export's clients (the Clients of a [vfs.Export]) is
// CLIENT(OPTIONS) with single spaces, the most specific client first; the
// options begin with ro or rw, and those that are the default are left out.
//
// # Concurrency
//
// The table in force is behind one atomic pointer and does not change, so that
// look-ups take no lock and allocate nothing. One mutex serializes its
// replacement: by Set, and by the look-ups of host names when addresses change.
// [New] starts one goroutine, which starts at most eight others for look-ups;
// [Exports.Close] ends them all.
package export
