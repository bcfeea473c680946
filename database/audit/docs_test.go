package audit

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/checks.md")

// TestCheckTexts checks what every check must say.
func TestCheckTexts(t *testing.T) {
	id, name, cwe := regexp.MustCompile(`^A[1-9]\d\d$`), regexp.MustCompile(`^[a-z0-9_]+$`), regexp.MustCompile(`^CWE-\d+$`)
	seen := make(map[string]bool)
	for _, c := range Checks() {
		if !id.MatchString(c.ID) || !name.MatchString(c.Name) || !cwe.MatchString(c.CWE) || seen[c.ID] || seen[c.Name] {
			t.Errorf("%q %q %q: malformed or used twice", c.ID, c.Name, c.CWE)
		}
		seen[c.ID], seen[c.Name] = true, true
		if c.Title == "" || c.Why == "" || c.Fix == "" || c.Run == nil || len(c.Controls) == 0 || c.Severity < Info || c.Severity > Critical {
			t.Errorf("%s: something is missing: %+v", c.ID, c)
		}
	}
}

// TestChecksDocument keeps docs/checks.md equal to the checks:
// go test ./database/audit -run TestChecksDocument -update.
func TestChecksDocument(t *testing.T) {
	const file = "../../docs/checks.md"
	want := checksDocument()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the checks say; rewrite it with go generate ./database/audit", file)
	}
}

func checksDocument() string {
	checks := Checks()
	slices.SortFunc(checks, func(a, b Check) int { return strings.Compare(a.ID, b.ID) })
	var b strings.Builder
	b.WriteString("# Checks\n\nGenerated from package database/audit by `go generate ./database/audit`; do not edit.\n\n" +
		"`bulkhead audit` ([audit.md](audit.md)) asks each of these about a database. A finding is known by the check's id and its object, both stable.\n\n" +
		"| Id | Name | Severity | Title |\n| --- | --- | --- | --- |\n")
	for _, c := range checks {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s |\n", c.ID, strings.ToLower(c.ID), c.Name, c.Severity, c.Title)
	}
	for _, c := range checks {
		fmt.Fprintf(&b, "\n## %s\n\n**%s** (`%s`): %s, from %s. %s. Supports %s.\n\nWhy: %s\n\nFix: %s\n", c.ID, upperFirst(c.Title), c.Name, c.Severity, c.Source, c.CWE,
			strings.Join(c.Controls, ", "), c.Why, c.Fix)
	}
	return b.String()
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
