package main

// Parts of the patterns below.
const (
	caller = `(?:@\S+ )?`
	odd    = `(?:""|a/b|"a\\x00b"|d/|a/)`                  // names that no directory can hold
	long   = `x\{(?:256|1024|5000)\}`                      // names that are too long
	single = `(?:CREATE|MKDIR|SYMLINK|MKNOD|REMOVE|RMDIR)` // procedures on one directory and one name
	unread = `\nRPC GARBAGE_ARGS$`
)

// reasons are all known differences from the recorded server, in the order in which they are applied. Each why is a row of
// docs/nfs-conformance.md.
func reasons() []reason {
	return append(protocolReasons(), stateReasons()...)
}

// protocolReasons are those of what the front end does.
func protocolReasons() []reason {
	return []reason{
		{
			why: "Attributes before and after are on every reply that has room for them",
			but: `RENAME !zeros`,
			edits: []edit{
				{`\{(\S+) - post\}`, `{$1 pre post}`},
				{`\{(\S+) - -\}`, `{$1 pre post}`},
				{`\{(\S+) -\}`, `{$1 post}`},
			},
		},
		{
			why: "A name that cannot be has the status that the RFC has for it",
			edits: []edit{
				{`^(` + caller + `LOOKUP (\S+) ` + odd + `)` + unread, "$1\nACCES {$2 post}"},
				{`^(` + caller + `LOOKUP (\S+) ` + long + `)` + unread, "$1\nNAMETOOLONG {$2 post}"},
				{`^(` + single + ` (\$d) ` + odd + `.*)` + unread, "$1\nACCES {$2 gone}"},
				{`^(` + caller + single + ` (\S+) ` + odd + `.*)` + unread, "$1\nACCES {$2 pre post}"},
				{`^(` + caller + single + ` (\S+) ` + long + `.*)` + unread, "$1\nNAMETOOLONG {$2 pre post}"},
				{`^(SYMLINK (\S+) \S+ ` + long + `)` + unread, "$1\nNAMETOOLONG {$2 pre post}"},
				{`^(` + caller + `RENAME (\S+) (?:` + odd + ` (\S+) \S+|\S+ (\S+) ` + odd + `))` + unread, "$1\nACCES {$2 pre post} {$3$4 pre post}"},
				{`^(` + caller + `RENAME (\S+) (?:` + long + ` (\S+) \S+|\S+ (\S+) ` + long + `))` + unread, "$1\nNAMETOOLONG {$2 pre post} {$3$4 pre post}"},
				{`^(` + caller + `LINK (\S+) (\S+) ` + odd + `)` + unread, "$1\nACCES {$2 post} {$3 pre post}"},
				{`^(` + caller + `LINK (\S+) (\S+) ` + long + `)` + unread, "$1\nNAMETOOLONG {$2 post} {$3 pre post}"},
			},
		},
		{
			why:   "A handle that was tampered with is BADHANDLE",
			edits: []edit{exactly("GETATTR !cut", "STALE", "BADHANDLE")},
		},
		{
			why:   "AUTH_NONE is the anonymous user",
			cases: `^auth_none$`,
			edits: []edit{
				exactly("@none GETATTR f", "ACCES", "OK {f post} reg 0666 n1 0:0 size=0 used=none"),
				exactly("@none ACCESS f", "ACCES {f post}", "OK {f post} may RME"),
				exactly("@none LOOKUP d x", "ACCES {d post}", "NOENT {d post}"),
				exactly("@none READ f 0 1", "ACCES {f post}", `OK {f post} count=0 eof=true ""`),
				exactly("@none WRITE f 0 n", "ACCES {f pre post}", "OK {f pre post} count=1 committed=2\nf: size=0>1 used=none>all mtime+ ctime+"),
				exactly("@none CREATE d f guarded mode=644", "ACCES {d pre post}",
					"OK {d/f fh post} {d pre post}\nd: mtime+ ctime+\nd/f: new reg 0644 n1 65534:65534 size=0 used=none"),
				exactly("@none FSINFO f", "ACCES {f post}", "OK {f post} "+fsinfo),
				ending("f reg 0666 n1 0:0 size=0 used=none", "d/f reg 0644 n1 65534:65534 size=0 used=none\nf reg 0666 n1 0:0 size=1 used=all"),
			},
		},
		{
			why: "FSINFO and PATHCONF tell the limits of this server",
			edits: []edit{
				{`rt=.* maxfilesize=17592186040320 delta=1.000000000 properties=0x1b`, fsinfo},
				{`linkmax=32000 namemax=255 notrunc=false`, `linkmax=65000 namemax=255 notrunc=true`},
			},
		},
		{
			why: "ACCESS knows the six bits of RFC 1813 only, not those for extended attributes",
			edits: []edit{
				{`may RMEX\+0x40\+0x80\+0x100$`, `may RMEX`},
				{`may \+0x40$`, `may nothing`},
			},
		},
		{
			why:   "READDIR and READDIRPLUS count all that RFC 1813 counts, and never exceed what was asked for",
			cases: `^readdir`,
			edits: listings(),
		},
		{
			why:   "LINK from one export into another is XDEV, as RENAME is",
			cases: `^exports: `,
			edits: []edit{
				exactly("LINK f // linked", "OK {f post} {// pre post}\n//: mtime+ ctime+\n///linked: is f nlink=1>2 ctime+\nf: nlink=1>2 ctime+",
					"XDEV {f post} {// pre post}"),
				exactly("LINK f d linked", "OK {f post} {d pre post}\nd: mtime+ ctime+\nd/linked: is f nlink=2>3 ctime+\nf: nlink=2>3 ctime+",
					"OK {f post} {d pre post}\nd: mtime+ ctime+\nd/linked: is f nlink=1>2 ctime+\nf: nlink=1>2 ctime+"),
				ending("d/linked reg 0644 n3 0:0 size=0 used=none\nf reg 0644 n3 0:0 size=0 used=none",
					"d/linked reg 0644 n2 0:0 size=0 used=none\nf reg 0644 n2 0:0 size=0 used=none"),
			},
		},
		{
			why:   "A stability that is none does not decode",
			cases: `^write: stability$`,
			edits: []edit{
				{`\A(WRITE f 3 d stable=(?:3|4294967295))\n(?s:.*)`, "$1\nRPC GARBAGE_ARGS"},
				exactly("READ f 0 10", `OK {f post} count=4 eof=true "abcd"`, `OK {f post} count=3 eof=true "abc"`),
				ending("f reg 0644 n1 0:0 size=4 used=all", "f reg 0644 n1 0:0 size=3 used=all"),
			},
		},
	}
}

const fsinfo = "rt=1048576,1048576,4096 wt=1048576,1048576,4096 dtpref=1048576 maxfilesize=8796093022207 delta=0.000000001 properties=0x1b"

// listings are the numbers of entries by the RFC's count. Each name takes 28 bytes, or 160 with attributes and handle.
func listings() []edit {
	var edits []edit
	for _, l := range []struct{ call, from, to string }{
		{"READDIR . 0 0", "eof=false, over the count, 0 entries", ""},
		{"READDIR . 0 50", "eof=false, over the count, 1 entries", ""},
		{"READDIR . 0 104", "eof=false, over the count, 3 entries", ""},
		{"READDIR . 0 120", "eof=false, over the count, 4 entries", ""},
		{"READDIR . 0 130", "eof=false, over the count, 4 entries", ""},
		{"READDIR . 0 160", "eof=false, over the count, 5 entries", "eof=false, 2 entries"},
		{"READDIR . 0 200", "eof=false, over the count, 6 entries", "eof=false, 3 entries"},
		{"READDIR . 0 300", "eof=false, over the count, 10 entries", "eof=false, 7 entries"},
		{"READDIR . 0 8192", "eof=false, over the count, 292 entries", "eof=false, 288 entries"},
		{"READDIRPLUS . 0 512 0", "eof=false, over the count, 0 entries, complete", ""},
		{"READDIRPLUS . 0 512 100", "eof=false, over the count, 0 entries, complete", ""},
		{"READDIRPLUS . 0 512 200", "eof=false, over the count, 1 entries, complete", ""},
		{"READDIRPLUS . 0 512 512", "eof=false, over the count, 3 entries, complete", "eof=false, 2 entries, complete"},
		{"READDIRPLUS . 0 8192 32768", "eof=false, over the count, 215 entries, complete", "eof=false, 204 entries, complete"},
		{"READDIRPLUS . 0 65536 65536", "eof=false, over the count, 431 entries, complete", "eof=false, 408 entries, complete"},
	} {
		to := "TOOSMALL {. post}"
		if l.to != "" {
			to = "OK {. post} " + l.to
		}
		edits = append(edits, exactly(l.call, "OK {. post} "+l.from, to))
	}
	return edits
}

// stateReasons are those of what the volume does.
func stateReasons() []reason {
	return []reason{
		{
			why:   "WRITE is answered FILE_SYNC, whatever was asked for",
			cases: `^write: stability$`,
			edits: []edit{{`committed=[01]$`, `committed=2`}},
		},
		{
			why:   "A time whose nanoseconds are a second or more is INVAL",
			cases: `^(setattr|create): (times that are none|guard)$`,
			edits: []edit{
				{`\A(SETATTR f .*time=5\.\S+)\nOK {f pre post}\n(f: (?:mode=0644>0600 ctime\+|[am]time=5.*))\z`, "$1\nINVAL {f pre post}"},
				exactly("SETATTR f mode=644 guard=bad", "OK {f pre post}\nf: ctime+", "INVAL {f pre post}"),
				exactly("CREATE . f unchecked mtime=5.1000000000",
					"OK {f fh post} {. pre post}\n.: mtime+ ctime+\nf: new reg 0000 n1 0:0 size=0 used=none mtime=5.1000000000", "INVAL {. pre post}"),
				ending("f reg 0600 n1 0:0 size=0 used=none", "f reg 0644 n1 0:0 size=0 used=none"),
				ending("f reg 0000 n1 0:0 size=0 used=none", ""),
			},
		},
		{
			why:   "SETATTR's guard is compared with its nanoseconds",
			cases: `^setattr: guard$`,
			edits: []edit{
				exactly("SETATTR f mode=644 guard=nanosecond", "OK {f pre post}\nf: mode=0600>0644 ctime+", "NOT_SYNC {f pre post}"),
				ending("f reg 0644 n1 0:0 size=10 used=none", "f reg 0600 n1 0:0 size=10 used=none"),
			},
		},
		{
			why:   "What is answered with an error has changed nothing",
			cases: `^(setattr: size (with|by who)|create: attributes)`,
			edits: []edit{
				{`^PERM {f pre post}\nf: .*$`, `PERM {f pre post}`},
				exactly("@carol SETATTR f size=1 mtime=server", "OK {f pre post}\nf: size=2>1 mtime+ ctime+", "OK {f pre post}\nf: size=5>1 mtime+ ctime+"),
				exactly("CREATE . l guarded mode=600 size=9223372036854775808",
					"FBIG {. pre post}\n.: mtime+ ctime+\nl: new reg 0600 n1 0:0 size=0 used=none", "FBIG {. pre post}"),
				ending("l reg 0600 n1 0:0 size=0 used=none", ""),
			},
		},
		{
			why:   "The largest file has 8 TiB - 1 bytes; ext4's has 16 TiB - 4096",
			cases: `^(write: at the largest offsets|create: attributes)$`,
			edits: []edit{
				exactly("WRITE f 8796093022207 a", "OK {f pre post} count=1 committed=2\nf: size=8796093022207>8796093022208 mtime+ ctime+", "FBIG {f pre post}"),
				ending("f reg 0644 n1 0:0 size=8796093022208 used=holes", "f reg 0644 n1 0:0 size=8796093022207 used=holes"),
				exactly("CREATE . k guarded mode=600 size=8796093022208",
					"OK {k fh post} {. pre post}\n.: mtime+ ctime+\nk: new reg 0600 n1 0:0 size=8796093022208 used=none", "FBIG {. pre post}"),
				ending("k reg 0600 n1 0:0 size=8796093022208 used=none", ""),
			},
		},
		{
			why: "The verifier of CREATE EXCLUSIVE is kept beside the times, until the first SETATTR",
			edits: []edit{
				{`\A(` + caller + `CREATE \S+ \S+ exclusive(?s:.*) used=none)( atime\S+)?( mtime\S+)?\z`, `$1`},
				exactly("SETATTR f mode=644 atime=server mtime=server", "OK {f pre post}\nf: mode=0000>0644 atime- mtime+ ctime+", "OK {f pre post}\nf: mode=0000>0644 atime+ mtime+ ctime+"),
				exactly("SETATTR h atime=server", "OK {h pre post}\nh: atime- ctime+", "OK {h pre post}\nh: atime+ ctime+"),
			},
		},
		{
			why:   "The verifier of CREATE EXCLUSIVE goes with the first SETATTR, whatever it sets",
			cases: `^create: exclusive after setattr$`,
			edits: []edit{exactly("CREATE . g exclusive:verifier", "OK {g fh post} {. pre post}", "EXIST {. pre post}")},
		},
		{
			why:   "The verifier of CREATE EXCLUSIVE outlives a WRITE",
			cases: `^create: exclusive after write$`,
			edits: []edit{exactly("CREATE . f exclusive:verifier", "EXIST {. pre post}", "OK {f fh post} {. pre post}")},
		},
		{
			why:   "CREATE EXCLUSIVE of a name that is there is EXIST on a read-only export, whatever the verifier",
			edits: []edit{exactly("@root/ro CREATE . f exclusive:verifier", "OK {f fh post} {. pre post}", "EXIST {. pre post}")},
		},
		{
			why: "The target of a symbolic link takes no blocks, however long it is",
			edits: []edit{
				{`(lnk 0777 n1 0:0 size=(?:60|255|1000|40\d\d)) used=all`, `$1 used=none`},
			},
		},
		{
			why:   "A directory has the same size, however many names it holds",
			cases: `^link: too many$`,
			edits: []edit{ending("d dir 0755 n2 0:0 size=large used=all", "d dir 0755 n2 0:0 size=4096 used=all")},
		},
		{
			why:   "MKNOD ignores a size",
			cases: `^mknod: attributes$`,
			edits: []edit{{`\A(MKNOD . e fifo mode=644 size=10)\nINVAL {. pre post}`, "$1\nOK {e fh post} {. pre post}"}},
		},
	}
}
