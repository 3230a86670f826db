package matrix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"twofold/nfs/client"
	"twofold/replica/vfs"
	"twofold/scripts/faultlab/caller"
	"twofold/scripts/faultlab/lab"
	"twofold/scripts/faultlab/probe"
)

const (
	// bigBytes is what a file has whose table is damaged: one WRITE.
	bigBytes = 256 << 10
	// spotBytes in its midst are looked for in the tables. They lie in one block.
	spotBytes = 64
)

// bigFile is a file that no compression makes shorter, so that its content can be found in a table.
type bigFile struct {
	addrs   [2]string
	fh      client.FH
	content []byte
}

// newBigFile writes one, and waits until both nodes have it in their states, not only in their logs.
func newBigFile(ctx context.Context, addrs [2]string, name string) (*bigFile, error) {
	f := &bigFile{addrs: addrs, content: make([]byte, bigBytes)}
	_, _ = rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", name)))).Read(f.content) // it never fails
	c := caller.New(addrs, 0, caller.Moves)
	defer c.Close()
	root, err := probe.Mount(ctx, addrs)
	if err != nil {
		return nil, err
	}
	st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Create(ctx, root, name, client.CreateHow{Mode: vfs.CreateGuarded})
		f.fh = res.FH
		return res.Status, err
	})
	if err := answered(st, err); err != nil {
		return nil, fmt.Errorf("CREATE %s: %w", name, err)
	}
	st, err = c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Write(ctx, f.fh, 0, f.content, client.FileSync)
		if err == nil && res.Status == client.OK && res.Count != bigBytes {
			err = fmt.Errorf("%d bytes were written", res.Count)
		}
		return res.Status, err
	})
	if err := answered(st, err); err != nil {
		return nil, fmt.Errorf("WRITE %s: %w", name, err)
	}
	return f, errors.Join(f.read(ctx, 0), f.read(ctx, 1))
}

// spot is the part that is damaged.
func (f *bigFile) spot() []byte {
	if f == nil {
		return nil
	}
	return f.content[bigBytes/2+1000:][:spotBytes]
}

// read reads the file at a node, which must give what was written, whatever its copy holds.
func (f *bigFile) read(ctx context.Context, node int) error {
	c := caller.New(f.addrs, node, caller.Waits)
	defer c.Close()
	var got []byte
	st, err := c.Do(ctx, func(ctx context.Context, c *client.Client) (client.Status, error) {
		res, err := c.Read(ctx, f.fh, 0, bigBytes)
		got = res.Data
		return res.Status, err
	})
	if err := answered(st, err); err != nil {
		return fmt.Errorf("READ of the damaged file at %s: %w", lab.Node(node), err)
	}
	if !bytes.Equal(got, f.content) {
		return fmt.Errorf("WRONG: %s gives other bytes than were written", lab.Node(node))
	}
	return nil
}

// answered gives the error of a call, or a verdict that is not success as one.
func answered(st client.Status, err error) error {
	if err == nil && st != client.OK {
		err = st
	}
	return err
}

// spoil damages the files of the row's victim, if that is what the row is about.
func (t *trial) spoil() (err error) {
	if t.Row.Damage == lab.NoDamage {
		return nil
	}
	t.spoiled, err = t.lab.Spoil(t.victim(), t.Row.Damage, t.file.spot())
	return err
}

// victim is the node whose files are damaged.
func (t *trial) victim() lab.Node { return placed(lab.Node(t.gateway[Leader]))[t.Row.Victim] }

// mended waits until the victim has found the damage, and is whole again. A table is damaged where nobody reads until now.
func (t *trial) mended(ctx context.Context) {
	t.await(healLimit, func() bool { return t.spoiled.Found() || !t.rereads(ctx, int(t.victim())) })
	t.await(healLimit, func() bool { return t.spoiled.Whole() || !t.spoiled.Found() })
	t.Problems = append(t.Problems, t.spoiled.Problems()...)
	for node := range t.gateway {
		t.rereads(ctx, node)
	}
}

// rereads reads the damaged file at a node, if there is one, and reports whether it gives what was written, and should be read again.
func (t *trial) rereads(ctx context.Context, node int) bool {
	if t.file == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, healLimit)
	defer cancel()
	err := t.file.read(ctx, node)
	if err != nil {
		t.problem("%v", err)
	}
	return err == nil
}
