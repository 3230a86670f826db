package gonfs_test

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	stock "github.com/willscott/go-nfs"
	"go.uber.org/goleak"

	"twofold/nfs/export"
	"twofold/nfs/gonfs"
	"twofold/nfs/rpc"
	"twofold/replica/modelfs"
	"twofold/replica/vfs"
)

func TestMain(m *testing.M) {
	stock.Log.SetLevel(stock.PanicLevel) // go-nfs logs each call that it refuses
	goleak.VerifyTestMain(m)
}

func newBridge(t *testing.T) *gonfs.Bridge {
	t.Helper()
	table := export.New(export.Config{})
	t.Cleanup(func() { _ = table.Close() })
	err := table.Set(vfs.ExportTable{Exports: []vfs.Export{{Path: "/", Root: vfs.RootRef(), Clients: "10.0.0.0/8(insecure)"}}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := gonfs.New(gonfs.Config{
		FS:      modelfs.New(),
		Exports: table,
		Handle:  func(_ vfs.Volume, _ vfs.Ino, ref vfs.Ref) []byte { return []byte{0xaa, byte(ref.Ino), 0xbb} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func call() *rpc.Call {
	return &rpc.Call{XID: 9, Client: netip.MustParseAddrPort("10.0.0.1:2000")}
}

// The bytes that go-nfs answers are what goes to the client: if a new version
// of it changes them, this shows it.
func TestBridge_Golden(t *testing.T) {
	b := newBridge(t)
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	mnt := func(path string, client string) func() ([]byte, error) {
		return func() ([]byte, error) {
			c := call()
			c.Client = netip.MustParseAddrPort(client)
			res, status, err := b.Mnt(t.Context(), c, path)
			if err == nil && res[3] != byte(status) {
				t.Errorf("status %d of %x", status, res)
			}
			return res, err
		}
	}
	for _, tc := range []struct {
		name string
		call func() ([]byte, error)
		want string
	}{
		{"NULL", func() ([]byte, error) { return b.Null(t.Context(), call()) }, ""},
		{"UMNT", func() ([]byte, error) { return b.Umnt(t.Context(), call(), "/a") }, ""},
		{"UMNT of nothing", func() ([]byte, error) { return b.Umnt(t.Context(), call(), "") }, ""},
		{"MNT", mnt("/", "10.0.0.1:2000"), "00000000 00000003 aa01bb00 00000002 00000001 00000000"},
		{"MNT of nothing", mnt("", "10.0.0.1:2000"), "00000000 00000003 aa01bb00 00000002 00000001 00000000"},
		{"MNT without a rule", mnt("/", "11.0.0.1:2000"), "0000000d"},
		{"MNT of no directory", mnt("/none", "10.0.0.1:2000"), "00000002"},
		{"MNT of the longest path", mnt("/"+strings.Repeat("./", 511)+"x", "10.0.0.1:2000"), "00000002"},
	} {
		got, err := tc.call()
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if want := strings.ReplaceAll(tc.want, " ", ""); hex.EncodeToString(got) != want {
			t.Errorf("%s: %x, want %s", tc.name, got, want)
		}
	}
}
