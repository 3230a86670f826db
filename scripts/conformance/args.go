package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"twofold/nfs/client"
	"twofold/replica/vfs"
)

// splitArgs parts KEY=VALUE words from the others. Only the keys named count as such.
func splitArgs(args []string, keys ...string) (plain []string, named map[string]string) {
	named = make(map[string]string)
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		if ok && contains(keys, key) {
			named[key] = value
		} else {
			plain = append(plain, a)
		}
	}
	return plain, named
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// attrKeys are the fields of sattr3.
var attrKeys = []string{"mode", "uid", "gid", "size", "atime", "mtime"}

// parseSetAttr reads mode=644 uid=1 gid=1 size=0 atime=server mtime=SECONDS.NANOSECONDS.
func parseSetAttr(named map[string]string) (client.SetAttr, error) {
	var s client.SetAttr
	var errs []error
	number := func(key string, base int) *uint32 {
		text, ok := named[key]
		if !ok {
			return nil
		}
		n, err := strconv.ParseUint(text, base, 32)
		errs = append(errs, err)
		return client.Ptr(uint32(n))
	}
	s.Mode, s.UID, s.GID = number("mode", 8), number("uid", 10), number("gid", 10)
	if text, ok := named["size"]; ok {
		n, err := strconv.ParseUint(text, 10, 64)
		errs = append(errs, err)
		s.Size = &n
	}
	time := func(key string) (client.SetTime, client.Time) {
		text, ok := named[key]
		switch {
		case !ok:
			return client.KeepTime, client.Time{}
		case text == "server":
			return client.ServerTime, client.Time{}
		}
		t, err := parseTime(text)
		errs = append(errs, err)
		return client.ClientTime, t
	}
	s.SetAtime, s.Atime = time("atime")
	s.SetMtime, s.Mtime = time("mtime")
	return s, errors.Join(errs...)
}

// parseTime reads SECONDS or SECONDS.NANOSECONDS.
func parseTime(text string) (client.Time, error) {
	sec, nsec, _ := strings.Cut(text, ".")
	if nsec == "" {
		nsec = "0"
	}
	s, err := strconv.ParseUint(sec, 10, 32)
	n, nerr := strconv.ParseUint(nsec, 10, 32)
	return client.Time{Sec: uint32(s), Nsec: uint32(n)}, errors.Join(err, nerr)
}

// parseHow reads unchecked, guarded or exclusive:VERIFIER.
func parseHow(word string, s client.SetAttr) (client.CreateHow, error) {
	name, verf, _ := strings.Cut(word, ":")
	how := client.CreateHow{Attr: s}
	copy(how.Verf[:], verf)
	switch name {
	case "unchecked":
		how.Mode = vfs.CreateUnchecked
	case "guarded":
		how.Mode = vfs.CreateGuarded
	case "exclusive":
		how.Mode = vfs.CreateExclusive
	default:
		return how, fmt.Errorf("%q is no way to create a file", word)
	}
	return how, nil
}

var typeNumbers = map[string]vfs.FileType{
	"reg": vfs.TypeReg, "dir": vfs.TypeDir, "blk": vfs.TypeBlk, "chr": vfs.TypeChr, "lnk": vfs.TypeLnk,
	"sock": vfs.TypeSock, "fifo": vfs.TypeFifo, "zero": 0, "eight": 8,
}

// parseWhat reads TYPE [MAJOR MINOR].
func parseWhat(words []string, s client.SetAttr) (client.MknodWhat, error) {
	t, ok := typeNumbers[words[0]]
	if !ok {
		return client.MknodWhat{}, fmt.Errorf("%q is no type", words[0])
	}
	w := client.MknodWhat{Type: t, Attr: s}
	if len(words) < 3 {
		return w, nil
	}
	major, err := strconv.ParseUint(words[1], 10, 32)
	minor, merr := strconv.ParseUint(words[2], 10, 32)
	w.Rdev = vfs.Device{Major: uint32(major), Minor: uint32(minor)}
	return w, errors.Join(err, merr)
}

// numbers reads unsigned numbers; "max" is the largest.
func numbers(words []string, want int) ([]uint64, error) {
	if len(words) != want {
		return nil, fmt.Errorf("%d numbers instead of %d", len(words), want)
	}
	list := make([]uint64, want)
	for i, w := range words {
		n, err := strconv.ParseUint(w, 0, 64)
		if err != nil {
			return nil, err
		}
		list[i] = n
	}
	return list, nil
}

// need sees that a verb has its arguments.
func need(args []string, n int) error {
	if len(args) < n {
		return fmt.Errorf("%d arguments, at least %d are needed", len(args), n)
	}
	return nil
}
