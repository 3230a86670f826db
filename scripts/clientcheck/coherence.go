package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// coherenceRounds is how often each direction is tried.
const coherenceRounds = 100

// checkCoherence changes a volume at one node and looks at the other at once, to and fro. Opening a file must show what was
// written before the last close, also when size and modification time stay within what a coarse clock can tell apart.
func checkCoherence(_ context.Context, s *setup) (string, error) {
	for i := range coherenceRounds {
		from, to := s.A, s.B
		if i%2 == 1 {
			from, to = s.B, s.A
		}
		text := fmt.Sprintf("round %03d", i)
		fresh := fmt.Sprintf("fresh-%03d", i)
		if err := os.WriteFile(filepath.Join(from, fresh), []byte(text), 0o644); err != nil {
			return "", err
		}
		if err := wantContent(filepath.Join(to, fresh), text); err != nil {
			return "", err
		}
		// The same name, rewritten in place with the same length.
		if err := os.WriteFile(filepath.Join(from, "same"), []byte(text), 0o644); err != nil {
			return "", err
		}
		if err := wantContent(filepath.Join(to, "same"), text); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d rounds", coherenceRounds), checkSameIdentity(s)
}

// checkSameIdentity checks that both nodes show the same inode numbers and the same file system.
func checkSameIdentity(s *setup) error {
	if err := forgetCached(); err != nil {
		return err
	}
	a, err := statOf(filepath.Join(s.A, "same"))
	if err != nil {
		return err
	}
	b, err := statOf(filepath.Join(s.B, "same"))
	if err != nil {
		return err
	}
	if a.Ino != b.Ino || a.Size != b.Size || a.Mtim != b.Mtim || a.Ctim != b.Ctim {
		return fmt.Errorf("the same file is %+v at a and %+v at b", *a, *b)
	}
	var fa, fb unix.Statfs_t
	if err := unix.Statfs(s.A, &fa); err != nil {
		return err
	}
	if err := unix.Statfs(s.B, &fb); err != nil {
		return err
	}
	if fa.Bsize != fb.Bsize || fa.Namelen != fb.Namelen || fa.Blocks == 0 {
		return fmt.Errorf("the file system is %+v at a and %+v at b", fa, fb)
	}
	return nil
}
