package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"sync/atomic"
	"time"
)

// Issuer is one source of tokens. Exactly one of the four places for keys is
// set.
type Issuer struct {
	Issuer, Audience                             string
	Algorithms                                   []string
	JWKSURL, JWKSFile, SecretFile, PublicKeyFile string
	OrgClaim, SubjectClaim, RoleClaim            string // dotted paths
	// What the org claim may be besides one org: missing (the token of a
	// service, which takes another identity in band), a list or "*" (of a
	// worker, which picks an org).
	AllowServiceTokens, AllowOrgLists, AllowAllOrgs bool
}

// Options of a [Verifier].
type Options struct {
	Issuers       []Issuer
	Leeway        time.Duration // for differences between clocks
	MaxTokenBytes int           // 0 means 8 KiB
	OrgType       string        // uuid, integer or text: the form of the org claim
	RevokedFile   string        // a jti, sub or org per line; "" none
	CacheEntries  int           // verified tokens that are remembered; 0 means 10,000
	Logger        *slog.Logger
	Clock         func() time.Time
	HTTPClient    *http.Client // for JWKS; nil means one that does not leave the host
}

const (
	defaultMaxToken = 8 << 10
	defaultCache    = 10_000
)

// Verifier verifies tokens. It is safe for several goroutines.
type Verifier struct {
	now atomic.Pointer[verifier]
}

// verifier is a Verifier with one set of options.
type verifier struct {
	// generation counts the options that there were before.
	generation uint64
	opts       Options
	issuers    map[string]*issuer
	cache      *cache
	revoked    *revoked
}

type issuer struct {
	Issuer
	source *keySource
}

// New makes a Verifier. Its error tells all that is wrong with the options.
func New(o Options) (*Verifier, error) {
	first, err := verifierWith(o, nil)
	if err != nil {
		return nil, err
	}
	v := &Verifier{}
	v.now.Store(first)
	return v, nil
}

// Prepare makes everything ready for other options; apply puts them in force.
// Until then nothing has changed. Of an issuer that is the same, the keys are
// kept; the sessions of one that is gone end at their next transaction.
func (v *Verifier) Prepare(o Options) (apply func(), err error) {
	next, err := verifierWith(o, v.now.Load())
	if err != nil {
		return nil, err
	}
	return func() {
		v.now.Store(next)
		next.cache.clear() // also of what is being verified now
	}, nil
}

// verifierWith makes what verifies tokens from now on, after the one before, nil
// for none.
func verifierWith(o Options, before *verifier) (*verifier, error) {
	o.fill()
	v := &verifier{opts: o, issuers: make(map[string]*issuer), cache: newCache(o.CacheEntries)}
	if before != nil {
		v.generation, v.cache = before.generation+1, before.cache
	}
	var errs []error
	for i, is := range o.Issuers {
		fail := func(err error) { errs = append(errs, fmt.Errorf("auth.issuers[%d] (%s): %w", i, is.Issuer, err)) }
		for _, err := range is.problems() {
			fail(err)
		}
		var err error
		source := before.keysOf(&is)
		if source == nil {
			if source, err = newKeySource(is, &o); err != nil {
				fail(err)
				continue
			}
			source.replaced = v.cache.clear
		}
		if v.issuers[is.Issuer] != nil {
			fail(errors.New("another entry has the same issuer"))
		}
		v.issuers[is.Issuer] = &issuer{Issuer: is, source: source}
	}
	if len(o.Issuers) == 0 {
		errs = append(errs, errors.New("auth.issuers: at least one is needed"))
	}
	var err error
	if v.revoked, err = newRevoked(o.RevokedFile); err != nil {
		errs = append(errs, fmt.Errorf("auth.revoked_file: %w", err))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return v, nil
}

// keysOf returns the keys of an issuer that was the same before, nil if there was
// none.
func (v *verifier) keysOf(is *Issuer) *keySource {
	if v == nil || v.issuers[is.Issuer] == nil || !reflect.DeepEqual(v.issuers[is.Issuer].Issuer, *is) {
		return nil
	}
	return v.issuers[is.Issuer].source
}

func (o *Options) fill() {
	if o.MaxTokenBytes == 0 {
		o.MaxTokenBytes = defaultMaxToken
	}
	if o.CacheEntries == 0 {
		o.CacheEntries = defaultCache
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.HTTPClient == nil {
		o.HTTPClient = newHTTPClient()
	}
}

var publicAlgorithms = append([]string{"ES256", "ES384", "ES512", "EdDSA"}, rsaAlgorithms...)

func (is *Issuer) problems() (errs []error) {
	if is.Issuer == "" {
		errs = append(errs, errors.New("issuer is missing"))
	}
	if is.Audience == "" {
		errs = append(errs, errors.New("audience is missing: without it a token made for another service would do"))
	}
	if is.OrgClaim == "" {
		errs = append(errs, errors.New("claims.org is missing"))
	}
	if len(is.Algorithms) == 0 {
		errs = append(errs, errors.New("algorithms is empty"))
	}
	for _, a := range is.Algorithms {
		secret := is.SecretFile != ""
		if secret && a != "HS256" || !secret && !slices.Contains(publicAlgorithms, a) {
			errs = append(errs, fmt.Errorf("algorithm %q does not fit the kind of key", a))
		}
	}
	return errs
}

// Cached answers from memory: known is false if Verify must be called. It
// does no I/O and, for a token that is known, does not allocate.
func (v *Verifier) Cached(token []byte) (id *Identity, err error, known bool) {
	return v.now.Load().cached(token)
}

// Verify verifies a token. It may wait for keys until ctx ends.
func (v *Verifier) Verify(ctx context.Context, raw []byte) (*Identity, error) {
	return v.now.Load().verify(ctx, raw)
}

func (v *verifier) cached(token []byte) (id *Identity, err error, known bool) {
	if len(token) > v.opts.MaxTokenBytes {
		return nil, errTooLarge, true
	}
	id = v.cache.get(sha256.Sum256(token))
	if id == nil {
		return nil, nil, false
	}
	if err := v.valid(id); err != nil {
		return nil, err, true
	}
	return id, nil, true
}

// Errors without a detail, made once: they are returned on hot paths.
var (
	errTooLarge = refuse(ReasonTooLarge, "")
	errExpired  = refuse(ReasonExpired, "")
	errRevoked  = refuse(ReasonRevoked, "")
)

func (v *verifier) verify(ctx context.Context, raw []byte) (*Identity, error) {
	if id, err, known := v.cached(raw); known {
		return id, err
	}
	t, err := parseToken(raw)
	if err != nil {
		return nil, err
	}
	name, _ := t.claims["iss"].(string)
	is := v.issuers[name]
	if is == nil {
		return nil, refuse(ReasonUnknownIssuer, "")
	}
	if !slices.Contains(is.Algorithms, t.algorithm) {
		return nil, refuse(ReasonAlgorithm, "not one of the issuer's")
	}
	generation := v.cache.current()
	if err := is.checkSignature(ctx, t); err != nil {
		return nil, err
	}
	id, err := v.identity(t, is, v.opts.Clock())
	if err != nil {
		return nil, err
	}
	if v.revoked.has(id) {
		return nil, errRevoked
	}
	id.generation = v.generation
	v.cache.put(sha256.Sum256(raw), id, generation)
	return id, nil
}

func (is *issuer) checkSignature(ctx context.Context, t *token) error {
	keys, err := is.source.find(ctx, t.kid)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err = k.verify(t); err == nil {
			return nil
		}
	}
	return err
}

// Valid reports whether an identity that was verified before still holds: it
// has not expired and was not revoked. It is cheap and does not allocate.
func (v *Verifier) Valid(id *Identity) error { return v.now.Load().valid(id) }

func (v *verifier) valid(id *Identity) error {
	if !v.opts.Clock().Before(id.Expires.Add(v.opts.Leeway)) {
		return errExpired
	}
	if v.revoked.has(id) || id.generation != v.generation && v.issuers[id.Issuer] == nil {
		return errRevoked
	}
	return nil
}

// Run takes up changed files and renews keys until ctx ends.
func (v *Verifier) Run(ctx context.Context) {
	files := time.NewTicker(filesLookedAt)
	defer files.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-files.C:
			v.Reload()
			v.now.Load().renew(ctx)
		}
	}
}

// renew fetches keys before they get old, so that clients need not wait.
func (v *verifier) renew(ctx context.Context) {
	for _, is := range v.issuers {
		if _, fresh := is.source.known(""); !fresh {
			is.source.refresh(ctx)
		}
	}
}

// Reload takes up files that have changed. What cannot be read leaves the
// old in force.
func (v *Verifier) Reload() { v.now.Load().reload() }

func (v *verifier) reload() {
	for _, is := range v.issuers {
		if is.source.file == "" || !is.source.changed() {
			continue
		}
		if err := is.source.load(); err != nil {
			v.opts.Logger.Error("changed keys cannot be used, the old ones stay in force", "issuer", is.Issuer.Issuer, "error", err)
			continue
		}
		// Tokens signed with a key that is gone must not live on in memory.
		v.cache.clear()
		v.opts.Logger.Info("keys taken up", "issuer", is.Issuer.Issuer)
	}
	if changed, err := v.revoked.reload(); err != nil {
		v.opts.Logger.Error("revoked_file cannot be read, the old list stays in force", "error", err)
	} else if changed {
		v.opts.Logger.Info("revoked_file taken up")
	}
}
