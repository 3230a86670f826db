//go:build process

package main

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"twofold/nfs/client"
	"twofold/replica/vfs"
)

// lateCopy is a call of one of the ten procedures that change something, and
// what others do between it and its copy. Run again, the call would either fail
// or undo what they did.
type lateCopy struct {
	name      string
	call      func(context.Context, *client.Client) answer
	subject   client.FH     // whose attributes the answer shows
	done      func() bool   // the call's effect is visible
	meanwhile func()        // what others do
	stands    func() string // says what is wrong if that does not stand
}

// workshop is where the calls of one round are prepared and looked at, over a
// connection of another client.
type workshop struct {
	t     *testing.T
	addrs [2]string
	conn  *client.Client
	root  client.FH
	name  string
}

func newWorkshop(t *testing.T, addrs [2]string, name string) *workshop {
	w := &workshop{t: t, addrs: addrs, name: name}
	return w.reconnect()
}

// reconnect replaces the connection, which may have been lost with its node.
func (w *workshop) reconnect() *workshop {
	w.t.Helper()
	w.conn, w.root = session(w.t, w.addrs[0])
	return w
}

// ok ends the test over a call that failed.
func (w *workshop) ok(what string, st client.Status, err error) {
	w.t.Helper()
	if err != nil || st != client.OK {
		w.t.Fatalf("%s: %s: %v, %v", w.name, what, st, err)
	}
}

func (w *workshop) attr(fh client.FH) client.Attr {
	w.t.Helper()
	res, err := w.conn.Getattr(w.t.Context(), fh)
	w.ok("GETATTR", res.Status, err)
	return res.Attr
}

// find returns the handle of a name, nil if there is none.
func (w *workshop) find(dir client.FH, name string) client.FH {
	w.t.Helper()
	res, err := w.conn.Lookup(w.t.Context(), dir, name)
	if err == nil && res.Status == client.ErrNoEnt {
		return nil
	}
	w.ok("LOOKUP", res.Status, err)
	return res.FH
}

func (w *workshop) mkdir(dir client.FH, name string) client.FH {
	w.t.Helper()
	res, err := w.conn.Mkdir(w.t.Context(), dir, name, client.SetAttr{Mode: client.Ptr(uint32(0o755))})
	w.ok("MKDIR "+name, res.Status, err)
	return res.FH
}

func (w *workshop) create(dir client.FH, name string) client.FH {
	w.t.Helper()
	res, err := w.conn.Create(w.t.Context(), dir, name, client.CreateHow{Mode: vfs.CreateGuarded})
	w.ok("CREATE "+name, res.Status, err)
	return res.FH
}

func (w *workshop) remove(dir client.FH, name string) {
	w.t.Helper()
	res, err := w.conn.Remove(w.t.Context(), dir, name)
	w.ok("REMOVE "+name, res.Status, err)
}

func (w *workshop) rmdir(dir client.FH, name string) {
	w.t.Helper()
	res, err := w.conn.Rmdir(w.t.Context(), dir, name)
	w.ok("RMDIR "+name, res.Status, err)
}

func (w *workshop) write(fh client.FH, data string) {
	w.t.Helper()
	res, err := w.conn.Write(w.t.Context(), fh, 0, []byte(data), client.FileSync)
	w.ok("WRITE", res.Status, err)
}

func (w *workshop) read(fh client.FH) string {
	w.t.Helper()
	res, err := w.conn.Read(w.t.Context(), fh, 0, 4096)
	w.ok("READ", res.Status, err)
	return string(res.Data)
}

func (w *workshop) chmod(fh client.FH, mode uint32) {
	w.t.Helper()
	res, err := w.conn.Setattr(w.t.Context(), fh, client.SetAttr{Mode: &mode}, nil)
	w.ok("SETATTR", res.Status, err)
}

// is says what is wrong if a name is not what it should be; nil for absent.
func (w *workshop) is(dir client.FH, name string, want client.FH) string {
	w.t.Helper()
	if got := w.find(dir, name); !bytes.Equal(got, want) {
		return fmt.Sprintf("%q is %x, want %x", name, got, want)
	}
	return ""
}

// cases prepares one call of each procedure, each in a directory of its own.
func (w *workshop) cases() []*lateCopy {
	w.t.Helper()
	round := w.mkdir(w.root, w.name)
	all := w.makers(round)
	all = append(all, w.removers(round)...)
	return append(all, w.changers(round)...)
}

// makers are the calls that make a name. Others remove it again: run anew, the
// call would bring it back.
func (w *workshop) makers(round client.FH) (all []*lateCopy) {
	made := func(res client.CreateRes, err error) answer { return answer{res.Status, res.Dir.After, err} }
	add := func(name string, gone func(client.FH, string), f func(context.Context, *client.Client, client.FH) answer) {
		dir := w.mkdir(round, name)
		all = append(all, &lateCopy{
			name:      name,
			subject:   dir,
			call:      func(ctx context.Context, c *client.Client) answer { return f(ctx, c, dir) },
			done:      func() bool { return w.find(dir, "x") != nil },
			meanwhile: func() { gone(dir, "x") },
			stands:    func() string { return w.is(dir, "x", nil) },
		})
	}
	add("CREATE", w.remove, func(ctx context.Context, c *client.Client, dir client.FH) answer {
		return made(c.Create(ctx, dir, "x", client.CreateHow{Mode: vfs.CreateGuarded}))
	})
	add("MKDIR", w.rmdir, func(ctx context.Context, c *client.Client, dir client.FH) answer {
		return made(c.Mkdir(ctx, dir, "x", client.SetAttr{}))
	})
	add("SYMLINK", w.remove, func(ctx context.Context, c *client.Client, dir client.FH) answer {
		return made(c.Symlink(ctx, dir, "x", "target", client.SetAttr{}))
	})
	add("MKNOD", w.remove, func(ctx context.Context, c *client.Client, dir client.FH) answer {
		return made(c.Mknod(ctx, dir, "x", client.MknodWhat{Type: vfs.TypeFifo}))
	})
	file := w.create(round, "linked")
	add("LINK", w.remove, func(ctx context.Context, c *client.Client, dir client.FH) answer {
		res, err := c.Link(ctx, file, dir, "x")
		return answer{res.Status, res.Dir.After, err}
	})
	return all
}

// removers are the calls that take a name away. Others make the name anew: run
// again, the call would remove or move what is theirs.
func (w *workshop) removers(round client.FH) (all []*lateCopy) {
	add := func(name string, fresh func(client.FH, string) client.FH, f func(context.Context, *client.Client, client.FH) answer) *lateCopy {
		dir := w.mkdir(round, name)
		fresh(dir, "x")
		var theirs client.FH
		k := &lateCopy{
			name:      name,
			subject:   dir,
			call:      func(ctx context.Context, c *client.Client) answer { return f(ctx, c, dir) },
			done:      func() bool { return w.find(dir, "x") == nil },
			meanwhile: func() { theirs = fresh(dir, "x") },
			stands:    func() string { return w.is(dir, "x", theirs) },
		}
		all = append(all, k)
		return k
	}
	removed := func(res client.WCCRes, err error) answer { return answer{res.Status, res.WCC.After, err} }
	add("REMOVE", w.create, func(ctx context.Context, c *client.Client, dir client.FH) answer {
		return removed(c.Remove(ctx, dir, "x"))
	})
	add("RMDIR", w.mkdir, func(ctx context.Context, c *client.Client, dir client.FH) answer {
		return removed(c.Rmdir(ctx, dir, "x"))
	})
	k := add("RENAME", w.create, func(ctx context.Context, c *client.Client, dir client.FH) answer {
		res, err := c.Rename(ctx, dir, "x", dir, "y")
		return answer{res.Status, res.To.After, err}
	})
	moved, stands := w.find(k.subject, "x"), k.stands
	k.stands = func() string { return stands() + w.is(k.subject, "y", moved) }
	return all
}

// changers are the calls that change a file. Others change it again: run anew,
// the call would bring the older data back, or fail for its guard.
func (w *workshop) changers(round client.FH) []*lateCopy {
	written, guarded := w.create(round, "written"), w.create(round, "guarded")
	w.write(written, "first version")
	guard := w.attr(guarded).Ctime
	return []*lateCopy{{
		name:    "WRITE",
		subject: written,
		call: func(ctx context.Context, c *client.Client) answer {
			res, err := c.Write(ctx, written, 0, []byte("second version"), client.Unstable)
			return answer{res.Status, res.WCC.After, err}
		},
		done:      func() bool { return w.read(written) == "second version" },
		meanwhile: func() { w.write(written, "third version!") },
		stands: func() string {
			if got := w.read(written); got != "third version!" {
				return fmt.Sprintf("the file has %q", got)
			}
			return ""
		},
	}, {
		name:    "SETATTR",
		subject: guarded,
		call: func(ctx context.Context, c *client.Client) answer {
			res, err := c.Setattr(ctx, guarded, client.SetAttr{Mode: client.Ptr(uint32(0o600))}, &guard)
			return answer{res.Status, res.WCC.After, err}
		},
		done:      func() bool { return w.attr(guarded).Mode == 0o600 },
		meanwhile: func() { w.chmod(guarded, 0o640) },
		stands: func() string {
			if got := w.attr(guarded).Mode; got != 0o640 {
				return fmt.Sprintf("the mode is %o", got)
			}
			return ""
		},
	}}
}
