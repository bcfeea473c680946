package verify

import "time"

// ReportVersion is the version of the JSON form. Fields may be added to a
// version, never changed or removed.
const ReportVersion = 1

// Status is the outcome of one probe, relation or run.
type Status string

// The outcomes of probes.
const (
	// Pass: nothing of the other org was reached, and the probe could have.
	Pass Status = "pass"
	// Leak: something of the other org was read, written or disturbed.
	Leak Status = "leak"
	// Exposed: this wall alone does not hold it and cannot; the other one did
	// in the same run.
	Exposed Status = "exposed"
	// NotProven: the outcome tells nothing, see Note.
	NotProven Status = "not_proven"
	// Skipped: the probe makes no sense here, see Note.
	Skipped Status = "skipped"
)

// The outcomes of a run.
const (
	Isolated Status = "isolated"
)

// Report is the evidence of one run.
type Report struct {
	Version   int         `json:"version"`
	Run       RunInfo     `json:"run"`
	Database  Database    `json:"database"`
	Result    Result      `json:"result"`
	Relations []Relation  `json:"relations"`
	Matrix    []Cell      `json:"matrix"`
	Attacks   []Attempt   `json:"attacks"`
	Accepted  []Exception `json:"exceptions"`
	NotTested []string    `json:"not_tested"`
	Caveats   []string    `json:"caveats"`
	Controls  []Control   `json:"controls"`
	Chain     Chain       `json:"chain"`
}

// RunInfo says who ran what, when and how.
type RunInfo struct {
	ID          string    `json:"id"`
	ToolVersion string    `json:"tool_version"`
	Mode        Mode      `json:"mode"`
	Walls       []Wall    `json:"walls"` // the ways in that were tried
	Started     time.Time `json:"started"`
	Ended       time.Time `json:"ended"`
	Operator    string    `json:"operator"`
	Command     []string  `json:"command"`     // to repeat it; without secrets
	ConfigHash  string    `json:"config_hash"` // SHA-256 of the selection and options
}

// Database says what was looked at.
type Database struct {
	Name          string `json:"name"`
	ServerVersion string `json:"server_version"`
	Fingerprint   string `json:"fingerprint"` // of the catalogue, before the run
	// FingerprintAfter is taken at the end: equal means that the run has left
	// no object behind.
	FingerprintAfter string `json:"fingerprint_after"`
	// ScratchFingerprint is that of the copy in scratch mode; it must equal
	// Fingerprint.
	ScratchFingerprint string `json:"scratch_fingerprint,omitempty"`
	// ExpectedFingerprint is that of another database, production's, if it was
	// given: what is proven here holds there only if both are equal.
	ExpectedFingerprint string `json:"expected_fingerprint,omitempty"`
}

// Result is the outcome on one page.
type Result struct {
	Status   Status         `json:"status"` // isolated, leak or not_proven
	Coverage Coverage       `json:"coverage"`
	Cells    map[Status]int `json:"cells"`
	Attacks  map[Status]int `json:"attacks"`
	Summary  string         `json:"summary"`
}

// Coverage is how much of the population is proven.
type Coverage struct {
	Population int     `json:"population"` // relations that hold or show tenants' rows
	Proven     int     `json:"proven"`
	Percent    float64 `json:"percent"`
}

// Relation is one member of the population and what is known about it.
type Relation struct {
	Name   string `json:"relation"`
	Kind   string `json:"kind"`
	Class  string `json:"class"` // root, direct, indirect, global, unknown, derived
	Status Status `json:"status"`
	// Canary says where the row came from by which the other org was
	// recognised: existing, generated, copied, none.
	Canary string `json:"canary"`
	// Control is the positive control: visible, or why it failed.
	Control string `json:"control"`
	Note    string `json:"note,omitempty"`
}

// Cell is one cell of the matrix.
type Cell struct {
	ID        string `json:"id"` // relation/command/context/path/wall/direction: stable between runs
	Relation  string `json:"relation"`
	Command   string `json:"command"`
	Context   string `json:"context"`   // same, other, none, empty, garbage, expired
	Path      string `json:"path"`      // simple, extended, pipelined, prepared, multi, login
	Wall      Wall   `json:"wall"`      // direct, proxy
	Direction string `json:"direction"` // A->B: a session of org A at rows of org B
	Statement string `json:"statement"` // without literals
	Expected  string `json:"expected"`
	Got       string `json:"got"`
	SQLState  string `json:"sqlstate,omitempty"`
	Rule      string `json:"rule,omitempty"` // of the proxy that refused it
	Seq       uint64 `json:"blocked_seq,omitempty"`
	Status    Status `json:"status"`
	Note      string `json:"note,omitempty"`
}

// Attempt is one attack by one way in.
type Attempt struct {
	ID        string `json:"id"` // attack/path/wall/direction
	Attack    string `json:"attack"`
	Class     string `json:"class"`
	Title     string `json:"title"`
	CWE       int    `json:"cwe"`
	Path      string `json:"path"`
	Wall      Wall   `json:"wall"`
	Direction string `json:"direction"`
	Statement string `json:"statement"` // without literals
	Expected  string `json:"expected"`
	Got       string `json:"got"`
	SQLState  string `json:"sqlstate,omitempty"`
	Rule      string `json:"rule,omitempty"`
	Seq       uint64 `json:"blocked_seq,omitempty"` // line of the blocked-query log that proves that the proxy saw it
	Status    Status `json:"status"`
	Note      string `json:"note,omitempty"`

	label string // application_name of its session
}

// Exception is a known finding that somebody has accepted for a time.
type Exception struct {
	Match   string `json:"match" yaml:"match"` // id of a cell or attempt, or the name of a relation; * stands for anything
	Owner   string `json:"owner" yaml:"owner"`
	Reason  string `json:"reason" yaml:"reason"`
	Expires string `json:"expires" yaml:"expires"` // 2006-01-02; from that day on it counts no more
	Used    int    `json:"used" yaml:"-"`          // findings that it covers in this run
}

// Control says what a report supports an auditor with. It never says that
// somebody is compliant.
type Control struct {
	Control  string `json:"control"`
	Supports string `json:"supports"`
}

// Chain ties the records of a report together, and reports to each other.
type Chain struct {
	Algorithm string `json:"algorithm"`
	Records   int    `json:"records"`
	PrevHash  string `json:"prev_hash"` // hash of the report before, 64 zeros for the first
	Hash      string `json:"hash"`
	PublicKey string `json:"public_key,omitempty"` // Ed25519, hex
	Signature string `json:"signature,omitempty"`  // of Hash, hex
}

// finish counts the outcomes. allowNotProven leaves what is not proven out of
// the verdict.
func (r *Report) finish(allowNotProven bool) {
	r.Result.Cells, r.Result.Attacks = make(map[Status]int), make(map[Status]int)
	for i := range r.Matrix {
		r.Result.Cells[r.Matrix[i].Status]++
	}
	for i := range r.Attacks {
		r.Result.Attacks[r.Attacks[i].Status]++
	}
	c := &r.Result.Coverage
	c.Population, c.Proven = 0, 0
	for i := range r.Relations {
		if r.Relations[i].Status == Skipped {
			continue
		}
		c.Population++
		if r.Relations[i].Status == Pass {
			c.Proven++
		}
	}
	c.Percent = 100
	if c.Population > 0 {
		c.Percent = float64(c.Proven*1000/c.Population) / 10 // rounded down: 100 means all
	}
	leaks := r.Result.Cells[Leak] + r.Result.Attacks[Leak]
	open := c.Population - c.Proven + r.Result.Cells[NotProven] + r.Result.Attacks[NotProven]
	for i := range r.Relations {
		if r.Relations[i].Status == Leak {
			leaks++
		}
	}
	if d := r.Database; d.ScratchFingerprint != "" && d.ScratchFingerprint != d.Fingerprint {
		open++ // the proof is about something else
	}
	if d := r.Database; d.ExpectedFingerprint != "" && d.ExpectedFingerprint != d.Fingerprint {
		open++
	}
	switch {
	case leaks > 0:
		r.Result.Status = Leak
	case (open > 0 || c.Population == 0) && !allowNotProven:
		r.Result.Status = NotProven
	default:
		r.Result.Status = Isolated
	}
	r.Result.Summary = r.summary()
}
