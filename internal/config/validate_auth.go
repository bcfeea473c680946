package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

func (v *validator) server() {
	s := v.c.Server
	switch {
	case !s.DSN.IsSet() && v.schemaOnly:
	case !s.DSN.IsSet():
		v.problem("server.dsn", "is missing", "name the server: postgres://user@host:5432/database?sslmode=verify-full")
	case !validDSN(s.DSN.Reveal()):
		v.problem("server.dsn", "is neither a postgres:// URI nor key=value pairs (its text is not shown, it may hold a password)",
			"write postgres://user@host:5432/database?sslmode=verify-full")
	case s.PasswordFile != "" && dsnHasPassword(s.DSN.Reveal()):
		v.problem("server.password_file", "the DSN holds a password as well", "keep one of them")
	}
	v.noEmpty("server.databases", s.Databases)
	if len(s.Databases) > 1 && slices.Contains(s.Databases, "*") {
		v.problem("server.databases", `"*" stands beside other names`, `write ["*"] alone`)
	}
}

// One pair of the key=value form (libpq, "Keyword/Value Connection Strings"):
// blanks around the sign are allowed, values may be quoted.
const dsnPair = `\s*[a-z_]+\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)`

var (
	dsnPairs    = regexp.MustCompile(`(?s)^(?:` + dsnPair + `(?:\s|$))+\s*$`)
	dsnURI      = regexp.MustCompile(`^postgres(?:ql)?://(?:([^/?#@]*)@)?([^/?#@]*)(/[^?#]*)?(?:\?([^#]*))?$`)
	dsnPassword = regexp.MustCompile(`(?s)(?:^|[\s?&])password\s*=`)
)

// validDSN reports whether s has one of the two forms of libpq ("Connection
// Strings"). What it names is judged by whoever connects.
func validDSN(s string) bool {
	if m := dsnURI.FindStringSubmatch(s); m != nil {
		_, errUser := url.PathUnescape(m[1])
		_, errQuery := url.ParseQuery(m[4])
		return errUser == nil && errQuery == nil
	}
	return !strings.Contains(s, "://") && dsnPairs.MatchString(s)
}

func dsnHasPassword(s string) bool {
	if m := dsnURI.FindStringSubmatch(s); m != nil && strings.Contains(m[1], ":") {
		return true
	}
	return dsnPassword.MatchString(s)
}

// maxLeeway is the longest auth.leeway: beyond it, clocks are wrong, not late.
const maxLeeway = 10 * time.Minute

func (v *validator) auth() {
	a := v.c.Auth
	if len(a.Issuers) == 0 && !v.schemaOnly {
		v.problem("auth.issuers", "no issuer of tokens is named", "write at least one, with issuer, audience and jwks_url")
	}
	seen := map[string]bool{}
	for i, is := range a.Issuers {
		key := "auth.issuers." + itoa(i)
		if is.Issuer != "" && seen[is.Issuer] {
			v.problem(key+".issuer", fmt.Sprintf("%q is listed twice", is.Issuer), "keep one entry: the token's iss chooses it")
		}
		seen[is.Issuer] = true
		v.issuer(key, is)
	}
	if a.Leeway < 0 || a.Leeway > maxLeeway {
		v.problem("auth.leeway", a.Leeway.String()+" is out of range", "write 0 to "+maxLeeway.String())
	}
	v.between("auth.max_token_bytes", a.MaxTokenBytes, minTokenLimit, maxTokenLimit)
	if len(a.Methods) == 0 {
		v.problem("auth.methods", "is empty: nobody could log in", "write [password]")
	}
	for i, m := range a.Methods {
		if slices.Index(a.Methods, m) < i {
			v.problem("auth.methods."+itoa(i), string(m)+" is listed twice", "remove one")
		}
	}
	if off := v.offLoopback(); a.TokenFile != "" && off != "" && v.c.ClientTLS.Mode != TLSVerifyClient {
		v.problem("auth.token_file", "gives its identity to everyone who can reach "+off,
			"listen on loopback or a unix socket, or set client_tls.mode: verify-client")
	}
}

func (v *validator) issuer(key string, is Issuer) {
	if is.Issuer == "" {
		v.problem(key+".issuer", "is missing", "write the token's iss exactly as it stands there")
	}
	if is.Audience == "" {
		v.problem(key+".audience", "is missing", "write the audience that tokens for Bulkhead carry; a token without aud is refused")
	}
	v.issuerKeys(key, is)
	v.algorithms(key, is)
	if is.JWKSURL != "" {
		v.jwksURL(key+".jwks_url", is.JWKSURL)
	}
	v.claimPath(key+".claims.org", is.Claims.Org)
	v.claimPath(key+".claims.subject", is.Claims.Subject)
	v.claimPath(key+".claims.role", is.Claims.Role)
}

// issuerKeys wants exactly one place for an issuer's keys.
func (v *validator) issuerKeys(key string, is Issuer) {
	var set []string
	for _, place := range []struct{ name, value string }{
		{"jwks_url", is.JWKSURL},
		{"jwks_file", string(is.JWKSFile)},
		{"secret_file", string(is.SecretFile)},
		{"public_key_file", string(is.PublicKeyFile)},
	} {
		if place.value != "" {
			set = append(set, place.name)
		}
	}
	switch len(set) {
	case 0:
		v.problem(key, "has no keys", "set one of jwks_url, jwks_file, public_key_file or secret_file")
	case 1:
	default:
		v.problem(key+"."+set[len(set)-1], "the issuer has several places for its keys: "+strings.Join(set, ", "), "keep one")
	}
}

// algorithms keeps shared secrets and public keys apart: a public key that is
// taken for an HMAC secret is the classic forgery of tokens (RFC 8725, 2.1).
func (v *validator) algorithms(key string, is Issuer) {
	if is.Algorithms != nil && len(is.Algorithms) == 0 {
		v.problem(key+".algorithms", "is empty: every token would be refused", "remove the line for the default")
	}
	for i, alg := range is.Algorithms {
		at := key + ".algorithms." + itoa(i)
		switch {
		case alg == "HS256" && is.SecretFile == "":
			v.problem(at, "HS256 without secret_file", "set secret_file, or remove HS256")
		case alg != "HS256" && is.SecretFile != "":
			v.problem(at, string(alg)+" with secret_file", "a shared secret has HS256 alone; use jwks_file or public_key_file for "+string(alg))
		case slices.Index(is.Algorithms, alg) < i:
			v.problem(at, string(alg)+" is listed twice", "remove one")
		}
	}
}

// jwksURL wants https, since who can change the answer can sign tokens. The
// text of a URL that does not parse is not shown: it may hold a password.
func (v *validator) jwksURL(key, s string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "":
		v.problem(key, "is not a URL", "write https://host/path")
	case u.User != nil:
		v.problem(key, "holds a user name or password", "remove it")
	case u.Scheme == "https":
	case u.Scheme == "http" && loopbackHost(u.Host):
	default:
		v.problem(key, "keys are taken over https only (http on loopback)", "write https://")
	}
}

func loopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// claimPath checks a dotted path into the claims.
func (v *validator) claimPath(key, path string) {
	if path == "" {
		v.problem(key, "is empty", "write the path of the claim, such as org_id or app_metadata.org_id")
		return
	}
	if slices.Contains(strings.Split(path, "."), "") {
		v.problem(key, fmt.Sprintf("%q has an empty part", path), "write names with single dots between them")
	}
}
