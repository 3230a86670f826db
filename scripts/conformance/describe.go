package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"twofold/nfs/client"
	"twofold/nfs/rpc"
	"twofold/replica/vfs"
)

// recent is the second from which on a time is a clock's and not one that a case chose.
const recent = 1_000_000_000

// smallDir is the size of a directory of few names.
const smallDir = 4096

func contextWithTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}

var typeNames = map[vfs.FileType]string{
	vfs.TypeReg: "reg", vfs.TypeDir: "dir", vfs.TypeBlk: "blk", vfs.TypeChr: "chr",
	vfs.TypeLnk: "lnk", vfs.TypeSock: "sock", vfs.TypeFifo: "fifo",
}

// describe tells all of an inode that is the same on every server.
func describe(a *client.Attr) string {
	size := strconv.FormatUint(a.Size, 10)
	if a.Type == typeDir && a.Size > smallDir {
		size = "large" // by how names of different length fall into blocks, which changes from run to run
	}
	text := fmt.Sprintf("%s %04o n%d %d:%d size=%s used=%s", typeNames[a.Type], a.Mode, a.Nlink, a.UID, a.GID, size, usedText(a))
	if a.Rdev != (vfs.Device{}) {
		text += fmt.Sprintf(" dev=%d,%d", a.Rdev.Major, a.Rdev.Minor)
	}
	return text
}

// usedText tells of space what does not hang on the size of a block.
func usedText(a *client.Attr) string {
	switch {
	case a.Used == 0:
		return "none"
	case a.Used < a.Size:
		return "holes"
	default:
		return "all"
	}
}

// changes tells how an inode changed.
func changes(was, is *client.Attr, since client.Time) []string {
	var out []string
	differ := func(format string, a, b any) {
		if a != b {
			out = append(out, fmt.Sprintf(format, a, b))
		}
	}
	differ("type=%d>%d", was.Type, is.Type)
	differ("mode=%04o>%04o", was.Mode, is.Mode)
	differ("nlink=%d>%d", was.Nlink, is.Nlink)
	differ("uid=%d>%d", was.UID, is.UID)
	differ("gid=%d>%d", was.GID, is.GID)
	differ("size=%d>%d", was.Size, is.Size)
	differ("used=%s>%s", usedText(was), usedText(is))
	differ("dev=%v>%v", was.Rdev, is.Rdev)
	for _, t := range []struct {
		name    string
		was, is client.Time
	}{{"atime", was.Atime, is.Atime}, {"mtime", was.Mtime, is.Mtime}, {"ctime", was.Ctime, is.Ctime}} {
		if t.was != t.is {
			out = append(out, t.name+timeText(t.was, t.is))
		}
	}
	return out
}

// timeText is a time that a case chose, or the direction in which a clock's time moved.
func timeText(was, is client.Time) string {
	switch {
	case is.Sec < recent || is.Sec >= 1<<31:
		return fmt.Sprintf("=%d.%09d", is.Sec, is.Nsec)
	case later(is, was):
		return "+"
	default:
		return "-"
	}
}

// statusName is nfsstat3 without its prefix.
func statusName(s client.Status) string {
	name := s.String()
	if i := strings.IndexByte(name, '_'); i > 0 && strings.HasPrefix(name, "NFS3") {
		return name[i+1:]
	}
	return strings.TrimPrefix(name, "NFS3ERR_")
}

// rpcError names an answer of the RPC layer.
func rpcError(err error) string {
	var mismatch *rpc.MismatchError
	var auth rpc.AuthError
	switch {
	case errors.Is(err, rpc.ErrGarbageArgs):
		return "RPC GARBAGE_ARGS"
	case errors.Is(err, rpc.ErrProcUnavail):
		return "RPC PROC_UNAVAIL"
	case errors.Is(err, rpc.ErrProgUnavail):
		return "RPC PROG_UNAVAIL"
	case errors.Is(err, rpc.ErrSystem):
		return "RPC SYSTEM_ERR"
	case errors.As(err, &mismatch):
		return fmt.Sprintf("RPC PROG_MISMATCH %d to %d", mismatch.Low, mismatch.High)
	case errors.As(err, &auth):
		return fmt.Sprintf("RPC AUTH_ERROR %d", uint32(auth))
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "RPC connection closed"
	case errors.Is(err, context.DeadlineExceeded):
		return "RPC no answer"
	default:
		return "RPC " + err.Error()
	}
}
