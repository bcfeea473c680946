package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// key is one key that verifies signatures.
type key struct {
	kid        string
	public     any      // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, []byte
	algorithms []string // that this key may be used with: the key decides, not the token
}

// Bounds of keys (RFC 7518 sections 3.2 and 3.3).
const (
	minRSABits     = 2048
	minSecretBytes = 32
)

var rsaAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}

// newKey binds a public key to the algorithms of its type.
func newKey(kid string, public any) (*key, error) {
	k := &key{kid: kid, public: public}
	switch p := public.(type) {
	case *rsa.PublicKey:
		if p.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("RSA key of %d bits, want %d or more", p.N.BitLen(), minRSABits)
		}
		k.algorithms = rsaAlgorithms
	case *ecdsa.PublicKey:
		alg, ok := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[p.Curve.Params().Name]
		if !ok {
			return nil, fmt.Errorf("curve %s is not used with tokens", p.Curve.Params().Name)
		}
		k.algorithms = []string{alg}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return nil, errors.New("Ed25519 key of a wrong size")
		}
		k.algorithms = []string{"EdDSA"}
	case []byte:
		if len(p) < minSecretBytes {
			return nil, fmt.Errorf("secret of %d bytes, want %d or more", len(p), minSecretBytes)
		}
		k.algorithms = []string{"HS256"}
	default:
		return nil, fmt.Errorf("keys of type %T are not used with tokens", public)
	}
	return k, nil
}

// verify checks the signature. The algorithm must be one of the issuer's and
// one of the key's.
func (k *key) verify(t *token) error {
	if !slices.Contains(k.algorithms, t.algorithm) {
		return refuse(ReasonAlgorithm, "not one of the key's")
	}
	method := jwt.GetSigningMethod(t.algorithm)
	if method == nil {
		return refuse(ReasonAlgorithm, "unknown")
	}
	if err := method.Verify(t.signed, t.signature, k.public); err != nil {
		return refuse(ReasonSignature, "")
	}
	return nil
}

// parseSecret reads a shared secret: the file's bytes less one final newline.
// A key in PEM or JWK form is refused: the text of a public key is known to
// all, and each of them could sign with it.
func parseSecret(b []byte) ([]*key, error) {
	if block, _ := pem.Decode(b); block != nil || json.Valid(b) && bytes.HasPrefix(bytes.TrimSpace(b), []byte{'{'}) {
		return nil, errors.New("a key in PEM or JWK form is no shared secret; public keys belong into public_key_file or jwks_file")
	}
	k, err := newKey("", bytes.TrimSuffix(b, []byte{'\n'}))
	if err != nil {
		return nil, err
	}
	return []*key{k}, nil
}

// parsePublicKey reads a PEM public key or certificate, or a JWK.
func parsePublicKey(b []byte) ([]*key, error) {
	if trimmed := bytes.TrimSpace(b); len(trimmed) > 0 && trimmed[0] == '{' {
		k, err := parseJWK(trimmed)
		if err != nil {
			return nil, err
		}
		return []*key{k}, nil
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("neither PEM nor JWK")
	}
	public, err := parsePEM(block)
	if err != nil {
		return nil, err
	}
	k, err := newKey("", public)
	if err != nil {
		return nil, err
	}
	return []*key{k}, nil
}

func parsePEM(block *pem.Block) (crypto.PublicKey, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	}
	return nil, fmt.Errorf("PEM block %q, want PUBLIC KEY", block.Type)
}

// parseJWKS reads a JWK Set (RFC 7517 section 5). Keys that cannot be used
// are left out; a set without any is an error.
func parseJWKS(b []byte) ([]*key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, errors.New("not a JWK Set")
	}
	var keys []*key
	var why error // the first key is left out
	for i, raw := range set.Keys {
		k, err := parseJWK(raw)
		switch {
		case err == nil:
			keys = append(keys, k)
		case why == nil:
			why = fmt.Errorf("keys[%d]: %w", i, err)
		}
	}
	switch {
	case len(set.Keys) == 0:
		return nil, errors.New("the JWK Set is empty")
	case len(keys) == 0:
		return nil, fmt.Errorf("the JWK Set holds no key that can verify tokens: %w", why)
	}
	return keys, nil
}

func parseJWK(raw []byte) (*key, error) {
	// Symmetric keys are not taken from a JWK: whoever may read the public
	// keys could sign with one.
	j, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipX5UScheme: true})
	if err != nil {
		return nil, fmt.Errorf("read JWK: %w", err)
	}
	m := j.Marshal()
	if m.USE != "" && m.USE != jwkset.UseSig {
		return nil, errors.New("the JWK is not for signatures")
	}
	if len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return nil, errors.New("the JWK is not for verifying")
	}
	k, err := newKey(m.KID, j.Key())
	if err != nil {
		return nil, err
	}
	if alg := m.ALG.String(); alg != "" {
		if !slices.Contains(k.algorithms, alg) {
			return nil, fmt.Errorf("the JWK's alg does not fit its key")
		}
		k.algorithms = []string{alg}
	}
	return k, nil
}
