package load

import (
	"strings"

	"twofold/nfs/client"
	"twofold/nfs/xdr"
)

// Workload is one kind of load.
type Workload struct {
	Name      string
	Operation string // what one is
	Unit      string // what there are several of in one operation, if anything

	rounds  bool // it uses up what was prepared, and is measured in rounds
	fills   bool // callers fill directories of their own, each up to the width
	perCall bool // each call is an operation, and op is many
	serial  bool // a round is not cut short, whatever number of operations is wanted

	// What is prepared: by one caller of each server, then by many, then by each caller for itself, then by each before a round.
	first  func(*caller) error
	many   func(*caller, share) error
	own    func(*caller) error
	refill func(*caller, share) error
	// op makes one operation and returns its units.
	op func(*caller) (int64, error)
}

// Workloads are all that there are.
var Workloads = []*Workload{
	{Name: "null", Operation: "one NULL", op: opNull},
	{Name: "getattr", Operation: "one GETATTR of one of the directory's files", first: beginSet, many: fillSet(0, encodeGetattr), op: opSet(client.ProcGetattr)},
	{Name: "lookup", Operation: "one LOOKUP of one of the directory's names", first: beginSet, many: fillSet(0, encodeLookup), op: opSet(client.ProcLookup)},
	{Name: "access", Operation: "one ACCESS of one of the directory's files", first: beginSet, many: fillSet(0, encodeAccess), op: opSet(client.ProcAccess)},
	{Name: "read4k", Operation: "one READ of 4 KiB, a whole file of the directory's", first: beginSet, many: fillSet(smallSize, encodeRead), op: opRead4K},
	{Name: "readdirplus", Operation: "one READDIRPLUS of a listing of the whole directory, of up to 32 KiB", Unit: "entries", first: beginSet, many: fillSet(0, nil), op: opReaddirplus},
	{Name: "create", Operation: "one CREATE (GUARDED) of an empty file", fills: true, op: opCreate},
	{Name: "smallfile", Operation: "a file's life: LOOKUP (absent), CREATE, WRITE of 4 KiB FILE_SYNC, GETATTR, READ of it, REMOVE", op: opSmallfile},
	{Name: "mkdir", Operation: "one MKDIR", fills: true, op: opMkdir},
	{Name: "rename", Operation: "one RENAME of a file within its directory", own: ownFiles(renameFiles), op: opRename},
	{Name: "remove", Operation: "one REMOVE of an empty file", rounds: true, refill: refillPool, op: opRemove},
	{Name: "mixed", Operation: "of a hundred: 40 GETATTR, 20 LOOKUP, 10 ACCESS, 15 READ of 4 KiB, 8 CREATE with WRITE of 4 KiB FILE_SYNC, 5 REMOVE, 2 RENAME",
		fills: true, first: beginSet, many: fillSet(smallSize, nil), own: ownFiles(mixedFiles), op: opMixed},
	{Name: "seqwrite", Operation: "one WRITE (UNSTABLE) to a file that all callers of a server write in order; the measured time ends with its COMMIT",
		Unit: "bytes", rounds: true, serial: true, refill: refillSeq, op: opSeqWrite},
	{Name: "seqread", Operation: "one READ of a file that all callers of a server read in order, again and again, once read before", Unit: "bytes",
		first: beginSeqRead, many: fillSeqRead, own: warmSeqRead, op: opSeqRead},
	{Name: "tree", Operation: "one file of a tree of 1,800 that is unpacked: LOOKUP (absent), CREATE, WRITE, SETATTR, and the directories", op: opTree},
	{Name: "git", Operation: "one call of those that git status, git commit and git clone make", perCall: true, first: beginRepo, many: fillRepo, own: ownRepo, op: opGit},
}

// Find finds a workload; nil if there is none of that name.
func Find(name string) *Workload {
	for _, w := range Workloads {
		if w.Name == name {
			return w
		}
	}
	return nil
}

// names lists the workloads.
func names() string {
	var b strings.Builder
	for i, w := range Workloads {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(w.Name)
	}
	return b.String()
}

func encodeGetattr(c *caller, w *xdr.Writer, f *file) {
	w.B = append(w.B, c.heads[client.ProcGetattr]...)
	w.Opaque(f.fh)
}

func encodeLookup(c *caller, w *xdr.Writer, f *file) {
	w.B = append(w.B, c.heads[client.ProcLookup]...)
	w.Opaque(c.sh.set)
	w.String(f.name)
}

func encodeAccess(c *caller, w *xdr.Writer, f *file) {
	w.B = append(w.B, c.heads[client.ProcAccess]...)
	w.Opaque(f.fh)
	w.Uint32(accessAll)
}

func encodeRead(c *caller, w *xdr.Writer, f *file) {
	w.B = append(w.B, c.heads[client.ProcRead]...)
	putRead(w, f.fh, 0, smallSize)
}

func opNull(c *caller) (int64, error) {
	_, err := c.exchange(client.ProcNull, c.heads[client.ProcNull], nil)
	return 0, err
}

// opSet makes the encoded call of a file by chance.
func opSet(proc uint32) func(*caller) (int64, error) {
	return func(c *caller) (int64, error) {
		_, err := c.exchange(proc, c.sh.records[c.rng.IntN(len(c.sh.records))], nil)
		return 0, err
	}
}

func opRead4K(c *caller) (int64, error) {
	i := c.rng.IntN(len(c.sh.records))
	data, err := readReply(c.exchange(client.ProcRead, c.sh.records[i], nil))
	if err != nil {
		return 0, err
	}
	return 0, checkData(data, smallSize, c.sh.files[i].tag)
}
