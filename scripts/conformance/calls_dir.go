package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"twofold/nfs/client"
)

// planReaddir is "READDIR DIR COOKIE COUNT"; COOKIE is a number or after=NAME, of the listing that "list" remembered.
func planReaddir(r *caseRun, args []string) (plan, error) {
	return r.listingOf(args, 1, func(ctx context.Context, c *client.Client, dir client.FH, cookie uint64, n []uint64) (client.ReadDirRes, error) {
		return c.Readdir(ctx, dir, cookie, [8]byte{}, uint32(n[0]))
	})
}

// planReaddirplus is "READDIRPLUS DIR COOKIE DIRCOUNT MAXCOUNT".
func planReaddirplus(r *caseRun, args []string) (plan, error) {
	return r.listingOf(args, 2, func(ctx context.Context, c *client.Client, dir client.FH, cookie uint64, n []uint64) (client.ReadDirRes, error) {
		return c.Readdirplus(ctx, dir, cookie, [8]byte{}, uint32(n[0]), uint32(n[1]))
	})
}

// ask makes one call that lists a directory from a cookie on. n are the counts of its arguments, the one that bounds the reply last.
type ask func(ctx context.Context, c *client.Client, dir client.FH, cookie uint64, n []uint64) (client.ReadDirRes, error)

// listingOf is the plan of a call with a directory, a cookie and some counts; two counts ask for attributes, too.
func (r *caseRun) listingOf(args []string, counts int, list ask) (plan, error) {
	if err := need(args, 2+counts); err != nil {
		return plan{}, err
	}
	fh, w, err := r.one(args)
	if err != nil {
		return plan{}, err
	}
	cookie, err := r.cookie(args[0], args[1])
	if err != nil {
		return plan{}, err
	}
	n, err := numbers(args[2:], counts)
	return plan{watches: []watch{w}, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := list(ctx, c, fh, cookie, n)
		return r.listed(args, &res, uint32(n[counts-1]), counts == 2), err
	}}, err
}

// cookie resolves the position that a listing is to go on from.
func (r *caseRun) cookie(dir, word string) (uint64, error) {
	name, ok := strings.CutPrefix(word, "after=")
	if !ok {
		n, err := numbers([]string{word}, 1)
		if err != nil {
			return 0, err
		}
		return n[0], nil
	}
	for i, e := range r.listing[dir] {
		if e.Name == name || name == "last" && i == len(r.listing[dir])-1 {
			return e.Cookie, nil
		}
	}
	return 0, fmt.Errorf("%q is not in the listing of %s", name, dir)
}

// listed tells of a listing what does not hang on the order in which a server keeps names.
func (r *caseRun) listed(args []string, res *client.ReadDirRes, count uint32, plus bool) reply {
	rep := reply{status: res.Status, slots: []slot{post(args[0], res.Dir)}}
	if res.Status != client.OK {
		return rep
	}
	parts := []string{fmt.Sprintf("eof=%t", res.EOF)}
	if size := listSize(res, plus); size > int(count) {
		parts = append(parts, "over the count")
	}
	name, follows := strings.CutPrefix(args[1], "after=")
	switch {
	case follows:
		parts = append(parts, r.rest(args[0], name, res))
	case res.EOF && len(res.Entries) <= maxShown:
		parts = append(parts, names(res.Entries))
	default:
		parts = append(parts, fmt.Sprintf("%d entries", len(res.Entries)))
	}
	if plus {
		parts = append(parts, complete(res.Entries))
	}
	rep.text = strings.Join(parts, ", ")
	return rep
}

// listSize is the size of READDIR3resok or READDIRPLUS3resok (RFC 1813 sections 3.3.16 and 3.3.17).
func listSize(res *client.ReadDirRes, plus bool) int {
	const attr, follows = 84, 4
	size := follows + 8 + follows + 4 // attributes or not, verifier, end of the list, eof
	if res.Dir != nil {
		size += attr
	}
	for _, e := range res.Entries {
		size += follows + 8 + 4 + (len(e.Name)+3)&^3 + 8
		if plus {
			size += 2 * follows
			if e.Attr != nil {
				size += attr
			}
			if e.FH != nil {
				size += 4 + (len(e.FH)+3)&^3
			}
		}
	}
	return size
}

func names(entries []client.Dirent) string {
	var list []string
	for _, e := range entries {
		list = append(list, shortName(e.Name))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// complete tells whether entries of READDIRPLUS have all that they can have.
func complete(entries []client.Dirent) string {
	attrs, handles, ids := 0, 0, 0
	for _, e := range entries {
		if e.Attr != nil {
			attrs++
			if e.Attr.FileID == e.FileID {
				ids++
			}
		}
		if e.FH != nil {
			handles++
		}
	}
	if n := len(entries); attrs == n && handles == n && ids == n {
		return "complete"
	}
	return fmt.Sprintf("%d attributes %d handles %d fileids", attrs, handles, ids)
}

// rest tells whether a listing went on right behind a name: with every name that came after it and is still there, once.
func (r *caseRun) rest(dir, name string, res *client.ReadDirRes) string {
	old := r.listing[dir]
	i := slices.IndexFunc(old, func(e client.Dirent) bool { return e.Name == name })
	if name == "last" {
		i = len(old) - 1
	}
	fh, err := r.object(dir)
	if err != nil {
		return err.Error()
	}
	now, err := r.root0().ReadAll(r.ctx, fh, false, 32<<10)
	if err != nil {
		return err.Error()
	}
	var want, got []string
	for _, e := range old[i+1:] {
		if slices.ContainsFunc(now, func(n client.Dirent) bool { return n.Name == e.Name }) {
			want = append(want, e.Name)
		}
	}
	for _, e := range res.Entries {
		if slices.ContainsFunc(old, func(o client.Dirent) bool { return o.Name == e.Name }) {
			got = append(got, e.Name)
		}
	}
	if slices.Equal(want, got) {
		return "goes on right"
	}
	return fmt.Sprintf("has %v instead of %v", got, want)
}

func planFsstat(r *caseRun, args []string) (plan, error) {
	fh, w, err := r.one(args)
	return plan{watches: []watch{w}, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Fsstat(ctx, fh)
		rep := reply{status: res.Status, slots: []slot{post(w.label, res.Attr)}}
		if res.Status == client.OK {
			rep.text = fmt.Sprintf("free within total %t, available within free %t, files free within total %t, invarsec=%d",
				res.Fbytes <= res.Tbytes, res.Abytes <= res.Fbytes, res.Afiles <= res.Ffiles && res.Ffiles < res.Tfiles, res.InvarSec)
		}
		return rep, err
	}}, err
}

func planFsinfo(r *caseRun, args []string) (plan, error) {
	fh, w, err := r.one(args)
	return plan{watches: []watch{w}, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Fsinfo(ctx, fh)
		rep := reply{status: res.Status, slots: []slot{post(w.label, res.Attr)}}
		if res.Status == client.OK {
			rep.text = fmt.Sprintf("rt=%d,%d,%d wt=%d,%d,%d dtpref=%d maxfilesize=%d delta=%d.%09d properties=%#x",
				res.Rtmax, res.Rtpref, res.Rtmult, res.Wtmax, res.Wtpref, res.Wtmult, res.Dtpref, res.MaxFileSize,
				res.TimeDelta.Sec, res.TimeDelta.Nsec, res.Properties)
		}
		return rep, err
	}}, err
}

func planPathconf(r *caseRun, args []string) (plan, error) {
	fh, w, err := r.one(args)
	return plan{watches: []watch{w}, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Pathconf(ctx, fh)
		rep := reply{status: res.Status, slots: []slot{post(w.label, res.Attr)}}
		if res.Status == client.OK {
			rep.text = fmt.Sprintf("linkmax=%d namemax=%d notrunc=%t chownrestricted=%t caseinsensitive=%t casepreserving=%t",
				res.Linkmax, res.NameMax, res.NoTrunc, res.ChownRestricted, res.CaseInsensitive, res.CasePreserving)
		}
		return rep, err
	}}, err
}

func planCommit(r *caseRun, args []string) (plan, error) {
	fh, w, err := r.one(args)
	if err != nil {
		return plan{}, err
	}
	n, err := numbers(args[1:], 2)
	return plan{watches: []watch{w}, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Commit(ctx, fh, n[0], uint32(n[1]))
		return reply{status: res.Status, slots: []slot{wcc(w.label, res.WCC)}}, err
	}}, err
}
