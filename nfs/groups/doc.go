// Package groups finds the supplementary groups of users at the server.
//
// # Purpose
//
// AUTH_SYS carries 16 groups at most. A user who is in more loses the others,
// unless the server finds the groups out by itself, as Linux does with mountd's
// --manage-gids. The node that takes a call does so, and the groups travel in
// the command: apply looks nothing up.
//
// # Contract
//
// A [Source] asks, a [Cache] remembers. [Command], the source that is used, runs
// the host's id(1), so that whatever the host's name service knows (files, LDAP,
// sssd) is known, though this binary is static and could not ask it.
//
// [Cache.Lookup] never fails. A user's groups are good for 5 minutes, that there
// is no such user for one. The first look-up of a user is waited for, up to 2 s;
// later ones go on in the background, while the groups that were known before are
// given, unless these are older than an hour: then the call waits, too. A user who
// is not known has no supplementary groups. If a look-up fails the answer is what
// was known last, else the groups of the call.
//
// Nothing tells a user who is not known from a name service that does not answer
// if id(1) says the same of both. A user may lose groups for a minute then.
//
// # Concurrency
//
// A Cache is safe for concurrent use. One mutex guards the entries; it is held for
// no look-up. Each look-up has a goroutine, at most 64 of them, of which 8 run a
// command; [Cache.Close] ends them. Two look-ups of one user never run at a time.
package groups
