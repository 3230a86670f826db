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

// memberWrite is a record that an entry sets, or takes out.
type memberWrite struct {
	vfs.Member
	gone bool
}

// setMember puts a member's record in the place of the one of that name.
func (c *call) setMember(m *vfs.Member) vfs.Kind {
	if m.Name == "" || len(m.Name) > command.MaxNode || len(m.Addrs) > vfs.MaxAddrs {
		return vfs.Invalid
	}
	all := c.members()
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
	c.tables.memberWrites = append(c.tables.memberWrites, memberWrite{*m, false})
	return vfs.OK
}

// dropMember takes a member's record out. One that is gone already, or is another
// node's by now, makes no change.
func (c *call) dropMember(o *command.DropMember) {
	all := c.members()
	i, found := slices.BinarySearchFunc(all, o.Name, memberByName)
	if !found || all[i].ID != o.ID {
		return
	}
	gone := all[i]
	c.tables.members = slices.Delete(all, i, i+1)
	c.tables.memberWrites = append(c.tables.memberWrites, memberWrite{gone, true})
}

// members returns the records as this txn has them so far, to be changed.
func (c *call) members() []vfs.Member {
	if len(c.tables.memberWrites) > 0 {
		return c.tables.members
	}
	return slices.Clone(c.s.mu.members) // The apply goroutine is the only one to replace it.
}

func memberByName(m vfs.Member, name string) int { return strings.Compare(m.Name, name) }

func (t *txn) fillMembers(b *pebble.Batch) error {
	for i := range t.tables.memberWrites {
		m := &t.tables.memberWrites[i]
		t.keyBuf = memberKey(t.keyBuf[:0], t.super.ID, m.Name)
		if m.gone {
			if err := t.delete(b, t.keyBuf); err != nil {
				return err
			}
			continue
		}
		t.valueBuf = appendMember(t.valueBuf[:0], &m.Member)
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
