package command

import (
	"fmt"

	"twofold/replica/vfs"
)

// cursor walks over encoded bytes. Its error is sticky: after the first failure
// every method returns a zero value.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.b = nil
}

// take returns the next n bytes, which alias the input, or nil.
func (c *cursor) take(n int) []byte {
	if n < 0 || len(c.b) < n {
		c.fail(ErrShort)
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) u8() uint8 {
	if v := c.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if v := c.take(2); v != nil {
		return be.Uint16(v)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if v := c.take(4); v != nil {
		return be.Uint32(v)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if v := c.take(8); v != nil {
		return be.Uint64(v)
	}
	return 0
}

func (c *cursor) time() vfs.Time { return vfs.Time(c.u64()) }

func (c *cursor) flag() bool {
	switch c.u8() {
	case 0:
		return false
	case 1:
		return true
	default:
		c.fail(fmt.Errorf("%w: bool is neither 0 nor 1", ErrUnknown))
		return false
	}
}

func (c *cursor) ref() vfs.Ref {
	ino := c.u64()
	return vfs.Ref{Ino: vfs.Ino(ino), Gen: c.u32()}
}

// str reads a string of at most limit+1 bytes: one more than apply allows, so
// that it can see that the name was too long.
func (c *cursor) str(limit int) string {
	n := int(c.u16())
	if n > limit+1 {
		c.fail(fmt.Errorf("%w: string of %d bytes", ErrLimit, n))
		return ""
	}
	return string(c.take(n))
}

func (c *cursor) name() string { return c.str(vfs.MaxName) }

func (c *cursor) set() vfs.SetAttr {
	s := vfs.SetAttr{
		Mask: vfs.SetMask(c.u16()),
		Mode: c.u32(), UID: c.u32(), GID: c.u32(),
		Size: c.u64(), Atime: c.time(), Mtime: c.time(),
	}
	if err := checkMask(s); err != nil {
		c.fail(err)
	}
	return s
}

// end fails if bytes are left, and returns the first error.
func (c *cursor) end() error {
	if c.err == nil && len(c.b) != 0 {
		c.fail(fmt.Errorf("%w: %d bytes", ErrTrailing, len(c.b)))
	}
	return c.err
}
