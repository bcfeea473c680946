package audit

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/database/report"
)

// hostile is a report about names that somebody chose in order to be markup.
func hostile() *Report {
	count := int64(3)
	findings := []Finding{
		{Check: "A101", Object: `public."<script>alert(1)</script>"`, Severity: Critical, Detail: "a|b `c` <b>\x01", Fix: "SELECT '```'", FixIsSQL: true, Evidence: []string{"]]> --> <i>"}},
		{Check: "A601", Object: "app.t.org_id", Severity: High, Detail: "3 rows", Count: &count},
		{Check: "A318", Object: "role:x", Severity: Info, Detail: "always"},
	}
	for i := range findings {
		for _, c := range Checks() {
			if c.ID == findings[i].Check {
				findings[i].complete(&c)
			}
		}
	}
	return &Report{
		Model:    &inventory.Model{Snapshot: &inventory.Snapshot{Database: "a&b<c>", Server: inventory.Server{Version: "15.1"}}, TenantColumns: []string{"org_id"}},
		Now:      time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Findings: findings[:2],
		Accepted: []Accepted{{Finding: findings[2], Reason: "<u>known</u>"}},
		Expired:  []Allowance{{Check: "A101", Object: "*", Reason: "old", Expires: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}},
		Data:     true,
	}
}

func rendered(t *testing.T, format string) string {
	t.Helper()
	var b bytes.Buffer
	if err := Render(&b, format, hostile(), Tool{Version: "v1", Failing: Critical}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRender_JSON(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(rendered(t, "json")), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want one for each finding: %q", len(lines), lines)
	}
	var f map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &f); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"check", "object", "severity", "title", "detail", "fix", "count"} {
		if f[key] == nil || f[key] == "" {
			t.Errorf("%s is missing in %s", key, lines[1])
		}
	}
	if f["severity"] != "high" || f["count"] != 3.0 {
		t.Errorf("got %v", f)
	}
}

func TestRender_EscapesMarkup(t *testing.T) {
	for _, format := range []string{"html", "markdown"} {
		text := rendered(t, format)
		for _, bad := range []string{"<script>alert", "<i>", "<u>", "a&b<c>"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: %q is in it unescaped", format, bad)
			}
		}
		for _, want := range []string{"A101", "2026-01-01", "A318"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in it", format, want)
			}
		}
	}
	if text := rendered(t, "markdown"); !strings.Contains(text, "````sql\nSELECT '```'\n````") {
		t.Errorf("markdown: the fence is no longer than that in the text:\n%s", text)
	}
	if text := rendered(t, "html"); strings.Contains(text, "src=") || strings.Contains(text, "href=") {
		t.Error("html: it loads something")
	}
}

func TestRender_JUnit(t *testing.T) {
	var suites struct {
		Failures int            `xml:"failures,attr"`
		Suites   []report.Suite `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(rendered(t, "junit")), &suites); err != nil {
		t.Fatal(err)
	}
	suite := suites.Suites[0]
	failed := slices.DeleteFunc(slices.Clone(suite.Cases), func(c report.Case) bool { return c.Failure == nil })
	if suites.Failures != 1 || len(failed) != 1 || failed[0].Class != "bulkhead.audit.A101" {
		t.Errorf("got %d failures, %v; want A101 alone, the rest is below --fail-on", suites.Failures, failed)
	}
	if suite.Tests != len(Checks()) || suite.Skipped != 1 {
		t.Errorf("got %d tests, %d skipped; want a case for each of %d checks and 1 accepted", suite.Tests, suite.Skipped, len(Checks()))
	}
}

func TestRender_SARIF(t *testing.T) {
	var log struct {
		Version string
		Runs    []report.Run
	}
	if err := json.Unmarshal([]byte(rendered(t, "sarif")), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if log.Version != "2.1.0" || len(run.Results) != 3 || len(run.Tool.Driver.Rules) != len(Checks()) {
		t.Fatalf("got version %s, %d results, %d rules", log.Version, len(run.Results), len(run.Tool.Driver.Rules))
	}
	for i, level := range []string{"error", "error", "note"} {
		r := run.Results[i]
		if r.Level != level || run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || r.PartialFingerprints["bulkhead/v1"] == "" {
			t.Errorf("result %d: got %+v, want level %s", i, r, level)
		}
	}
	if s := run.Results[2].Suppressions; len(s) != 1 || s[0].Justification != "<u>known</u>" {
		t.Errorf("accepted: got %+v, want a suppression", s)
	}
	if got := run.Results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI; strings.ContainsAny(got, "<> ") {
		t.Errorf("URI: got %q", got)
	}
}

func TestReport_Exceptions(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	findings := []Finding{
		{Check: "A101", Object: "a"}, {Check: "A101", Object: "b"}, {Check: "A102", Object: "a"}, {Check: "A103", Object: "a"}, {Check: "A104", Object: "a"},
	}
	for i := range findings {
		findings[i].Fingerprint = Fingerprint(findings[i].Check, findings[i].Object)
	}
	r := &Report{Now: now}
	r.sort(findings, Exceptions{
		Allow: []Allowance{
			{Check: "A101", Object: "a", Reason: "r", Expires: day("2026-03-01")}, // the last day counts
			{Check: "A102", Object: "*", Reason: "r", Expires: day("2026-02-28")},
			{Check: "A102", Object: "other", Reason: "r", Expires: day("2020-01-01")}, // would cover nothing
			{Check: "A103", Object: "*", Reason: "r"},
		},
		Baseline: map[string]bool{Fingerprint("A104", "a"): true, Fingerprint("A103", "a"): true},
	})
	names := func(list []Finding) (s []string) {
		for _, f := range list {
			s = append(s, f.Check+" "+f.Object)
		}
		return s
	}
	if got, want := names(r.Findings), []string{"A101 b", "A102 a"}; !slices.Equal(got, want) {
		t.Errorf("findings: got %q, want %q", got, want)
	}
	if len(r.Accepted) != 3 || !r.Accepted[2].Baseline || r.Accepted[1].Baseline {
		t.Errorf("accepted: got %+v", r.Accepted)
	}
	if len(r.Expired) != 1 || r.Expired[0].Object != "*" {
		t.Errorf("expired: got %+v", r.Expired)
	}
	var b bytes.Buffer
	if err := WriteBaseline(&b, r); err != nil {
		t.Fatal(err)
	}
	known, err := ReadBaseline(&b)
	if err != nil || len(known) != 3 || !known[Fingerprint("A104", "a")] || known[Fingerprint("A101", "a")] {
		t.Errorf("baseline: got %v, %v; want the two findings and what was in the baseline", known, err)
	}
	for _, bad := range []string{"", "{}", `{"version": 2, "findings": []}`, `{"version": 1, "other": 1}`} {
		if _, err := ReadBaseline(strings.NewReader(bad)); err == nil {
			t.Errorf("ReadBaseline(%q): got no error", bad)
		}
	}
}

func TestProposal_YAML(t *testing.T) {
	p := Proposal{AppRoles: []string{"app", "on", "Two Words"}, OrgType: "text", TenantColumns: []string{"org_id"}, GlobalTables: []string{`public."it's"`, "a\nb"}}
	got := p.YAML("db\nx: y")
	for _, want := range []string{"for database db x: y.", "app_roles: [app, 'on', 'Two Words']", "root_table: ''", `global_tables: ['public."it''s"', "a\nb"]`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %q in it", got, want)
		}
	}
}
