package main

import (
	"context"
	"encoding/hex"

	"twofold/nfs/client"
)

const progNFS = 100003

// makePlan is what CREATE, MKDIR, SYMLINK and MKNOD have in common.
func makePlan(watches []watch, do func(context.Context, *client.Client) (client.CreateRes, error)) plan {
	return plan{watches: watches, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := do(ctx, c)
		rep := reply{status: res.Status}
		if res.Status == client.OK && len(watches) > 1 {
			rep.slots = append(rep.slots, slot{label: watches[1].label, hasFH: true, fh: res.FH, after: res.Attr})
		}
		rep.slots = append(rep.slots, wcc(watches[0].label, res.Dir))
		return rep, err
	}}
}

func planCreate(r *caseRun, args []string) (plan, error) {
	plain, named := splitArgs(args, attrKeys...)
	if err := need(plain, 3); err != nil {
		return plan{}, err
	}
	dir, name, watches, err := r.entry(plain)
	if err != nil {
		return plan{}, err
	}
	set, err := parseSetAttr(named)
	if err != nil {
		return plan{}, err
	}
	how, err := parseHow(plain[2], set)
	return makePlan(watches, func(ctx context.Context, c *client.Client) (client.CreateRes, error) {
		return c.Create(ctx, dir, name, how)
	}), err
}

func planMkdir(r *caseRun, args []string) (plan, error) {
	plain, named := splitArgs(args, attrKeys...)
	dir, name, watches, err := r.entry(plain)
	if err != nil {
		return plan{}, err
	}
	set, err := parseSetAttr(named)
	return makePlan(watches, func(ctx context.Context, c *client.Client) (client.CreateRes, error) {
		return c.Mkdir(ctx, dir, name, set)
	}), err
}

func planSymlink(r *caseRun, args []string) (plan, error) {
	plain, named := splitArgs(args, attrKeys...)
	if err := need(plain, 3); err != nil {
		return plan{}, err
	}
	dir, name, watches, err := r.entry(plain)
	if err != nil {
		return plan{}, err
	}
	set, err := parseSetAttr(named)
	return makePlan(watches, func(ctx context.Context, c *client.Client) (client.CreateRes, error) {
		return c.Symlink(ctx, dir, name, plain[2], set)
	}), err
}

func planMknod(r *caseRun, args []string) (plan, error) {
	plain, named := splitArgs(args, attrKeys...)
	if err := need(plain, 3); err != nil {
		return plan{}, err
	}
	dir, name, watches, err := r.entry(plain)
	if err != nil {
		return plan{}, err
	}
	set, err := parseSetAttr(named)
	if err != nil {
		return plan{}, err
	}
	what, err := parseWhat(plain[2:], set)
	return makePlan(watches, func(ctx context.Context, c *client.Client) (client.CreateRes, error) {
		return c.Mknod(ctx, dir, name, what)
	}), err
}

func planRemove(r *caseRun, args []string) (plan, error) {
	dir, name, watches, err := r.entry(args)
	return plan{watches: watches, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Remove(ctx, dir, name)
		return reply{status: res.Status, slots: []slot{wcc(args[0], res.WCC)}}, err
	}}, err
}

func planRmdir(r *caseRun, args []string) (plan, error) {
	dir, name, watches, err := r.entry(args)
	return plan{watches: watches, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Rmdir(ctx, dir, name)
		return reply{status: res.Status, slots: []slot{wcc(args[0], res.WCC)}}, err
	}}, err
}

func planRename(r *caseRun, args []string) (plan, error) {
	if err := need(args, 4); err != nil {
		return plan{}, err
	}
	from, fromName, watches, err := r.entry(args[:2])
	if err != nil {
		return plan{}, err
	}
	to, toName, more, err := r.entry(args[2:4])
	for _, w := range more {
		known := false
		for _, old := range watches {
			known = known || old.label == w.label
		}
		if !known {
			watches = append(watches, w)
		}
	}
	return plan{watches: watches, do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Rename(ctx, from, fromName, to, toName)
		return reply{status: res.Status, slots: []slot{wcc(args[0], res.From), wcc(args[2], res.To)}}, err
	}}, err
}

func planLink(r *caseRun, args []string) (plan, error) {
	if err := need(args, 3); err != nil {
		return plan{}, err
	}
	fh, file, err := r.one(args[:1])
	if err != nil {
		return plan{}, err
	}
	dir, name, watches, err := r.entry(args[1:])
	return plan{watches: append(watches, file), do: func(ctx context.Context, c *client.Client) (reply, error) {
		res, err := c.Link(ctx, fh, dir, name)
		return reply{status: res.Status, slots: []slot{post(args[0], res.Attr), wcc(args[1], res.Dir)}}, err
	}}, err
}

// planMnt is "MNT NAME": MOUNT of a path below the export.
func planMnt(r *caseRun, args []string) (plan, error) {
	path := r.target.path
	if len(args) > 0 {
		path += args[0]
	}
	return plan{do: func(ctx context.Context, _ *client.Client) (reply, error) {
		res, err := r.mount.Mnt(ctx, path)
		rep := reply{status: client.Status(res.Status)}
		if res.Status == client.MountOK {
			rep.text = "handle"
			for _, f := range res.Flavors {
				if f == 1 {
					rep.text += " auth_sys"
				}
			}
		}
		return rep, err
	}}, nil
}

// planCall is "CALL PROGRAM VERSION PROCEDURE [HEX]": any call, whose answer by the RPC layer is of interest.
func planCall(_ *caseRun, args []string) (plan, error) {
	if err := need(args, 3); err != nil {
		return plan{}, err
	}
	n, err := numbers(args[:3], 3)
	if err != nil {
		return plan{}, err
	}
	var body []byte
	if len(args) > 3 {
		if body, err = hex.DecodeString(args[3]); err != nil {
			return plan{}, err
		}
	}
	return plan{do: func(ctx context.Context, c *client.Client) (reply, error) {
		_, err := c.Call(ctx, uint32(n[0]), uint32(n[1]), uint32(n[2]), body)
		return reply{}, err
	}}, nil
}
