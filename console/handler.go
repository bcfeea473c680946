package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of a bearer token, in bytes. A shorter one could be guessed.
const (
	minToken = 16
	maxToken = 4 << 10
)

// Handler returns the routes of [Serve], without a listener. It fails if
// o.TokenFile is set and cannot be used.
func Handler(o Options) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		var problems []Problem
		if o.Ready != nil {
			problems = o.Ready()
		}
		writeReady(w, problems)
	})
	if o.Gatherer != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	}
	if o.TokenFile == "" {
		return withHeaders(mux), nil
	}
	if _, err := readToken(o.TokenFile); err != nil {
		return nil, err
	}
	return withHeaders(requireToken(o.TokenFile, mux)), nil
}

// readiness is the body of /readyz.
type readiness struct {
	Ready    bool      `json:"ready"`
	Problems []Problem `json:"problems"`
}

func writeReady(w http.ResponseWriter, problems []Problem) {
	if problems == nil {
		problems = []Problem{}
	}
	w.Header().Set("Content-Type", "application/json")
	if len(problems) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(readiness{Ready: len(problems) == 0, Problems: problems})
}

// withHeaders keeps answers out of caches and, should a browser show one, out
// of frames and guesses about their type.
func withHeaders(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.ServeHTTP(w, r)
	})
}

// requireToken answers 401 to requests without the bearer token of file (RFC
// 6750 section 2.1), and 503 while the file cannot be used: never without it.
func requireToken(file string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want, err := readToken(file)
		if err != nil {
			http.Error(w, "the token file cannot be used", http.StatusServiceUnavailable)
			return
		}
		scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		// Hashes have one length, so the comparison tells nothing of the token's.
		wantSum, gotSum := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(got))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(wantSum[:], gotSum[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="bulkhead"`)
			http.Error(w, "a bearer token is needed", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// readToken returns the content of file less one final newline.
func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read the console's token: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read the console's token: %w", err)
	}
	token := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if len(token) < minToken || len(data) > maxToken {
		return "", fmt.Errorf("read the console's token: %s must hold %d to %d bytes", file, minToken, maxToken)
	}
	return token, nil
}
