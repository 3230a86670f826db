package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxParallel bounds the goroutines of a case that works on many files.
const maxParallel = 8

// forgetCached makes the kernel forget the names and attributes that it cached, for all mounts. NFS lets a client use them
// for a while without asking (close-to-open consistency), which is right but not what these checks are about.
func forgetCached() error {
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// tool runs a program and gives what it printed; its error has the last of that too.
func tool(ctx context.Context, dir, name string, args ...string) (string, error) {
	return toolInput(ctx, dir, "", name, args...)
}

// toolInput is tool with a standard input.
func toolInput(ctx context.Context, dir, input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		printed := out.Bytes()[max(0, out.Len()-2000):]
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(printed))
	}
	return strings.TrimSpace(out.String()), nil
}

// statOf gives a file's raw attributes, without following a symbolic link.
func statOf(name string) (*syscall.Stat_t, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	return info.Sys().(*syscall.Stat_t), nil
}

// wantError checks that an operation was refused with this errno, or one of these.
func wantError(what string, got error, want ...unix.Errno) error {
	for _, errno := range want {
		if errors.Is(got, errno) {
			return nil
		}
	}
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}

// wantContent checks a file's whole content.
func wantContent(name, want string) error {
	got, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("%s holds %q, want %q", name, clip(got), clip([]byte(want)))
	}
	return nil
}

// wantAbsent checks that a name is not there.
func wantAbsent(name string) error {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: got %v, want it not to exist", name, err)
	}
	return nil
}

// wantNames checks that a directory has exactly these names.
func wantNames(dir string, want ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	got := make([]string, len(entries))
	for i, e := range entries {
		got[i] = e.Name()
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		return fmt.Errorf("%s lists %q, want %q", dir, got, want)
	}
	return nil
}

// soonLimit is how long something may take that the client does in the background.
const soonLimit = 5 * time.Second

// soon repeats a check until it passes, and forgets what is cached before each time. The client removes the .nfs name of a file
// that was unlinked while open after close has returned.
func soon(check func() error) error {
	for deadline := time.Now().Add(soonLimit); ; time.Sleep(20 * time.Millisecond) {
		if err := forgetCached(); err != nil {
			return err
		}
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func clip(b []byte) []byte {
	return b[:min(len(b), 60)]
}

// steps runs functions until one fails. Checks read better as a list than with an if after each line.
func steps(list ...func() error) error {
	for _, step := range list {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
