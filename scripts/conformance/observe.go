package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
	"twofold/replica/vfs"
)

const typeDir = vfs.TypeDir

// watch is an inode that a call may change: by its handle, or by a name that may be free before or after.
type watch struct {
	label  string
	fh     client.FH
	byName bool
	dir    client.FH
	name   string
}

// seen is what one observation found. attr is nil for a free name, a dead handle, and what cannot be looked at.
type seen struct {
	fh   client.FH
	attr *client.Attr
}

// observe looks at every watch, as root, through the calls that are the surest to be right.
func (r *caseRun) observe(watches []watch) ([]seen, error) {
	list := make([]seen, len(watches))
	for i, w := range watches {
		fh := w.fh
		if w.byName {
			res, err := r.root0().Lookup(r.ctx, w.dir, w.name)
			if err != nil && !errors.Is(err, rpc.ErrGarbageArgs) {
				return nil, err
			}
			fh = res.FH
		}
		if fh == nil {
			continue
		}
		attr, err := r.attr(fh)
		if err != nil {
			return nil, err
		}
		list[i] = seen{fh, attr}
	}
	return list, nil
}

// attr asks for attributes; nil means that the handle is dead or none at all.
func (r *caseRun) attr(fh client.FH) (*client.Attr, error) {
	res, err := r.root0().Getattr(r.ctx, fh)
	switch {
	case errors.Is(err, rpc.ErrGarbageArgs):
		return nil, nil // no handle at all
	case err != nil:
		return nil, err
	case res.Status != client.OK, res.Attr.Nlink == 0:
		return nil, nil // A kernel may know an inode for a moment after its last name is gone.
	}
	if later(res.Attr.Ctime, r.latest) {
		r.latest = res.Attr.Ctime
	}
	return &res.Attr, nil
}

// Now and then the kernel's server has no verdict yet, for instance on a handle whose inode is just being freed, and says
// JUKEBOX. As a client would, we ask again.
const (
	jukeboxTries = 50
	jukeboxPause = 20 * time.Millisecond
)

// record makes one call and tells what it answered and what it did.
func (r *caseRun) record(l line) (string, error) {
	p, err := calls[l.verb](r, l.args)
	if err != nil {
		return "", err
	}
	before, err := r.observe(p.watches)
	if err != nil {
		return "", err
	}
	if p.ready != nil {
		p.ready(before)
	}
	if err := r.settle(); err != nil {
		return "", err
	}
	since := r.latest
	ctx, cancel := contextWithTimeout(r.ctx)
	defer cancel()
	rep, err := p.do(ctx, r.as(l.who, l.export))
	for try := 0; r.target.patient && err == nil && rep.status == client.ErrJukebox && try < jukeboxTries; try++ {
		time.Sleep(jukeboxPause)
		rep, err = p.do(ctx, r.as(l.who, l.export))
	}
	if err != nil {
		if r.ctx.Err() != nil {
			return "", err
		}
		return rpcError(err), r.reconnect()
	}
	after, err := r.observe(p.watches)
	if err != nil {
		return "", err
	}
	parts := []string{statusName(rep.status)}
	for _, s := range rep.slots {
		text, err := r.check(s, p.watches, before, after)
		if err != nil {
			return "", err
		}
		parts = append(parts, text)
	}
	if rep.text != "" {
		parts = append(parts, rep.text)
	}
	out := strings.Join(parts, " ")
	effects, err := r.effects(p.watches, before, after, since)
	for _, e := range effects {
		out += "\n" + e
	}
	return out, err
}

// reconnect replaces connections that a server closed instead of an answer.
func (r *caseRun) reconnect() error {
	if !r.conns.lost() {
		return nil
	}
	fresh, err := r.target.connect(r.ctx)
	if err != nil {
		return err
	}
	err = r.conns.close()
	r.conns = fresh
	return err
}

// slot is a place in a reply for the attributes, and perhaps the handle, of something that was watched.
type slot struct {
	label  string
	wcc    bool
	before *client.PreAttr
	after  *client.Attr
	hasFH  bool
	fh     client.FH
}

// check compares a slot with what was observed before and after the call.
func (r *caseRun) check(s slot, watches []watch, before, after []seen) (string, error) {
	var was, is *client.Attr
	for i, w := range watches {
		if w.label == s.label {
			was, is = before[i].attr, after[i].attr
		}
	}
	if is == nil && s.before == nil && s.after == nil {
		return "{" + s.label + " gone}", nil
	}
	var words []string
	if s.hasFH {
		word, err := r.checkFH(s.fh, is)
		if err != nil {
			return "", err
		}
		words = append(words, word)
	}
	if s.wcc {
		words = append(words, checkPre(s.before, was))
	}
	words = append(words, checkPost(s.after, is))
	return "{" + s.label + " " + strings.Join(words, " ") + "}", nil
}

func (r *caseRun) checkFH(fh client.FH, want *client.Attr) (string, error) {
	if fh == nil {
		return "-", nil
	}
	got, err := r.attr(fh)
	if err != nil {
		return "", err
	}
	if got == nil || want == nil || got.FileID != want.FileID {
		return "fh!wrong", nil
	}
	return "fh", nil
}

func checkPre(got *client.PreAttr, want *client.Attr) string {
	switch {
	case got == nil:
		return "-"
	case want == nil:
		return "pre!of-nothing"
	case *got != client.PreAttr{Size: want.Size, Mtime: want.Mtime, Ctime: want.Ctime}:
		return "pre!wrong"
	default:
		return "pre"
	}
}

func checkPost(got, want *client.Attr) string {
	switch {
	case got == nil:
		return "-"
	case want == nil:
		return "post!of-nothing"
	case *got == *want:
		return "post"
	}
	return "post!wrong(" + strings.Join(changes(want, got, client.Time{}), " ") + ")"
}

// effects tells what became of each watch.
func (r *caseRun) effects(watches []watch, before, after []seen, since client.Time) ([]string, error) {
	var out []string
	for i, w := range watches {
		was, is := before[i], after[i]
		text := ""
		switch {
		case was.attr == nil && is.attr == nil:
		case was.attr == nil:
			text = identify(is.attr, watches, before, since)
		case is.attr != nil && is.attr.FileID == was.attr.FileID && is.attr.Type == was.attr.Type:
			text = strings.Join(changes(was.attr, is.attr, since), " ")
		default:
			fate, err := r.fate(was, since)
			if err != nil {
				return nil, err
			}
			if is.attr != nil {
				fate += "; " + identify(is.attr, watches, before, since)
			}
			text = fate
		}
		if text != "" {
			out = append(out, w.label+": "+text)
		}
	}
	return out, nil
}

// identify says which watched inode has come under a name, or describes a new one.
func identify(a *client.Attr, watches []watch, before []seen, since client.Time) string {
	for i, w := range watches {
		if b := before[i].attr; b != nil && b.FileID == a.FileID && b.Type == a.Type {
			text := strings.Join(changes(b, a, since), " ")
			return strings.TrimSpace("is " + w.label + " " + text)
		}
	}
	text := "new " + describe(a)
	for _, t := range []struct {
		name string
		t    client.Time
	}{{"atime", a.Atime}, {"mtime", a.Mtime}, {"ctime", a.Ctime}} {
		if !later(since, t.t) {
			continue // the time of the call
		}
		text += " " + t.name + timeText(client.Time{}, t.t)
	}
	return text
}

// fate tells of an inode whose name is gone.
func (r *caseRun) fate(was seen, since client.Time) (string, error) {
	now, err := r.attr(was.fh)
	if err != nil {
		return "", err
	}
	if now == nil {
		return "gone", nil
	}
	return strings.TrimSpace("away " + strings.Join(changes(was.attr, now, since), " ")), nil
}

// pathOf is the label of a name in a directory.
func pathOf(dir, name string) string {
	if dir == "." {
		return shortName(name)
	}
	return dir + "/" + shortName(name)
}

// shortName is a name as the record shows it.
func shortName(name string) string {
	if len(name) > 20 {
		return fmt.Sprintf("%.3q...%d", name, len(name))
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || c == '"' {
			return fmt.Sprintf("%q", name)
		}
	}
	return name
}

// object resolves what a case writes for an inode.
func (r *caseRun) object(spec string) (client.FH, error) {
	switch {
	case spec == ".":
		return r.dir, nil
	case spec == "/":
		return r.root, nil
	case spec == "//":
		return r.other, nil
	case spec[0] == '$':
		fh, ok := r.kept[spec]
		if !ok {
			return nil, fmt.Errorf("%s was not kept", spec)
		}
		return fh, nil
	case spec[0] == '!':
		return r.forged(spec)
	}
	fh := r.dir
	for name := range strings.SplitSeq(spec, "/") {
		res, err := r.root0().Lookup(r.ctx, fh, name)
		if err != nil || res.Status != client.OK {
			return nil, fmt.Errorf("%s: %w", spec, errors.Join(err, res.Status.Err()))
		}
		fh = res.FH
	}
	return fh, nil
}

// forged makes handles that no server gave out.
func (r *caseRun) forged(spec string) (client.FH, error) {
	switch spec {
	case "!empty":
		return client.FH{}, nil
	case "!short":
		return client.FH{1, 2, 3, 4}, nil
	case "!ones":
		return bytes.Repeat([]byte{0xff}, 32), nil
	case "!zeros":
		return make(client.FH, 32), nil
	case "!cut":
		return bytes.Clone(r.dir[:len(r.dir)-4]), nil
	default:
		return nil, fmt.Errorf("no forged handle is called %s", spec)
	}
}
