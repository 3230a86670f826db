package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"twofold/nfs/client"
	"twofold/replica/vfs"
	"twofold/scripts/faultlab/caller"
)

// meanPause is what a client waits between two operations, on average.
const meanPause = 8 * time.Millisecond

// readdirBytes is room for all names of a directory.
const readdirBytes = 4096

// worker is one random client.
type worker struct {
	epoch  *Epoch
	number int
	node   int
	caller *caller.Caller
	rng    *rand.Rand
	err    error
}

// run makes operations until the epoch stops.
func (w *worker) run(ctx context.Context) {
	defer w.caller.Close()
	for !w.epoch.stop.Load() && w.err == nil {
		w.err = w.operation(ctx, w.choose())
		time.Sleep(time.Duration(w.rng.Int64N(int64(2 * meanPause))))
	}
}

// choose picks an operation.
func (w *worker) choose() Input {
	files := len(w.epoch.files)
	if w.rng.IntN(2) == 0 {
		in := Input{Object: w.rng.IntN(files), Kind: []Kind{Read, Read, Getattr, Write, Write, Truncate, Chmod}[w.rng.IntN(7)]}
		switch in.Kind {
		case Write:
			in.Slot, in.Value = w.rng.IntN(slots), fmt.Sprintf("%0*x", slotBytes, w.epoch.serial.Add(1))
		case Truncate:
			in.Slot = w.rng.IntN(slots + 1)
		case Chmod:
			in.Mode = 0o600 + uint32(w.rng.IntN(0o100))
		}
		return in
	}
	kinds := []Kind{Lookup, Lookup, Readdir, ReaddirPlus, CreateExclusive, CreateGuarded, Remove, Rename, Rename}
	in := Input{Object: files + w.rng.IntN(len(w.epoch.dirs)), Kind: kinds[w.rng.IntN(len(kinds))], Name: w.rng.IntN(names)}
	in.To = (in.Name + 1 + w.rng.IntN(names-1)) % names
	if in.Kind == CreateExclusive || in.Kind == CreateGuarded {
		in.Owner = uint32(firstOwner + w.epoch.serial.Add(1))
	}
	return in
}

// operation makes one operation and records it.
func (w *worker) operation(ctx context.Context, in Input) error {
	op := Op{Client: w.number, Node: w.node, In: in, Call: time.Since(w.epoch.began)}
	st, err := w.caller.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		op.Out, op.Ctime, op.FileID, op.IDs = Output{}, client.Time{}, 0, [names]uint64{}
		return w.send(ctx, c, &op)
	})
	op.Return = time.Since(w.epoch.began)
	op.Out.Status = st
	if err != nil {
		op.Out = Output{Unknown: true}
	}
	w.epoch.History.Add(op)
	if err != nil && !errors.Is(err, caller.ErrLeft) && ctx.Err() == nil {
		return fmt.Errorf("client %d: %s: %w", w.number, describe(in, op.Out), err)
	}
	return nil
}

// send makes the NFS call of an operation and takes over what was answered.
func (w *worker) send(ctx context.Context, c *client.Client, op *Op) (client.Status, error) {
	if op.In.Object < len(w.epoch.files) {
		return sendFile(ctx, c, w.epoch.files[op.In.Object], op)
	}
	dir := w.epoch.dirs[op.In.Object-len(w.epoch.files)]
	if op.In.Kind == Readdir || op.In.Kind == ReaddirPlus {
		return sendList(ctx, c, dir, op)
	}
	return sendName(ctx, c, dir, op)
}

// note takes over the attributes that came with an answer.
func (op *Op) note(a *client.Attr) {
	if a != nil {
		op.Ctime = a.Ctime
	}
}

func sendFile(ctx context.Context, c *client.Client, fh client.FH, op *Op) (client.Status, error) {
	in := op.In
	switch in.Kind {
	case Read:
		res, err := c.Read(ctx, fh, 0, slots*slotBytes+1)
		op.Out.Data = string(res.Data)
		op.note(res.Attr)
		return res.Status, err
	case Getattr:
		res, err := c.Getattr(ctx, fh)
		op.Out.Size, op.Out.Mode = res.Attr.Size, res.Attr.Mode
		op.note(&res.Attr)
		return res.Status, err
	case Write:
		res, err := c.Write(ctx, fh, uint64(in.Slot*slotBytes), []byte(in.Value), client.FileSync)
		if err == nil && res.Status == client.OK && (res.Count != slotBytes || res.Committed != client.FileSync) {
			err = fmt.Errorf("%d bytes, committed %d", res.Count, res.Committed)
		}
		op.note(res.WCC.After)
		return res.Status, err
	}
	var set client.SetAttr
	if in.Kind == Truncate {
		set.Size = client.Ptr(uint64(in.Slot * slotBytes))
	} else {
		set.Mode = &in.Mode
	}
	res, err := c.Setattr(ctx, fh, set, nil)
	op.note(res.WCC.After)
	return res.Status, err
}

func sendName(ctx context.Context, c *client.Client, dir client.FH, op *Op) (client.Status, error) {
	in := op.In
	switch in.Kind {
	case Lookup:
		res, err := c.Lookup(ctx, dir, nameOf(in.Name))
		if res.Attr != nil {
			op.Out.Owner, op.FileID = res.Attr.UID, res.Attr.FileID
		} else if err == nil && res.Status == client.OK {
			err = errors.New("no attributes")
		}
		op.note(res.Dir)
		return res.Status, err
	case Remove:
		res, err := c.Remove(ctx, dir, nameOf(in.Name))
		op.note(res.WCC.After)
		return res.Status, err
	case Rename:
		res, err := c.Rename(ctx, dir, nameOf(in.Name), dir, nameOf(in.To))
		op.note(res.From.After)
		return res.Status, err
	}
	how := client.CreateHow{Mode: vfs.CreateGuarded, Attr: client.SetAttr{Mode: client.Ptr(uint32(0o600))}}
	if in.Kind == CreateExclusive {
		how = client.CreateHow{Mode: vfs.CreateExclusive, Verf: [8]byte{byte(in.Owner >> 24), byte(in.Owner >> 16), byte(in.Owner >> 8), byte(in.Owner)}}
	}
	res, err := c.As(client.Sys(in.Owner, in.Owner)).Create(ctx, dir, nameOf(in.Name), how)
	op.note(res.Dir.After)
	return res.Status, err
}

// sendList lists a directory by one call.
func sendList(ctx context.Context, c *client.Client, dir client.FH, op *Op) (client.Status, error) {
	var res client.ReadDirRes
	var err error
	if op.In.Kind == Readdir {
		res, err = c.Readdir(ctx, dir, 0, [8]byte{}, readdirBytes)
	} else {
		res, err = c.Readdirplus(ctx, dir, 0, [8]byte{}, readdirBytes, 4*readdirBytes)
	}
	if err != nil || res.Status != client.OK {
		return res.Status, err
	}
	if !res.EOF {
		return res.Status, fmt.Errorf("%d entries are not all", len(res.Entries))
	}
	op.note(res.Dir)
	for _, e := range res.Entries {
		if e.Name == "." || e.Name == ".." {
			continue
		}
		var i int
		if _, err := fmt.Sscanf(e.Name, nameFormat, &i); err != nil || i >= names || op.IDs[i] != 0 {
			return res.Status, fmt.Errorf("entry %q, again or not ours", e.Name)
		}
		op.IDs[i], op.Out.Owners[i] = e.FileID, anyOwner
		if e.Attr != nil {
			op.Out.Owners[i] = e.Attr.UID
		}
	}
	return res.Status, nil
}
