package verify

import (
	"io"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/report"
)

// sarif writes the findings.
func (r *Report) sarif(w io.Writer) error {
	run := &report.Run{
		Tool:        report.Tool{Driver: report.Driver{Name: "bulkhead verify", Version: r.Run.ToolVersion}},
		Invocations: []report.Invocation{report.NewInvocation(r.Run.Started, r.Run.Ended)},
	}
	driver := &run.Tool.Driver
	for _, f := range r.Findings() {
		id := strings.ReplaceAll(f.Rule, " ", "-")
		n := slices.IndexFunc(driver.Rules, func(rule report.Rule) bool { return rule.ID == id })
		if n < 0 {
			n = len(driver.Rules)
			driver.Rules = append(driver.Rules, sarifRule(id, &f))
		}
		level := "warning"
		if f.Status == Leak {
			level = "error"
		}
		run.Results = append(run.Results, report.Result{
			RuleID: id, RuleIndex: n, Level: level, Message: report.Text{Text: visible(sarifText(&f))},
			Locations:           report.At(r.Database.Name, visible(f.Object), "object"),
			PartialFingerprints: map[string]string{"bulkheadVerify/v1": f.ID},
		})
	}
	return report.WriteSARIF(w, run)
}

func sarifRule(id string, f *Finding) report.Rule {
	tags := []string{"security", "isolation"}
	if f.CWE > 0 {
		tags = append(tags, report.CWETag(f.CWE))
	}
	return report.Rule{ID: id, ShortDescription: report.Text{Text: visible(f.Title)}, Properties: map[string]any{"tags": tags}}
}

func sarifText(f *Finding) string {
	text := f.Title + " (" + f.Object + "): " + f.Got
	if f.Note != "" {
		text += ": " + f.Note
	}
	if f.Where != "" {
		text += " [" + f.Where + "]"
	}
	return text
}
