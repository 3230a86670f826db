// Package transport connects the members of a cluster over one TCP listener per
// node. It implements raftlog.Net.
//
// # Purpose
//
// Everything between nodes (Raft, control, the application's own streams) goes
// through one port. What a connection carries, and between whom, is settled by a
// hello before its first byte: both ends prove, as far as the configuration lets
// them, that they are the members that they say they are, of this cluster, in
// this incarnation. A wiped node has another node id and is refused (rule M6).
//
// # Contract
//
//   - [Listen] refuses a configuration that would carry plain bytes beyond this
//     host, unless InsecurePeers says so. With TLS both ends verify the chain to
//     the CA, and the certificate must name the member (a DNS name of it, or the
//     common name), so that no member can speak for another: raftlog refuses a
//     message in another name than that of the stream's peer. With InsecurePeers
//     nothing is proved: whoever reaches the port and has seen a member's name and
//     node id, which go over the network in clear, can speak as that member.
//   - A node whose binding is not known carries no streams. [Mux.Meet] makes the
//     acquaintance: it hears every member's node id, has the binding recorded
//     durably, and only then opens the node for streams. A fresh cluster cannot
//     start with fewer than all its members.
//   - Both ends have agreed before either hands a stream out: the dialler sends
//     a last word after the acceptor's answer.
//   - A refusal is a [Refusal]: a code for programs, and a text that says what to
//     do. It is logged at both ends, once a minute for each member and code.
//   - A node that most members do not take for one of theirs ends: [Probe] says
//     so before a start touches anything, [Mux.Fatal] if it shows only later.
//     Most means a majority of the configured members, all of one cluster by
//     their own durable records. A member that was wiped or was given a wrong
//     directory is thereby no danger to a node that has its place: it is alone
//     against the cluster, as are several of them that do not agree.
//   - Who belongs to the cluster is the [Roster], a committed configuration of the
//     log, once there is one; until then it is what the config and the binding say.
//     Whoever is not in it is refused, and its streams are cut. A node that is
//     refused by a newer configuration than it knows, or by a cluster that was
//     recovered from its own, is out for ever: [ErrRemoved], [ErrFenced].
//   - A stream is an ordinary net.Conn. Over TLS a write that timed out breaks it
//     for good (crypto/tls), so a deadline that passes means: close and redial.
//   - Everything that is open is bounded for each member by its identity, and
//     before that is known by HelloTimeout and MaxHellos: see limits.go. Idle
//     streams of one member cost no other one its own.
//   - Host names are resolved at each dial. Nothing is cached.
//
// # First meeting
//
// An unbound node asks every other member with a hello of kind Meet, in rounds,
// and only counts what it heard by dialling, never what others claim about
// themselves by calling in. A round ends in one of these ways:
//
//   - Nobody who answered is bound, and all answered in this round: the node ids
//     heard are the cluster. All compute the same cluster id from them.
//   - A bound member lists exactly this node's id: its binding is this node's
//     too. This is how a node gets in that crashed before it wrote its binding
//     while others wrote theirs. It may do so although other members are away or
//     were formatted anew since: its own id in a durable record proves that it
//     is the node that was there, and that it holds nothing it could have lost.
//   - Bound members list another id for this node: [ErrFormattedAnew]. It was
//     wiped and can vote here no more.
//   - Bound members disagree: [ErrDisagree].
//   - A majority is bound to one cluster and refuses this node's configuration
//     (its cluster name, its role, its list of members): [ErrStranger].
//   - Otherwise: wait, say for whom, and ask again.
//
// A node that was formatted to join never founds a cluster. It waits until a bound
// member has its identity in the roster, and takes cluster and roster from that
// member. [Mux.Identify] is how the cluster learns the identity to add.
//
// No two clusters can have a quorum out of one set of machines: a node binds
// once, and bound nodes speak only with the very ids and the cluster id that
// they recorded.
//
// # Concurrency
//
// Goroutines: one accepts (Listen starts it); one per connection until its hello
// is over (bounded by MaxHellos); Meet and Probe run in their caller's goroutine
// and start one per member and round, which they wait for. Close ends them all and waits.
// After the hello a stream belongs to its consumer; Close closes it nevertheless.
//
// Locks: Mux.mu guards the binding, the set of connections and what is known of
// peers; nothing blocks under it. stream listeners have a mutex of their own,
// taken after Mux.mu or alone.
//
// # Format
//
// After TCP (and TLS 1.3) are set up, three frames go over a connection, each
//
//	magic "TWOFOLD1" | length u32 big endian, at most 4096 | JSON
//
//	dialler  -> acceptor   hello
//	acceptor -> dialler    hello of the acceptor, with a refusal if it refuses
//	dialler  -> acceptor   verdict: {} or a refusal (not after a Meet)
//
// and then the stream's own bytes. Unknown JSON members are ignored, so that a
// later version can say more; what changes the meaning raises the protocol
// range, which the first frame carries.
package transport
