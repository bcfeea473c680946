package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Allowance is one finding that somebody has accepted, with the reason.
type Allowance struct {
	Check  string
	Object string // "*" for every object
	Reason string
	// Expires is the last day on which it applies; the zero time is never.
	Expires time.Time
}

// expired reports whether the day after the last one has begun.
func (a *Allowance) expired(now time.Time) bool {
	return !a.Expires.IsZero() && !now.Before(a.Expires.AddDate(0, 0, 1))
}

func (a *Allowance) covers(f *Finding) bool {
	return a.Check == f.Check && (a.Object == f.Object || a.Object == "*")
}

// Exceptions are the findings that do not count.
type Exceptions struct {
	Allow []Allowance
	// Baseline holds fingerprints of findings that were there when a gate was
	// introduced: only new ones count.
	Baseline map[string]bool
}

// Accepted is a finding that an exception covers.
type Accepted struct {
	Finding
	Reason   string
	Expires  time.Time // zero for never
	Baseline bool      // it is in the baseline, and no allowance covers it
}

// sort puts each finding where the exceptions say.
func (r *Report) sort(findings []Finding, e Exceptions) {
	for _, finding := range findings {
		var by *Allowance
		for i := range e.Allow {
			a := &e.Allow[i]
			switch {
			case !a.covers(&finding):
			case a.expired(r.Now):
				if !slices.Contains(r.Expired, *a) {
					r.Expired = append(r.Expired, *a)
				}
			case by == nil:
				by = a
			}
		}
		switch {
		case by != nil:
			r.Accepted = append(r.Accepted, Accepted{Finding: finding, Reason: by.Reason, Expires: by.Expires})
		case e.Baseline[finding.Fingerprint]:
			r.Accepted = append(r.Accepted, Accepted{Finding: finding, Reason: "in the baseline", Baseline: true})
		default:
			r.Findings = append(r.Findings, finding)
		}
	}
}

// Validate says what is wrong with an allowance.
func (a *Allowance) Validate() error {
	known := slices.ContainsFunc(Checks(), func(c Check) bool { return c.ID == a.Check })
	switch {
	case !known:
		return fmt.Errorf("there is no check %q; docs/checks.md lists them", a.Check)
	case a.Object == "":
		return errors.New(`names no object: write it as the finding does, or "*" for all`)
	case strings.TrimSpace(a.Reason) == "":
		return errors.New("has no reason")
	}
	return nil
}

// baselineFile is the form of a baseline: readable in a review, compared by
// fingerprint.
type baselineFile struct {
	Version  int             `json:"version"`
	Findings []baselineEntry `json:"findings"`
}

type baselineEntry struct {
	Fingerprint string `json:"fingerprint"`
	Check       string `json:"check"`
	Object      string `json:"object"`
}

const baselineVersion = 1

// WriteBaseline writes the findings of a report, those of its baseline
// included, so that they do not count next time. Allowances stay where they
// are.
func WriteBaseline(w io.Writer, r *Report) error {
	file := baselineFile{Version: baselineVersion, Findings: []baselineEntry{}}
	add := func(f *Finding) {
		file.Findings = append(file.Findings, baselineEntry{f.Fingerprint, f.Check, f.Object})
	}
	for i := range r.Findings {
		add(&r.Findings[i])
	}
	for i := range r.Accepted {
		if r.Accepted[i].Baseline {
			add(&r.Accepted[i].Finding)
		}
	}
	slices.SortFunc(file.Findings, func(a, b baselineEntry) int {
		return strings.Compare(a.Check+"\n"+a.Object, b.Check+"\n"+b.Object)
	})
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(file)
}

// ReadBaseline reads what WriteBaseline wrote.
func ReadBaseline(r io.Reader) (map[string]bool, error) {
	var file baselineFile
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("not a baseline of bulkhead audit: %w", err)
	}
	if file.Version != baselineVersion {
		return nil, fmt.Errorf("baseline version %d is not known; write it anew with --write-baseline", file.Version)
	}
	known := make(map[string]bool)
	for _, f := range file.Findings {
		// The fingerprint is derived, so that a merge by hand cannot break it.
		known[Fingerprint(f.Check, f.Object)] = true
	}
	return known, nil
}
