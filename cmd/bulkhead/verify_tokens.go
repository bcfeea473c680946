package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/database/verify"
)

// verifyTokens is where the tokens of the two orgs come from: files, or a key
// that makes them.
type verifyTokens struct {
	tokens                          [2]string // files
	key, issuer, audience, orgClaim string
	role                            string // role claim of tokens made with key
}

func (f *verifyTokens) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.tokens[verify.A], "token-a", "", "file with a token of org A")
	fl.StringVar(&f.tokens[verify.B], "token-b", "", "file with a token of org B")
	fl.StringVar(&f.key, "key", "", "private key (PEM) or shared secret that makes tokens of both orgs, and those that must be refused")
	fl.StringVar(&f.issuer, "iss", "bulkhead", "issuer of tokens made with --key")
	fl.StringVar(&f.audience, "aud", "bulkhead", "audience of tokens made with --key")
	fl.StringVar(&f.orgClaim, "org-claim", "org_id", "name of the org claim in tokens made with --key")
}

// source returns the function that gives a token of an org for a context.
func (f *verifyTokens) source() func(org string, side verify.Side, subject string, c verify.Context) (string, error) {
	if f.key != "" {
		return func(org string, _ verify.Side, subject string, c verify.Context) (string, error) {
			return f.mint(org, subject, c)
		}
	}
	return func(_ string, side verify.Side, _ string, c verify.Context) (string, error) {
		switch c {
		case verify.None:
			return "", nil
		case verify.Empty, verify.Expired:
			return "", &verify.TokenError{Why: "a token of this kind can be made with --key only"}
		}
		if f.tokens[side] == "" {
			return "", errors.New("no token was given, and no key to make one")
		}
		b, err := os.ReadFile(f.tokens[side])
		if err != nil {
			return "", fmt.Errorf("read the token of org %s: %w", side, err)
		}
		token := strings.TrimSpace(string(b))
		if c == verify.Garbage {
			token = forge(token)
		}
		return token, nil
	}
}

// mint makes a token for a context of the matrix.
func (f *verifyTokens) mint(org, subject string, c verify.Context) (string, error) {
	o := auth.MintOptions{
		KeyFile: f.key, Issuer: f.issuer, Audience: f.audience, OrgClaim: f.orgClaim, Org: org, Subject: subject, Role: f.role, TTL: time.Hour, Now: time.Now(),
	}
	switch c {
	case verify.None:
		return "", nil
	case verify.Empty:
		o.Org = ""
	case verify.Expired:
		o.Now = o.Now.Add(-24 * time.Hour)
	}
	token, err := auth.Mint(o)
	if err == nil && c == verify.Garbage {
		token = forge(token)
	}
	return token, err
}

// forge changes the signature of a token.
func forge(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	if i == 0 || i >= len(token) {
		return rand.Text()
	}
	// Somewhere inside: the last character may hold unused bits.
	b := []byte(token)
	at := i + (len(b)-i)/2
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}
