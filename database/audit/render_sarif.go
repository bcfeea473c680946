package audit

import (
	"encoding/json"
	"io"
	"net/url"
	"strings"
)

// The part of SARIF 2.1.0 (OASIS, sarif-v2.1.0) that a report needs.
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool    sarifTool     `json:"tool"`
	Results []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"version,omitempty"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string         `json:"id"`
	Name             string         `json:"name"`
	ShortDescription sarifText      `json:"shortDescription"`
	FullDescription  sarifText      `json:"fullDescription"`
	Help             sarifText      `json:"help"`
	Configuration    sarifLevel     `json:"defaultConfiguration"`
	Properties       map[string]any `json:"properties"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifLevel struct {
	Level string `json:"level"`
}

type sarifResult struct {
	RuleID              string             `json:"ruleId"`
	RuleIndex           int                `json:"ruleIndex"`
	Level               string             `json:"level"`
	Message             sarifText          `json:"message"`
	Locations           []sarifLocation    `json:"locations"`
	PartialFingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions        []sarifSuppression `json:"suppressions,omitempty"`
	Properties          map[string]any     `json:"properties"`
}

type sarifLocation struct {
	// Some readers want a file: the database stands for it.
	PhysicalLocation sarifPhysical  `json:"physicalLocation"`
	LogicalLocations []sarifLogical `json:"logicalLocations"`
}

type sarifPhysical struct {
	ArtifactLocation sarifArtifact `json:"artifactLocation"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
	Kind               string `json:"kind"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

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
	run := sarifRun{
		Tool:    sarifTool{Driver: sarifDriver{Name: "bulkhead", Version: tool.Version, InformationURI: "https://github.com/pgbulkhead/bulkhead"}},
		Results: []sarifResult{},
	}
	index := make(map[string]int)
	for i, c := range Checks() {
		index[c.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: c.ID, Name: c.Name, ShortDescription: sarifText{c.Title}, FullDescription: sarifText{c.Why}, Help: sarifText{c.Fix},
			Configuration: sarifLevel{sarifLevelOf(c.Severity)},
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
		result.Suppressions = []sarifSuppression{{Kind: "external", Justification: r.Accepted[i].Reason}}
		run.Results = append(run.Results, result)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

func sarifOf(f *Finding, index map[string]int, database string) sarifResult {
	properties := map[string]any{"severity": f.Severity.String(), "fix": f.Fix}
	if f.Count != nil {
		properties["count"] = *f.Count
	}
	return sarifResult{
		RuleID: f.Check, RuleIndex: index[f.Check], Level: sarifLevelOf(f.Severity),
		Message: sarifText{f.Title + ": " + f.Object + ". " + f.Detail},
		Locations: []sarifLocation{{
			PhysicalLocation: sarifPhysical{sarifArtifact{"database/" + url.PathEscape(database)}},
			LogicalLocations: []sarifLogical{{f.Object, kindOf(f.Object)}},
		}},
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
