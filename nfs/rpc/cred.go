package rpc

import (
	"bytes"
	"errors"

	"twofold/nfs/xdr"
)

// Limits of credentials.
const (
	MaxAuth    = 400 // bytes in an opaque_auth body (RFC 5531 section 8.2)
	MaxMachine = 255 // bytes in the machine name of AUTH_SYS (RFC 5531 appendix A)
	MaxGroups  = 16  // groups in AUTH_SYS (RFC 5531 appendix A)
)

// nobody is the user and group of a call without AUTH_SYS.
const nobody = 65534

// errBadCred is what parseSys answers; callers turn it into AUTH_BADCRED.
var errBadCred = errors.New("rpc: credential does not decode")

// StampLen is the length of AUTH_SYS's first field, an arbitrary number that
// some clients change from call to call.
const StampLen = 4

// parseSys decodes the body of an AUTH_SYS credential.
func parseSys(body []byte) (Cred, error) {
	r := xdr.NewReader(body)
	r.Uint32() // stamp
	c := Cred{Flavor: AuthSys, Machine: r.String(MaxMachine), UID: r.Uint32(), GID: r.Uint32()}
	n := r.Uint32()
	if r.Err() != nil || n > MaxGroups || len(r.Rest()) < int(n)*4 {
		return Cred{}, errBadCred
	}
	if n > 0 {
		c.Groups = make([]uint32, n)
		for i := range c.Groups {
			c.Groups[i] = r.Uint32()
		}
	}
	return c, nil
}

// AppendSys appends the body of an AUTH_SYS credential, without its flavor and
// length. Machine name and groups beyond the limits are cut off.
func AppendSys(w *xdr.Writer, stamp uint32, c *Cred) {
	w.Uint32(stamp)
	w.String(c.Machine[:min(len(c.Machine), MaxMachine)])
	w.Uint32(c.UID)
	w.Uint32(c.GID)
	groups := c.Groups[:min(len(c.Groups), MaxGroups)]
	w.Uint32(uint32(len(groups)))
	for _, g := range groups {
		w.Uint32(g)
	}
}

// credCacheSize is the number of credentials that a CredCache keeps. A client
// host has few users that are busy at the same time.
const credCacheSize = 8

// CredCache spares a connection the decoding of credentials that it has seen
// before, and the allocations of their machine names and group lists. The zero
// CredCache is empty and ready.
type CredCache struct {
	raw  [credCacheSize][]byte // body without the stamp
	cred [credCacheSize]Cred
	next int // the slot that is overwritten next
}

// get returns the credential of an AUTH_SYS body. A nil cache decodes each one.
func (c *CredCache) get(body []byte) (Cred, error) {
	if c == nil || len(body) < StampLen {
		return parseSys(body)
	}
	key := body[StampLen:]
	for i := range c.raw {
		if c.raw[i] != nil && bytes.Equal(c.raw[i], key) {
			return c.cred[i], nil
		}
	}
	cred, err := parseSys(body)
	if err != nil {
		return Cred{}, err
	}
	c.raw[c.next] = append(c.raw[c.next][:0], key...)
	c.cred[c.next] = cred
	c.next = (c.next + 1) % credCacheSize
	return cred, nil
}
