package auth

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// transport answers fetches of keys in place of the network.
type transport struct {
	fetches atomic.Int32
	answer  atomic.Pointer[answer]
}

type answer struct {
	body []byte
	err  error
	hold chan struct{} // if set, the answer waits until it is closed
}

func (tr *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	tr.fetches.Add(1)
	a := tr.answer.Load()
	if a.hold != nil {
		select {
		case <-a.hold:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

// fetching is a verifier of ES256 tokens of issuer i, whose keys come from a
// transport. Its clock is that of the bubble.
type fetching struct {
	transport
	v    *Verifier
	keys signers
	log  bytes.Buffer
}

func newFetching(t testing.TB) *fetching {
	t.Helper()
	f := &fetching{keys: newSigners(t)}
	f.serve(t, "k1", nil)
	start := time.Now()
	var err error
	f.v, err = New(Options{
		OrgType: "uuid", Clock: func() time.Time { return testClock.Add(time.Since(start)) },
		HTTPClient: &http.Client{Transport: &f.transport}, Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
		Issuers: []Issuer{complete("i", Issuer{Algorithms: []string{"ES256"}, JWKSURL: "https://keys.example/"})},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// serve answers with the key under a kid, once hold is closed.
func (f *fetching) serve(t testing.TB, kid string, hold chan struct{}) {
	f.answer.Store(&answer{body: jwks(jwk(t, &f.keys.p256.PublicKey, `"kid":"`+kid+`"`)), hold: hold})
}

// fail answers with an error.
func (f *fetching) fail() { f.answer.Store(&answer{err: errors.New("gone")}) }

func (f *fetching) reason(t testing.TB, kid string) Reason {
	t.Helper()
	return reason(t, f.v, signed(t, "ES256", "i", kid, f.keys.p256))
}

// Many clients that come at once, at the start or after a rotation, cause one
// fetch, and each of them gets the key. Once, all but the first were refused.
func TestVerifier_OneFetchForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFetching(t)
		for round, kid := range []string{"k1", "k2"} {
			hold := make(chan struct{})
			f.serve(t, kid, hold)
			got := make([]Reason, 20)
			var wg sync.WaitGroup
			for n := range got {
				token := signed(t, "ES256", "i", kid, f.keys.p256)
				wg.Go(func() { got[n] = reason(t, f.v, token) })
			}
			synctest.Wait() // until all wait for the answer
			close(hold)
			wg.Wait()
			for n, r := range got {
				if r != "" {
					t.Errorf("kid %s, client %d: %s, want accepted", kid, n, r)
				}
			}
			if got, want := f.fetches.Load(), int32(round+1); got != want {
				t.Errorf("kid %s: %d fetches so far, want %d", kid, got, want)
			}
			time.Sleep(jwksUnknown)
		}
	})
}

// Tokens with kids that nobody knows cost one fetch in 30 seconds, however
// many there are, and do not harm those with a known one.
func TestVerifier_UnknownKidFetchesSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFetching(t)
		f.reason(t, "k1")
		for minute := range 3 {
			time.Sleep(jwksUnknown - 1)
			before := f.fetches.Load()
			for range 10 {
				if got := f.reason(t, "forged"); got != ReasonUnknownKey {
					t.Errorf("a forged kid: got %q, want %q", got, ReasonUnknownKey)
				}
			}
			if got := f.fetches.Load() - before; got != 0 {
				t.Errorf("%d fetches within %v of the last", got, jwksUnknown)
			}
			time.Sleep(time.Nanosecond)
			for range 10 {
				f.reason(t, "forged")
			}
			if got := f.fetches.Load() - before; got != 1 {
				t.Errorf("round %d: %d fetches, want 1", minute, got)
			}
			if got := f.reason(t, "k1"); got != "" {
				t.Errorf("a known kid: %s", got)
			}
		}
	})
}

// Whoever has an old key goes on with it while another fetches; whoever has
// none waits, but not longer than their context.
func TestVerifier_SlowFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFetching(t)
		f.reason(t, "k1")
		time.Sleep(jwksRefresh)
		f.serve(t, "k1", make(chan struct{})) // never
		var first Reason
		var wg sync.WaitGroup
		token := signed(t, "ES256", "i", "k1", f.keys.p256)
		wg.Go(func() { first = reason(t, f.v, token) })
		synctest.Wait()

		start := time.Now()
		if got := f.reason(t, "k1"); got != "" || time.Since(start) != 0 {
			t.Errorf("with an old key: got %q after %v, want accepted at once", got, time.Since(start))
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := f.v.Verify(ctx, signed(t, "ES256", "i", "k2", f.keys.p256)); ReasonOf(err) != ReasonUnknownKey || time.Since(start) != time.Second {
			t.Errorf("without a key: got %v after %v, want a refusal after a second", err, time.Since(start))
		}
		wg.Wait()
		if took := time.Since(start); first != "" || took != jwksTimeout {
			t.Errorf("the one who fetches: got %q after %v, want the old key after %v", first, took, jwksTimeout)
		}
		if f.fetches.Load() != 2 || !strings.Contains(f.log.String(), "cannot be fetched") {
			t.Errorf("%d fetches, log %q", f.fetches.Load(), f.log.String())
		}
	})
}

// Old keys serve for a day while none can be fetched, not longer; then the
// reason tells that there are no keys rather than blaming the token.
func TestVerifier_StaleKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFetching(t)
		f.fail()
		if got := f.reason(t, "k1"); got != ReasonKeysUnavailable {
			t.Errorf("before any fetch: got %q, want %q", got, ReasonKeysUnavailable)
		}
		f.serve(t, "k1", nil)
		time.Sleep(jwksUnknown)
		if got := f.reason(t, "k1"); got != "" {
			t.Fatalf("after the fetch: %s", got)
		}
		f.fail()
		time.Sleep(jwksStale)
		if got := f.reason(t, "k1"); got != "" {
			t.Errorf("after %v: %s", jwksStale, got)
		}
		if got := f.reason(t, "k2"); got != ReasonUnknownKey {
			t.Errorf("an unknown kid with old keys: got %q, want %q", got, ReasonUnknownKey)
		}
		time.Sleep(time.Nanosecond)
		if got := f.reason(t, "k1"); got != ReasonKeysUnavailable {
			t.Errorf("after more than %v: got %q, want %q", jwksStale, got, ReasonKeysUnavailable)
		}
		f.serve(t, "k1", nil)
		time.Sleep(jwksUnknown)
		if got := f.reason(t, "k1"); got != "" {
			t.Errorf("with the source back: %s", got)
		}
	})
}

// After a rotation the new key serves, the withdrawn one no longer, and what
// it had signed is forgotten. The background does this without any client.
func TestVerifier_RotationInBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFetching(t)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { f.v.Run(ctx) })
		time.Sleep(filesLookedAt)
		synctest.Wait()
		if got := f.fetches.Load(); got != 1 {
			t.Errorf("%d fetches at the start, want 1", got)
		}
		old := signed(t, "ES256", "i", "k1", f.keys.p256)
		if got := reason(t, f.v, old); got != "" {
			t.Fatalf("before the rotation: %s", got)
		}
		f.keys = newSigners(t)
		f.serve(t, "k2", nil)
		time.Sleep(jwksRefresh + filesLookedAt)
		synctest.Wait()
		if got := f.fetches.Load(); got != 2 {
			t.Errorf("%d fetches after %v, want 2", got, jwksRefresh)
		}
		if _, _, known := f.v.Cached(old); known {
			t.Error("a token of the withdrawn key is remembered")
		}
		if got := reason(t, f.v, old); got != ReasonUnknownKey {
			t.Errorf("the withdrawn key: got %q, want %q", got, ReasonUnknownKey)
		}
		if got := f.reason(t, "k2"); got != "" {
			t.Errorf("the new key: %s", got)
		}
		stop()
		wg.Wait()
	})
}

// A token that was verified with keys that were replaced before its outcome
// was noted is not remembered.
func TestCache_PutAfterClear(t *testing.T) {
	c, id := newCache(10), &Identity{}
	generation := c.current()
	c.clear()
	if c.put([32]byte{1}, id, generation); c.get([32]byte{1}) != nil {
		t.Error("remembered in spite of the clear")
	}
	if c.put([32]byte{1}, id, c.current()); c.get([32]byte{1}) != id {
		t.Error("not remembered")
	}
}

// fetchOnce fetches keys over HTTP with the client that production uses.
func fetchOnce(t *testing.T, url string) (*keySource, error) {
	t.Helper()
	o := Options{}
	o.fill()
	s, err := newKeySource(Issuer{JWKSURL: url}, &o)
	if err != nil {
		t.Fatal(err)
	}
	return s, s.fetch(t.Context())
}

// Keys are fetched from the host that the configuration names: it may redirect
// within itself, not elsewhere, and the other host is not even asked.
func TestFetch_Redirects(t *testing.T) {
	keys := newSigners(t)
	set := jwks(jwk(t, &keys.p256.PublicKey, `"kid":"k"`))
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Write(set)
	}))
	defer elsewhere.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { w.Write(set) })
	mux.Handle("/moved", http.RedirectHandler("/keys", http.StatusFound))
	mux.Handle("/away", http.RedirectHandler(elsewhere.URL, http.StatusFound))
	mux.Handle("/moved-away", http.RedirectHandler("/away", http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		w.Write(set)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for path, want := range map[string]string{
		"/keys": "", "/moved": "", "/away": "redirect to another host", "/moved-away": "redirect to another host",
		"/loop": "too many redirects", "/broken": "status 500", "/missing": "status 404",
	} {
		s, err := fetchOnce(t, srv.URL+path)
		switch {
		case want == "" && (err != nil || len(s.keys) != 1):
			t.Errorf("%s: %d keys, %v; want one", path, len(s.keys), err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || len(s.keys) != 0):
			t.Errorf("%s: %d keys, %v; want an error with %q", path, len(s.keys), err, want)
		}
	}
	if asked.Load() != 0 {
		t.Error("the other host was asked")
	}
}

// A JWK Set may have 1 MiB, to the byte.
func TestFetch_Size(t *testing.T) {
	keys := newSigners(t)
	set := jwks(jwk(t, &keys.p256.PublicKey, `"kid":"k"`))
	const limit = 1 << 20
	for _, tt := range []struct {
		size int
		want string
	}{{limit, ""}, {limit + 1, "too large"}, {4 * limit, "too large"}} {
		body := append(bytes.Clone(set), bytes.Repeat([]byte{' '}, tt.size-len(set))...)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
		_, err := fetchOnce(t, srv.URL)
		if srv.Close(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d bytes: got %v, want %q", tt.size, err, tt.want)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://keys.example/x": true, "http://127.0.0.1:1/": true, "http://[::1]/": true, "http://localhost/": true,
		"http://keys.example/": false, "http://127.0.0.1.example/": false, "http://localhost.example/": false,
		"http://localhost@keys.example/": false, "file:///etc/keys": false, "keys.example": false, "https://": false, "": false,
	} {
		if err := checkURL(url); (err == nil) != ok {
			t.Errorf("%q: got %v", url, err)
		}
	}
}

// replace puts a file in the place of another that was written at the same
// time, as far as the file system's clock tells.
func replace(t *testing.T, file, content string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(t.TempDir(), "next")
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(next, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

// A changed key file is taken up; what cannot be used leaves the old key in
// force. A file written within one tick of the clock once went unnoticed.
func TestVerifier_ReloadKeyFile(t *testing.T) {
	one, two := newSigners(t), newSigners(t)
	file := writeKey(t, publicPEM(t, one.ed.Public()))
	v := newVerifier(t, complete("i", Issuer{Algorithms: []string{"EdDSA"}, PublicKeyFile: file}))
	token := map[string][]byte{"one": signed(t, "EdDSA", "i", "", one.ed), "two": signed(t, "EdDSA", "i", "", two.ed)}
	want := func(when string, one, two Reason) {
		t.Helper()
		v.Reload()
		if got := [2]Reason{reason(t, v, token["one"]), reason(t, v, token["two"])}; got != [2]Reason{one, two} {
			t.Errorf("%s: got %q, want %q", when, got, [2]Reason{one, two})
		}
	}
	want("at first", "", ReasonSignature)
	replace(t, file, "half a k")
	want("with a broken file", "", ReasonSignature)
	replace(t, file, string(publicPEM(t, two.ed.Public())))
	want("with the new key", ReasonSignature, "")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want("with the file gone", ReasonSignature, "")
}

// The list of the revoked is read to its end, whatever its lines: a very long
// one once hid those behind it. An org may stand there as people write it.
func TestRevoked_Lines(t *testing.T) {
	org := "abcdefab-1111-4111-8111-111111111111"
	file := writeKey(t, nil)
	r, err := newRevoked(file)
	if err != nil {
		t.Fatal(err)
	}
	if r.has(&Identity{Org: org, Subject: "u"}) {
		t.Error("an empty list revokes")
	}
	replace(t, file, "# "+strings.Repeat("x", 100_000)+"\r\n"+strings.ToUpper(org)+"\r\n  u  \n#v\nlast")
	if changed, err := r.reload(); !changed || err != nil {
		t.Fatalf("reload: %v, %v", changed, err)
	}
	for _, tt := range []struct {
		id   Identity
		want bool
	}{
		{Identity{Org: org}, true},
		{Identity{Org: "o", Subject: "u"}, true},
		{Identity{Org: "o", TokenID: "last"}, true},
		{Identity{Org: "o", Subject: "v", TokenID: "w"}, false},
		{Identity{Org: "o"}, false},
	} {
		if got := r.has(&tt.id); got != tt.want {
			t.Errorf("%+v: revoked %v, want %v", tt.id, got, tt.want)
		}
	}
	if changed, err := r.reload(); changed || err != nil {
		t.Errorf("unchanged: %v, %v", changed, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := r.reload(); err == nil || !r.has(&Identity{Org: org}) {
		t.Errorf("with the file gone: %v; want an error and the old list", err)
	}
}
