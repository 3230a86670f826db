package client

import (
	"context"
	"fmt"

	"twofold/nfs/xdr"
)

// Procedures of MOUNT version 3 (RFC 1813 section 5.2).
const (
	MountProcNull    uint32 = 0
	MountProcMnt     uint32 = 1
	MountProcDump    uint32 = 2
	MountProcUmnt    uint32 = 3
	MountProcUmntAll uint32 = 4
	MountProcExport  uint32 = 5
)

// MountStatus is mountstat3.
type MountStatus uint32

// The values of mountstat3 (RFC 1813 section 5.1.5).
const (
	MountOK             MountStatus = 0
	MountErrPerm        MountStatus = 1
	MountErrNoEnt       MountStatus = 2
	MountErrIO          MountStatus = 5
	MountErrAcces       MountStatus = 13
	MountErrNotDir      MountStatus = 20
	MountErrInval       MountStatus = 22
	MountErrNameTooLong MountStatus = 63
	MountErrNotSupp     MountStatus = 10004
	MountErrServerFault MountStatus = 10006
)

// Error names the status, so that it can be returned as an error.
func (s MountStatus) Error() string { return fmt.Sprintf("mountstat3 %d", uint32(s)) }

// MountRes answers MNT.
type MountRes struct {
	Status  MountStatus
	FH      FH
	Flavors []uint32
}

// MountEntry is one mount of DUMP.
type MountEntry struct{ Host, Dir string }

// ExportEntry is one export of EXPORT and the groups that may mount it.
type ExportEntry struct {
	Dir    string
	Groups []string
}

func (c *Client) mount(ctx context.Context, proc uint32, args []byte, decode func(*xdr.Reader)) error {
	res, err := c.Call(ctx, progMount, version3, proc, args)
	if err != nil {
		return err
	}
	return finish(res, decode)
}

// MountNull calls MOUNT's NULL.
func (c *Client) MountNull(ctx context.Context) error {
	return c.mount(ctx, MountProcNull, nil, func(*xdr.Reader) {})
}

// Mnt calls MNT.
func (c *Client) Mnt(ctx context.Context, path string) (res MountRes, err error) {
	var w xdr.Writer
	w.String(path)
	err = c.mount(ctx, MountProcMnt, w.B, func(r *xdr.Reader) {
		if res.Status = MountStatus(r.Uint32()); res.Status != MountOK {
			return
		}
		res.FH = r.Opaque(maxFH)
		for n := r.Uint32(); n > 0 && r.Err() == nil; n-- {
			res.Flavors = append(res.Flavors, r.Uint32())
		}
	})
	return res, err
}

// Root calls MNT and returns the handle, with a refusal as an error.
func (c *Client) Root(ctx context.Context, path string) (FH, error) {
	res, err := c.Mnt(ctx, path)
	if err == nil && res.Status != MountOK {
		err = fmt.Errorf("mount %q: %w", path, res.Status)
	}
	return res.FH, err
}

// Dump calls DUMP.
func (c *Client) Dump(ctx context.Context) (list []MountEntry, err error) {
	err = c.mount(ctx, MountProcDump, nil, func(r *xdr.Reader) {
		for r.Bool() && len(list) < maxEntries {
			list = append(list, MountEntry{Host: r.String(maxName), Dir: r.String(maxPath)})
		}
	})
	return list, err
}

// Umnt calls UMNT.
func (c *Client) Umnt(ctx context.Context, path string) error {
	var w xdr.Writer
	w.String(path)
	return c.mount(ctx, MountProcUmnt, w.B, func(*xdr.Reader) {})
}

// UmntAll calls UMNTALL.
func (c *Client) UmntAll(ctx context.Context) error {
	return c.mount(ctx, MountProcUmntAll, nil, func(*xdr.Reader) {})
}

// Export calls EXPORT.
func (c *Client) Export(ctx context.Context) (list []ExportEntry, err error) {
	err = c.mount(ctx, MountProcExport, nil, func(r *xdr.Reader) {
		for r.Bool() && len(list) < maxEntries {
			e := ExportEntry{Dir: r.String(maxPath)}
			for r.Bool() {
				e.Groups = append(e.Groups, r.String(maxName))
			}
			list = append(list, e)
		}
	})
	return list, err
}
