package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// gitConfig is all the configuration that git sees. The repository to clone may belong to somebody else.
const gitConfig = `[safe]
	directory = *
[user]
	name = client test
	email = client@test.invalid
[gc]
	auto = 0
[advice]
	detachedHead = false
`

// checkGit clones a repository at node a, commits to it, and has it checked at both nodes.
func checkGit(ctx context.Context, s *setup) (string, error) {
	config := filepath.Join(os.TempDir(), "clientcheck-gitconfig")
	if err := os.WriteFile(config, []byte(gitConfig), 0o644); err != nil {
		return "", err
	}
	for key, value := range map[string]string{"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": config} {
		if err := os.Setenv(key, value); err != nil {
			return "", err
		}
	}
	clone, atB := filepath.Join(s.A, "clone"), filepath.Join(s.B, "clone")
	git := func(dir string, args ...string) func() error {
		return func() error {
			_, err := tool(ctx, dir, "git", args...)
			return err
		}
	}
	var head, headAtB string
	err := steps(
		git(s.A, "clone", "-q", "file://"+s.Repository, "clone"),
		func() error { return os.WriteFile(filepath.Join(clone, "client-test"), []byte("a change\n"), 0o644) },
		git(clone, "add", "client-test"),
		git(clone, "commit", "-q", "-m", "a commit over NFS"),
		git(clone, "fsck", "--full", "--strict"),
		git(clone, "gc", "-q", "--prune=now"),
		git(clone, "fsck", "--full", "--strict"),
		func() (err error) { head, err = tool(ctx, clone, "git", "rev-parse", "HEAD"); return err },
		forgetCached,
		git(atB, "fsck", "--full", "--strict"),
		func() (err error) { headAtB, err = tool(ctx, atB, "git", "rev-parse", "HEAD"); return err },
		func() error {
			status, err := tool(ctx, atB, "git", "status", "--porcelain")
			if err == nil && status != "" {
				err = fmt.Errorf("git status at b says %q", status)
			}
			return err
		},
	)
	if err == nil && head != headAtB {
		err = fmt.Errorf("HEAD is %s at a and %s at b", head, headAtB)
	}
	return "", err
}

// sqliteScript writes in many small transactions and changes the journal's kind in between.
func sqliteScript() string {
	var b strings.Builder
	b.WriteString("PRAGMA synchronous = FULL;\nCREATE TABLE t (id INTEGER PRIMARY KEY, mode TEXT, body BLOB);\n" +
		"CREATE INDEX t_mode ON t (mode, id);\n")
	for _, mode := range []string{"DELETE", "TRUNCATE", "PERSIST", "WAL", "DELETE"} {
		fmt.Fprintf(&b, "PRAGMA journal_mode = %s;\n", mode)
		for range 10 {
			fmt.Fprintf(&b, "BEGIN;\nWITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)\n"+
				"INSERT INTO t (mode, body) SELECT '%s', randomblob(1000 + i) FROM n;\n"+
				"UPDATE t SET body = randomblob(700) WHERE id %% 7 = 0;\nCOMMIT;\n", mode)
		}
		b.WriteString("BEGIN; DELETE FROM t; ROLLBACK;\nDELETE FROM t WHERE id % 11 = 0;\n")
	}
	b.WriteString("VACUUM;\n")
	return b.String()
}

// checkSQLite writes a database at node a and checks it at both nodes.
func checkSQLite(ctx context.Context, s *setup) (string, error) {
	if _, err := toolInput(ctx, s.A, sqliteScript(), "sqlite3", "-bail", "test.db"); err != nil {
		return "", err
	}
	const question = "PRAGMA integrity_check; SELECT count(*), sum(id), sum(length(body)) FROM t;"
	atA, err := tool(ctx, s.A, "sqlite3", "-bail", "test.db", question)
	if err != nil {
		return "", err
	}
	if err := forgetCached(); err != nil {
		return "", err
	}
	atB, err := tool(ctx, s.B, "sqlite3", "-bail", "test.db", question)
	if err != nil {
		return "", err
	}
	verdict, sums, _ := strings.Cut(atA, "\n")
	if verdict != "ok" || atA != atB {
		return "", fmt.Errorf("integrity check and sums are %q at a and %q at b", atA, atB)
	}
	if sums == "" || strings.HasPrefix(sums, "0|") {
		return "", errors.New("the database is empty")
	}
	return "", wantNames(s.B, "test.db")
}
