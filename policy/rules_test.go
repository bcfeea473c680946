package policy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite docs/rules.md")

// readRuleFile returns the lines of testdata/<id>.txtar by section; each line
// is one text, or one startup parameter.
func readRuleFile(t testing.TB, id string) map[string][]string {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", id+".txtar"))
	if err != nil {
		t.Fatalf("read cases of rule %s: %v", id, err)
	}
	sections := make(map[string][]string)
	for _, f := range archive.Files {
		sections[f.Name] = strings.Split(strings.TrimRight(string(f.Data), "\n"), "\n")
	}
	return sections
}

// notFromText are the rules whose violations are not statements in testdata:
// another test makes them.
func notFromText(id string) bool {
	switch id {
	case "G102", "G103", "G702", "G703", "G704", "G705", "G612", "G801", "G802", "G803", "G804", "G101":
		return true
	}
	return false
}

// TestRules runs the cases of every rule: what it must refuse, and what no
// rule may.
func TestRules(t *testing.T) {
	e := newTestEngine(t, testOptions(t))
	for _, r := range Rules() {
		if _, err := os.Stat(filepath.Join("testdata", r.ID+".txtar")); err != nil && notFromText(r.ID) {
			continue
		}
		t.Run(r.ID, func(t *testing.T) {
			sections := readRuleFile(t, r.ID)
			if len(sections["blocked.sql"])+len(sections["blocked.startup"]) == 0 || len(sections["allowed.sql"])+len(sections["allowed.startup"]) == 0 {
				t.Error("a rule needs blocked and allowed cases")
			}
			for _, text := range sections["blocked.sql"] {
				if d := e.Inspect(t.Context(), text, Simple).Decision; d.Action != Block || d.Rule != r.ID {
					t.Errorf("%s\n got %v %s %q\nwant blocked %s", text, d.Action, d.Rule, d.Reason, r.ID)
				}
			}
			for _, text := range sections["allowed.sql"] {
				if d := e.Inspect(t.Context(), text, Simple).Decision; d.Action != Allow {
					t.Errorf("%s\n got %v %s %q\nwant allowed", text, d.Action, d.Rule, d.Reason)
				}
			}
			testStartup(t, e, r.ID, sections)
		})
	}
}

// That a fresh snapshot does not know a name opens nothing but what names it:
// what a statement creates has a name that nobody knows.
func TestRules_Fresh(t *testing.T) {
	o := withLookup(t, testOptions(t))
	o.Catalog.TakenAt = time.Now()
	e := newTestEngine(t, o)
	e.Inspect(t.Context(), "SELECT FROM nothing_has_this_name", Simple) // and so a lookup
	for _, r := range Rules() {
		if r.ID == "G508" {
			continue // it is about just this
		}
		if _, err := os.Stat(filepath.Join("testdata", r.ID+".txtar")); err != nil {
			continue
		}
		for _, text := range readRuleFile(t, r.ID)["blocked.sql"] {
			if text == "" {
				continue
			}
			if d := e.Inspect(t.Context(), text, Simple).Decision; d.Action != Block {
				t.Errorf("%s, %s: got %v", r.ID, text, d.Action)
			}
		}
	}
}

func testStartup(t *testing.T, e *Engine, id string, sections map[string][]string) {
	t.Helper()
	for _, line := range sections["blocked.startup"] {
		name, value, _ := strings.Cut(line, "=")
		if d := e.StartupParameter(name, value); d.Action != Block || d.Rule != id {
			t.Errorf("startup %s: got %v %s %q, want blocked %s", line, d.Action, d.Rule, d.Reason, id)
		}
	}
	for _, line := range sections["allowed.startup"] {
		name, value, _ := strings.Cut(line, "=")
		if d := e.StartupParameter(name, value); d.Action != Allow {
			t.Errorf("startup %s: got %v %s %q, want allowed", line, d.Action, d.Rule, d.Reason)
		}
	}
}

// TestRuleExamples holds the documentation to what the rules do.
func TestRuleExamples(t *testing.T) {
	e := newTestEngine(t, testOptions(t))
	for _, r := range Rules() {
		if r.check == nil || notFromText(r.ID) {
			continue
		}
		blocked, allowed := e.decideExample(t, &r, r.Blocked), e.decideExample(t, &r, r.Allowed)
		if blocked.Action != Block || blocked.Rule != r.ID {
			t.Errorf("%s: its example %q: got %v %s %q", r.ID, r.Blocked, blocked.Action, blocked.Rule, blocked.Reason)
		}
		if allowed.Action != Allow {
			t.Errorf("%s: its allowed example %q: got %v %s %q", r.ID, r.Allowed, allowed.Action, allowed.Rule, allowed.Reason)
		}
	}
}

func (e *Engine) decideExample(t *testing.T, r *Rule, example string) Decision {
	t.Helper()
	return e.Inspect(t.Context(), example, Simple).Decision
}

// TestRuleTexts checks what every rule must say.
func TestRuleTexts(t *testing.T) {
	id := regexp.MustCompile(`^G[1-8]\d\d$`)
	seen := make(map[string]bool)
	for _, r := range Rules() {
		if !id.MatchString(r.ID) || seen[r.ID] {
			t.Errorf("id %q: malformed or used twice", r.ID)
		}
		seen[r.ID] = true
		for name, text := range map[string]string{
			"title": r.Title, "attack": r.Attack, "why": r.Why, "blocked": r.Blocked, "allowed": r.Allowed, "remedy": r.Remedy,
		} {
			if text == "" {
				t.Errorf("%s: no %s", r.ID, name)
			}
		}
		if len(r.Surfaces) == 0 {
			t.Errorf("%s: no surface", r.ID)
		}
	}
}

// TestRulesDocument keeps docs/rules.md equal to the rules:
// go test ./policy -run TestRulesDocument -update.
func TestRulesDocument(t *testing.T) {
	const file = "../docs/rules.md"
	want := rulesDocument()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the rules say; rewrite it with go generate ./policy", file)
	}
}

func rulesDocument() string {
	rules := Rules()
	slices.SortFunc(rules, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) })
	var b strings.Builder
	b.WriteString("# Rules\n\nGenerated from package policy by `go generate ./policy`; do not edit.\n\n" +
		"A statement that violates a rule is refused with the rule's id in the error's detail and in the blocked-query log. " +
		"`policy.rules` sets a rule to `enforce`, `observe` or `off`; `policy.allow` makes exceptions by name.\n\n" +
		"In observe mode violations are recorded and forwarded, also those of G7xx: what could not be read is not parsed any further, " +
		"so forwarding it does no harm to the proxy, but what it does to the session is then unknown and the server connection is not used again. " +
		"Replication (G102) is refused in every mode.\n\n| Id | Title |\n| --- | --- |\n")
	for i := range rules {
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", rules[i].ID, strings.ToLower(rules[i].ID), rules[i].Title)
	}
	for i := range rules {
		describeRule(&b, &rules[i])
	}
	return b.String()
}

func describeRule(b *strings.Builder, r *Rule) {
	state := r.SQLState
	if state == "" {
		state = stateRefused
	}
	fmt.Fprintf(b, "\n## %s\n\n**%s.** Checked on: %s. SQLSTATE %s.\n\n", r.ID, r.Title, strings.Join(r.Surfaces, ", "), state)
	fmt.Fprintf(b, "Attack: %s\n\nWhy not looser: %s\n", r.Attack, r.Why)
	if r.Gap != "" {
		fmt.Fprintf(b, "\nKnown gap: %s\n", r.Gap)
	}
	fmt.Fprintf(b, "\nRefused:\n\n```sql\n%s\n```\n\nAllowed:\n\n```sql\n%s\n```\n\nInstead: %s\n", r.Blocked, r.Allowed, r.Remedy)
}
