package verify

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The parts of SARIF 2.1.0 that are used (docs.oasis-open.org/sarif/sarif/v2.1.0).
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string          `json:"id"`
	ShortDescription sarifText       `json:"shortDescription"`
	Properties       sarifProperties `json:"properties"`
}

type sarifProperties struct {
	Tags []string `json:"tags"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	ExecutionSuccessful bool   `json:"executionSuccessful"`
	StartTimeUTC        string `json:"startTimeUtc"`
	EndTimeUTC          string `json:"endTimeUtc"`
}

type sarifResult struct {
	RuleID              string            `json:"ruleId"`
	RuleIndex           int               `json:"ruleIndex"`
	Level               string            `json:"level"`
	Message             sarifText         `json:"message"`
	Locations           []sarifLocation   `json:"locations"`
	PartialFingerprints map[string]string `json:"partialFingerprints"`
}

type sarifLocation struct {
	LogicalLocations []sarifLogical `json:"logicalLocations"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
	Kind               string `json:"kind"`
}

// sarif writes the findings.
func (r *Report) sarif(w io.Writer) error {
	const stampForm = "2006-01-02T15:04:05Z"
	run := sarifRun{
		Tool: sarifTool{Driver: sarifDriver{Name: "bulkhead verify", Version: r.Run.ToolVersion, Rules: []sarifRule{}}},
		Invocations: []sarifInvocation{{
			ExecutionSuccessful: true, StartTimeUTC: r.Run.Started.UTC().Format(stampForm), EndTimeUTC: r.Run.Ended.UTC().Format(stampForm),
		}},
		Results: []sarifResult{},
	}
	for _, f := range r.Findings() {
		id := strings.ReplaceAll(f.Rule, " ", "-")
		n := slices.IndexFunc(run.Tool.Driver.Rules, func(rule sarifRule) bool { return rule.ID == id })
		if n < 0 {
			n = len(run.Tool.Driver.Rules)
			rule := sarifRule{ID: id, ShortDescription: sarifText{visible(f.Title)}, Properties: sarifProperties{Tags: []string{"security", "isolation"}}}
			if f.CWE > 0 {
				rule.Properties.Tags = append(rule.Properties.Tags, "external/cwe/cwe-"+strconv.Itoa(f.CWE))
			}
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
		}
		level := "warning"
		if f.Status == Leak {
			level = "error"
		}
		text := f.Title + " (" + f.Object + "): " + f.Got
		if f.Note != "" {
			text += ": " + f.Note
		}
		if f.Where != "" {
			text += " [" + f.Where + "]"
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: id, RuleIndex: n, Level: level, Message: sarifText{visible(text)},
			Locations:           []sarifLocation{{[]sarifLogical{{visible(r.Database.Name + "." + f.Object), "object"}}}},
			PartialFingerprints: map[string]string{"bulkheadVerify/v1": f.ID},
		})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}
