package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
)

var errBearer = errors.New("not an OAUTHBEARER initial response")

// ParseBearer takes the token out of an OAUTHBEARER initial client response
// (RFC 7628 section 3.1): a GS2 header without channel binding, then pairs
// each ended by ^A, then another ^A. A client that does not know where to get
// a token sends none: then the token is empty.
func ParseBearer(b []byte) (token []byte, err error) {
	header, rest, ok := bytes.Cut(b, []byte{1})
	// An authorization identity (a=) may be given; it authorises nothing.
	if !ok || !bytes.HasPrefix(header, []byte("n,")) || !bytes.HasSuffix(header, []byte{','}) || bytes.Count(header, []byte{','}) != 2 {
		return nil, errBearer
	}
	if !bytes.HasSuffix(rest, []byte{1}) {
		return nil, errBearer
	}
	found := false
	for rest = rest[:len(rest)-1]; len(rest) > 0; {
		pair, next, ok := bytes.Cut(rest, []byte{1})
		if !ok {
			return nil, errBearer
		}
		name, value, ok := bytes.Cut(pair, []byte{'='})
		if !ok {
			return nil, errBearer
		}
		if string(name) == "auth" {
			if found {
				return nil, errBearer
			}
			found = true
			if token, err = bearer(value); err != nil {
				return nil, err
			}
		}
		rest = next
	}
	if !found {
		return nil, errBearer
	}
	return token, nil
}

func bearer(value []byte) ([]byte, error) {
	if len(value) == 0 {
		return nil, nil
	}
	const scheme = "bearer "
	if len(value) <= len(scheme) || !strings.EqualFold(string(value[:len(scheme)]), scheme) {
		return nil, errBearer
	}
	token := bytes.TrimLeft(value[len(scheme):], " ")
	for _, c := range token {
		if c <= ' ' || c >= 0x7f {
			return nil, errBearer
		}
	}
	return token, nil
}

// BearerFailure is what a client without a token is told: where to get one
// (RFC 7628 section 3.2.2).
func BearerFailure(issuer, scope string) []byte {
	b, err := json.Marshal(struct {
		Status string `json:"status"`
		Scope  string `json:"scope"`
		Config string `json:"openid-configuration"`
	}{"invalid_token", scope, strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"})
	if err != nil {
		panic(err) // three strings
	}
	return b
}

// TokenSource gives a sidecar's own token, from a file that rotates.
type TokenSource struct {
	file string
	max  int

	mu    sync.Mutex
	token []byte
	seen  fs.FileInfo
}

// maxNewline is the longest newline behind the token.
const maxNewline = 2

// NewTokenSource fails if the file cannot be read now.
func NewTokenSource(file string, maxBytes int) (*TokenSource, error) {
	s := &TokenSource{file: file, max: maxBytes}
	_, err := s.Token()
	return s, err
}

// Token returns the token that is in the file now.
func (s *TokenSource) Token() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.file)
	if err != nil {
		return nil, &Error{Reason: ReasonTokenFile, Detail: "cannot be read"}
	}
	if s.token != nil && sameFile(info, s.seen) {
		return s.token, nil
	}
	if info.Size() > int64(s.max)+maxNewline {
		return nil, s.tooLarge()
	}
	b, err := os.ReadFile(s.file)
	if err != nil {
		return nil, &Error{Reason: ReasonTokenFile, Detail: "cannot be read"}
	}
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return nil, &Error{Reason: ReasonTokenFile, Detail: "is empty"}
	}
	if len(b) > s.max {
		return nil, s.tooLarge()
	}
	s.token, s.seen = b, info
	return b, nil
}

func (s *TokenSource) tooLarge() error {
	return &Error{Reason: ReasonTokenFile, Detail: fmt.Sprintf("has more than %d bytes", s.max)}
}
