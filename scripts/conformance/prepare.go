package main

import (
	"errors"
	"fmt"

	"twofold/nfs/client"
	"twofold/replica/vfs"
)

// preparations are the verbs in lower case: they make objects, as root, and must succeed.
var preparations = map[string]func(*caseRun, []string) error{
	"file":  prepareFile,
	"many":  prepareMany,
	"dir":   prepareDir,
	"lnk":   prepareSymlink,
	"fifo":  prepareNode(vfs.TypeFifo),
	"sock":  prepareNode(vfs.TypeSock),
	"chr":   prepareNode(vfs.TypeChr),
	"blk":   prepareNode(vfs.TypeBlk),
	"link":  prepareLink,
	"links": prepareLinks,
	"rm":    prepareRemove,
	"rmdir": prepareRmdir,
	"mv":    prepareRename,
	"set":   prepareSet,
	"keep":  prepareKeep,
	"list":  prepareList,
	"excl":  prepareExclusive,
	"zoo":   prepareZoo,
}

// okay makes one error of what can go wrong with a call that must succeed.
func okay(err error, s client.Status) error {
	if err != nil {
		return err
	}
	return s.Err()
}

// parentOf resolves all but the last name of a path.
func (r *caseRun) parentOf(path string) (client.FH, string, error) {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			fh, err := r.object(path[:i])
			return fh, path[i+1:], err
		}
	}
	return r.dir, path, nil
}

// made sets what a new object was asked to have. The mode comes last, since a change of the owner takes bits away.
func (r *caseRun) made(fh client.FH, named map[string]string) error {
	s, err := parseSetAttr(named)
	if err != nil {
		return err
	}
	if s.UID != nil || s.GID != nil || s.Size != nil {
		res, err := r.root0().Setattr(r.ctx, fh, client.SetAttr{UID: s.UID, GID: s.GID, Size: s.Size}, nil)
		if err := okay(err, res.Status); err != nil {
			return err
		}
	}
	s.UID, s.GID, s.Size = nil, nil, nil
	if s.Mode == nil && s.SetAtime == client.KeepTime && s.SetMtime == client.KeepTime {
		return nil
	}
	res, err := r.root0().Setattr(r.ctx, fh, s, nil)
	return okay(err, res.Status)
}

func prepareFile(r *caseRun, args []string) error {
	plain, named := splitArgs(args, append(attrKeys, "data")...)
	dir, name, err := r.parentOf(plain[0])
	if err != nil {
		return err
	}
	res, err := r.root0().Create(r.ctx, dir, name, client.CreateHow{
		Mode: vfs.CreateGuarded, Attr: client.SetAttr{Mode: client.Ptr(uint32(0o644))}})
	if err := okay(err, res.Status); err != nil {
		return err
	}
	if data := named["data"]; data != "" {
		w, err := r.root0().Write(r.ctx, res.FH, 0, []byte(data), client.FileSync)
		if err := okay(err, w.Status); err != nil {
			return err
		}
	}
	return r.made(res.FH, named)
}

// prepareMany is "many DIR PREFIX N": N empty files.
func prepareMany(r *caseRun, args []string) error {
	dir, err := r.object(args[0])
	if err != nil {
		return err
	}
	n, err := numbers(args[2:], 1)
	if err != nil {
		return err
	}
	return inParallel(int(n[0]), func(i int) error {
		res, err := r.conns[exportRW][0].As(principals["root"]).Create(r.ctx, dir, fmt.Sprintf("%s%d", args[1], i), client.CreateHow{})
		return okay(err, res.Status)
	})
}

func prepareDir(r *caseRun, args []string) error {
	plain, named := splitArgs(args, attrKeys...)
	dir, name, err := r.parentOf(plain[0])
	if err != nil {
		return err
	}
	res, err := r.root0().Mkdir(r.ctx, dir, name, client.SetAttr{Mode: client.Ptr(uint32(0o755))})
	if err := okay(err, res.Status); err != nil {
		return err
	}
	return r.made(res.FH, named)
}

func prepareSymlink(r *caseRun, args []string) error {
	plain, named := splitArgs(args, attrKeys...)
	dir, name, err := r.parentOf(plain[0])
	if err != nil {
		return err
	}
	res, err := r.root0().Symlink(r.ctx, dir, name, plain[1], client.SetAttr{})
	if err := okay(err, res.Status); err != nil {
		return err
	}
	return r.made(res.FH, named)
}

func prepareNode(t vfs.FileType) func(*caseRun, []string) error {
	return func(r *caseRun, args []string) error {
		plain, named := splitArgs(args, attrKeys...)
		dir, name, err := r.parentOf(plain[0])
		if err != nil {
			return err
		}
		res, err := r.root0().Mknod(r.ctx, dir, name, client.MknodWhat{
			Type: t, Attr: client.SetAttr{Mode: client.Ptr(uint32(0o644))}, Rdev: vfs.Device{Major: 1, Minor: 3}})
		if err := okay(err, res.Status); err != nil {
			return err
		}
		return r.made(res.FH, named)
	}
}

func prepareLink(r *caseRun, args []string) error {
	fh, err := r.object(args[0])
	if err != nil {
		return err
	}
	dir, name, err := r.parentOf(args[1])
	if err != nil {
		return err
	}
	res, err := r.root0().Link(r.ctx, fh, dir, name)
	return okay(err, res.Status)
}

// prepareLinks is "links FILE DIR N": N more names for a file.
func prepareLinks(r *caseRun, args []string) error {
	fh, err := r.object(args[0])
	if err != nil {
		return err
	}
	dir, err := r.object(args[1])
	if err != nil {
		return err
	}
	n, err := numbers(args[2:], 1)
	if err != nil {
		return err
	}
	return inParallel(int(n[0]), func(i int) error {
		res, err := r.conns[exportRW][0].As(principals["root"]).Link(r.ctx, fh, dir, fmt.Sprintf("n%06d", i))
		return okay(err, res.Status)
	})
}

func prepareRemove(r *caseRun, args []string) error {
	dir, name, err := r.parentOf(args[0])
	if err != nil {
		return err
	}
	res, err := r.root0().Remove(r.ctx, dir, name)
	return okay(err, res.Status)
}

func prepareRmdir(r *caseRun, args []string) error {
	dir, name, err := r.parentOf(args[0])
	if err != nil {
		return err
	}
	res, err := r.root0().Rmdir(r.ctx, dir, name)
	return okay(err, res.Status)
}

func prepareRename(r *caseRun, args []string) error {
	from, fromName, err := r.parentOf(args[0])
	to, toName, toErr := r.parentOf(args[1])
	if err := errors.Join(err, toErr); err != nil {
		return err
	}
	res, err := r.root0().Rename(r.ctx, from, fromName, to, toName)
	return okay(err, res.Status)
}

func prepareSet(r *caseRun, args []string) error {
	plain, named := splitArgs(args, attrKeys...)
	fh, err := r.object(plain[0])
	if err != nil {
		return err
	}
	return r.made(fh, named)
}

// prepareKeep is "keep $NAME OBJECT": a handle to be used later, perhaps when it is stale.
func prepareKeep(r *caseRun, args []string) error {
	fh, err := r.object(args[1])
	r.kept[args[0]] = fh
	return err
}

// prepareList remembers how the server lists a directory now, with its cookies.
func prepareList(r *caseRun, args []string) error {
	fh, err := r.object(args[0])
	if err != nil {
		return err
	}
	r.listing[args[0]], err = r.root0().ReadAll(r.ctx, fh, false, 8192)
	return err
}

// prepareExclusive is "excl FILE VERIFIER": a file made by CREATE EXCLUSIVE.
func prepareExclusive(r *caseRun, args []string) error {
	how, err := parseHow("exclusive:"+args[1], client.SetAttr{})
	if err != nil {
		return err
	}
	res, err := r.root0().Create(r.ctx, r.dir, args[0], how)
	return okay(err, res.Status)
}

// prepareZoo is "zoo [ATTRIBUTES]": one object of each type.
func prepareZoo(r *caseRun, args []string) error {
	for _, o := range []struct {
		prepare func(*caseRun, []string) error
		args    []string
	}{
		{prepareFile, []string{"f", "data=hello"}}, {prepareDir, []string{"d"}}, {prepareSymlink, []string{"l", "f"}},
		{prepareNode(vfs.TypeFifo), []string{"p"}}, {prepareNode(vfs.TypeSock), []string{"s"}},
		{prepareNode(vfs.TypeChr), []string{"c"}}, {prepareNode(vfs.TypeBlk), []string{"b"}},
	} {
		if err := o.prepare(r, append(o.args, args...)); err != nil {
			return fmt.Errorf("%s: %w", o.args[0], err)
		}
	}
	return nil
}
