package gonfs

import (
	"context"
	"errors"
	"net"
	pathpkg "path"
	"runtime/debug"
	"strings"
	"time"

	billy "github.com/go-git/go-billy/v5"
	gonfs "github.com/willscott/go-nfs"
	"golang.org/x/time/rate"

	"twofold/nfs/export"
	"twofold/nfs/pace"
	"twofold/replica/vfs"
)

// flavors are the auth flavors that MNT offers, the preferred one first.
var flavors = []gonfs.AuthFlavor{gonfs.AuthFlavorUnix, gonfs.AuthFlavorNull}

// errMountOnly is returned by what only NFS procedures would call.
var errMountOnly = errors.New("gonfs: this bridge serves MOUNT only")

// mounted is what Mount gives go-nfs as a file system. MOUNT only hands it back
// to ToHandle, so there is nothing behind the embedded interface.
type mounted struct {
	billy.Filesystem
	handle []byte
}

// warningPause is the least time between two warnings that clients can cause.
const warningPause = time.Second

// handler is the go-nfs Handler.
type handler struct {
	cfg  Config
	pace rate.Sometimes // of warnings
}

var _ gonfs.Handler = (*handler)(nil)

// Mount decides whether the client may mount a path and finds its inode.
func (h *handler) Mount(_ context.Context, c net.Conn, req gonfs.MountRequest) (status gonfs.MountStatus, fs billy.Filesystem, auth []gonfs.AuthFlavor) {
	// go-nfs runs this on a goroutine of its own, where a panic would end the
	// process.
	defer func() {
		if v := recover(); v != nil {
			h.cfg.Logger.Error("mount handler panicked", "panic", v, "stack", string(debug.Stack()))
			status, fs, auth = gonfs.MountStatusErrServerFault, nil, nil
		}
	}()
	p, ok := asPeer(c)
	if !ok {
		return gonfs.MountStatusErrAcces, nil, nil
	}
	handle, status := h.resolve(p, string(req.Dirpath))
	if status != gonfs.MountStatusOk {
		return status, nil, nil
	}
	return gonfs.MountStatusOk, &mounted{handle: handle}, flavors
}

// resolve finds the export of a path and walks from its root. A path that is
// not exported is refused as one that is not for this client, as in mountd, so
// that nobody learns what lies outside of the exports.
//
// Dots in the path are resolved before anything is looked up, so that no ".."
// leaves an export.
func (h *handler) resolve(p *peer, path string) ([]byte, gonfs.MountStatus) {
	if !strings.HasPrefix(path, "/") {
		return nil, gonfs.MountStatusErrAcces
	}
	e, rest, verdict := h.cfg.Exports.Mount(pathpkg.Clean(path), p.client)
	if verdict != export.Admitted {
		return nil, gonfs.MountStatusErrAcces
	}
	vol, err := h.cfg.FS.Volume()
	if err != nil {
		return nil, h.unavailable(path, err)
	}
	attr, kind, err := h.walk(p.ctx, e, rest)
	switch {
	case err != nil:
		return nil, h.unavailable(path, err)
	case kind != vfs.OK:
		return nil, StatusOf(kind)
	case attr.Type != vfs.TypeDir:
		return nil, gonfs.MountStatusErrNotDir
	}
	return h.cfg.Handle(vol, e.Root.Ino, attr.Ref), gonfs.MountStatusOk
}

// walk goes down from an export's root. The root is the directory that was
// exported, wherever it is now. Whoever may mount an export may mount any
// directory below it: what the client's users may see there is decided call by
// call. Symbolic links are not followed.
func (h *handler) walk(ctx context.Context, e vfs.Export, rest string) (vfs.Attr, vfs.Kind, error) {
	root, err := h.cfg.FS.GetAttr(ctx, e.Root)
	if err != nil {
		return vfs.Attr{}, 0, err
	}
	attr, kind := root.Attr, root.Kind
	if kind != vfs.OK {
		h.warn("the directory of an export is gone: make it again and run twofold export set", "export", e.Path)
	}
	for name := range strings.SplitSeq(rest, "/") {
		if kind != vfs.OK {
			break
		}
		if name == "" {
			continue
		}
		res, err := h.cfg.FS.Lookup(ctx, vfs.Root, attr.Ref, name)
		if err != nil {
			return vfs.Attr{}, 0, err
		}
		attr, kind = res.Attr, res.Kind
	}
	return attr, kind, nil
}

// unavailable is the answer when the store gives no verdict. MOUNT has no status
// for "try again"; a client that mounts in the background tries again after
// SERVERFAULT.
func (h *handler) unavailable(path string, err error) gonfs.MountStatus {
	h.warn("mount not possible now", "path", path, "err", err)
	return gonfs.MountStatusErrServerFault
}

// warn writes a line, unless one was written a moment ago.
func (h *handler) warn(msg string, args ...any) {
	if pace.Due(&h.pace) {
		h.cfg.Logger.Warn(msg, args...)
	}
}

// StatusOf maps a verdict of the store to mountstat3 (RFC 1813 section 5.1.5).
// An inode that went away during the walk is a name that is not there.
func StatusOf(k vfs.Kind) gonfs.MountStatus {
	switch k {
	case vfs.OK:
		return gonfs.MountStatusOk
	case vfs.Perm:
		return gonfs.MountStatusErrPerm
	case vfs.NotExist, vfs.Stale:
		return gonfs.MountStatusErrNoEnt
	case vfs.IO:
		return gonfs.MountStatusErrIO
	case vfs.Access:
		return gonfs.MountStatusErrAcces
	case vfs.NotDir:
		return gonfs.MountStatusErrNotDir
	case vfs.Invalid:
		return gonfs.MountStatusErrInval
	case vfs.NameTooLong:
		return gonfs.MountStatusErrNameTooLong
	case vfs.NotSupported:
		return gonfs.MountStatusErrNotSupp
	default: // none of these is an answer to a look-up
		return gonfs.MountStatusErrServerFault
	}
}

// ToHandle returns the handle that Mount made. go-nfs calls it after a refusal,
// too, and then with a nil file system.
func (h *handler) ToHandle(fs billy.Filesystem, _ []string) []byte {
	m, ok := fs.(*mounted)
	if !ok {
		return nil
	}
	return m.handle
}

// Change says that nothing can be changed this way.
func (h *handler) Change(billy.Filesystem) billy.Change { return nil }

// FSStat is not served.
func (h *handler) FSStat(context.Context, billy.Filesystem, *gonfs.FSStat) error { return errMountOnly }

// FromHandle is not served.
func (h *handler) FromHandle([]byte) (billy.Filesystem, []string, error) {
	return nil, nil, errMountOnly
}

// InvalidateHandle is not served.
func (h *handler) InvalidateHandle(billy.Filesystem, []byte) error { return errMountOnly }

// HandleLimit is of no use without a cache of handles.
func (h *handler) HandleLimit() int { return 0 }
