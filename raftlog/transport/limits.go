package transport

import "time"

// Limits. All are per node.
const (
	// MaxHelloBytes bounds the JSON of one frame.
	MaxHelloBytes = 4 << 10
	// MaxAddrs bounds the addresses that a node reports of itself.
	MaxAddrs = 16
	// MaxRefusalText bounds the text of a refusal.
	MaxRefusalText = 400
	// MaxHellos bounds inbound connections whose hello is not over.
	MaxHellos = 64
	// MaxHellosPerAddr bounds the same for one remote address, so that one
	// confused machine cannot keep the members out.
	MaxHellosPerAddr = 24
	// MaxStreamsPerPeer bounds the open streams with one member, both
	// directions together.
	MaxStreamsPerPeer = 160
	// MaxInboundPerKind bounds those of one kind that the member opened. It is such
	// that one member's idle streams keep neither other members' out, nor its own
	// of another kind, nor this node's to it: four kinds of them leave room below
	// MaxStreamsPerPeer. raft has some eight in use at most, the other kinds one or
	// two, and those of before each of several short network outages may be left until
	// the kernel gives them up.
	MaxInboundPerKind = 32
	// AcceptQueue bounds streams that wait for Accept, per kind.
	AcceptQueue = 16
)

// Times.
const (
	// HelloTimeout bounds TLS handshake and hello together.
	HelloTimeout = 3 * time.Second
	// DialTimeout bounds the TCP connect of one dial, all addresses of a host
	// name together.
	DialTimeout = 3 * time.Second
	// firstPatience is how long the first attempt of a dial waits for an answer;
	// each next one waits twice as long.
	firstPatience = 100 * time.Millisecond
	// userTimeout is TCP_USER_TIMEOUT: unacknowledged bytes older than this
	// end the connection (RFC 5482). Keepalives below end an idle one as soon.
	userTimeout       = 5 * time.Second
	keepAliveIdle     = 2 * time.Second
	keepAliveInterval = 1 * time.Second
	keepAliveCount    = 3
	// meetPauseMin and meetPauseMax are the pauses between rounds of Meet.
	meetPauseMin = 50 * time.Millisecond
	meetPauseMax = 1 * time.Second
	// logInterval is the shortest time between two log lines about the same
	// event with the same peer.
	logInterval = 10 * time.Second
	// refusalInterval is the same for a refusal with one code. It may last for
	// as long as nobody looks after the refused node.
	refusalInterval = time.Minute
	// ProbeTimeout bounds Probe. A member that is away without a sign holds up
	// a start for no longer.
	ProbeTimeout = 1 * time.Second
	// probeGrace is what it gives to the others once it knows enough.
	probeGrace = 100 * time.Millisecond
	// acceptPauseMax bounds the pause after an Accept that failed, for want of
	// file descriptors for instance.
	acceptPauseMax = 1 * time.Second
)
