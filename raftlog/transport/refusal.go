package transport

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"twofold/raftlog/identity"
)

// Code says why a hello was refused. Codes go over the wire; they are never
// reused.
type Code string

// The codes.
const (
	CodeMalformed   Code = "malformed"   // not a hello of ours
	CodeProtocol    Code = "protocol"    // no common protocol version
	CodeFormat      Code = "format"      // no common format version
	CodeCluster     Code = "cluster"     // another cluster's name
	CodeMember      Code = "member"      // not among the configured members
	CodeWrongNode   Code = "wrong-node"  // reached another node than the one dialled
	CodeCertificate Code = "certificate" // the certificate names another member
	CodeRole        Code = "role"        // role differs from the configuration
	CodeMembers     Code = "members"     // the two configurations list other members
	CodeNodeID      Code = "node-id"     // formatted anew since the cluster was recorded
	CodeClusterID   Code = "cluster-id"  // bound to another cluster
	CodeUnbound     Code = "unbound"     // the peer is not bound yet
	CodeNotMet      Code = "not-met"     // the refusing node is not bound yet
	CodeKind        Code = "kind"        // unknown kind of stream
	CodeNoConsumer  Code = "no-consumer" // nobody takes streams of this kind
	CodeBusy        Code = "busy"        // a limit is reached
	CodeFenced      Code = "fenced"      // of a cluster that this one was recovered from
)

// Refusal is why one node would not speak with another.
type Refusal struct {
	Code Code   `json:"code"`
	Text string `json:"text"`
	// By names the node that refused; the receiver fills it in.
	By string `json:"-"`
}

// Error returns the text, and who said it.
func (r *Refusal) Error() string {
	return fmt.Sprintf("node %s refuses: %s (%s)", r.By, r.Text, r.Code)
}

// Transient reports that the refusal may end by itself, as it does while the
// cluster starts.
func (r *Refusal) Transient() bool {
	switch r.Code {
	case CodeUnbound, CodeNotMet, CodeNoConsumer, CodeBusy:
		return true
	}
	return false
}

func refusal(code Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Text: clip(fmt.Sprintf(format, args...))}
}

// clip bounds a text and takes out what could confuse a terminal, because texts
// come from the other end.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) > MaxRefusalText {
		s = strings.ToValidUTF8(s[:MaxRefusalText], "")
	}
	return s
}

// listMembers names members and roles in one order, for comparing and telling.
func listMembers(members []identity.Member) string {
	parts := make([]string, 0, len(members))
	for _, m := range members {
		parts = append(parts, fmt.Sprintf("%s (%s)", m.Name, m.Role))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
