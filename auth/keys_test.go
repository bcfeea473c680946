package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// testClock is the time of the tests' verifiers.
var testClock = time.Unix(1_800_000_000, 0)

// signed is a good token of issuer i for org forgedOrg, signed with any key.
func signed(t testing.TB, algorithm, issuer, kid string, key any) []byte {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), jwt.MapClaims{
		"iss": issuer, "aud": "a", "org_id": forgedOrg, "exp": testClock.Unix() + 100_000,
	})
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatalf("sign with %s: %v", algorithm, err)
	}
	return []byte(s)
}

func writeKey(t testing.TB, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// complete fills in what an issuer needs beside its keys.
func complete(name string, is Issuer) Issuer {
	is.Issuer, is.Audience, is.OrgClaim = name, "a", "org_id"
	return is
}

func newVerifier(t testing.TB, issuers ...Issuer) *Verifier {
	t.Helper()
	v, err := New(Options{OrgType: "uuid", Clock: func() time.Time { return testClock }, Issuers: issuers})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// reason verifies a token; "" means that it was accepted.
func reason(t testing.TB, v *Verifier, token []byte) Reason {
	t.Helper()
	if _, err := v.Verify(t.Context(), token); err != nil {
		return ReasonOf(err)
	}
	return ""
}

// signers is one key of each kind.
type signers struct {
	rsa              *rsa.PrivateKey
	p256, p384, p521 *ecdsa.PrivateKey
	ed               ed25519.PrivateKey
}

func newSigners(t testing.TB) signers {
	t.Helper()
	var s signers
	var err error
	if s.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	curve := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	s.p256, s.p384, s.p521 = curve(elliptic.P256()), curve(elliptic.P384()), curve(elliptic.P521())
	if _, s.ed, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	return s
}

// fitting is the key that signs with an algorithm.
func (s signers) fitting(algorithm string) crypto.Signer {
	switch algorithm {
	case "ES256":
		return s.p256
	case "ES384":
		return s.p384
	case "ES512":
		return s.p521
	case "EdDSA":
		return s.ed
	}
	return s.rsa
}

// Each algorithm is accepted with a key of its own kind and curve, and refused
// with every other, although the issuer lists all algorithms: the key decides.
// An RSA key may be used with several algorithms, unless its JWK names one.
func TestVerifier_AlgorithmIsBoundToTheKey(t *testing.T) {
	keys, others := newSigners(t), newSigners(t)
	for _, held := range publicAlgorithms {
		public := keys.fitting(held).Public()
		v := newVerifier(t,
			complete("pem", Issuer{Algorithms: publicAlgorithms, PublicKeyFile: writeKey(t, publicPEM(t, public))}),
			complete("jwk", Issuer{Algorithms: publicAlgorithms, PublicKeyFile: writeKey(t, jwk(t, public, ""))}),
			complete("alg", Issuer{Algorithms: publicAlgorithms, JWKSFile: writeKey(t, jwks(jwk(t, public, `"alg":"`+held+`"`)))}),
		)
		for _, used := range publicAlgorithms {
			for _, name := range []string{"pem", "jwk", "alg"} {
				want := ReasonAlgorithm
				sameKind := slices.Contains(rsaAlgorithms, held) && slices.Contains(rsaAlgorithms, used)
				if used == held || sameKind && name != "alg" {
					want = ""
				}
				if got := reason(t, v, signed(t, used, name, "", keys.fitting(used))); got != want {
					t.Errorf("%s, key of %s, token of %s: got %q, want %q", name, held, used, got, want)
				}
			}
		}
		if got := reason(t, v, signed(t, held, "pem", "", others.fitting(held))); got != ReasonSignature {
			t.Errorf("%s with another key of its kind: got %q, want %q", held, got, ReasonSignature)
		}
	}
}

// An issuer's list of algorithms holds even if the key could do more.
func TestVerifier_AlgorithmsOfTheIssuer(t *testing.T) {
	keys := newSigners(t)
	v := newVerifier(t, complete("i", Issuer{Algorithms: []string{"PS256"}, PublicKeyFile: writeKey(t, publicPEM(t, &keys.rsa.PublicKey))}))
	for used, want := range map[string]Reason{"PS256": "", "PS384": ReasonAlgorithm, "RS256": ReasonAlgorithm, "ES256": ReasonAlgorithm} {
		if got := reason(t, v, signed(t, used, "i", "", keys.fitting(used))); got != want {
			t.Errorf("%s: got %q, want %q", used, got, want)
		}
	}
}

// The classic confusion: the text of a public key, which everybody has, used
// as the secret of HS256. A verifier must neither take it for a secret when a
// token says so nor be configured to.
func TestVerifier_PublicKeyIsNoSecret(t *testing.T) {
	keys := newSigners(t)
	public := map[string][]byte{
		"PEM":  publicPEM(t, &keys.rsa.PublicKey),
		"JWK":  jwk(t, &keys.rsa.PublicKey, ""),
		"JWKS": jwks(jwk(t, &keys.rsa.PublicKey, `"kid":"k"`)),
	}
	v := newVerifier(t, complete("i", Issuer{Algorithms: rsaAlgorithms, PublicKeyFile: writeKey(t, public["PEM"])}))
	for form, text := range public {
		if got := reason(t, v, signed(t, "HS256", "i", "", text)); got != ReasonAlgorithm {
			t.Errorf("HS256 with the %s as the secret: got %q, want %q", form, got, ReasonAlgorithm)
		}
		if _, err := parseSecret(text); err == nil || !strings.Contains(err.Error(), "public_key_file") {
			t.Errorf("%s as secret_file: got %v, want an error that names public_key_file", form, err)
		}
	}
	_, err := New(Options{Issuers: []Issuer{
		complete("i", Issuer{Algorithms: []string{"HS256"}, PublicKeyFile: writeKey(t, public["PEM"])}),
	}})
	if err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("HS256 with public_key_file: got %v, want an error", err)
	}
}

// Whoever may read a JWK Set could sign with a symmetric key in it.
func TestParseJWKS_Secret(t *testing.T) {
	oct := []byte(`{"kty":"oct","kid":"k","alg":"HS256","k":"` + b64(strings.Repeat("k", 32)) + `"}`)
	if _, err := parseJWKS(jwks(oct)); err == nil {
		t.Error("a JWK Set gave a shared secret")
	}
	if _, err := parsePublicKey(oct); err == nil {
		t.Error("a JWK gave a shared secret")
	}
}

func TestNew_ShortRSAKey(t *testing.T) {
	// 2047 bits are one too few. Such a key is made up: generating needs a
	// whole number of bytes for some libraries, and no token gets so far.
	modulus := new(big.Int).SetBit(big.NewInt(1), 2046, 1)
	short := &rsa.PublicKey{N: modulus, E: 65537}
	for name, is := range map[string]Issuer{
		"PEM":       {PublicKeyFile: writeKey(t, publicPEM(t, short))},
		"PKCS 1":    {PublicKeyFile: writeKey(t, pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(short)}))},
		"JWK":       {PublicKeyFile: writeKey(t, jwk(t, short, ""))},
		"JWKS file": {JWKSFile: writeKey(t, jwks(jwk(t, short, `"kid":"k"`)))},
	} {
		is.Algorithms = []string{"RS256"}
		_, err := New(Options{Issuers: []Issuer{complete("i", is)}})
		if err == nil || !strings.Contains(err.Error(), "RSA key of 2047 bits, want 2048 or more") {
			t.Errorf("%s: got %v, want an error that tells the bits", name, err)
		}
	}
}

// A key that cannot be used is left out; the others of the set serve.
func TestParseJWKS_LeavesOut(t *testing.T) {
	keys := newSigners(t)
	short := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	good := jwk(t, &keys.p256.PublicKey, `"kid":"good"`)
	got, err := parseJWKS(jwks(jwk(t, short, `"kid":"short"`), good, jwk(t, &keys.p384.PublicKey, `"kid":"enc","use":"enc"`),
		jwk(t, &keys.p384.PublicKey, `"kid":"ops","key_ops":["sign"]`), jwk(t, &keys.p384.PublicKey, `"kid":"alg","alg":"ES256"`), []byte(`{"kty":"new"}`)))
	if err != nil || len(got) != 1 || got[0].kid != "good" {
		t.Errorf("got %d keys, %v; want the good one", len(got), err)
	}
	for text, want := range map[string]string{`{"keys":[]}`: "empty", `[]`: "not a JWK Set", `{}`: "empty", `{"keys":[{"kty":"new"}]}`: "no key that can verify"} {
		if _, err := parseJWKS([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
}

// Tokens are judged by the keys, the algorithms and the audience of the issuer
// that they name, whatever the other issuers have.
func TestVerifier_SeveralIssuers(t *testing.T) {
	one, two := newSigners(t), newSigners(t)
	set := func(k *ecdsa.PrivateKey, kid string) string {
		return writeKey(t, jwks(jwk(t, &k.PublicKey, `"kid":"`+kid+`"`)))
	}
	v := newVerifier(t,
		complete("one", Issuer{Algorithms: []string{"ES256"}, JWKSFile: set(one.p256, "k1")}),
		complete("two", Issuer{Algorithms: []string{"ES256"}, JWKSFile: set(two.p256, "k2")}),
		complete("three", Issuer{Algorithms: []string{"RS256"}, PublicKeyFile: writeKey(t, publicPEM(t, &one.rsa.PublicKey))}),
	)
	for _, tt := range []struct {
		algorithm, issuer, kid string
		key                    any
		want                   Reason
	}{
		{"ES256", "one", "k1", one.p256, ""},
		{"ES256", "two", "k2", two.p256, ""},
		{"ES256", "two", "", two.p256, ""},
		{"RS256", "three", "any", one.rsa, ""},
		{"ES256", "one", "k1", two.p256, ReasonSignature},
		{"ES256", "one", "k2", two.p256, ReasonUnknownKey},
		{"ES256", "two", "k1", one.p256, ReasonUnknownKey},
		{"RS256", "one", "k1", one.rsa, ReasonAlgorithm},
		{"ES256", "three", "", one.p256, ReasonAlgorithm},
		{"RS256", "three", "", two.rsa, ReasonSignature},
		{"ES256", "four", "k1", one.p256, ReasonUnknownIssuer},
		{"ES256", "ONE", "k1", one.p256, ReasonUnknownIssuer},
	} {
		if got := reason(t, v, signed(t, tt.algorithm, tt.issuer, tt.kid, tt.key)); got != tt.want {
			t.Errorf("%s of %s, kid %q: got %q, want %q", tt.algorithm, tt.issuer, tt.kid, got, tt.want)
		}
	}
	twice := complete("one", Issuer{Algorithms: []string{"ES256"}, JWKSFile: set(one.p256, "k1")})
	if _, err := New(Options{Issuers: []Issuer{twice, twice}}); err == nil || !strings.Contains(err.Error(), "same issuer") {
		t.Errorf("one issuer twice: got %v, want an error", err)
	}
}

// jwk writes a public key as a JWK (RFC 7518 section 6) with more members.
func jwk(t testing.TB, public crypto.PublicKey, more string) []byte {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	var members string
	switch k := public.(type) {
	case *rsa.PublicKey:
		members = fmt.Sprintf(`"kty":"RSA","n":%q,"e":%q`, enc(k.N.Bytes()), enc(big.NewInt(int64(k.E)).Bytes()))
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4, x, y
		if err != nil {
			t.Fatal(err)
		}
		size := len(point) / 2
		members = fmt.Sprintf(`"kty":"EC","crv":%q,"x":%q,"y":%q`, k.Curve.Params().Name, enc(point[1:1+size]), enc(point[1+size:]))
	case ed25519.PublicKey:
		members = fmt.Sprintf(`"kty":"OKP","crv":"Ed25519","x":%q`, enc(k))
	default:
		t.Fatalf("no JWK for %T", public)
	}
	if more != "" {
		members += "," + more
	}
	return []byte("{" + members + "}")
}

func jwks(keys ...[]byte) []byte {
	set := make([]json.RawMessage, len(keys))
	for i, k := range keys {
		set[i] = k
	}
	b, err := json.Marshal(map[string]any{"keys": set})
	if err != nil {
		panic(err) // the tests' own JSON
	}
	return b
}
