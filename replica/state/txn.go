package state

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"twofold/replica/vfs"
)

// txn holds the effects of one or more log entries until they are committed as one
// batch. It lies over the store: what a command changed, the next one sees.
// Records that several commands change are written once.
//
// Its error is sticky. After it is set, look-ups find nothing and nothing is
// committed; handlers need not check it.
type txn struct {
	s   *State
	err error

	term    uint64 // of the entry whose commands run
	super   super
	nodes   map[vfs.Ino]*node
	order   []*node // nodes in the order of first use, so that batches are alike
	entries map[entryName]*entry
	inOrder []*entry

	answers answers // of this txn

	tables tableChanges
	sums   sums

	keyBuf, valueBuf   []byte
	cookieBuf, nameBuf []byte
}

// node is one inode in a txn.
type node struct {
	*inode // as it is now; shared with the cache until edit

	owned   bool // *inode is a private copy
	changed bool // the record must be written
	gone    bool // the last name went in this txn

	stored *inode // as it is in the store; nil if it is not

	// blocks has what this txn wrote. A slice in it is never changed.
	blocks map[uint64][]byte
	order  []uint64
	// replaced has what this txn has seen of stored blocks.
	replaced map[uint64]extent
	// cut is the number of the first block whose stored value is void.
	cut uint64
}

// noCut says that every stored block of a node is still valid.
const noCut = ^uint64(0)

// entryName is the identity of a directory entry.
type entryName struct {
	dir  vfs.Ino
	name string
}

// entry is one directory entry in a txn: as stored, and as it is now.
type entry struct {
	entryName
	stored, now dirent
}

func newTxn(s *State) *txn {
	return &txn{
		s: s, nodes: make(map[vfs.Ino]*node), entries: make(map[entryName]*entry),
		sums: sums{places: make(map[int]int)},
	}
}

// begin empties t for the next entries.
func (t *txn) begin() {
	clear(t.nodes)
	clear(t.entries)
	clear(t.order)
	clear(t.inOrder)
	t.tables = tableChanges{}
	t.order, t.inOrder, t.err = t.order[:0], t.inOrder[:0], nil
	t.super = t.s.mu.super // The apply goroutine is the only one to change it.
	t.answers.begin(t.super.nextAnswer)
	t.sums.begin()
}

func (t *txn) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// node returns an inode that is alive, or nil.
func (t *txn) node(ino vfs.Ino) *node {
	if t.err != nil {
		return nil
	}
	n, ok := t.nodes[ino]
	if !ok {
		stored, err := t.s.inode(t.super.ID, ino)
		if err != nil {
			t.fail(err)
			return nil
		}
		if stored != nil {
			n = &node{inode: stored, stored: stored, cut: noCut}
		}
		t.add(ino, n)
	}
	if n == nil || n.gone {
		return nil
	}
	return n
}

// add puts a node, or the knowledge that there is none, into t.
func (t *txn) add(ino vfs.Ino, n *node) {
	t.nodes[ino] = n
	if n != nil {
		t.order = append(t.order, n)
	}
}

// must is node for an inode that another record names.
func (t *txn) must(ino vfs.Ino) *node {
	n := t.node(ino)
	if n == nil {
		t.fail(corrupt(inodeKey(nil, t.super.ID, ino), "no inode for a name"))
	}
	return n
}

// edit returns the inode for changing.
func (n *node) edit() *inode {
	if !n.owned {
		private := *n.inode
		n.inode, n.owned = &private, true
	}
	n.changed = true
	return n.inode
}

// create makes a new inode.
func (t *txn) create(i *inode) *node {
	n := &node{inode: i, owned: true, changed: true, cut: noCut}
	t.add(i.Ino, n)
	t.super.inodes++
	return n
}

// destroy frees an inode and its blocks.
func (t *txn) destroy(n *node) {
	n.gone = true
	n.blocks, n.order = nil, nil
	t.super.inodes--
	if n.Type == vfs.TypeReg {
		t.super.bytes -= n.Used
	}
}

// entry returns the place of a name in a directory; nil after an error.
func (t *txn) entry(dir *node, name string) *entry {
	if t.err != nil {
		return nil
	}
	id := entryName{dir.Ino, name}
	if e, ok := t.entries[id]; ok {
		return e
	}
	var d dirent
	if dir.stored != nil { // else this txn made it
		var err error
		if d, err = t.s.dirent(t.super.ID, dir.stored, name); err != nil {
			t.fail(err)
			return nil
		}
	}
	e := &entry{entryName: id, stored: d, now: d}
	t.entries[id] = e
	t.inOrder = append(t.inOrder, e)
	return e
}

// commit writes everything and moves the applied index, in one batch.
func (t *txn) commit(index, term uint64) error {
	if t.err != nil {
		return t.err
	}
	b := t.s.db.NewBatch()
	err := t.fill(b, index, term)
	if err == nil {
		err = t.publish(b, index, term)
	}
	return errors.Join(err, b.Close())
}

func (t *txn) fill(b *pebble.Batch, index, term uint64) error {
	for _, n := range t.order {
		if err := t.fillNode(b, n); err != nil {
			return err
		}
	}
	for _, e := range t.inOrder {
		if err := t.fillEntry(b, e); err != nil {
			return err
		}
	}
	if err := t.fillAnswers(b); err != nil {
		return err
	}
	if err := t.fillTables(b); err != nil {
		return err
	}
	if err := t.fillSuper(b); err != nil {
		return err
	}
	return t.fillSums(b, index, term)
}

func (t *txn) fillSuper(b *pebble.Batch) error {
	if !t.super.formatted() {
		t.sums.super = Digest{}
		return nil
	}
	t.keyBuf = superKey(t.keyBuf[:0], t.super.ID)
	t.valueBuf = appendSuper(t.valueBuf[:0], &t.super)
	t.sums.super = recordSum(t.keyBuf, t.valueBuf)
	return b.Set(t.keyBuf, t.valueBuf, nil)
}

func (t *txn) fillNode(b *pebble.Batch, n *node) error {
	if err := t.fillBlocks(b, n); err != nil {
		return err
	}
	if !n.gone && !n.changed {
		return nil
	}
	t.keyBuf = inodeKey(t.keyBuf[:0], t.super.ID, n.Ino)
	if n.stored != nil {
		t.valueBuf = appendInode(t.valueBuf[:0], n.stored)
		t.subRecord(t.keyBuf, t.valueBuf)
	}
	switch {
	case !n.gone:
		t.valueBuf = appendInode(t.valueBuf[:0], n.inode)
		t.addRecord(t.keyBuf, t.valueBuf)
		return b.Set(t.keyBuf, t.valueBuf, nil)
	case n.stored != nil:
		return b.Delete(t.keyBuf, nil)
	default:
		return nil
	}
}

func (t *txn) fillEntry(b *pebble.Batch, e *entry) error {
	if e.stored == e.now {
		return nil
	}
	if e.stored.exists() {
		t.setNames(e, e.stored)
		t.subRecord(t.keyBuf, t.valueBuf)
		t.subRecord(t.cookieBuf, t.nameBuf)
		if e.stored.cookie != e.now.cookie {
			if err := b.Delete(t.cookieBuf, nil); err != nil {
				return err
			}
		}
	}
	if !e.now.exists() {
		return b.Delete(t.keyBuf, nil)
	}
	t.setNames(e, e.now)
	t.addRecord(t.keyBuf, t.valueBuf)
	t.addRecord(t.cookieBuf, t.nameBuf)
	if err := b.Set(t.keyBuf, t.valueBuf, nil); err != nil {
		return err
	}
	return b.Set(t.cookieBuf, t.nameBuf, nil)
}

// setNames puts the two records of a directory entry, if it is d, into the
// buffers.
func (t *txn) setNames(e *entry, d dirent) {
	t.keyBuf = direntKey(t.keyBuf[:0], t.super.ID, e.dir, e.name)
	t.valueBuf = appendDirent(t.valueBuf[:0], d)
	t.cookieBuf = cookieKey(t.cookieBuf[:0], t.super.ID, e.dir, d.cookie)
	t.nameBuf = appendCookie(t.nameBuf[:0], d.ino, e.name)
}

// publish makes the batch visible together with the cache that goes with it.
// The write into memory under the lock may wait while the store writes out.
func (t *txn) publish(b *pebble.Batch, index, term uint64) error {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return vfs.ErrShutdown
	}
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		return err
	}
	for _, e := range t.inOrder {
		s.names.put(e.dir, e.name, e.now)
	}
	for _, n := range t.order {
		switch {
		case n.gone:
			s.cache.Remove(n.Ino)
		case n.changed:
			s.cache.Add(n.Ino, n.inode)
		}
	}
	s.publishTables(&t.tables)
	s.publishSums(&t.sums)
	s.mu.super, s.mu.applied, s.mu.term = t.super, index, term
	s.setTimes()
	s.mu.forced += uint64(t.answers.forced)
	s.mu.hits += uint64(t.answers.hits)
	return nil
}
