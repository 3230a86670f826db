//go:build process

package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"twofold/nfs/client"
	"twofold/replica/vfs"
)

// bothNodes are clients of the two data nodes, and the root's handle.
type bothNodes struct {
	t     *testing.T
	conns [2]*client.Client
	root  client.FH
}

func newBothNodes(t *testing.T, c *procCluster) *bothNodes {
	t.Helper()
	n := &bothNodes{t: t}
	var roots [2]client.FH
	for i, addr := range c.nfsAddrs() {
		n.conns[i], roots[i] = session(t, addr)
	}
	if n.root = roots[0]; !bytes.Equal(roots[0], roots[1]) {
		t.Fatalf("MNT gives %x at a and %x at b", roots[0], roots[1])
	}
	return n
}

// ok ends the test over a call that failed.
func (n *bothNodes) ok(what string, st client.Status, err error) {
	n.t.Helper()
	if err != nil || st != client.OK {
		n.t.Fatalf("%s: %v, %v", what, st, err)
	}
}

// object checks that a name made at one node is the same thing at both: handle,
// attributes of every kind, and the directory's own.
func (n *bothNodes) object(dir client.FH, name string, made client.CreateRes) client.FH {
	n.t.Helper()
	n.ok("creation of "+name, made.Status, nil)
	if made.FH == nil || made.Attr == nil || made.Dir.After == nil {
		n.t.Fatalf("%s: the reply lacks a handle or attributes: %+v", name, made)
	}
	for i, c := range n.conns {
		res, err := c.Lookup(n.t.Context(), dir, name)
		n.ok("LOOKUP "+name, res.Status, err)
		attr, err := c.Getattr(n.t.Context(), res.FH)
		n.ok("GETATTR "+name, attr.Status, err)
		if !bytes.Equal(res.FH, made.FH) || *res.Attr != *made.Attr || attr.Attr != *made.Attr || *res.Dir != *made.Dir.After {
			n.t.Errorf("%s at %s: %x %+v in %+v, was made as %x %+v in %+v", name, dataNames[i],
				res.FH, *res.Attr, *res.Dir, made.FH, *made.Attr, *made.Dir.After)
		}
	}
	return made.FH
}

// What is done through one node is seen through the other at once, with the
// same identity, and after a restart, too.
func TestProcess_PairShowsOneVolume(t *testing.T) {
	c := newProcCluster(t)
	n := newBothNodes(t, c)
	ctx := t.Context()
	made, err := n.conns[0].Mkdir(ctx, n.root, "pair", client.SetAttr{Mode: client.Ptr(uint32(0o2775)), GID: client.Ptr(uint32(7))})
	n.ok("MKDIR", made.Status, err)
	dir := n.object(n.root, "pair", made)
	for i := range 120 {
		n.step(dir, i)
	}
	n.kinds(dir)
	n.server(dir)
	many := n.manyNames(1200)
	n.listings(many)

	before := n.snapshot(dir, many)
	c.stopAll()
	c.startAll()
	n = newBothNodes(t, c)
	if after := n.snapshot(dir, many); before != after {
		t.Errorf("before the restart\n%s\nafter it\n%s", before, after)
	}
	c.checkDigests()
	c.stopAll()
}

// step writes through one node and reads through the other, taking turns.
func (n *bothNodes) step(dir client.FH, i int) {
	n.t.Helper()
	ctx := n.t.Context()
	near, far := n.conns[i%2], n.conns[1-i%2]
	name := fmt.Sprintf("file%d", i%10)
	if i < 10 {
		made, err := near.Create(ctx, dir, name, client.CreateHow{Mode: vfs.CreateGuarded, Attr: client.SetAttr{Mode: client.Ptr(uint32(0o600 + i))}})
		n.ok("CREATE", made.Status, err)
		n.object(dir, name, made)
	}
	found, err := near.Lookup(ctx, dir, name)
	n.ok("LOOKUP", found.Status, err)
	data := content(name, i, 1+i*331)
	wrote, err := near.Write(ctx, found.FH, uint64(i*7), data, client.Unstable)
	n.ok("WRITE", wrote.Status, err)
	read, err := far.Read(ctx, found.FH, uint64(i*7), uint32(len(data)))
	n.ok("READ", read.Status, err)
	if !bytes.Equal(read.Data, data) || !read.EOF {
		n.t.Errorf("step %d: EOF %t, %s", i, read.EOF, difference(read.Data, data))
	}
	if wrote.WCC.After == nil || read.Attr == nil || *wrote.WCC.After != *read.Attr {
		n.t.Errorf("step %d: WRITE says %+v, the other node says %+v", i, wrote.WCC.After, read.Attr)
	}
	commit, err := far.Commit(ctx, found.FH, 0, 0)
	n.ok("COMMIT", commit.Status, err)
	if commit.Verf != wrote.Verf {
		n.t.Errorf("write verifier %x at %s, %x at the other node", wrote.Verf, dataNames[i%2], commit.Verf)
	}
}

// kinds makes each other kind of object, by turns at either node.
func (n *bothNodes) kinds(dir client.FH) {
	n.t.Helper()
	ctx := n.t.Context()
	a, b := n.conns[0], n.conns[1]
	res, err := a.Symlink(ctx, dir, "symlink", "to/nowhere", client.SetAttr{})
	n.ok("SYMLINK", client.OK, err)
	link := n.object(dir, "symlink", res)
	target, err := b.Readlink(ctx, link)
	if n.ok("READLINK", target.Status, err); target.Target != "to/nowhere" {
		n.t.Errorf("READLINK: %q", target.Target)
	}
	res, err = b.Mknod(ctx, dir, "fifo", client.MknodWhat{Type: vfs.TypeFifo})
	n.ok("MKNOD", client.OK, err)
	n.object(dir, "fifo", res)
	res, err = a.Mknod(ctx, dir, "device", client.MknodWhat{Type: vfs.TypeBlk, Rdev: vfs.Device{Major: 8, Minor: 17}})
	n.ok("MKNOD", client.OK, err)
	n.object(dir, "device", res)
	how := client.CreateHow{Mode: vfs.CreateExclusive, Verf: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}
	res, err = b.Create(ctx, dir, "exclusive", how)
	n.ok("CREATE", client.OK, err)
	file := n.object(dir, "exclusive", res)
	again, err := a.Create(ctx, dir, "exclusive", how) // a repetition that comes to the other node
	if n.ok("CREATE again", again.Status, err); !bytes.Equal(again.FH, file) {
		n.t.Errorf("the repetition of an exclusive CREATE gives %x, not %x", again.FH, file)
	}
	linked, err := a.Link(ctx, file, dir, "second name")
	n.ok("LINK", linked.Status, err)
	attr, err := b.Getattr(ctx, file)
	if n.ok("GETATTR", attr.Status, err); attr.Attr.Nlink != 2 || attr.Attr != *linked.Attr {
		n.t.Errorf("after LINK at a: %+v there, %+v at b", *linked.Attr, attr.Attr)
	}
	removed, err := b.Remove(ctx, dir, "exclusive")
	n.ok("REMOVE", removed.Status, err)
	gone, err := a.Lookup(ctx, dir, "exclusive")
	if err != nil || gone.Status != client.ErrNoEnt {
		n.t.Errorf("LOOKUP of a removed name: %v, %v", gone.Status, err)
	}
}

// server compares what the nodes say of the file system.
func (n *bothNodes) server(fh client.FH) {
	n.t.Helper()
	var text [2]string
	for i, c := range n.conns {
		info, err := c.Fsinfo(n.t.Context(), fh)
		n.ok("FSINFO", info.Status, err)
		conf, err := c.Pathconf(n.t.Context(), fh)
		n.ok("PATHCONF", conf.Status, err)
		stat, err := c.Fsstat(n.t.Context(), fh)
		n.ok("FSSTAT", stat.Status, err)
		attrs := fmt.Sprintf("%+v %+v %+v", *info.Attr, *conf.Attr, *stat.Attr)
		info.Attr, conf.Attr = nil, nil // else their addresses are compared
		text[i] = fmt.Sprintf("%s\n%+v %+v, %d inodes", attrs, info, conf, stat.Tfiles-stat.Ffiles)
	}
	if text[0] != text[1] {
		n.t.Errorf("a says\n%s\nb says\n%s", text[0], text[1])
	}
}

// manyNames makes a large directory, half of it through each node.
func (n *bothNodes) manyNames(count int) client.FH {
	n.t.Helper()
	made, err := n.conns[1].Mkdir(n.t.Context(), n.root, "many", client.SetAttr{})
	n.ok("MKDIR", made.Status, err)
	const callers = 16
	var wg sync.WaitGroup
	for k := range callers {
		wg.Go(func() {
			for i := k; i < count; i += callers {
				res, err := n.conns[k%2].Create(context.Background(), made.FH, fmt.Sprintf("name %d", i), client.CreateHow{Mode: vfs.CreateGuarded})
				if err != nil || res.Status != client.OK {
					n.t.Errorf("CREATE: %v, %v", res.Status, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return made.FH
}

// listings compares listings of one directory: all of it at each node, and one
// that changes the node after every page.
func (n *bothNodes) listings(dir client.FH) {
	n.t.Helper()
	for _, plus := range []bool{false, true} {
		var lists [3]string
		for i, c := range n.conns {
			all, err := c.ReadAll(n.t.Context(), dir, plus, 4096)
			n.ok("READDIR", client.OK, err)
			lists[i] = listText(all)
		}
		lists[2] = listText(n.alternate(dir, plus))
		if lists[0] != lists[1] || lists[0] != lists[2] {
			n.t.Errorf("plus %t: the listings at a, at b and by turns differ: %d, %d and %d bytes", plus, len(lists[0]), len(lists[1]), len(lists[2]))
		}
	}
}

// alternate lists a directory with every page from the other node.
func (n *bothNodes) alternate(dir client.FH, plus bool) (all []client.Dirent) {
	n.t.Helper()
	var cookie uint64
	var verf [8]byte
	for page := 0; ; page++ {
		c := n.conns[page%2]
		var res client.ReadDirRes
		var err error
		if plus {
			res, err = c.Readdirplus(n.t.Context(), dir, cookie, verf, 4096, 4096)
		} else {
			res, err = c.Readdir(n.t.Context(), dir, cookie, verf, 4096)
		}
		n.ok("READDIR", res.Status, err)
		if page > 0 && res.Verf != verf {
			n.t.Errorf("cookie verifier %x at page %d, %x before", res.Verf, page, verf)
		}
		all, verf = append(all, res.Entries...), res.Verf
		if res.EOF {
			return all
		}
		cookie = res.Entries[len(res.Entries)-1].Cookie
	}
}

func listText(list []client.Dirent) string {
	var b bytes.Buffer
	for _, e := range list {
		fmt.Fprintf(&b, "%q %d %d %x", e.Name, e.FileID, e.Cookie, e.FH)
		if e.Attr != nil {
			fmt.Fprintf(&b, " %+v", *e.Attr)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// snapshot is everything that must outlive a restart: names, handles, cookies,
// attributes with fsid and times, contents, and the write verifier.
func (n *bothNodes) snapshot(dirs ...client.FH) string {
	n.t.Helper()
	ctx := n.t.Context()
	var texts [2]string
	for i, c := range n.conns {
		var b bytes.Buffer
		for _, dir := range dirs {
			list, err := c.ReadAll(ctx, dir, true, 64<<10)
			n.ok("READDIRPLUS", client.OK, err)
			b.WriteString(listText(list))
			for _, e := range list {
				if e.Attr.Type != vfs.TypeReg {
					continue
				}
				res, err := c.Read(ctx, e.FH, 0, 1<<20)
				n.ok("READ", res.Status, err)
				fmt.Fprintf(&b, "%x\n", res.Data)
			}
			commit, err := c.Commit(ctx, n.regular(c, dir), 0, 0)
			n.ok("COMMIT", commit.Status, err)
			fmt.Fprintf(&b, "verifier %x\n", commit.Verf)
		}
		texts[i] = b.String()
	}
	if texts[0] != texts[1] {
		n.t.Errorf("a shows\n%s\nb shows\n%s", texts[0], texts[1])
	}
	return texts[0]
}

// regular returns the handle of one file of a directory.
func (n *bothNodes) regular(c *client.Client, dir client.FH) client.FH {
	n.t.Helper()
	list, err := c.ReadAll(n.t.Context(), dir, true, 64<<10)
	n.ok("READDIRPLUS", client.OK, err)
	for _, e := range list {
		if e.Attr.Type == vfs.TypeReg {
			return e.FH
		}
	}
	n.t.Fatal("no file")
	return nil
}
