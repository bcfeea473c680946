package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Formats are what Render can write.
func Formats() []string { return []string{"json", "markdown", "html", "sarif", "junit"} }

// Tool says who made a report.
type Tool struct {
	Version string
	// Failing is the least severity that fails the run, for JUnit.
	Failing Severity
}

// Render writes a report in one of Formats.
func Render(w io.Writer, format string, r *Report, tool Tool) error {
	switch format {
	case "json":
		return renderJSON(w, r)
	case "markdown":
		return renderMarkdown(w, r, tool)
	case "html":
		return renderHTML(w, r, tool)
	case "sarif":
		return renderSARIF(w, r, tool)
	case "junit":
		return renderJUnit(w, r, tool)
	}
	return fmt.Errorf("unknown format %q", format)
}

// renderJSON writes one object for each finding, one a line.
func renderJSON(w io.Writer, r *Report) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i := range r.Findings {
		if err := enc.Encode(&r.Findings[i]); err != nil {
			return err
		}
	}
	return nil
}

// Head says in sentences what was audited, for all human formats.
func (r *Report) Head() []string {
	m := r.Model
	s := m.Snapshot
	lines := []string{fmt.Sprintf("Database %s on PostgreSQL %s.", s.Database, s.Server.Version)}
	lines = append(lines, "Application roles: "+orNone(roleNames(m.AppRoles))+r.guessed("app roles", "--app-role")+".")
	root := "none found (--root-table names it)"
	if m.Root != nil {
		root = m.Root.Object() + r.guessed("root table", "--root-table")
	}
	lines = append(lines, "Table of tenants: "+root+".",
		"Tenant columns: "+orNone(m.TenantColumns)+r.guessed("tenant columns", "--tenant-column")+".")
	return append(lines, r.population(), r.coverage())
}

func roleNames(roles []*inventory.Role) []string {
	var names []string
	for _, role := range roles {
		names = append(names, role.Name)
	}
	return names
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (r *Report) guessed(what, flag string) string {
	for _, g := range r.Model.Guessed {
		if g == what {
			return " (guessed; set by " + flag + ")"
		}
	}
	return ""
}

// population counts the tables by class: what was looked at is part of the
// evidence.
func (r *Report) population() string {
	counts := make(map[inventory.Class]int)
	total := 0
	for _, t := range r.Model.Tenancies() {
		if judged(t.Relation) {
			counts[t.Class]++
			total++
		}
	}
	return fmt.Sprintf("%s: %d root, %d direct, %d indirect, %d global, %d unknown.", plural(total, "table", "tables"),
		counts[inventory.Root], counts[inventory.Direct], counts[inventory.Indirect], counts[inventory.Global], counts[inventory.Unknown])
}

func (r *Report) coverage() string {
	data := "Rows were not counted (--data does)."
	if r.Data {
		data = "Rows were counted."
	}
	return fmt.Sprintf("%d checks. %s", len(Checks()), data)
}

// Counts are the numbers of findings by severity, the most severe first.
func (r *Report) Counts() string {
	numbers := make(map[Severity]int)
	for i := range r.Findings {
		numbers[r.Findings[i].Severity]++
	}
	var parts []string
	for s := Critical; s >= Info; s-- {
		if numbers[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", numbers[s], s))
		}
	}
	if len(parts) == 0 {
		return "No findings."
	}
	return plural(len(r.Findings), "finding", "findings") + ": " + strings.Join(parts, ", ") + "."
}

// Worst reports whether a finding has at least a severity.
func (r *Report) Worst(least Severity) bool {
	for i := range r.Findings {
		if r.Findings[i].Severity >= least {
			return true
		}
	}
	return false
}

// Group is the findings of one check and severity.
type Group struct {
	Check    string
	Title    string
	Severity Severity
	Findings []Finding
}

// Groups puts the findings of one check together, the most severe first.
func (r *Report) Groups() []Group {
	var groups []Group
	for _, f := range r.Findings {
		if n := len(groups); n > 0 && groups[n-1].Check == f.Check && groups[n-1].Severity == f.Severity && groups[n-1].Title == f.Title {
			groups[n-1].Findings = append(groups[n-1].Findings, f)
			continue
		}
		groups = append(groups, Group{Check: f.Check, Title: f.Title, Severity: f.Severity, Findings: []Finding{f}})
	}
	return groups
}

// Notes are what a reader must know beside the findings.
func (r *Report) Notes() []string {
	var lines []string
	if r.Model.Root == nil {
		lines = append(lines, "No table of tenants was found: what depends on it was not judged. Name it with --root-table.")
	}
	for _, a := range r.Expired {
		lines = append(lines, fmt.Sprintf("The allowance of %s on %s ended on %s and no longer applies (%s).", a.Check, a.Object, a.Expires.Format("2006-01-02"), a.Reason))
	}
	for _, u := range r.Unfinished {
		lines = append(lines, fmt.Sprintf("%s on %s is unknown: %s. %s", u.Check, u.Object, u.Why, u.Advice))
	}
	return lines
}
