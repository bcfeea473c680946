package console

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const token = "a-token-of-enough-length"

func registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "bulkhead_test_total", Help: "Test."})
	c.Add(3)
	r.MustRegister(c)
	return r
}

func tokenFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func handler(t *testing.T, o Options) http.Handler {
	t.Helper()
	h, err := Handler(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// do sends one request, with authorization unless it is empty.
func do(h http.Handler, method, path, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler_Routes(t *testing.T) {
	h := handler(t, Options{Gatherer: registry()})
	tests := []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/healthz", 200, "ok\n"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/readyz", 200, `{"ready":true,"problems":[]}`},
		{"GET", "/metrics", 200, "bulkhead_test_total 3\n"},
		{"GET", "/", 404, ""},
		{"GET", "/debug/pprof/", 404, ""},
		{"GET", "/metrics/../../etc/passwd", 307, ""}, // to the clean path, which is not found
		{"POST", "/healthz", 405, ""},
		{"DELETE", "/metrics", 405, ""},
	}
	for _, tt := range tests {
		w := do(h, tt.method, tt.path, "")
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) {
			t.Errorf("%s %s: got %d %q, want %d %q", tt.method, tt.path, w.Code, w.Body, tt.status, tt.body)
		}
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s %s: Cache-Control: got %q", tt.method, tt.path, got)
		}
	}
	if w := do(handler(t, Options{}), "GET", "/metrics", ""); w.Code != 404 {
		t.Errorf("/metrics without a gatherer: got %d, want 404", w.Code)
	}
}

func TestHandler_ReadyTellsWhyNot(t *testing.T) {
	var problems []Problem
	h := handler(t, Options{Ready: func() []Problem { return problems }})
	if w := do(h, "GET", "/readyz", ""); w.Code != 200 {
		t.Errorf("got %d, want 200", w.Code)
	}
	problems = []Problem{{"draining", "the proxy is shutting down"}, {"blocked_log", "no space left on device"}}
	w := do(h, "GET", "/readyz", "")
	var got readiness
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if w.Code != 503 || got.Ready || len(got.Problems) != 2 || got.Problems[1] != problems[1] {
		t.Errorf("got %d %+v, want 503 and both problems", w.Code, got)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: got %q", got)
	}
}

func TestHandler_Token(t *testing.T) {
	path := tokenFile(t, token+"\n")
	h := handler(t, Options{Gatherer: registry(), TokenFile: path})
	tests := []struct {
		authorization string
		status        int
	}{
		{"", 401},
		{"Bearer", 401},
		{"Bearer ", 401},
		{"Bearer wrong", 401},
		{"Bearer " + token + "x", 401},
		{"Bearer " + token[:len(token)-1], 401},
		{"Bearer " + token + "\n", 401},
		{"Basic " + token, 401},
		{token, 401},
		{"Bearer " + token, 200},
		{"bearer " + token, 200},
	}
	for _, tt := range tests {
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			w := do(h, "GET", path, tt.authorization)
			if w.Code != tt.status {
				t.Errorf("%s with %q: got %d, want %d", path, tt.authorization, w.Code, tt.status)
			}
			if strings.Contains(w.Body.String(), token) {
				t.Errorf("%s with %q: the answer holds the token", path, tt.authorization)
			}
		}
	}
	// What exists is told to those with the token only.
	if w := do(h, "GET", "/nothing", ""); w.Code != 401 {
		t.Errorf("/nothing without the token: got %d, want 401", w.Code)
	}
	// Rotated.
	const next = "another-token-of-enough-length"
	if err := os.WriteFile(path, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	if old, fresh := do(h, "GET", "/healthz", "Bearer "+token).Code, do(h, "GET", "/healthz", "Bearer "+next).Code; old != 401 || fresh != 200 {
		t.Errorf("after rotation: got %d with the old and %d with the new token", old, fresh)
	}
	// Gone or emptied: closed, not open.
	for _, spoil := range []func() error{
		func() error { return os.WriteFile(path, nil, 0o600) },
		func() error { return os.Remove(path) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		for _, authorization := range []string{"", "Bearer ", "Bearer " + next} {
			if w := do(h, "GET", "/metrics", authorization); w.Code != 503 {
				t.Errorf("without a usable token file, %q: got %d, want 503", authorization, w.Code)
			}
		}
	}
}

func TestHandler_RefusesTokenFile(t *testing.T) {
	for name, path := range map[string]string{
		"missing": filepath.Join(t.TempDir(), "none"),
		"empty":   tokenFile(t, "\n"),
		"short":   tokenFile(t, "short"),
		"huge":    tokenFile(t, strings.Repeat("x", maxToken+1)),
		"folder":  t.TempDir(),
	} {
		if _, err := Handler(Options{TokenFile: path}); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestServe_UntilContextEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	addrs := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(serving, Options{
			Listen: "127.0.0.1:0", Gatherer: registry(), Listening: func(a net.Addr) { addrs <- a },
		})
	}()
	addr := <-addrs
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), "bulkhead_test_total 3") {
		t.Errorf("got %d %q (%v)", resp.StatusCode, body, err)
	}
	// A connection that never sends a request does not hold up the end.
	idle, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
	if _, err := net.Dial("tcp", addr.String()); err == nil {
		t.Error("the listener is still there")
	}
}

func TestServe_Refuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, o := range map[string]Options{
		"taken":        {Listen: taken.Addr().String()},
		"not loopback": {Listen: "0.0.0.0:0"},
		"token file":   {Listen: "127.0.0.1:0", TokenFile: "/none"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := Serve(ctx, o); err == nil {
			t.Errorf("%s: got no error", name)
		}
		cancel()
	}
}
