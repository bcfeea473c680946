package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/database/report"
)

func sample() *Report {
	r := &Report{
		Version: ReportVersion,
		Run: RunInfo{
			ID: "r1", Mode: Scratch, Walls: []Wall{Direct, Proxy}, Operator: "tester", Command: []string{"bulkhead", "verify"},
			Started: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Ended: time.Date(2026, 3, 1, 12, 0, 9, 0, time.UTC),
		},
		Database:  Database{Name: "app<script>", ServerVersion: "18.4", Fingerprint: "f", FingerprintAfter: "f"},
		Relations: []Relation{{Name: "public.a", Kind: "table", Class: "direct", Status: Leak}, {Name: "public.b|c", Kind: "table", Class: "unknown", Status: NotProven, Note: "declare it"}},
		Matrix: []Cell{
			{ID: "public.a/SELECT/other/simple/direct/A->B", Relation: "public.a", Command: cmdSelect, Status: Leak, Statement: "SELECT * FROM a WHERE id = $1", Got: "1 rows"},
			{ID: "public.a/LOCK TABLE/other/simple/direct/A->B", Relation: "public.a", Command: cmdLock, Status: Exposed},
			{ID: "public.a/DELETE/other/simple/direct/A->B", Relation: "public.a", Command: cmdDelete, Status: Pass},
		},
		Attacks:  []Attempt{{ID: "role.set/1/simple/proxy/A->B", Attack: "role.set", Class: classRole, Title: "SET ROLE", CWE: 269, Status: Pass, Rule: "G301", Seq: 7}},
		Accepted: []Exception{}, NotTested: []string{"timing"}, Caveats: []string{}, Controls: controls(),
	}
	r.finish(false)
	return r
}

func TestReport_Chain(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := sample()
	if err := r.Seal("", private); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Write(&b, "json"); err != nil {
		t.Fatal(err)
	}
	reread := func() *Report {
		again, err := Read(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	if err := reread().CheckSeal(public); err != nil {
		t.Errorf("as it was sealed: %v", err)
	}
	for name, change := range map[string]func(*Report){
		"status of a cell":  func(r *Report) { r.Matrix[0].Status = Pass },
		"a cell removed":    func(r *Report) { r.Matrix = r.Matrix[1:] },
		"order":             func(r *Report) { r.Matrix[0], r.Matrix[1] = r.Matrix[1], r.Matrix[0] },
		"result":            func(r *Report) { r.Result.Status = Isolated },
		"operator":          func(r *Report) { r.Run.Operator = "x" },
		"the report before": func(r *Report) { r.Chain.PrevHash = strings.Repeat("1", 64) },
		"relation":          func(r *Report) { r.Relations[0].Status = Pass },
	} {
		again := reread()
		change(again)
		if err := again.CheckSeal(public); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: got %v, want ErrChanged", name, err)
		}
	}
	other, _, _ := ed25519.GenerateKey(nil)
	if err := reread().CheckSeal(other); err == nil {
		t.Error("another key: got no error")
	}
	unsigned := sample()
	if err := unsigned.Seal(r.Chain.Hash, nil); err != nil {
		t.Fatal(err)
	}
	if unsigned.Chain.PrevHash != r.Chain.Hash || unsigned.CheckSeal(nil) != nil || unsigned.CheckSeal(public) == nil {
		t.Error("an unsigned report is accepted without a key only")
	}
}

func TestReport_Formats(t *testing.T) {
	r := sample()
	texts := make(map[string]string)
	for _, format := range Formats {
		var b bytes.Buffer
		if err := r.Write(&b, format); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		texts[format] = b.String()
	}
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
	}
	if err := xml.Unmarshal([]byte(texts["junit"]), &suites); err != nil {
		t.Fatal(err)
	}
	if suites.Tests != 6 || suites.Failures != 3 || suites.Skipped != 1 {
		t.Errorf("junit: got %d tests, %d failures, %d skipped", suites.Tests, suites.Failures, suites.Skipped)
	}
	var log struct{ Runs []report.Run }
	if err := json.Unmarshal([]byte(texts["sarif"]), &log); err != nil {
		t.Fatal(err)
	}
	if got := log.Runs[0]; len(got.Results) != 2 || got.Results[0].Level != "error" || got.Results[0].RuleID != "V-SELECT" ||
		!strings.Contains(fmt.Sprint(got.Tool.Driver.Rules[0].Properties["tags"]), "cwe-639") {
		t.Errorf("sarif: %+v", got)
	}
	if strings.Contains(texts["html"], "<script") || strings.Contains(texts["html"], "http://") || strings.Contains(texts["html"], "https://") {
		t.Error("the page has markup of the database's, or outside resources")
	}
	if !strings.Contains(texts["markdown"], `public.b\|c`) {
		t.Error("Markdown: a name breaks the table")
	}
	for _, format := range []string{"html", "markdown"} {
		for _, want := range []string{"LEAK", "Not tested", "SOC 2 CC6.1", "supports", "role", "CWE-639"} {
			if !strings.Contains(texts[format], want) {
				t.Errorf("%s lacks %q", format, want)
			}
		}
		if strings.Contains(strings.ToLower(texts[format]), "compliant") {
			t.Errorf("%s claims compliance", format)
		}
	}
	if err := r.Write(&bytes.Buffer{}, "pdf"); err == nil {
		t.Error("an unknown format: got no error")
	}
}

func TestReport_Verdict(t *testing.T) {
	for name, tt := range map[string]struct {
		r     Report
		allow bool
		want  Status
	}{
		"nothing tried":       {Report{}, false, NotProven},
		"all proven":          {Report{Relations: []Relation{{Status: Pass}}}, false, Isolated},
		"one open":            {Report{Relations: []Relation{{Status: Pass}, {Status: NotProven}}}, false, NotProven},
		"one open, allowed":   {Report{Relations: []Relation{{Status: Pass}, {Status: NotProven}}}, true, Isolated},
		"a leak, allowed":     {Report{Relations: []Relation{{Status: Pass}}, Attacks: []Attempt{{Status: Leak}}}, true, Leak},
		"another copy":        {Report{Relations: []Relation{{Status: Pass}}, Database: Database{Fingerprint: "a", ScratchFingerprint: "b"}}, false, NotProven},
		"another catalogue":   {Report{Relations: []Relation{{Status: Pass}}, Database: Database{Fingerprint: "a", ExpectedFingerprint: "b"}}, false, NotProven},
		"the one expected":    {Report{Relations: []Relation{{Status: Pass}}, Database: Database{Fingerprint: "a", ExpectedFingerprint: "a"}}, false, Isolated},
		"exposed is no leak":  {Report{Relations: []Relation{{Status: Pass}}, Attacks: []Attempt{{Status: Exposed}}}, false, Isolated},
		"skipped lowers none": {Report{Relations: []Relation{{Status: Pass}, {Status: Skipped}}}, false, Isolated},
	} {
		tt.r.finish(tt.allow)
		if tt.r.Result.Status != tt.want {
			t.Errorf("%s: got %s, want %s", name, tt.r.Result.Status, tt.want)
		}
	}
}

func TestExceptions(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	r := &runner{o: Options{now: func() time.Time { return now }, Exceptions: []Exception{
		{Match: "public.a/SELECT", Owner: "team", Reason: "known", Expires: "2026-12-31"},
		{Match: "role.*/proxy/*", Owner: "team", Reason: "known", Expires: "2026-06-01"},
	}}, report: sample()}
	r.report.Attacks[0].Status = Leak
	r.except()
	if r.report.Matrix[0].Status != Skipped || !strings.Contains(r.report.Matrix[0].Note, "team") {
		t.Errorf("the accepted finding: %+v", r.report.Matrix[0])
	}
	if r.report.Attacks[0].Status != Leak || len(r.report.Caveats) == 0 {
		t.Error("an exception counts after its end")
	}
	for pattern, ids := range map[string][2]string{
		"public.a":    {"public.a/SELECT", "public.ab/SELECT"},
		"*/LOCK *":    {"public.a/LOCK TABLE", "public.a/SELECT"},
		"role.*/A->B": {"role.set/1/A->B", "role.set/1/B->A"},
	} {
		if !matches(pattern, ids[0]) || matches(pattern, ids[1]) {
			t.Errorf("%s: want %s and not %s", pattern, ids[0], ids[1])
		}
	}
	if (&Exception{Match: "x", Owner: "o", Reason: "r", Expires: "soon"}).Check() == nil {
		t.Error("a day that is none is accepted")
	}
}
