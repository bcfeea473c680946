package blocklog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// FaultKind is what is wrong at one place of a log.
type FaultKind string

// The kinds of faults.
const (
	FaultUnreadable FaultKind = "unreadable" // a line that is no record
	FaultChanged    FaultKind = "changed"    // a record whose hash is not that of its text
	FaultMissing    FaultKind = "missing"    // numbers are skipped: records were removed
	FaultOrder      FaultKind = "order"      // a number that is not higher than the one before: moved or repeated
	FaultLink       FaultKind = "link"       // the number follows, but the record names another predecessor
	FaultStart      FaultKind = "start"      // the first record is not number 1
	FaultTorn       FaultKind = "torn"       // the last line of a file has no end
	FaultAnchor     FaultKind = "anchor"     // the anchor's record is not there
)

// Fault is one thing that is wrong.
type Fault struct {
	Kind FaultKind `json:"kind"`
	File string    `json:"file"`
	Line int       `json:"line"` // from 1; 0 for the log as a whole
	Seq  uint64    `json:"seq"`  // 0 if it cannot be told
	What string    `json:"what"`
}

// Report is the outcome of [Verify].
type Report struct {
	Files     []string  `json:"files"`
	Records   int       `json:"records"`
	FirstSeq  uint64    `json:"first_seq"`
	LastSeq   uint64    `json:"last_seq"`
	FirstTime time.Time `json:"first_time"`
	LastTime  time.Time `json:"last_time"`
	LastHash  string    `json:"last_hash"` // the anchor for next time
	Lost      uint64    `json:"lost"`      // records that the writer itself says were lost
	Torn      []string  `json:"torn"`      // files that keep ends cut off by a crash
	Faults    []Fault   `json:"faults"`
	FaultsCut int       `json:"faults_cut"` // faults beyond the first maxFaults
}

// OK reports whether nothing is wrong.
func (r *Report) OK() bool { return len(r.Faults) == 0 }

// maxFaults bounds Report.Faults.
const maxFaults = 1000

// VerifyOptions are the options of [Verify].
type VerifyOptions struct {
	// Files are checked as one chain, in this order. A single one stands for
	// the log with all files rotated from it.
	Files []string
	// Anchor is the hash of a record, noted earlier and kept elsewhere: it
	// must still be in the chain. Without one, records removed from the end,
	// or a chain computed anew, cannot be found.
	Anchor string
	// Partial accepts a chain that does not begin with record 1, because
	// older files were archived.
	Partial bool
}

// Verify checks the hash chain. The error is one of reading; what is wrong
// with the content is in the report.
func Verify(o VerifyOptions) (Report, error) {
	files := o.Files
	if len(files) == 1 {
		all, err := Files(files[0])
		if err != nil {
			return Report{}, err
		}
		files = all
	}
	v := &verifier{options: o}
	v.report.Files, v.report.Faults, v.report.Torn = files, []Fault{}, []string{}
	for _, name := range files {
		if err := v.file(name); err != nil {
			return Report{}, err
		}
	}
	if o.Anchor != "" && !v.anchored {
		v.fault(Fault{Kind: FaultAnchor, What: "no record has the anchor's hash: records up to it were removed or rewritten"})
	}
	for _, name := range o.Files {
		torn, err := filepath.Glob(escapeGlob(name) + ".torn-*")
		if err != nil {
			return Report{}, fmt.Errorf("look for torn ends: %w", err)
		}
		v.report.Torn = append(v.report.Torn, torn...)
	}
	return v.report, nil
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// verifier is the state of one Verify.
type verifier struct {
	options  VerifyOptions
	report   Report
	prev     string // hash of the record before, as its text has it; "" at the start
	anchored bool
}

func (v *verifier) fault(f Fault) {
	if len(v.report.Faults) == maxFaults {
		v.report.FaultsCut++
		return
	}
	v.report.Faults = append(v.report.Faults, f)
}

func (v *verifier) file(name string) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return fmt.Errorf("read the blocked-query log: %s is a folder", name)
	}
	return eachLine(name, func(number int, line []byte, complete bool) error {
		v.line(Fault{File: name, Line: number}, line, complete)
		return nil
	})
}

// line checks one line; at is its place.
func (v *verifier) line(at Fault, line []byte, complete bool) {
	if !complete {
		at.Kind, at.What = FaultTorn, "the last line has no end: cut off by a crash, or being written at this moment"
		v.fault(at)
		return
	}
	r, hashed, err := decodeLine(line)
	if err != nil {
		at.Kind, at.What = FaultUnreadable, err.Error()
		v.fault(at)
		return
	}
	at.Seq = r.Seq
	if !hashed {
		at.Kind, at.What = FaultChanged, "the record was changed: its hash is not that of its text"
		v.fault(at)
	}
	v.link(at, &r)
	if v.report.Records == 0 {
		v.report.FirstSeq, v.report.FirstTime = r.Seq, r.Time
	}
	v.report.Records++
	v.report.LastSeq, v.report.LastTime, v.report.LastHash = r.Seq, r.Time, r.Hash
	v.report.Lost += r.Lost
	v.prev = r.Hash
	v.anchored = v.anchored || r.Hash == v.options.Anchor && hashed
}

// link compares a record with the one before it.
func (v *verifier) link(at Fault, r *Record) {
	last := v.report.LastSeq
	switch {
	case v.report.Records == 0 && r.Seq == 1:
		if r.PrevHash != genesis {
			at.Kind, at.What = FaultLink, "record 1 names a predecessor"
			v.fault(at)
		}
	case v.report.Records == 0:
		if !v.options.Partial {
			at.Kind, at.What = FaultStart, fmt.Sprintf("the chain begins with record %d: the %d before it are not here", r.Seq, r.Seq-1)
			v.fault(at)
		}
	case r.Seq > last+1:
		at.Kind, at.What = FaultMissing, missing(last, r.Seq)
		v.fault(at)
	case r.Seq <= last:
		at.Kind, at.What = FaultOrder, fmt.Sprintf("record %d stands behind record %d: moved, repeated or a second chain", r.Seq, last)
		v.fault(at)
	case r.PrevHash != v.prev:
		at.Kind, at.What = FaultLink, "the record before it is not the one that it was written behind"
		v.fault(at)
	}
}

func missing(last, next uint64) string {
	if next == last+2 {
		return fmt.Sprintf("record %d is missing", last+1)
	}
	return fmt.Sprintf("records %d to %d are missing", last+1, next-1)
}
