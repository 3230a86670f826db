package groups_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"twofold/nfs/groups"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a Command that runs a shell script.
func script(t *testing.T, body string) *groups.Command {
	t.Helper()
	path := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := groups.NewCommand(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The id(1) of this host says what the package expects of it.
func TestCommand_OfThisHost(t *testing.T) {
	c, err := groups.NewCommand("id")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Groups(t.Context(), 0); err != nil || !slices.Contains(got, 0) {
		t.Errorf("root: %d, %v", got, err)
	}
	const nobodyHasThis = 3_987_654_321
	if got, err := c.Groups(t.Context(), nobodyHasThis); !errors.Is(err, groups.ErrUnknownUser) {
		t.Errorf("an unknown user: %d, %v", got, err)
	}
}

func TestCommand_Answers(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       []uint32
		err        string
	}{
		{"arguments", `[ "$1 $2 $#" = "-G 4294967294 2" ] && echo 5 6 4294967295`, []uint32{5, 6, 4294967295}, ""},
		{"no groups", "true", nil, ""},
		{"locale", `[ "$LC_ALL" = C ] && echo 5`, []uint32{5}, ""},
		{"unknown, coreutils", `echo "id: '7': no such user" >&2; exit 1`, nil, "no such user"},
		{"unknown, busybox", `echo "id: unknown user 7" >&2; exit 1`, nil, "no such user"},
		{"names", "echo wheel", nil, `not "wheel"`},
		{"failure", "echo sssd is away >&2; exit 3", nil, `exit status 3: "sssd is away"`},
		{"too much", "while :; do echo 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; done", nil, "more than"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		got, err := script(t, tc.body).Groups(ctx, 4294967294)
		cancel()
		if !slices.Equal(got, tc.want) || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %d, %v", tc.name, got, err)
		}
		if unknown := strings.HasPrefix(tc.name, "unknown"); errors.Is(err, groups.ErrUnknownUser) != unknown {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// A command that hangs ends with its context, though a child of it holds the
// output open.
func TestCommand_Hangs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := script(t, "sleep 30 & wait").Groups(ctx, 7); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d > 15*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestNewCommand_Missing(t *testing.T) {
	if _, err := groups.NewCommand("no-such-program-here"); err == nil || !strings.Contains(err.Error(), "turn the look-up of groups off") {
		t.Errorf("error %v", err)
	}
}
