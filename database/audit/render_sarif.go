package audit

import (
	"io"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/report"
)

// sarifLevelOf maps severities; security-severity keeps what levels lose.
func sarifLevelOf(s Severity) string {
	switch {
	case s >= High:
		return "error"
	case s == Medium:
		return "warning"
	}
	return "note"
}

// securitySeverity is a score as code scanning services bin it.
func securitySeverity(s Severity) string {
	return map[Severity]string{Critical: "9.5", High: "8.0", Medium: "5.5", Low: "3.0", Info: "0.0"}[s]
}

func renderSARIF(w io.Writer, r *Report, tool Tool) error {
	run := &report.Run{Tool: report.Tool{Driver: report.Driver{
		Name: "bulkhead", Version: tool.Version, InformationURI: "https://github.com/pgbulkhead/bulkhead",
	}}}
	index := make(map[string]int)
	for i, c := range Checks() {
		index[c.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, report.Rule{
			ID: c.ID, Name: c.Name, ShortDescription: report.Text{Text: c.Title}, FullDescription: &report.Text{Text: c.Why}, Help: &report.Text{Text: c.Fix},
			Configuration: &report.Configuration{Level: sarifLevelOf(c.Severity)},
			Properties: map[string]any{
				"security-severity": securitySeverity(c.Severity), "tags": []string{"security", "external/cwe/" + strings.ToLower(c.CWE)},
			},
		})
	}
	for i := range r.Findings {
		run.Results = append(run.Results, sarifOf(&r.Findings[i], index, r.Model.Snapshot.Database))
	}
	for i := range r.Accepted {
		result := sarifOf(&r.Accepted[i].Finding, index, r.Model.Snapshot.Database)
		result.Suppressions = []report.Suppression{{Kind: "external", Justification: r.Accepted[i].Reason}}
		run.Results = append(run.Results, result)
	}
	return report.WriteSARIF(w, run)
}

func sarifOf(f *Finding, index map[string]int, database string) report.Result {
	properties := map[string]any{"severity": f.Severity.String(), "fix": f.Fix}
	if f.Count != nil {
		properties["count"] = *f.Count
	}
	return report.Result{
		RuleID: f.Check, RuleIndex: index[f.Check], Level: sarifLevelOf(f.Severity),
		Message:             report.Text{Text: f.Title + ": " + f.Object + ". " + f.Detail},
		Locations:           report.At(database, f.Object, kindOf(f.Object)),
		PartialFingerprints: map[string]string{"bulkhead/v1": f.Fingerprint}, Properties: properties,
	}
}

// kindOf says what an object is, by its spelling.
func kindOf(object string) string {
	kind, _, found := strings.Cut(object, ":")
	switch {
	case found && !strings.ContainsAny(kind, `."`):
		return kind
	case strings.HasSuffix(object, ")"):
		return "function"
	}
	return "object"
}
