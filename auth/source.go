package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Times of fetching keys.
const (
	jwksRefresh   = 5 * time.Minute  // how old fetched keys may get before they are fetched again
	jwksUnknown   = 30 * time.Second // how often an unknown kid may cause a fetch
	jwksStale     = 24 * time.Hour   // how long old keys serve while none can be fetched
	jwksTimeout   = 5 * time.Second
	maxJWKSBytes  = 1 << 20
	filesLookedAt = time.Second // how often files are looked at for a change
)

// keySource holds an issuer's keys and renews them. It is safe for several
// goroutines.
type keySource struct {
	file  string // of keys; "" if url
	url   string
	parse func([]byte) ([]*key, error)
	http  *http.Client
	clock func() time.Time
	log   *slog.Logger

	// replaced is called when fetched keys differ from those before: what
	// was verified with the old ones must be verified again.
	replaced func()

	flight singleflight.Group

	mu      sync.RWMutex // guards what follows
	keys    []*key
	seen    fs.FileInfo // the file that was read
	fetched time.Time   // the last success
	tried   time.Time
	body    [sha256.Size]byte // hash of what was fetched
}

func newKeySource(is Issuer, o *Options) (*keySource, error) {
	s := &keySource{clock: o.Clock, http: o.HTTPClient, log: o.Logger.With("issuer", is.Issuer)}
	switch {
	case is.SecretFile != "":
		s.file, s.parse = is.SecretFile, parseSecret
	case is.PublicKeyFile != "":
		s.file, s.parse = is.PublicKeyFile, parsePublicKey
	case is.JWKSFile != "":
		s.file, s.parse = is.JWKSFile, parseJWKS
	case is.JWKSURL != "":
		s.url, s.parse = is.JWKSURL, parseJWKS
		if err := checkURL(is.JWKSURL); err != nil {
			return nil, err
		}
		return s, nil
	default:
		return nil, errors.New("no keys: set one of jwks_url, jwks_file, public_key_file and secret_file")
	}
	return s, s.load()
}

// checkURL accepts https, and http on loopback.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return errors.New("jwks_url is not a URL")
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return errors.New("jwks_url must be https (http is accepted on loopback only): whoever can change the keys on their way is any tenant")
	}
	return nil
}

// load reads the file.
func (s *keySource) load() error {
	info, err := os.Stat(s.file)
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	b, err := os.ReadFile(s.file)
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	keys, err := s.parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", s.file, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.seen, s.fetched = keys, info, s.clock()
	return nil
}

// changed reports whether the file is another one than was read.
func (s *keySource) changed() bool {
	info, err := os.Stat(s.file)
	if err != nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !sameFile(info, s.seen)
}

// sameFile reports whether two looks saw the same state of a file; b may be
// nil. The time alone does not tell: a writer may make two steps within one
// tick of the file system's clock, and a file that takes the place of another
// may bear its time.
func sameFile(a, b fs.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// find returns the keys that a token with this kid may be signed with. A kid
// chooses among the issuer's keys and does nothing else.
func (s *keySource) find(ctx context.Context, kid string) ([]*key, error) {
	found, fresh := s.known(kid)
	// With an old key nobody waits for a fetch that another has begun.
	if s.url != "" && (len(found) == 0 || !fresh && s.due()) {
		s.refresh(ctx)
		found, _ = s.known(kid)
	}
	if len(found) > 0 {
		return found, nil
	}
	if all, _ := s.known(""); len(all) == 0 {
		return nil, refuse(ReasonKeysUnavailable, "")
	}
	return nil, refuse(ReasonUnknownKey, "")
}

// known returns the keys for a kid, and whether they are fresh.
func (s *keySource) known(kid string) (found []*key, fresh bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	age := s.clock().Sub(s.fetched)
	if s.url != "" && age > jwksStale {
		return nil, false
	}
	for _, k := range s.keys {
		if kid == "" || k.kid == "" && s.url == "" || k.kid == kid {
			found = append(found, k)
		}
	}
	return found, s.url == "" || age < jwksRefresh
}

// refresh fetches the keys if that is due. Whoever comes while a fetch is
// under way waits for it, or until ctx ends.
func (s *keySource) refresh(ctx context.Context) {
	done := s.flight.DoChan("", func() (any, error) {
		if !s.mayFetch() {
			return nil, nil
		}
		if err := s.fetch(context.WithoutCancel(ctx)); err != nil {
			s.log.Warn("keys cannot be fetched", "error", err)
		}
		return nil, nil
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// due reports whether the last attempt to fetch is long enough ago.
func (s *keySource) due() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.clock().Sub(s.tried) >= jwksUnknown
}

// mayFetch is due, and notes the attempt: it bounds how often tokens can make
// us fetch.
func (s *keySource) mayFetch() bool {
	if !s.due() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = s.clock()
	return true
}

func (s *keySource) fetch(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, jwksTimeout)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return fmt.Errorf("fetch keys: %w", err)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("fetch keys: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("fetch keys: status %d", res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxJWKSBytes+1))
	if err != nil {
		return fmt.Errorf("fetch keys: %w", err)
	}
	if len(b) > maxJWKSBytes {
		return errors.New("fetch keys: the JWK Set is too large")
	}
	keys, err := s.parse(b)
	if err != nil {
		return fmt.Errorf("fetch keys: %w", err)
	}
	hash := sha256.Sum256(b)
	s.mu.Lock()
	changed := hash != s.body && len(s.keys) > 0
	s.keys, s.fetched, s.body = keys, s.clock(), hash
	s.mu.Unlock()
	if changed {
		s.replaced()
	}
	return nil
}

// newHTTPClient follows redirects on the same host only.
func newHTTPClient() *http.Client {
	return &http.Client{
		Timeout: jwksTimeout,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
				return errors.New("redirect to another host")
			}
			if len(via) > 3 {
				return errors.New("too many redirects")
			}
			return nil
		},
	}
}
