package metrics_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"twofold/metrics"
)

// serve starts a server on loopback and returns its base URL.
func serve(t *testing.T, cfg metrics.ServerConfig) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := metrics.NewServer(cfg)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServer_Pages(t *testing.T) {
	reason := errors.New("no quorum: b and w do not answer")
	ready := make(chan error, 1)
	base := serve(t, metrics.ServerConfig{
		Gatherer: all(t),
		Ready:    func(context.Context) error { return <-ready },
		Status:   func(context.Context) any { return map[string]int{"term": 7} },
	})
	if code, body := get(t, base+"/metrics"); code != 200 || !strings.Contains(body, "twofold_raft_term 0") {
		t.Errorf("/metrics: %d, %d bytes", code, len(body))
	}
	if code, body := get(t, base+"/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	ready <- nil
	if code, body := get(t, base+"/readyz"); code != 200 || body != "ready\n" {
		t.Errorf("/readyz while ready: %d %q", code, body)
	}
	ready <- reason
	if code, body := get(t, base+"/readyz"); code != 503 || body != reason.Error()+"\n" {
		t.Errorf("/readyz while not ready: %d %q", code, body)
	}
	if code, body := get(t, base+"/status"); code != 200 || !strings.Contains(body, `"term": 7`) {
		t.Errorf("/status: %d %q", code, body)
	}
	if code, _ := get(t, base+"/debug/pprof/"); code != 404 {
		t.Errorf("/debug/pprof/: %d, want 404", code)
	}
}

// HTTP only reads, whatever the path.
func TestServer_RefusesWrites(t *testing.T) {
	base := serve(t, metrics.ServerConfig{})
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		for _, path := range []string{"/metrics", "/healthz", "/readyz", "/status", "/"} {
			req, err := http.NewRequest(method, base+path, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d, want 405", method, path, resp.StatusCode)
			}
		}
	}
	resp, err := http.Head(base + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("HEAD /healthz: %d", resp.StatusCode)
	}
}

// A probe that hangs is given up, so that a health check gets its answer.
func TestServer_ReadyHasABound(t *testing.T) {
	base := serve(t, metrics.ServerConfig{Ready: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	if code, _ := get(t, base+"/readyz"); code != 503 {
		t.Errorf("/readyz with a hanging probe: %d, want 503", code)
	}
}
