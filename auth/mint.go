package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MintOptions say what a token is to claim.
type MintOptions struct {
	KeyFile  string // PEM private key, or a shared secret of 32 bytes or more
	Issuer   string
	Audience string
	OrgClaim string // "" means org_id
	Org      any    // string, json.Number for an integer claim, a list of either, or nil for none
	Subject  string
	Role     string
	TTL      time.Duration
	Claims   map[string]any // further claims
	Now      time.Time
}

// Mint signs a token, for development, workers and legacy services.
func Mint(o MintOptions) (string, error) {
	b, err := os.ReadFile(o.KeyFile)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	method, key, err := signingKey(b)
	if err != nil {
		return "", fmt.Errorf("%s: %w", o.KeyFile, err)
	}
	var id [12]byte
	rand.Read(id[:])
	claims := jwt.MapClaims{}
	for name, v := range o.Claims {
		claims[name] = v
	}
	org := o.OrgClaim
	if org == "" {
		org = "org_id"
	}
	claims["iss"], claims["aud"] = o.Issuer, o.Audience
	if o.Org != nil {
		claims[org] = o.Org
	}
	claims["iat"], claims["exp"] = o.Now.Unix(), o.Now.Add(o.TTL).Unix()
	claims["jti"] = base64.RawURLEncoding.EncodeToString(id[:])
	if o.Subject != "" {
		claims["sub"] = o.Subject
	}
	if o.Role != "" {
		claims["role"] = o.Role
	}
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return token, nil
}

// signingKey reads a private key, or a secret where there is no PEM.
func signingKey(b []byte) (jwt.SigningMethod, any, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		secret := bytes.TrimSuffix(b, []byte{'\n'})
		if len(secret) < minSecretBytes {
			return nil, nil, fmt.Errorf("neither a PEM private key nor a secret of %d bytes or more", minSecretBytes)
		}
		return jwt.SigningMethodHS256, secret, nil
	}
	private, err := parsePrivate(block)
	if err != nil {
		return nil, nil, err
	}
	switch k := private.(type) {
	case *rsa.PrivateKey:
		return jwt.SigningMethodRS256, k, nil
	case ed25519.PrivateKey:
		return jwt.SigningMethodEdDSA, k, nil
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().Name {
		case "P-256":
			return jwt.SigningMethodES256, k, nil
		case "P-384":
			return jwt.SigningMethodES384, k, nil
		case "P-521":
			return jwt.SigningMethodES512, k, nil
		}
	}
	return nil, nil, errors.New("this kind of private key does not sign tokens")
}

func parsePrivate(block *pem.Block) (any, error) {
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return nil, fmt.Errorf("PEM block %q, want PRIVATE KEY", block.Type)
}

// KeyTypes are what [GenerateKey] can make.
var KeyTypes = []string{"ed25519", "ec", "rsa", "hmac"}

// GenerateKey makes a key. private and public are PEM; for hmac private is a
// secret and public is empty. algorithm is what the configuration must name.
func GenerateKey(kind string) (private, public []byte, algorithm string, err error) {
	var key crypto.Signer
	switch kind {
	case "ed25519":
		_, k, e := ed25519.GenerateKey(rand.Reader)
		key, err, algorithm = k, e, "EdDSA"
	case "ec":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		algorithm = "ES256"
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 3072)
		algorithm = "RS256"
	case "hmac":
		var b [48]byte
		rand.Read(b[:])
		return []byte(base64.RawURLEncoding.EncodeToString(b[:]) + "\n"), nil, "HS256", nil
	default:
		return nil, nil, "", fmt.Errorf("key type %q: want one of %v", kind, KeyTypes)
	}
	if err != nil {
		return nil, nil, "", fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, "", fmt.Errorf("encode key: %w", err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, "", fmt.Errorf("encode key: %w", err)
	}
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	public = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub})
	return private, public, algorithm, nil
}
