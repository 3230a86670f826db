package main

import (
	"net"
	"os"
	"testing"
	"time"

	"twofold/nfs"
	"twofold/nfs/export"
	"twofold/nfs/handle"
	"twofold/nfs/mount"
	"twofold/nfs/nfs3"
	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

const golden = "testdata/knfsd.txt"

// serve runs the NFS front end over the reference file system and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	fs := modelfs.New()
	table := export.New(export.Config{})
	clients := "127.0.0.1(rw,no_root_squash,insecure) 127.0.0.3(ro,no_root_squash,insecure) 127.0.0.4(rw,root_squash,insecure)"
	other, err := fs.Mutate(t.Context(), &vfs.Call{Cred: vfs.Root}, &vfs.OpMkdir{
		Dir: vfs.RootRef(), Name: otherExport, Set: vfs.SetAttr{Mask: vfs.SetMode, Mode: 0o777},
	})
	if err != nil || other.Kind != vfs.OK {
		t.Fatal(other.Kind, err)
	}
	exports := []vfs.Export{
		{Path: "/", Root: vfs.RootRef(), Clients: clients},
		{Path: "/" + otherExport, Root: other.Attr.Ref, Clients: clients},
	}
	if err := table.Set(vfs.ExportTable{Exports: exports}); err != nil {
		t.Fatal(err)
	}
	mnt, err := mount.New(mount.Config{FS: fs, Exports: table, Handle: handle.Encode})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := nfs.NewServer(nfs.Config{
		Programs: []nfs.Program{
			{Number: nfs.ProgramNFS, Version: nfs.VersionNFS, Handler: nfs3.New(nfs3.Config{FS: fs, Exports: table})},
			{Number: nfs.ProgramMount, Version: nfs.VersionMount, Handler: mnt},
		},
		Admit: table.Admits,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
		_ = mnt.Close()
		_ = table.Close()
	})
	return l.Addr().String()
}

// recorded reads the record of the kernel's server.
func recorded(t *testing.T) []result {
	t.Helper()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	_, results, err := parseRecord(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// slow is a case of 65,000 names, which takes long under the race detector. scripts/conformance-test has it.
const slow = "^link: too many$"

// TestModel runs the list against the reference file system and compares it with the record of the kernel's server.
func TestModel(t *testing.T) {
	o, err := parseOptions([]string{"-servers", serve(t), "-skip", slow, "-compare", golden})
	if err != nil {
		t.Fatal(err)
	}
	o.wait = 10 * time.Second
	if err := o.run(t.Context(), os.Stderr); err != nil {
		t.Error(err)
	}
}
