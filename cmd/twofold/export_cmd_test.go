package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// serveAdmin answers at the admin socket of a directory, which it returns.
func serveAdmin(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, adminSocket))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = srv.Close() })
	return dir
}

// runExport runs an export command in this process.
func runExport(stdin string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	cmd := newRootCmd()
	cmd.SetArgs(append([]string{"export"}, args...))
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	err := cmd.Execute()
	if code = codeOf(err); code == exitError {
		e.WriteString(err.Error())
	}
	return code, o.String(), e.String()
}

// A change of which nobody knows what became of it is told as such, and never as
// done or refused.
func TestExportCmd_Outcomes(t *testing.T) {
	reply := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body) // the client would see it
		}
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close() // that is what is tested
		}
	}
	const unknown = "not known whether the export table was changed"
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		args   []string
		code   int
		says   string
	}{
		{"changed", reply(200, `{"version":3,"diff":["+ /a *(ro)"],"changed":true}`), nil, exitOK, "+ /a *(ro)\nexport table: version 3, for the whole cluster"},
		{"nothing to change", reply(200, `{"version":3}`), nil, exitOK, "version 3 says this already"},
		{"refused", reply(503, `{"error":"no such directory"}`), nil, exitError, "no such directory"},
		{"unknown", reply(200, `{"version":3,"unknown":"outcome not known"}`), nil, exitUnknown, unknown + ": outcome not known: run twofold export list"},
		{"node dies", cut, nil, exitUnknown, unknown},
		{"half an answer", reply(200, `{"version":`), nil, exitUnknown, unknown},
		{"node dies in a dry run", cut, []string{"--dry-run"}, exitError, "EOF"},
	} {
		dir := serveAdmin(t, tt.answer)
		code, out, errs := runExport("", append([]string{"set", "/a", "*(ro)", "--dir", dir}, tt.args...)...)
		if code != tt.code || !strings.Contains(out+errs, tt.says) {
			t.Errorf("%s: exit code %d, want %d; %q, %q", tt.name, code, tt.code, out, errs)
		}
		if tt.code == exitUnknown && out != "" {
			t.Errorf("%s: prints %q", tt.name, out)
		}
	}
}

// Without a node nothing is changed, and that is said.
func TestExportCmd_NoNode(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"remove", "/a", "--dir", t.TempDir()}, "no node runs on this directory"},
		{[]string{"remove", "/a", "--dir", "gone"}, "no node runs on this directory"},
		{[]string{"remove", "/a"}, "name one with --config or --dir"},
		{[]string{"apply", "gone"}, "no such file"},
		{[]string{"set", "/a"}, "needs a directory and at least one client"},
		{[]string{"list", "--dir", "x", "--config", "y"}, "none of the others can be"},
	} {
		code, out, errs := runExport("", tt.args...)
		if code != exitError || out != "" || !strings.Contains(strings.ToLower(errs), tt.says) {
			t.Errorf("%q: exit code %d, %q, %q, want %q", tt.args, code, out, errs, tt.says)
		}
	}
}
