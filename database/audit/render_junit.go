package audit

import (
	"io"

	"github.com/pgbulkhead/bulkhead/database/report"
)

// renderJUnit writes a case for each finding and for each check without one. A
// finding below the severity that fails the run passes, with its text.
func renderJUnit(w io.Writer, r *Report, tool Tool) error {
	suite := report.NewSuite("bulkhead audit "+r.Model.Snapshot.Database, r.Now)
	found := make(map[string]bool)
	for i := range r.Findings {
		f := &r.Findings[i]
		found[f.Check] = true
		c := report.Case{Class: "bulkhead.audit." + f.Check, Name: f.Check + " " + f.Name + ": " + f.Object}
		text := f.Detail + "\n\nFix:\n" + f.Fix
		if f.Severity >= tool.Failing {
			c.Failure = &report.Message{Message: f.Title + ": " + f.Object, Type: f.Severity.String(), Text: text}
		} else {
			c.Out = f.Severity.String() + ": " + text
		}
		suite.Add(c)
	}
	for i := range r.Accepted {
		a := &r.Accepted[i]
		found[a.Check] = true
		suite.Add(report.Case{
			Class: "bulkhead.audit." + a.Check, Name: a.Check + " " + a.Name + ": " + a.Object, Skipped: &report.Message{Message: "accepted: " + a.Reason},
		})
	}
	for _, check := range Checks() {
		if found[check.ID] {
			continue
		}
		c := report.Case{Class: "bulkhead.audit." + check.ID, Name: check.ID + " " + check.Name}
		if check.Source == Rows && !r.Data {
			c.Skipped = &report.Message{Message: "rows were not counted (--data)"}
		}
		suite.Add(c)
	}
	return report.WriteJUnit(w, "", suite)
}
