package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLoadSchema_NeedsNoIssuer reads a file that says what the schema half
// must know, and nothing for serving clients.
func TestLoadSchema_NeedsNoIssuer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bulkhead.yaml")
	const text = `audit:
  app_roles: [app]
  root_table: public.orgs
  allow:
    - {check: A111, object: ref.rates, reason: one writer, expires: 2026-12-31}
    - {check: A312, object: "*", reason: needed, expires: "2027-01-01"}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadSchema(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	until, err := c.Audit.Allow[0].Until()
	if want := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC); err != nil || !until.Equal(want) {
		t.Errorf("until: got %v, %v, want %v", until, err, want)
	}
	if c.Audit.RootTable != "public.orgs" || c.Audit.AppRoles[0] != "app" || len(c.Audit.Allow) != 2 {
		t.Errorf("got %+v", c.Audit)
	}
	if _, err := Load(file, nil); err == nil {
		t.Error("Load: got no error, want server.dsn and auth.issuers to be missing")
	}
}

func TestLoadSchema_Problems(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bulkhead.yaml")
	const text = `audit:
  app_roles: [app, app]
  allow:
    - {check: X1, object: "", reason: " ", expires: tomorrow}
    - {check: A111, object: t, reason: r, until: 2026-01-01}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := LoadSchema(file, nil)
	var problems *Error
	if !errors.As(err, &problems) {
		t.Fatalf("got %v, want an Error", err)
	}
	for _, want := range []string{
		"audit.app_roles.1: \"app\" is listed twice", "audit.allow.0.check: \"X1\"", "audit.allow.0.object: is missing", "audit.allow.0.reason: is missing",
		"audit.allow.0.expires: \"tomorrow\" is not a day", "audit.allow.1.until: unknown key",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestLoadAllowances(t *testing.T) {
	file := filepath.Join(t.TempDir(), "allow.yaml")
	for _, test := range []struct {
		text, problem string
		count         int
	}{
		{"", "", 0},
		{"- {check: A111, object: t, reason: r, expires: 2026-01-01}\n- {check: A112, object: \"*\", reason: r}\n", "", 2},
		{"- {check: A111, object: t}\n", "allow.yaml:1: allow.0.reason: is missing", 0},
		{"- {check: A111, object: t, reason: r, expires: never}\n", "is not a day", 0},
		{"- {check: A111, objects: t, reason: r}\n", "unknown key", 0},
		{"allow: []\n", "must be a list", 0},
		{"- [\n", "not valid YAML", 0},
	} {
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := LoadAllowances(file)
		switch {
		case test.problem == "" && (err != nil || len(list) != test.count):
			t.Errorf("%q: got %v, %v, want %d entries", test.text, list, err, test.count)
		case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)):
			t.Errorf("%q: got %v, want %q", test.text, err, test.problem)
		}
	}
}
