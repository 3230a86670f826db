package identity

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// idBytes is the length of node ids and cluster ids.
const idBytes = 16

// NodeID is the random id of one formatting of one directory. The zero value
// means that it is not known; it is never a node's id.
type NodeID [idBytes]byte

// ClusterID names one set of members. The zero value means unbound.
type ClusterID [idBytes]byte

// newNodeID draws a node id. crypto/rand.Read never returns an error.
func newNodeID() NodeID {
	var id NodeID
	rand.Read(id[:])
	return id
}

// String returns 32 hex digits, or nothing for the zero value.
func (id NodeID) String() string { return formatID(id) }

// IsZero reports that the id is not known.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// MarshalText is String.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(formatID(id)), nil }

// UnmarshalText accepts what String returns, and nothing else.
func (id *NodeID) UnmarshalText(b []byte) error { return parseID((*[idBytes]byte)(id), b) }

// String returns 32 hex digits, or nothing for the zero value.
func (id ClusterID) String() string { return formatID(id) }

// IsZero reports that there is no cluster.
func (id ClusterID) IsZero() bool { return id == ClusterID{} }

// MarshalText is String.
func (id ClusterID) MarshalText() ([]byte, error) { return []byte(formatID(id)), nil }

// UnmarshalText accepts what String returns, and nothing else.
func (id *ClusterID) UnmarshalText(b []byte) error { return parseID((*[idBytes]byte)(id), b) }

func formatID(id [idBytes]byte) string {
	if id == [idBytes]byte{} {
		return ""
	}
	return hex.EncodeToString(id[:])
}

func parseID(dst *[idBytes]byte, b []byte) error {
	*dst = [idBytes]byte{}
	if len(b) == 0 {
		return nil
	}
	if len(b) != hex.EncodedLen(idBytes) {
		return fmt.Errorf("id of %d characters, want %d", len(b), hex.EncodedLen(idBytes))
	}
	if _, err := hex.Decode(dst[:], b); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	return nil
}
