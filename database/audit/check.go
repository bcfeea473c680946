package audit

import (
	"fmt"
	"strings"
)

// Severity says how bad a finding is. The zero value is none: that of the
// check is meant.
type Severity uint8

// The severities.
const (
	Info     Severity = iota + 1 // for a decision or the record
	Low                          // denies too much, slow, or a small leak
	Medium                       // a way for one tenant to learn of or disturb another
	High                         // one more mistake and tenant data is reachable
	Critical                     // tenant data is reachable
)

var severityNames = [...]string{"", "info", "low", "medium", "high", "critical"}

// String is the severity's word.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("severity(%d)", s)
}

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ParseSeverity reads a severity's word.
func ParseSeverity(word string) (Severity, error) {
	for i, name := range severityNames {
		if i > 0 && name == strings.ToLower(word) {
			return Severity(i), nil
		}
	}
	return 0, fmt.Errorf("unknown severity %q: one of critical, high, medium, low, info", word)
}

// Source is what a check needs to know.
type Source uint8

// The sources.
const (
	Catalogue Source = iota // pg_catalog alone
	Policies                // the parsed expressions of policies and functions
	Rows                    // counts of rows: only with Options.Data
	RunTime                 // judged as far as the catalogue tells; verify proves it
	Always                  // true of every PostgreSQL: for the record
)

// String says it as docs/checks.md does.
func (s Source) String() string {
	return [...]string{"the catalogue", "the parsed expressions", "rows (with --data)", "run time", "always reported"}[s]
}

// Check is one question about a database.
type Check struct {
	ID       string // A101: stable
	Name     string // rls_disabled: stable
	Title    string // of a finding, in one line
	Severity Severity
	Source   Source
	CWE      string   // CWE-284
	Controls []string // of audit standards that the check supports
	Why      string   // the attack or fault, for docs/checks.md
	Fix      string   // what to do, in general
	// Run returns the findings. They need Object and Detail; what they leave
	// empty is filled in from the check.
	Run func(*Facts) []Finding
}

// The controls that checks name.
var (
	controlsAccess    = []string{"SOC 2 CC6.1", "ISO 27001:2022 A.8.3", "GDPR Art. 32(1)(b)"}
	controlsPrivilege = []string{"SOC 2 CC6.3", "ISO 27001:2022 A.5.15"}
	controlsIntegrity = []string{"SOC 2 CC6.1", "HIPAA 164.312(c)(1)"}
	controlsBoundary  = []string{"SOC 2 CC6.6", "SOC 2 CC7.2"}
	controlsChange    = []string{"SOC 2 CC8.1"}
	controlsAvailable = []string{"SOC 2 A1.1"}
)
