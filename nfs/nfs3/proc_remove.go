package nfs3

import "twofold/replica/vfs"

// remove is procedure 12 (RFC 1813 section 3.3.12).
func (q *request) remove() error {
	dir, name, err := q.entry()
	if err != nil {
		return err
	}
	return q.unlink(dir, name, &vfs.OpRemove{Dir: dir, Name: string(name)})
}

// rmdir is procedure 13 (RFC 1813 section 3.3.13).
func (q *request) rmdir() error {
	dir, name, err := q.entry()
	if err != nil {
		return err
	}
	return q.unlink(dir, name, &vfs.OpRmdir{Dir: dir, Name: string(name)})
}

// entry decodes the arguments that REMOVE and RMDIR have in common.
func (q *request) entry() (vfs.Ref, []byte, error) {
	fh, name := q.handle(), q.name()
	dir, err := q.resolve(fh)
	return dir, name, err
}

// unlink proposes to take an entry out of a directory, and answers.
func (q *request) unlink(dir vfs.Ref, name []byte, op vfs.Op) error {
	if done, err := q.refused(dir, verdictOnOld(name)); done {
		return err
	}
	res, err := q.mutate(op)
	if err != nil {
		return err
	}
	q.reply(statusOf(res.Kind))
	q.wcc(&res.WCC[0])
	return nil
}
