package matrix

import (
	"context"
	"fmt"
	"time"

	"twofold/nfs/client"
	"twofold/replica/vfs"
	"twofold/scripts/faultlab/caller"
	"twofold/scripts/faultlab/lab"
	"twofold/scripts/faultlab/probe"
)

const (
	// fullLeaves is less than the reserve of the lab's nodes.
	fullLeaves = 48 << 20
	// fullLimit is how long the nodes may take to notice that a disk is full, or no longer.
	fullLimit = 30 * time.Second
)

// fullRow is a row about one full disk.
type fullRow struct {
	*Result
	callers [2]*caller.Caller
	root    client.FH
	prefix  string
	serial  int
}

// full fills the disk of one node. Both gateways must then refuse alike what needs space, and go on with what gives some back or needs none.
func (r *Runner) full(ctx context.Context, res *Result, victim lab.Node) error {
	addrs := r.Lab.NFSAddrs()
	root, err := probe.Mount(ctx, addrs)
	if err != nil {
		return err
	}
	f := &fullRow{Result: res, root: root, prefix: fmt.Sprintf("full%d", r.rounds)}
	for i := range f.callers {
		f.callers[i] = caller.New(addrs, i, caller.Waits)
		defer f.callers[i].Close()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*fullLimit+healLimit)
	defer cancel()
	kept := f.create(ctx, 0, client.OK)
	spare := [2]string{f.create(ctx, 0, client.OK), f.create(ctx, 1, client.OK)}
	begun := time.Now()
	if err := r.Lab.Fill(victim, fullLeaves); err != nil {
		return err
	}
	for i := range f.callers {
		f.await(ctx, i, client.ErrNoSpc)
	}
	refused := time.Since(begun)
	f.during(ctx, kept, spare)
	begun = time.Now()
	if err := r.Lab.Empty(victim); err != nil {
		return err
	}
	for i := range f.callers {
		f.await(ctx, i, client.OK)
	}
	f.Healed = time.Since(begun)
	f.Note = fmt.Sprintf("NFS3ERR_NOSPC at both after %.1f s; READ, SETATTR to a smaller size and REMOVE work; all is well %.1f s after there is space",
		refused.Seconds(), f.Healed.Seconds())
	f.Problems = append(f.Problems, r.Lab.Ended()...)
	if err := r.Lab.CompareDigests(ctx, healLimit); err != nil {
		f.Problems = append(f.Problems, err.Error())
	}
	return ctx.Err()
}

// call makes one call at a node.
func (f *fullRow) call(ctx context.Context, node int, what string, want client.Status, c caller.Call) bool {
	st, err := f.callers[node].Do(ctx, c)
	f.Answers++
	if err != nil || st != want {
		f.Problems = append(f.Problems, fmt.Sprintf("%s at %c: %v, %v, want %v", what, 'a'+node, st, err, want))
	}
	return err == nil && st == want
}

// create makes a new file, and gives its name.
func (f *fullRow) create(ctx context.Context, node int, want client.Status) string {
	f.serial++
	name := fmt.Sprintf("%s-%d", f.prefix, f.serial)
	f.call(ctx, node, "CREATE", want, f.creation(name))
	return name
}

func (f *fullRow) creation(name string) caller.Call {
	return func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Create(ctx, f.root, name, client.CreateHow{Mode: vfs.CreateGuarded})
		return res.Status, err
	}
}

// await creates files until that has the wanted status.
func (f *fullRow) await(ctx context.Context, node int, want client.Status) {
	var st client.Status
	var err error
	for end := time.Now().Add(fullLimit); time.Now().Before(end); time.Sleep(pollEvery) {
		f.serial++
		st, err = f.callers[node].Do(ctx, f.creation(fmt.Sprintf("%s-%d", f.prefix, f.serial)))
		if f.Answers++; err == nil && st == want {
			return
		}
	}
	f.Problems = append(f.Problems, fmt.Sprintf("CREATE at %c after %s: %v, %v, want %v", 'a'+node, fullLimit, st, err, want))
}

// during makes the calls that a full disk must not hinder, at both nodes, and those that it must.
func (f *fullRow) during(ctx context.Context, kept string, spare [2]string) {
	for node := range f.callers {
		var fh client.FH
		f.call(ctx, node, "LOOKUP", client.OK, func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Lookup(ctx, f.root, kept)
			fh = res.FH
			return res.Status, err
		})
		f.call(ctx, node, "READ", client.OK, func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Read(ctx, fh, 0, 1)
			return res.Status, err
		})
		f.call(ctx, node, "WRITE", client.ErrNoSpc, func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Write(ctx, fh, 0, make([]byte, 4096), client.FileSync)
			return res.Status, err
		})
		f.call(ctx, node, "SETATTR size 0", client.OK, func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Setattr(ctx, fh, client.SetAttr{Size: client.Ptr(uint64(0))}, nil)
			return res.Status, err
		})
		f.call(ctx, node, "REMOVE", client.OK, func(ctx context.Context, c *client.Client) (client.Status, error) {
			res, err := c.Remove(ctx, f.root, spare[node])
			return res.Status, err
		})
	}
}
