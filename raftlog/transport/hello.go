package transport

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"twofold/raftlog"
	"twofold/raftlog/identity"
)

// magic begins every frame. It never changes: versions are in the hello.
const magic = "TWOFOLD1"

// frameHeader is the magic and the length.
const frameHeader = len(magic) + 4

// maxAddr bounds a member's address: a host name, a port and some more.
const maxAddr = 300

// maxRole bounds the role's name in a hello.
const maxRole = 16

// streamMeet is the kind of hello that only exchanges identities. It is a number
// on the wire like the others, far from those that raftlog may add.
const streamMeet raftlog.StreamKind = 200

// errNotOurs is returned for bytes that are no frame of ours.
var errNotOurs = errors.New("not a twofold hello")

// hello is what a node says of itself on each connection.
type hello struct {
	Protocol  Range                `json:"protocol"`
	Format    Range                `json:"format"`
	Kind      raftlog.StreamKind   `json:"kind"`
	Cluster   string               `json:"cluster"`
	ClusterID identity.ClusterID   `json:"cluster_id"` // empty if unbound
	Node      string               `json:"node"`
	NodeID    identity.NodeID      `json:"node_id"`
	Role      raftlog.Role         `json:"role"`
	Wanted    string               `json:"wanted"` // whom the sender takes the receiver for
	Addrs     []netip.Addr         `json:"addrs"`
	Members   []identity.Member    `json:"members"` // without ids if unbound
	Refused   *Refusal             `json:"refused,omitempty"`
	Joined    bool                 `json:"joined,omitempty"` // the node is not among Members, the founders
	Join      bool                 `json:"join,omitempty"`   // unbound, and waits to be added
	Ancestors []identity.ClusterID `json:"ancestors,omitempty"`
	// ConfigIndex is the entry of the committed configuration that this node
	// judges by; zero as long as it knows of none.
	ConfigIndex uint64  `json:"config_index,omitempty"`
	Roster      *Roster `json:"roster,omitempty"` // in the answer to a Meet of a member
	Probe       bool    `json:"probe,omitempty"`  // of a Meet: the sender takes no calls yet
}

// verdict is the dialler's last word.
type verdict struct {
	Refused *Refusal `json:"refused,omitempty"`
}

// binding returns the binding that a bound node reported, or nil.
func (h *hello) binding() (*identity.Binding, error) {
	if h.ClusterID.IsZero() {
		return nil, nil
	}
	b := identity.Binding{Cluster: h.Cluster, ClusterID: h.ClusterID, Members: h.Members, Ancestors: h.Ancestors}
	if h.Joined {
		b = b.Join(identity.Member{Name: h.Node, Role: h.Role, NodeID: h.NodeID})
	}
	if err := b.Validate(); err != nil {
		return nil, err
	}
	return &b, nil
}

// validate checks the form of a hello, not whether it is welcome.
func (h *hello) validate() error {
	if err := identity.CheckName("cluster name", h.Cluster); err != nil {
		return err
	}
	if err := identity.CheckName("node name", h.Node); err != nil {
		return err
	}
	if err := identity.CheckName("wanted name", h.Wanted); err != nil {
		return err
	}
	if h.NodeID.IsZero() {
		return errors.New("no node id")
	}
	if len(h.Role) > maxRole {
		return errors.New("role too long")
	}
	if h.Protocol.Min > h.Protocol.Max || h.Format.Min > h.Format.Max {
		return errors.New("empty version range")
	}
	if len(h.Addrs) > MaxAddrs {
		return fmt.Errorf("%d addresses", len(h.Addrs))
	}
	for _, a := range h.Addrs {
		if !a.IsValid() || a.Zone() != "" {
			return errors.New("invalid address")
		}
	}
	return h.validateMembers()
}

func (h *hello) validateMembers() error {
	if len(h.Members) > identity.MaxMembers {
		return fmt.Errorf("%d members", len(h.Members))
	}
	for _, m := range h.Members {
		if err := identity.CheckName("member name", m.Name); err != nil {
			return err
		}
		if len(m.Role) > maxRole {
			return errors.New("role too long")
		}
	}
	if len(h.Ancestors) > identity.MaxAncestors {
		return fmt.Errorf("%d ancestors", len(h.Ancestors))
	}
	if h.Roster != nil {
		if err := h.Roster.validate(); err != nil {
			return err
		}
	}
	b, err := h.binding()
	if err != nil {
		return err
	}
	if b == nil {
		return nil
	}
	if m, ok := b.Member(h.Node); !h.Joined && (!ok || m.NodeID != h.NodeID) {
		return errors.New("a binding that does not list its own node")
	}
	return nil
}

// decodeHello decodes and validates the JSON of a hello frame. The protocol
// range comes first, because the rest of a later protocol's hello may look
// different.
func decodeHello(data []byte) (*hello, *Refusal) {
	var first struct {
		Protocol Range `json:"protocol"`
	}
	if err := json.Unmarshal(data, &first); err != nil {
		return nil, refusal(CodeMalformed, "hello does not decode: %v", err)
	}
	if !protocol.Overlaps(first.Protocol) {
		return nil, refusal(CodeProtocol, "one node speaks protocol %s and the other %s: upgrade the older one", first.Protocol, protocol)
	}
	h := new(hello)
	if err := json.Unmarshal(data, h); err != nil {
		return nil, refusal(CodeMalformed, "hello does not decode: %v", err)
	}
	if err := h.validate(); err != nil {
		return nil, refusal(CodeMalformed, "hello is not valid: %v", err)
	}
	if h.Refused != nil {
		h.Refused.adopt(h.Node)
	}
	return h, nil
}

// adopt cleans a refusal that came over the wire.
func (r *Refusal) adopt(by string) {
	r.By = by
	r.Code, r.Text = Code(clip(string(r.Code))), clip(r.Text)
}

// appendFrame encodes one frame.
func appendFrame(dst []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(data) > MaxHelloBytes {
		return nil, fmt.Errorf("hello of %d bytes, at most %d", len(data), MaxHelloBytes)
	}
	dst = append(dst, magic...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)))
	return append(dst, data...), nil
}

func writeFrame(w io.Writer, v any) error {
	buf, err := appendFrame(nil, v)
	if err != nil {
		return err
	}
	_, err = w.Write(buf)
	return err
}

// readFrame returns the JSON of the next frame. It reads not one byte more,
// because the stream's own bytes follow the last frame.
func readFrame(r io.Reader) ([]byte, error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if string(head[:len(magic)]) != magic {
		return nil, notOurs(head[:])
	}
	n := binary.BigEndian.Uint32(head[len(magic):])
	if n > MaxHelloBytes {
		return nil, fmt.Errorf("%w: frame of %d bytes, at most %d", errNotOurs, n, MaxHelloBytes)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	return data, nil
}

// notOurs says what the first bytes look like instead. 22 is the type of a TLS
// handshake record and 21 that of an alert (RFC 8446, section 5.1).
func notOurs(head []byte) error {
	if (head[0] == 22 || head[0] == 21) && head[1] == 3 {
		return fmt.Errorf("%w: the other end speaks TLS and this node does not: configure tls on all members or on none", errNotOurs)
	}
	return errNotOurs
}
