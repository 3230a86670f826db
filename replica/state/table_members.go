package state

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/command"
	"twofold/replica/vfs"
)

// Field tags of a member's record, whose key ends with the name.
const (
	tagMemberID    byte = 1 // 16 bytes
	tagMemberAddrs byte = 2 // 16 bytes each
)

// setMember puts a member's record in the place of the one of that name.
func (c *call) setMember(m *vfs.Member) vfs.Kind {
	if m.Name == "" || len(m.Name) > command.MaxNode || len(m.Addrs) > vfs.MaxAddrs {
		return vfs.Invalid
	}
	all := c.tables.members
	if len(c.tables.memberWrites) == 0 {
		all = slices.Clone(c.s.mu.members) // The apply goroutine is the only one to replace it.
	}
	i, found := slices.BinarySearchFunc(all, m.Name, memberByName)
	switch {
	case found:
		all[i] = *m
	case len(all) >= vfs.MaxMembers:
		return vfs.Quota
	default:
		all = slices.Insert(all, i, *m)
	}
	c.tables.members = all
	c.tables.memberWrites = append(c.tables.memberWrites, *m)
	return vfs.OK
}

func memberByName(m vfs.Member, name string) int { return strings.Compare(m.Name, name) }

func (t *txn) fillMembers(b *pebble.Batch) error {
	for i := range t.tables.memberWrites {
		m := &t.tables.memberWrites[i]
		t.keyBuf = memberKey(t.keyBuf[:0], t.super.ID, m.Name)
		t.valueBuf = appendMember(t.valueBuf[:0], m)
		if err := t.set(b, t.keyBuf, t.valueBuf); err != nil {
			return err
		}
	}
	return nil
}

func appendMember(b []byte, m *vfs.Member) []byte {
	b = appendField(b, tagMemberID, m.ID[:])
	var addrs []byte
	for _, a := range m.Addrs {
		a16 := a.As16()
		addrs = append(addrs, a16[:]...)
	}
	return appendField(b, tagMemberAddrs, addrs)
}

func decodeMember(key, b []byte) (vfs.Member, error) {
	var m vfs.Member
	_, err := fields(key, b, func(tag byte, v []byte) (bool, error) {
		switch {
		case tag == tagMemberID && len(v) == len(m.ID):
			m.ID = [16]byte(v)
		case tag == tagMemberAddrs && len(v)%16 == 0 && len(v) <= 16*vfs.MaxAddrs:
			for a := range slices.Chunk(v, 16) {
				m.Addrs = append(m.Addrs, netip.AddrFrom16([16]byte(a)).Unmap())
			}
		case tag == tagMemberID || tag == tagMemberAddrs:
			return true, corrupt(key, "member field %d of %d bytes", tag, len(v))
		default:
			return false, nil
		}
		return true, nil
	})
	if err == nil && (len(key) <= prefixLen || len(key) > prefixLen+command.MaxNode) {
		err = corrupt(key, "member key of %d bytes", len(key))
	}
	if err != nil {
		return m, err
	}
	m.Name = string(key[prefixLen:])
	return m, nil
}
