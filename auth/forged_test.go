package auth

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const forgedOrg = "11111111-1111-4111-8111-111111111111"

// forge holds keys and a verifier that trusts three issuers with them.
type forge struct {
	secret  []byte
	rsa     *rsa.PrivateKey
	rsaPEM  []byte
	ed      ed25519.PrivateKey
	now     time.Time
	v       *Verifier
	revoked string
	edFile  string
}

// forgeRSA is one key for all forges: making one takes long.
var forgeRSA = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newForge(t testing.TB, orgType string) *forge {
	t.Helper()
	f := &forge{secret: []byte("0123456789abcdef0123456789abcdef"), now: time.Unix(1_800_000_000, 0)}
	var err error
	f.rsa = forgeRSA()
	if _, f.ed, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	f.rsaPEM = publicPEM(t, &f.rsa.PublicKey)
	f.edFile = write("ed.pub", publicPEM(t, f.ed.Public()))
	f.revoked = write("revoked", []byte("# none\n"))
	f.v, err = New(Options{
		OrgType: orgType, Leeway: 30 * time.Second, RevokedFile: f.revoked, Clock: func() time.Time { return f.now },
		Issuers: []Issuer{
			{Issuer: "hs", Audience: "bulkhead", Algorithms: []string{"HS256"}, SecretFile: write("secret", append(f.secret, '\n')), OrgClaim: "org_id", SubjectClaim: "sub", RoleClaim: "role"},
			{Issuer: "rs", Audience: "bulkhead", Algorithms: []string{"RS256"}, PublicKeyFile: write("rsa.pub", f.rsaPEM), OrgClaim: "app.org", SubjectClaim: "sub"},
			{Issuer: "ed", Audience: "bulkhead", Algorithms: []string{"EdDSA"}, PublicKeyFile: f.edFile, OrgClaim: "org_id"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func publicPEM(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// hs signs any header and claims, however wrong, with HMAC-SHA-256.
func (f *forge) hs(header, claims string) string { return hmacToken(f.secret, header, claims) }

func hmacToken(secret []byte, header, claims string) string {
	signed := b64(header) + "." + b64(claims)
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// claims returns good claims of issuer hs with more members in front.
func (f *forge) claims(more string) string {
	return fmt.Sprintf(`{%s"iss":"hs","aud":"bulkhead","org_id":%q,"exp":%d}`, more, forgedOrg, f.now.Unix()+600)
}

const hsHeader = `{"alg":"HS256","typ":"JWT"}`

func TestVerifier_Forged(t *testing.T) {
	f := newForge(t, "uuid")
	exp := fmt.Sprint(f.now.Unix() + 600)
	with := func(claims string) string { return f.hs(hsHeader, claims) }
	good := with(f.claims(""))
	parts := strings.Split(good, ".")
	body := func(member string) string { // good claims with one member replaced
		return `{"iss":"hs","aud":"bulkhead","org_id":"` + forgedOrg + `","exp":` + exp + `,` + member + `}`
	}
	tests := map[string]struct {
		token string
		want  Reason
	}{
		"empty":                   {"", ReasonMalformed},
		"two parts":               {parts[0] + "." + parts[1], ReasonMalformed},
		"four parts":              {good + ".x", ReasonMalformed},
		"no signature":            {parts[0] + "." + parts[1] + ".", ReasonMalformed},
		"padding":                 {good + "=", ReasonMalformed},
		"newline in a part":       {parts[0] + "." + parts[1] + "." + parts[2][:5] + "\n" + parts[2][5:], ReasonMalformed},
		"alg none":                {b64(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2], ReasonAlgorithm},
		"alg in capitals":         {f.hs(`{"ALG":"HS256"}`, f.claims("")), ReasonAlgorithm},
		"alg of another issuer":   {f.hs(`{"alg":"RS256"}`, f.claims("")), ReasonAlgorithm},
		"swapped payload":         {parts[0] + "." + b64(strings.Replace(f.claims(""), "1111", "2222", 1)) + "." + parts[2], ReasonSignature},
		"another secret":          {hmacToken([]byte(strings.Repeat("x", 32)), hsHeader, f.claims("")), ReasonSignature},
		"HMAC with the RSA key":   {hmacToken(f.rsaPEM, hsHeader, strings.Replace(f.claims(""), `"hs"`, `"rs"`, 1)), ReasonAlgorithm},
		"unknown issuer":          {with(strings.Replace(f.claims(""), `"hs"`, `"xx"`, 1)), ReasonUnknownIssuer},
		"issuer is a list":        {with(strings.Replace(f.claims(""), `"hs"`, `["hs"]`, 1)), ReasonUnknownIssuer},
		"crit":                    {f.hs(`{"alg":"HS256","crit":["exp"]}`, f.claims("")), ReasonHeader},
		"b64":                     {f.hs(`{"alg":"HS256","b64":false}`, f.claims("")), ReasonHeader},
		"jku":                     {f.hs(`{"alg":"HS256","jku":"https://evil"}`, f.claims("")), ReasonHeader},
		"jwk":                     {f.hs(`{"alg":"HS256","jwk":{}}`, f.claims("")), ReasonHeader},
		"kid is a number":         {f.hs(`{"alg":"HS256","kid":1}`, f.claims("")), ReasonHeader},
		"duplicate in the header": {f.hs(`{"alg":"none","alg":"HS256"}`, f.claims("")), ReasonDuplicateKey},
		"duplicate claim":         {with(f.claims(`"org_id":"x",`)), ReasonDuplicateKey},
		"duplicate nested claim":  {with(f.claims(`"a":{"b":1,"b":2},`)), ReasonDuplicateKey},
		"bytes behind the claims": {with(f.claims("") + "{}"), ReasonMalformed},
		"claims are a list":       {with("[]"), ReasonMalformed},
		"no audience":             {with(strings.Replace(f.claims(""), `"aud"`, `"AUD"`, 1)), ReasonAudience},
		"another audience":        {with(strings.Replace(f.claims(""), `"bulkhead"`, `"other"`, 1)), ReasonAudience},
		"number in the audience":  {with(strings.Replace(f.claims(""), `"bulkhead"`, `["bulkhead",1]`, 1)), ReasonAudience},
		"no exp":                  {with(strings.Replace(f.claims(""), `"exp"`, `"EXP"`, 1)), ReasonTime},
		"exp is zero":             {with(strings.Replace(f.claims(""), exp, "0", 1)), ReasonTime},
		"exp is a string":         {with(strings.Replace(f.claims(""), exp, `"`+exp+`"`, 1)), ReasonTime},
		"exp is absurd":           {with(strings.Replace(f.claims(""), exp, "1e300", 1)), ReasonTime},
		"expired":                 {with(strings.Replace(f.claims(""), exp, fmt.Sprint(f.now.Unix()-31), 1)), ReasonExpired},
		"not yet valid":           {with(body(`"nbf":` + exp)), ReasonNotYetValid},
		"issued in the future":    {with(body(`"iat":` + exp)), ReasonNotYetValid},
		"org in capitals":         {with(strings.Replace(f.claims(""), "org_id", "ORG_ID", 1)), ReasonOrgMissing},
		"org is a list":           {with(strings.Replace(f.claims(""), `"`+forgedOrg+`"`, `["`+forgedOrg+`"]`, 1)), ReasonOrgForm},
		"org is an object":        {with(strings.Replace(f.claims(""), `"`+forgedOrg+`"`, `{}`, 1)), ReasonOrgForm},
		"org is a star":           {with(strings.Replace(f.claims(""), forgedOrg, `*`, 1)), ReasonOrgForm},
		"org is a number":         {with(strings.Replace(f.claims(""), `"`+forgedOrg+`"`, `1`, 1)), ReasonOrgForm},
		"org with a space":        {with(strings.Replace(f.claims(""), forgedOrg, forgedOrg+" ", 1)), ReasonOrgForm},
		"subject is a number":     {with(body(`"sub":1`)), ReasonClaim},
		"subject with a newline":  {with(body(`"sub":"a\nb"`)), ReasonClaim},
		"huge":                    {strings.Repeat("x", 9000), ReasonTooLarge},
	}
	if _, err := f.v.Verify(t.Context(), []byte(good)); err != nil {
		t.Fatalf("the good token is refused: %v", err)
	}
	for name, tt := range tests {
		id, err := f.v.Verify(t.Context(), []byte(tt.token))
		if err == nil {
			t.Errorf("%s: accepted for org %s", name, id.Org)
			continue
		}
		if got := ReasonOf(err); got != tt.want {
			t.Errorf("%s: refused as %s, want %s", name, got, tt.want)
		}
		if strings.Contains(err.Error(), forgedOrg) {
			t.Errorf("%s: the error quotes the token: %v", name, err)
		}
	}
}

func TestVerifier_Accepted(t *testing.T) {
	f := newForge(t, "uuid")
	sign := func(header, claims string, sign func([]byte) []byte) string {
		signed := b64(header) + "." + b64(claims)
		return signed + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(signed)))
	}
	rs := strings.Replace(strings.Replace(f.claims(""), `"hs"`, `"rs"`, 1), `"org_id":"`+forgedOrg+`"`, `"app":{"org":"`+strings.ToUpper(forgedOrg)+`"}`, 1)
	tokens := map[string]string{
		"HS256":         f.hs(hsHeader, f.claims(`"aud2":1,"sub":"u",`)),
		"audience list": f.hs(hsHeader, strings.Replace(f.claims(""), `"bulkhead"`, `["x","bulkhead"]`, 1)),
		"RS256, dotted": sign(`{"alg":"RS256"}`, rs, func(b []byte) []byte {
			h := sha256.Sum256(b)
			s, err := rsa.SignPKCS1v15(rand.Reader, f.rsa, crypto.SHA256, h[:])
			if err != nil {
				t.Fatal(err)
			}
			return s
		}),
		"EdDSA": sign(`{"alg":"EdDSA"}`, strings.Replace(f.claims(""), `"hs"`, `"ed"`, 1), func(b []byte) []byte { return ed25519.Sign(f.ed, b) }),
	}
	for name, token := range tokens {
		id, err := f.v.Verify(t.Context(), []byte(token))
		if err != nil || id.Org != forgedOrg || !json.Valid(id.Claims) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
}

func TestVerifier_CacheExpiryRevocation(t *testing.T) {
	f := newForge(t, "uuid")
	token := []byte(f.hs(hsHeader, f.claims(`"jti":"id-1","sub":"user-1",`)))
	if _, _, known := f.v.Cached(token); known {
		t.Error("known before it was verified")
	}
	id, err := f.v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { f.v.Cached(token); f.v.Valid(id) }); n > 0 {
		t.Errorf("a hit allocates %v times", n)
	}
	for _, line := range []string{"id-1", "user-1", forgedOrg} {
		if err := os.WriteFile(f.revoked, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(f.revoked, time.Now(), time.Now().Add(time.Duration(len(line))*time.Hour))
		f.v.Reload()
		if got := ReasonOf(f.v.Valid(id)); got != ReasonRevoked {
			t.Errorf("%s revoked: %s", line, got)
		}
		if _, err, known := f.v.Cached(token); !known || ReasonOf(err) != ReasonRevoked {
			t.Errorf("%s revoked: Cached says %v, %v", line, err, known)
		}
	}
	os.WriteFile(f.revoked, nil, 0o600)
	os.Chtimes(f.revoked, time.Now(), time.Now().Add(999*time.Hour))
	f.v.Reload()
	if err := f.v.Valid(id); err != nil {
		t.Errorf("no longer revoked: %v", err)
	}
	f.now = f.now.Add(631 * time.Second)
	if got := ReasonOf(f.v.Valid(id)); got != ReasonExpired {
		t.Errorf("expired: %s", got)
	}
}

func TestVerifier_ChangedKeyDropsTokens(t *testing.T) {
	f := newForge(t, "uuid")
	signed := b64(`{"alg":"EdDSA"}`) + "." + b64(strings.Replace(f.claims(""), `"hs"`, `"ed"`, 1))
	token := []byte(signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(f.ed, []byte(signed))))
	if _, err := f.v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.edFile, publicPEM(t, other), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(f.edFile, time.Now(), time.Now().Add(time.Hour))
	f.v.Reload()
	if _, err := f.v.Verify(t.Context(), token); ReasonOf(err) != ReasonSignature {
		t.Errorf("a token of the old key: %v, want a refused signature", err)
	}
}

func TestVerifier_Orgs(t *testing.T) {
	for _, tt := range []struct {
		orgType, claim, want string
	}{
		{"integer", `7`, "7"},
		{"integer", `"7"`, "7"},
		{"integer", `-7`, "-7"},
		{"integer", `07`, ""},
		{"integer", `"07"`, ""},
		{"integer", `7.0`, ""},
		{"integer", `1e3`, ""},
		{"integer", `"+7"`, ""},
		{"integer", `99999999999999999999`, ""},
		{"integer", `true`, ""},
		{"text", `"acme"`, "acme"},
		{"text", `""`, ""},
		{"text", `"a\u0000b"`, ""},
		{"text", `7`, ""},
		{"text", `null`, ""},
		{"uuid", `"` + strings.ReplaceAll(forgedOrg, "-", "") + `"`, ""},
		{"uuid", `"{` + forgedOrg + `}"`, ""},
	} {
		f := newForge(t, tt.orgType)
		id, err := f.v.Verify(t.Context(), []byte(f.hs(hsHeader, strings.Replace(f.claims(""), `"`+forgedOrg+`"`, tt.claim, 1))))
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("%s %s: accepted as %q", tt.orgType, tt.claim, id.Org)
		case tt.want != "" && (err != nil || id.Org != tt.want):
			t.Errorf("%s %s: %v, %v; want %q", tt.orgType, tt.claim, id, err, tt.want)
		}
	}
}

func TestNew_ReportsEveryProblem(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short")
	os.WriteFile(short, []byte(strings.Repeat("x", 31)), 0o600)
	_, err := New(Options{Issuers: []Issuer{
		{Issuer: "a", Algorithms: []string{"HS256"}, SecretFile: short},
		{Issuer: "b", Audience: "x", OrgClaim: "o", Algorithms: []string{"HS256"}, JWKSURL: "http://example.com/"},
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"audience", "claims.org", "31 bytes", "https", "does not fit"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

// jwksServer serves a JWK Set that the test changes.
type jwksServer struct {
	*httptest.Server
	body  atomic.Pointer[string]
	fetch atomic.Int32
}

func newJWKS(t *testing.T) *jwksServer {
	t.Helper()
	s := &jwksServer{}
	empty := `{"keys":[]}`
	s.body.Store(&empty)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fetch.Add(1)
		if b := *s.body.Load(); strings.HasPrefix(b, "{") {
			w.Write([]byte(b))
		} else {
			http.Redirect(w, r, b, http.StatusFound)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *jwksServer) set(kid string, key ed25519.PrivateKey) {
	b := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"enc","use":"enc","x":%q},{"kty":"OKP","crv":"Ed25519","kid":%q,"use":"sig","x":%q}]}`,
		base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey)), kid, base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
	s.body.Store(&b)
}

func TestVerifier_JWKSRotation(t *testing.T) {
	srv := newJWKS(t)
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	srv.set("k1", key)
	now := time.Unix(1_800_000_000, 0)
	v, err := New(Options{OrgType: "uuid", Clock: func() time.Time { return now }, Issuers: []Issuer{
		{Issuer: "i", Audience: "a", Algorithms: []string{"EdDSA"}, JWKSURL: srv.URL, OrgClaim: "org_id"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	token := func(kid string) []byte {
		n++
		signed := b64(fmt.Sprintf(`{"alg":"EdDSA","kid":%q}`, kid)) + "." +
			b64(fmt.Sprintf(`{"iss":"i","aud":"a","org_id":%q,"exp":%d,"n":%d}`, forgedOrg, now.Unix()+100_000, n))
		return []byte(signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(signed))))
	}
	verify := func(kid string) Reason {
		_, err := v.Verify(context.Background(), token(kid))
		if err == nil {
			return ""
		}
		return ReasonOf(err)
	}
	if got := verify("k1"); got != "" {
		t.Fatalf("first token: %s", got)
	}
	if got := verify("enc"); got != ReasonUnknownKey {
		t.Errorf("a key that is not for signatures: %s", got)
	}
	srv.set("k2", key)
	// Within 30 s of the last fetch an unknown kid fetches nothing.
	before := srv.fetch.Load()
	for range 5 {
		if got := verify("k2"); got != ReasonUnknownKey {
			t.Errorf("unknown kid at once: %s", got)
		}
	}
	if got := srv.fetch.Load() - before; got != 0 {
		t.Errorf("%d fetches within 30 s", got)
	}
	now = now.Add(31 * time.Second)
	if got := verify("k2"); got != "" {
		t.Errorf("after the rotation: %s", got)
	}
	// Keys that cannot be fetched serve on for a day.
	away := "http://127.0.0.2:1/elsewhere"
	srv.body.Store(&away)
	now = now.Add(time.Hour)
	if got := verify("k2"); got != "" {
		t.Errorf("with the source gone: %s", got)
	}
	now = now.Add(25 * time.Hour)
	if got := verify("k2"); got == "" {
		t.Error("keys that are too old are still believed")
	}
}

func TestThrottle(t *testing.T) {
	th, now := NewThrottle(), time.Unix(1000, 0)
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for range freeFailures {
		if wait := th.Allow(a, now); wait != 0 {
			t.Fatalf("waits %v too early", wait)
		}
		th.Failed(a, now)
	}
	if wait := th.Allow(b, now); wait == 0 {
		t.Error("a neighbour of the same /64 does not wait")
	}
	if wait := th.Allow(netip.Addr{}, now); wait != 0 {
		t.Error("a unix socket waits")
	}
	for range 50 {
		th.Failed(a, now)
	}
	if wait := th.Allow(a, now); wait <= 0 || wait > longestWait {
		t.Errorf("waits %v, want at most %v", wait, longestWait)
	}
	th.Succeeded(b)
	if wait := th.Allow(a, now); wait != 0 {
		t.Errorf("after a success: waits %v", wait)
	}
}

func TestParseBearer(t *testing.T) {
	for in, want := range map[string]string{
		"n,,\x01auth=Bearer abc\x01\x01":                "abc",
		"n,a=me,\x01host=h\x01auth=bearer abc\x01\x01":  "abc",
		"n,,\x01auth=\x01\x01":                          "",
		"y,,\x01auth=Bearer abc\x01\x01":                "!",
		"p=tls-unique,,\x01auth=Bearer abc\x01\x01":     "!",
		"n,,\x01auth=Bearer abc\x01":                    "!",
		"n,,\x01auth=Basic abc\x01\x01":                 "!",
		"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01": "!",
		"n,,\x01host=h\x01\x01":                         "!",
		"n,,\x01auth=Bearer a b\x01\x01":                "!",
		"":                                              "!",
	} {
		got, err := ParseBearer([]byte(in))
		if (err != nil) != (want == "!") || err == nil && string(got) != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func FuzzToken(f *testing.F) {
	fg := newForge(f, "uuid")
	good := fg.hs(hsHeader, fg.claims(""))
	f.Add(good)
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Fuzz(func(t *testing.T, token string) {
		if id, err := fg.v.Verify(t.Context(), []byte(token)); err == nil && token != good {
			t.Errorf("accepted a token that nobody signed: %q for %s", token, id.Org)
		}
	})
}

func FuzzParseBearer(f *testing.F) {
	f.Add([]byte("n,,\x01auth=Bearer abc\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if token, err := ParseBearer(b); err == nil && strings.ContainsAny(string(token), " \x01\n") {
			t.Errorf("token %q", token)
		}
	})
}
