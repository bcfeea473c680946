package auth

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	orgOne = "11111111-1111-4111-8111-111111111111"
	orgTwo = "22222222-2222-4222-8222-222222222222"
)

// newWorkers makes a verifier whose issuers differ in what they may say, and a
// function that signs a token of one of them.
func newWorkers(t *testing.T, orgType, claimPath string) (*Verifier, func(issuer string, claims map[string]any) []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{OrgType: orgType, RevokedFile: filepath.Join(t.TempDir(), "revoked")}
	if err := os.WriteFile(o.RevokedFile, []byte(orgTwo+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, may := range map[string]Issuer{
		"one": {}, "service": {AllowServiceTokens: true}, "list": {AllowOrgLists: true}, "all": {AllowAllOrgs: true},
	} {
		may.Issuer, may.Audience, may.Algorithms, may.SecretFile, may.OrgClaim = name, "bulkhead", []string{"HS256"}, file, claimPath
		o.Issuers = append(o.Issuers, may)
	}
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v, func(issuer string, claims map[string]any) []byte {
		tok, err := Mint(MintOptions{KeyFile: file, Issuer: issuer, Audience: "bulkhead", TTL: time.Hour, Now: time.Now(), Claims: claims})
		if err != nil {
			t.Fatal(err)
		}
		return []byte(tok)
	}
}

// Each issuer may say what its configuration allows, and nothing more.
func TestVerifier_OrgsOfWorkers(t *testing.T) {
	v, sign := newWorkers(t, "uuid", "org_id")
	long := make([]string, maxOrgs+1)
	for i := range long {
		long[i] = orgOne
	}
	for name, x := range map[string]struct {
		org   any
		allow string // issuers that may
	}{
		"one": {orgOne, "one service list all"}, "none": {nil, "service"}, "list": {[]string{orgOne, strings.ToUpper(orgTwo)}, "list"},
		"list of one": {[]string{orgOne}, "list"}, "any": {"*", "all"}, "empty list": {[]string{}, ""}, "list with any": {[]string{orgOne, "*"}, ""},
		"list of lists": {[]any{[]string{orgOne}}, ""}, "list with null": {[]any{orgOne, nil}, ""}, "too long": {long, ""}, "empty": {"", ""}, "object": {map[string]any{"a": orgOne}, ""},
	} {
		for _, issuer := range []string{"one", "service", "list", "all"} {
			claims := map[string]any{}
			if x.org != nil {
				claims["org_id"] = x.org
			}
			id, err := v.Verify(t.Context(), sign(issuer, claims))
			if want := strings.Contains(x.allow, issuer); (err == nil) != want {
				t.Errorf("%s by issuer %s: %v, want accepted: %v", name, issuer, err, want)
			}
			if err == nil && (id.Org == "") == (name == "one") {
				t.Errorf("%s by issuer %s: org %q", name, issuer, id.Org)
			}
		}
	}
	text, sign := newWorkers(t, "text", "org_id")
	if id, err := text.Verify(t.Context(), sign("one", map[string]any{"org_id": "*"})); err == nil {
		t.Errorf("the text * is taken for the org %q", id.Org)
	}
}

// A pick is one of the token's orgs, and the claims name it alone.
func TestVerifier_Pick(t *testing.T) {
	for _, path := range []string{"org_id", "app.meta.org", "https://example.com/org"} {
		v, sign := newWorkers(t, "uuid", path)
		set := func(org any) map[string]any {
			if path == "app.meta.org" {
				return map[string]any{"app": map[string]any{"meta": map[string]any{"org": org, "n": json.Number("12345678901234567890")}}}
			}
			return map[string]any{path: org}
		}
		list, err := v.Verify(t.Context(), sign("list", set([]string{orgOne, orgTwo})))
		if err != nil {
			t.Fatal(err)
		}
		one, ok := v.Pick(list, strings.ToUpper(orgOne))
		if !ok || one.Org != orgOne || one.Picks() || one.TokenID != list.TokenID || list.Org != "" {
			t.Fatalf("pick: %+v %v", one, ok)
		}
		if lookup(claimsOf(t, one), path) != orgOne || strings.Contains(string(one.Claims), orgTwo) {
			t.Errorf("claims of the pick: %s", one.Claims)
		}
		if path == "app.meta.org" && !strings.Contains(string(one.Claims), "12345678901234567890") {
			t.Errorf("another claim has changed: %s", one.Claims)
		}
		for _, not := range []string{"", "*", "x", "33333333-3333-4333-8333-333333333333"} {
			if _, ok := v.Pick(list, not); ok {
				t.Errorf("%q was picked", not)
			}
		}
		if _, ok := v.Pick(one, orgOne); ok {
			t.Error("an identity of one org picks")
		}
		two, ok := v.Pick(list, orgTwo)
		if !ok || v.Valid(two) == nil || v.Valid(list) != nil {
			t.Error("the revoked org of a list can be used, or its other org cannot")
		}
		any, err := v.Verify(t.Context(), sign("all", set("*")))
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := v.Pick(any, orgOne); !ok || p.Org != orgOne || p.AllOrgs {
			t.Errorf("pick of any: %+v %v", p, ok)
		}
	}
	v, sign := newWorkers(t, "integer", "org_id")
	list, err := v.Verify(t.Context(), sign("list", map[string]any{"org_id": []int{4, 5}}))
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := v.Pick(list, "5"); !ok || !strings.Contains(string(p.Claims), `"org_id":5`) {
		t.Errorf("integer: %+v %v", p, ok)
	}
	if _, ok := v.Pick(list, "05"); ok {
		t.Error("05 was picked")
	}
}

func claimsOf(t *testing.T, id *Identity) map[string]any {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal(id.Claims, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
