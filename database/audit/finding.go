package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// Finding is one answer of a check that somebody should look at.
type Finding struct {
	Check    string   `json:"check"` // A101
	Name     string   `json:"name"`  // rls_disabled
	Object   string   `json:"object"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	Detail   string   `json:"detail"`
	Fix      string   `json:"fix"`
	// FixIsSQL says that Fix can be run as it is; else it is advice.
	FixIsSQL bool `json:"fix_is_sql"`
	// Count is a number of rows, of data checks.
	Count    *int64   `json:"count,omitempty"`
	Class    string   `json:"class,omitempty"`    // of the table that it is about
	Evidence []string `json:"evidence,omitempty"` // policy text, path of roles
	CWE      string   `json:"cwe,omitempty"`
	Controls []string `json:"controls,omitempty"`
	// Fingerprint is stable over runs: of check and object.
	Fingerprint string `json:"fingerprint"`
}

// Fingerprint is what a baseline knows a finding by.
func Fingerprint(check, object string) string {
	sum := sha256.Sum256([]byte(check + "\n" + object))
	const bytes = 16
	return hex.EncodeToString(sum[:bytes])
}

// complete fills in what the check says for all its findings.
func (f *Finding) complete(c *Check) {
	f.Check, f.Name = c.ID, c.Name
	f.Severity = cmp.Or(f.Severity, c.Severity)
	f.Title = cmp.Or(f.Title, c.Title)
	f.CWE = cmp.Or(f.CWE, c.CWE)
	f.Fix = cmp.Or(f.Fix, c.Fix)
	f.Controls = c.Controls
	f.Fingerprint = Fingerprint(f.Check, f.Object)
}

// sortFindings puts the most severe first.
func sortFindings(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Check, b.Check), cmp.Compare(a.Object, b.Object))
	})
}
