package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"twofold/nfs/client"
	"twofold/nfs/xdr"
)

// plan is one recorded call before it is made.
type plan struct {
	watches []watch
	ready   func([]seen) // gets what was observed before the call, if it is needed
	do      func(context.Context, *client.Client) (reply, error)
}

// reply is what the record keeps of an answer.
type reply struct {
	status client.Status
	slots  []slot
	text   string
}

// calls are the verbs in upper case.
var calls = map[string]func(*caseRun, []string) (plan, error){
	"NULL":        planNull,
	"GETATTR":     planGetattr,
	"SETATTR":     planSetattr,
	"LOOKUP":      planLookup,
	"ACCESS":      planAccess,
	"READLINK":    planReadlink,
	"READ":        planRead,
	"WRITE":       planWrite,
	"CREATE":      planCreate,
	"MKDIR":       planMkdir,
	"SYMLINK":     planSymlink,
	"MKNOD":       planMknod,
	"REMOVE":      planRemove,
	"RMDIR":       planRmdir,
	"RENAME":      planRename,
	"LINK":        planLink,
	"READDIR":     planReaddir,
	"READDIRPLUS": planReaddirplus,
	"FSSTAT":      planFsstat,
	"FSINFO":      planFsinfo,
	"PATHCONF":    planPathconf,
	"COMMIT":      planCommit,
	"MNT":         planMnt,
	"CALL":        planCall,
}

// maxParallel is how many calls a preparation of many objects makes at a time.
const maxParallel = 256

// inParallel runs f for 0 to n-1 and returns the first error.
func inParallel(n int, f func(int) error) error {
	var wg sync.WaitGroup
	errs := make(chan error, n)
	slots := make(chan struct{}, maxParallel)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f(i); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// one resolves the object that a call is about.
func (r *caseRun) one(args []string) (client.FH, watch, error) {
	if err := need(args, 1); err != nil {
		return nil, watch{}, err
	}
	fh, err := r.object(args[0])
	return fh, watch{label: args[0], fh: fh}, err
}

// entry resolves the directory and the name that a call is about.
func (r *caseRun) entry(args []string) (client.FH, string, []watch, error) {
	if err := need(args, 2); err != nil {
		return nil, "", nil, err
	}
	dir, err := r.object(args[0])
	watches := []watch{{label: args[0], fh: dir}}
	name := args[1]
	if name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\x00") {
		watches = append(watches, watch{label: pathOf(args[0], name), byName: true, dir: dir, name: name})
	}
	return dir, name, watches, err
}

// post is a slot with attributes after the call.
func post(label string, a *client.Attr) slot { return slot{label: label, after: a} }

// wcc is a slot with attributes before and after the call.
func wcc(label string, w client.WCC) slot {
	return slot{label: label, wcc: true, before: w.Before, after: w.After}
}

func planNull(_ *caseRun, _ []string) (plan, error) {
	return plan{do: func(ctx context.Context, c *client.Client) (reply, error) { return reply{}, c.Null(ctx) }}, nil
}

func planGetattr(r *caseRun, args []string) (plan, error) {
	fh, w, err := r.one(args)
	return plan{watches: []watch{w}, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Getattr(ctx, fh)
		rep := reply{status: res.Status}
		if res.Status == client.OK {
			rep.slots, rep.text = []slot{post(w.label, &res.Attr)}, describe(&res.Attr)
		}
		return rep, err
	}}, err
}

func planSetattr(r *caseRun, args []string) (plan, error) {
	plain, named := splitArgs(args, append(attrKeys, "guard")...)
	fh, w, err := r.one(plain)
	if err != nil {
		return plan{}, err
	}
	set, err := parseSetAttr(named)
	var guard *client.Time
	p := plan{watches: []watch{w}}
	p.ready = func(before []seen) {
		if named["guard"] != "" && before[0].attr != nil {
			g := before[0].attr.Ctime
			switch named["guard"] {
			case "second":
				g.Sec--
			case "nanosecond":
				g.Nsec++
			case "bad":
				g.Nsec = 1e9
			}
			guard = &g
		}
	}
	p.do = func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Setattr(ctx, fh, set, guard)
		return reply{status: res.Status, slots: []slot{wcc(w.label, res.WCC)}}, err
	}
	return p, err
}

func planLookup(r *caseRun, args []string) (plan, error) {
	dir, name, watches, err := r.entry(args)
	if err != nil {
		return plan{}, err
	}
	if name == "." || name == ".." {
		watches = append(watches, watch{label: pathOf(args[0], name), byName: true, dir: dir, name: name})
	}
	return plan{watches: watches, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Lookup(ctx, dir, name)
		rep := reply{status: res.Status}
		switch {
		case res.Status != client.OK:
		case len(watches) > 1:
			rep.slots = append(rep.slots, slot{label: watches[1].label, hasFH: true, fh: res.FH, after: res.Attr})
		default:
			rep.text = "found what cannot be there"
		}
		rep.slots = append(rep.slots, post(watches[0].label, res.Dir))
		return rep, err
	}}, err
}

// accessLetters are the bits of ACCESS from the lowest on.
const accessLetters = "RLMEDX"

func planAccess(r *caseRun, args []string) (plan, error) {
	fh, w, err := r.one(args)
	if err != nil {
		return plan{}, err
	}
	asked := uint64(client.AccessAll)
	if len(args) > 1 {
		n, err := numbers(args[1:], 1)
		if err != nil {
			return plan{}, err
		}
		asked = n[0]
	}
	return plan{watches: []watch{w}, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Access(ctx, fh, uint32(asked))
		rep := reply{status: res.Status, slots: []slot{post(w.label, res.Attr)}}
		if res.Status == client.OK {
			rep.text = "may " + bitsText(res.Access)
		}
		return rep, err
	}}, err
}

func bitsText(bits uint32) string {
	text := ""
	for i := range 32 {
		switch {
		case bits&(1<<i) == 0:
		case i < len(accessLetters):
			text += accessLetters[i : i+1]
		default:
			text += fmt.Sprintf("+%#x", uint32(1)<<i)
		}
	}
	if text == "" {
		return "nothing"
	}
	return text
}

func planReadlink(r *caseRun, args []string) (plan, error) {
	fh, w, err := r.one(args)
	return plan{watches: []watch{w}, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Readlink(ctx, fh)
		rep := reply{status: res.Status, slots: []slot{post(w.label, res.Attr)}}
		if res.Status == client.OK {
			rep.text = dataText([]byte(res.Target))
		}
		return rep, err
	}}, err
}

func planRead(r *caseRun, args []string) (plan, error) {
	fh, w, err := r.one(args)
	if err != nil {
		return plan{}, err
	}
	n, err := numbers(args[1:], 2)
	if err != nil {
		return plan{}, err
	}
	return plan{watches: []watch{w}, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Read(ctx, fh, n[0], uint32(n[1]))
		rep := reply{status: res.Status, slots: []slot{post(w.label, res.Attr)}}
		if res.Status == client.OK {
			rep.text = fmt.Sprintf("count=%d eof=%t %s", res.Count, res.EOF, dataText(res.Data))
		}
		return rep, err
	}}, nil
}

// dataText shows data with long runs of one byte as that byte and its number.
func dataText(data []byte) string {
	const shortRun, longest = 4, 12
	var out strings.Builder
	runs := 0
	for i := 0; i < len(data); {
		j := i
		for j < len(data) && data[j] == data[i] {
			j++
		}
		if runs++; runs > longest {
			return out.String() + "..."
		}
		text := strings.Trim(fmt.Sprintf("%q", data[i:i+1]), `"`)
		if j-i > shortRun {
			fmt.Fprintf(&out, "%s{%d}", text, j-i)
		} else {
			out.WriteString(strings.Repeat(text, j-i))
		}
		i = j
	}
	return `"` + out.String() + `"`
}

func planWrite(r *caseRun, args []string) (plan, error) {
	plain, named := splitArgs(args, "stable", "count")
	fh, w, err := r.one(plain)
	if err != nil {
		return plan{}, err
	}
	n, err := numbers(plain[1:2], 1)
	if err != nil {
		return plan{}, err
	}
	data := []byte(plain[2])
	stable, count := uint64(client.FileSync), uint64(len(data))
	for key, to := range map[string]*uint64{"stable": &stable, "count": &count} {
		if text, ok := named[key]; ok {
			v, err := numbers([]string{text}, 1)
			if err != nil {
				return plan{}, err
			}
			*to = v[0]
		}
	}
	return plan{watches: []watch{w}, do: func(ctx context.Context, c *client.Client) (reply, error) {
		if count != uint64(len(data)) {
			return reply{}, badWrite(ctx, c, fh, n[0], uint32(count), data)
		}
		res, err := c.Write(ctx, fh, n[0], data, client.Stable(stable))
		rep := reply{status: res.Status, slots: []slot{wcc(w.label, res.WCC)}}
		if res.Status == client.OK {
			rep.text = fmt.Sprintf("count=%d committed=%d", res.Count, res.Committed)
		}
		return rep, err
	}}, nil
}

// badWrite makes a WRITE whose count is not the length of its data.
func badWrite(ctx context.Context, c *client.Client, fh client.FH, off uint64, count uint32, data []byte) error {
	var w xdr.Writer
	w.Opaque(fh)
	w.Uint64(off)
	w.Uint32(count)
	w.Uint32(uint32(client.FileSync))
	w.Opaque(data)
	res, err := c.Call(ctx, progNFS, 3, client.ProcWrite, w.B)
	if err == nil {
		err = fmt.Errorf("status %d", xdr.NewReader(res).Uint32())
	}
	return err
}
