package nfs3

import (
	"bytes"

	"twofold/replica/vfs"
)

// verdictOnName tells what is wrong with a name that no directory can hold.
// knfsd does not decode such names (svcxdr_decode_filename3 in nfs3xdr.c), so
// that its client sees an RPC error. We give the statuses that RFC 1813 section
// 3.3 has for them: NFS3ERR_ACCES for an empty name and for characters that the
// server cannot handle, NFS3ERR_NAMETOOLONG beyond name_max, since no_trunc is
// true. "." and ".." are for the volume to judge, as each procedure treats them
// differently.
func verdictOnName(name []byte) status {
	switch {
	case len(name) > vfs.MaxName:
		return statusNameTooLong
	case len(name) == 0, bytes.IndexByte(name, '/') >= 0, bytes.IndexByte(name, 0) >= 0:
		return statusAcces
	default:
		return statusOK
	}
}

// verdictOnChange tells why a change is refused before it is proposed, or
// statusOK. A read-only export comes first, as in knfsd's nfsd_permission; unlike
// there it does so for "." and "..", too, whatever the procedure.
func (q *request) verdictOnChange() status {
	switch {
	case !q.rule.ReadWrite:
		return statusROFS
	case q.badTime:
		return statusInval
	default:
		return statusOK
	}
}

// verdictOnMaking is verdictOnChange of one entry of a directory.
func (q *request) verdictOnMaking(name []byte) status {
	if st := q.verdictOnChange(); st != statusOK {
		return st
	}
	return verdictOnName(name)
}

// verdictOnType is nfsd_mode_check of fs/nfsd/nfsfh.c. Zero wants any type.
func verdictOnType(want, got vfs.FileType) status {
	switch {
	case want == 0, want == got:
		return statusOK
	case want == vfs.TypeDir:
		return statusNotDir
	case got == vfs.TypeDir:
		return statusIsDir
	default:
		return statusInval
	}
}

// looked is what a refusing reply says of one inode.
type looked struct {
	status  status // statusOK, or what is wrong with the handle itself
	hasAttr bool
	attr    vfs.Attr
}

// look asks for the attributes of an inode whose handle was found to be st.
func (q *request) look(ref vfs.Ref, st status, want vfs.FileType) (looked, error) {
	if st != statusOK {
		return looked{status: st}, nil
	}
	res, err := q.p.fs.GetAttr(q.ctx, ref)
	if err != nil {
		return looked{}, err
	}
	if res.Kind != vfs.OK {
		return looked{status: statusOf(res.Kind)}, nil
	}
	return looked{status: verdictOnType(want, res.Attr.Type), hasAttr: true, attr: res.Attr}, nil
}

// refuse answers a change of one inode that is not proposed, with a wcc_data.
// What is wrong with the handle goes before st.
func (q *request) refuse(ref vfs.Ref, want vfs.FileType, st status) error {
	l, err := q.look(ref, statusOK, want)
	if err != nil {
		return err
	}
	q.reply(first(l.status, st))
	q.unchanged(l.hasAttr, &l.attr)
	return nil
}

// first returns the first status that is not statusOK.
func first(all ...status) status {
	for _, st := range all {
		if st != statusOK {
			return st
		}
	}
	return statusOK
}
