package gonfs_test

import (
	"testing"

	stock "github.com/willscott/go-nfs"

	"twofold/nfs/gonfs"
	"twofold/replica/vfs"
)

// Every verdict has a status, and no refusal becomes success.
func TestStatusOf_IsExhaustive(t *testing.T) {
	exact := map[vfs.Kind]stock.MountStatus{
		vfs.OK: 0, vfs.Perm: 1, vfs.NotExist: 2, vfs.Stale: 2, vfs.IO: 5, vfs.Access: 13, vfs.NotDir: 20,
		vfs.Invalid: 22, vfs.NameTooLong: 63, vfs.NotSupported: 10004,
	}
	for _, k := range vfs.Kinds() {
		want, ok := exact[k]
		if !ok {
			want = stock.MountStatusErrServerFault
		}
		if got := gonfs.StatusOf(k); got != want {
			t.Errorf("%s: %d, want %d", k, got, want)
		}
	}
}

func TestNew_RefusesAnIncompleteConfig(t *testing.T) {
	if _, err := gonfs.New(gonfs.Config{}); err == nil {
		t.Error("no error")
	}
}

func TestBridge_AfterClose(t *testing.T) {
	b := newBridge(t)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Null(t.Context(), call()); err == nil {
		t.Errorf("a call after Close: %v", err)
	}
}
