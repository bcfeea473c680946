package report

import (
	"encoding/json"
	"io"
	"net/url"
	"strconv"
	"time"
)

// The part of SARIF 2.1.0 (OASIS, sarif-v2.1.0) that a report needs.

// Run is one run of a tool.
type Run struct {
	Tool        Tool         `json:"tool"`
	Invocations []Invocation `json:"invocations,omitempty"`
	Results     []Result     `json:"results"`
}

// Tool wraps the description of the tool.
type Tool struct {
	Driver Driver `json:"driver"`
}

// Driver is the tool and its rules.
type Driver struct {
	Name           string `json:"name"`
	Version        string `json:"version,omitempty"`
	InformationURI string `json:"informationUri,omitempty"`
	Rules          []Rule `json:"rules"`
}

// Rule is what a result refers to by its index.
type Rule struct {
	ID               string         `json:"id"`
	Name             string         `json:"name,omitempty"`
	ShortDescription Text           `json:"shortDescription"`
	FullDescription  *Text          `json:"fullDescription,omitempty"`
	Help             *Text          `json:"help,omitempty"`
	Configuration    *Configuration `json:"defaultConfiguration,omitempty"`
	Properties       map[string]any `json:"properties"`
}

// Text is a message.
type Text struct {
	Text string `json:"text"`
}

// Configuration holds the level that a rule has unless a result says another.
type Configuration struct {
	Level string `json:"level"` // error, warning, note
}

// Invocation says when the tool ran.
type Invocation struct {
	ExecutionSuccessful bool   `json:"executionSuccessful"`
	StartTimeUTC        string `json:"startTimeUtc"`
	EndTimeUTC          string `json:"endTimeUtc"`
}

// NewInvocation is a run that came to its end.
func NewInvocation(start, end time.Time) Invocation {
	const form = "2006-01-02T15:04:05Z"
	return Invocation{ExecutionSuccessful: true, StartTimeUTC: start.UTC().Format(form), EndTimeUTC: end.UTC().Format(form)}
}

// Result is one finding.
type Result struct {
	RuleID              string            `json:"ruleId"`
	RuleIndex           int               `json:"ruleIndex"`
	Level               string            `json:"level"`
	Message             Text              `json:"message"`
	Locations           []Location        `json:"locations"`
	PartialFingerprints map[string]string `json:"partialFingerprints"` // the same finding in another run
	Suppressions        []Suppression     `json:"suppressions,omitempty"`
	Properties          map[string]any    `json:"properties,omitempty"`
}

// Location is an object of a database.
type Location struct {
	PhysicalLocation Physical  `json:"physicalLocation"`
	LogicalLocations []Logical `json:"logicalLocations"`
}

// Physical stands for the file that some readers want.
type Physical struct {
	ArtifactLocation Artifact `json:"artifactLocation"`
}

// Artifact names it.
type Artifact struct {
	URI string `json:"uri"`
}

// Logical is the object's name and kind.
type Logical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
	Kind               string `json:"kind"`
}

// Suppression says that somebody has accepted a finding.
type Suppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

// At is the location of an object in a database, which stands for a file.
func At(database, object, kind string) []Location {
	return []Location{{
		PhysicalLocation: Physical{Artifact{"database/" + url.PathEscape(database)}}, LogicalLocations: []Logical{{object, kind}},
	}}
}

// CWETag is the tag by which code scanning services know a weakness.
func CWETag(cwe int) string { return "external/cwe/cwe-" + strconv.Itoa(cwe) }

// WriteSARIF writes a log of one run.
func WriteSARIF(w io.Writer, run *Run) error {
	if run.Results == nil {
		run.Results = []Result{}
	}
	if run.Tool.Driver.Rules == nil {
		run.Tool.Driver.Rules = []Rule{}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []*Run `json:"runs"`
	}{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []*Run{run}})
}
