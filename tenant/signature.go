package tenant

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings of the signed tenant context. Functions in the database read them;
// request.jwt.claims is what existing policies read, too.
const (
	OrgSetting       = "bulkhead.org_id"
	SignatureSetting = "bulkhead.signature"
	ClaimsSetting    = "request.jwt.claims"
)

// Bounds of a signing key.
const (
	MinKeyBytes = 32
	MaxKeyBytes = 64 // the block of HMAC-SHA-256: longer keys would be hashed
	MaxKeyID    = 9999
)

// kinds of a signed message.
const (
	kindBackend  = "bulkhead/1" // bound to one backend for its life
	kindCheckout = "bulkhead/2" // answers the challenge of one checkout
)

// Key signs tenant contexts. It prints as its number.
type Key struct {
	id     int
	secret []byte
}

// Sign returns the setting that carries the signature of a context for one
// backend.
func (c *Context) Sign(k *Key, backend string, expires time.Time) Setting {
	return Setting{SignatureSetting, k.SignBackend(backend, c.value(OrgSetting), c.value(ClaimsSetting), expires)}
}

// EnterSQL returns the statement that proves a context whose settings have been
// set, by the answer to a challenge. Its row holds the next challenge.
func (c *Context) EnterSQL(k *Key, database string, challenge int64, expires time.Time) string {
	org, claims := c.value(OrgSetting), c.value(ClaimsSetting)
	given := "''"
	if claims != "" {
		given = "pg_catalog.current_setting(" + QuoteLiteral(ClaimsSetting) + ")" // it may be long
	}
	return "SELECT bulkhead.enter(" + QuoteLiteral(org) + ", " + given + ", " +
		QuoteLiteral(k.SignCheckout(database, challenge, org, claims, expires)) + ")"
}

// value returns what PostgreSQL sees under a name, "" if the context does not
// set it.
func (c *Context) value(name string) string {
	for _, s := range slices.Concat(c.Fixed, c.PerUser) {
		if s.Name == name {
			return s.Value
		}
	}
	return ""
}

// signatureErrors returns what of the settings contradicts the signature.
func signatureErrors(o *Options) (errs []error) {
	if _, ok := o.Settings[SignatureSetting]; ok {
		errs = append(errs, fmt.Errorf("tenant.settings: %s is made by the proxy and cannot be given", SignatureSetting))
	}
	if (o.Signed || o.Sealed) && o.Settings[OrgSetting] != "${org}" {
		errs = append(errs, fmt.Errorf("tenant.settings: %s must be ${org} where the context is signed", OrgSetting))
	}
	return errs
}

// NewKey returns a key; it keeps a copy of the secret.
func NewKey(id int, secret []byte) (*Key, error) {
	if id < 1 || id > MaxKeyID {
		return nil, fmt.Errorf("the number of a signing key is %d: want 1 to %d", id, MaxKeyID)
	}
	if len(secret) < MinKeyBytes || len(secret) > MaxKeyBytes {
		return nil, fmt.Errorf("a signing key has %d bytes: want %d to %d", len(secret), MinKeyBytes, MaxKeyBytes)
	}
	return &Key{id: id, secret: append([]byte(nil), secret...)}, nil
}

// ID returns the number under which the database knows the key.
func (k *Key) ID() int { return k.id }

// String implements fmt.Stringer: the secret is never printed.
func (k *Key) String() string { return fmt.Sprintf("signing key %d", k.id) }

// GoString implements fmt.GoStringer.
func (k *Key) GoString() string { return k.String() }

// SignBackend returns the signature of an org and claims for one backend, which
// is named as bulkhead.backend() does.
func (k *Key) SignBackend(backend, org, claims string, expires time.Time) string {
	return k.sign([]string{kindBackend, backend}, org, claims, expires)
}

// SignCheckout returns the signature of an org and claims that answers a
// challenge, for bulkhead.enter().
func (k *Key) SignCheckout(database string, challenge int64, org, claims string, expires time.Time) string {
	return k.sign([]string{kindCheckout, database, strconv.FormatInt(challenge, 10)}, org, claims, expires)
}

// sign makes "kid.expiry.mac". The texts carry their lengths: no part of one
// can be taken for a part of the next.
func (k *Key) sign(binding []string, org, claims string, expires time.Time) string {
	head := fmt.Sprintf("%04d.%010d", k.id, expires.Unix())
	lines := append(binding, head, strconv.Itoa(len(org)), org, strconv.Itoa(len(claims)), claims)
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte(strings.Join(lines, "\n")))
	return head + "." + hex.EncodeToString(mac.Sum(nil))
}
