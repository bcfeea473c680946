package main

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/database/audit"
)

// auditText prints a report for a terminal: what was looked at, the findings
// by severity and check, each with its fix, and the sum at the end, where a
// reader of a long report is.
func auditText(d display, r *audit.Report) {
	for _, line := range r.Head() {
		d.printf("%s\n", printable(line))
	}
	var severity audit.Severity
	for _, g := range r.Groups() {
		if g.Severity != severity {
			severity = g.Severity
			d.printf("\n%s\n", d.paint(severityColour(severity), strings.ToUpper(severity.String())))
		}
		d.printf("\n%s\n", d.paint(colourBold, g.Check+"  "+printable(g.Title)))
		for i := range g.Findings {
			auditFinding(d, &g.Findings[i])
		}
	}
	auditAccepted(d, r)
	d.printf("\n")
	for _, line := range r.Notes() {
		d.printf("%s\n", d.paint(colourYellow, printable(line)))
	}
	d.printf("%s\n", r.Counts())
}

func auditFinding(d display, f *audit.Finding) {
	d.printf("  %s\n", printable(f.Object))
	d.printf("      %s\n", printable(f.Detail))
	for _, line := range f.Evidence {
		d.printf("      %s\n", d.paint(colourDim, printable(line)))
	}
	for i, line := range strings.Split(f.Fix, "\n") {
		label := "      "
		if i == 0 {
			label = " fix: "
		}
		d.printf("%s%s\n", label, d.paint(colourGreen, printable(line)))
	}
}

func auditAccepted(d display, r *audit.Report) {
	baseline := 0
	var rows [][]string
	for i := range r.Accepted {
		a := &r.Accepted[i]
		if a.Baseline {
			baseline++
			continue
		}
		until := "-"
		if !a.Expires.IsZero() {
			until = a.Expires.Format("2006-01-02")
		}
		rows = append(rows, []string{"  " + a.Check, printable(a.Object), until, printable(a.Reason)})
	}
	if len(rows) > 0 {
		d.printf("\n%s\n", d.paint(colourBold, "ACCEPTED"))
		d.table(append([][]string{{"  CHECK", "OBJECT", "UNTIL", "REASON"}}, rows...))
	}
	if baseline > 0 {
		d.printf("\n%s of the baseline left out.\n", plural(baseline, "finding"))
	}
}

func severityColour(s audit.Severity) string {
	switch s {
	case audit.Critical, audit.High:
		return colourRed
	case audit.Medium:
		return colourYellow
	}
	return colourDim
}
