package auth

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Identity is who a verified token names. It is immutable and shared.
type Identity struct {
	Issuer  string
	Subject string
	TokenID string // jti
	Role    string
	Org     string // in its canonical form; "" if it must be picked first
	// Orgs are those among which the holder picks, AllOrgs means any; neither
	// for a token of one org, and for a service token, which can do nothing
	// but take another identity.
	Orgs    []string
	AllOrgs bool
	// Claims are the claims as compact JSON, as they were signed.
	Claims  []byte
	Expires time.Time

	orgPath    string // of the claim that names the org
	generation uint64 // of the options it was verified with
}

// Picks reports whether the holder acts for an org of his choice.
func (id *Identity) Picks() bool { return id.AllOrgs || len(id.Orgs) > 0 }

// maxText bounds a claim that is a text.
const maxText = 256

// latest is the last expiry that is believed: 9999-12-31.
const latest = 253402300799

// identity checks the claims of a token whose signature is good.
func (v *verifier) identity(t *token, is *issuer, now time.Time) (*Identity, error) {
	if err := checkAudience(t.claims["aud"], is.Audience); err != nil {
		return nil, err
	}
	expires, err := v.checkTimes(t.claims, now)
	if err != nil {
		return nil, err
	}
	id := &Identity{Issuer: is.Issuer.Issuer, Expires: expires, orgPath: is.OrgClaim}
	if err := v.orgs(id, lookup(t.claims, is.OrgClaim), is); err != nil {
		return nil, err
	}
	for _, c := range []struct {
		to   *string
		path string
	}{{&id.Subject, is.SubjectClaim}, {&id.Role, is.RoleClaim}, {&id.TokenID, "jti"}} {
		if *c.to, err = optionalText(lookup(t.claims, c.path)); err != nil {
			return nil, err
		}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, t.payload); err != nil {
		return nil, refuse(ReasonMalformed, "JSON")
	}
	id.Claims = compact.Bytes()
	return id, nil
}

// lookup follows a dotted path. A name that itself holds dots is tried first,
// so that namespaced claims (https://example.com/org) work.
func lookup(claims map[string]any, path string) any {
	if path == "" {
		return nil
	}
	if v, ok := claims[path]; ok {
		return v
	}
	name, rest, dotted := strings.Cut(path, ".")
	if !dotted {
		return nil
	}
	inner, ok := claims[name].(map[string]any)
	if !ok {
		return nil
	}
	return lookup(inner, rest)
}

func checkAudience(aud any, want string) error {
	switch aud := aud.(type) {
	case string:
		if aud == want {
			return nil
		}
	case []any:
		for _, a := range aud {
			if _, ok := a.(string); !ok {
				return refuse(ReasonAudience, "aud holds what is no string")
			}
		}
		for _, a := range aud {
			if a == want {
				return nil
			}
		}
	case nil:
		return refuse(ReasonAudience, "aud is missing")
	}
	return refuse(ReasonAudience, "the token is for somebody else")
}

// checkTimes checks exp, nbf and iat (RFC 7519 section 4.1) and returns exp.
func (v *verifier) checkTimes(claims map[string]any, now time.Time) (time.Time, error) {
	exp, given, err := numericDate(claims["exp"])
	switch {
	case err != nil:
		return time.Time{}, err
	case !given || exp.Unix() <= 0:
		return time.Time{}, refuse(ReasonTime, "exp is missing")
	case !now.Before(exp.Add(v.opts.Leeway)):
		return time.Time{}, refuse(ReasonExpired, "")
	}
	for _, name := range []string{"nbf", "iat"} {
		at, given, err := numericDate(claims[name])
		if err != nil {
			return time.Time{}, err
		}
		if given && at.After(now.Add(v.opts.Leeway)) {
			return time.Time{}, refuse(ReasonNotYetValid, name+" is in the future")
		}
	}
	return exp, nil
}

// numericDate reads a NumericDate: seconds since 1970, perhaps with a
// fraction.
func numericDate(v any) (t time.Time, given bool, err error) {
	switch v := v.(type) {
	case nil:
		return time.Time{}, false, nil
	case json.Number:
		f, err := v.Float64()
		if err != nil || math.IsNaN(f) || f < 0 || f > latest {
			return time.Time{}, false, refuse(ReasonTime, "not a time")
		}
		return time.Unix(int64(f), 0), true, nil
	}
	return time.Time{}, false, refuse(ReasonTime, "not a number")
}

// org returns the org claim in its canonical form. A uuid in capitals is the
// same uuid, and is lowered: PostgreSQL does the same.
func (v *verifier) org(claim any) (string, error) {
	if claim == nil {
		return "", refuse(ReasonOrgMissing, "")
	}
	text, isText := claim.(string)
	if text == anyOrg {
		return "", refuse(ReasonOrgForm, "any org is not for this issuer")
	}
	switch v.opts.OrgType {
	case "integer":
		if n, ok := claim.(json.Number); ok {
			text, isText = n.String(), true
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if !isText || err != nil || strconv.FormatInt(n, 10) != text {
			return "", refuse(ReasonOrgForm, "want an integer")
		}
		return text, nil
	case "text":
		if !isText || text == "" || !plain(text) {
			return "", refuse(ReasonOrgForm, "want a text of 1 to 256 bytes without control characters")
		}
		return text, nil
	}
	text = strings.ToLower(text)
	if !isText || !isUUID(text) {
		return "", refuse(ReasonOrgForm, "want a uuid")
	}
	return text, nil
}

// isUUID holds for 8-4-4-4-12 hexadecimal digits in lower case.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

func plain(s string) bool {
	if len(s) > maxText || !utf8.ValidString(s) {
		return false
	}
	return strings.IndexFunc(s, unicode.IsControl) < 0
}

func optionalText(claim any) (string, error) {
	switch c := claim.(type) {
	case nil:
		return "", nil
	case string:
		if plain(c) {
			return c, nil
		}
	}
	return "", refuse(ReasonClaim, "subject, role and jti must be texts of at most 256 bytes without control characters")
}
