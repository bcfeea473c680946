package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"
	"time"
)

func TestWriteJUnit(t *testing.T) {
	s := NewSuite("a\x00b", time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("x", 3600)))
	s.Add(Case{Class: "c", Name: "ok"})
	s.Add(Case{Class: "c", Name: "<bad> & \x1b[31m", Failure: &Message{Message: `"q"`, Type: "leak", Text: "a\nb\xff\ufffe"}})
	s.Add(Case{Class: "c", Name: "left", Skipped: &Message{Message: "why"}})
	var b bytes.Buffer
	if err := WriteJUnit(&b, "all", s, NewSuite("empty", time.Time{})); err != nil {
		t.Fatal(err)
	}
	var got suites
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if got.Name != "all" || got.Tests != 3 || got.Failures != 1 || got.Skipped != 1 || len(got.Suites) != 2 {
		t.Errorf("got %+v", got)
	}
	x := got.Suites[0]
	if x.Time != "2026-03-01T11:00:00" || x.Name != "a\uFFFDb" || x.Cases[1].Name != "<bad> & \uFFFD[31m" || x.Cases[1].Failure.Text != "a\nb\uFFFD\uFFFD" {
		t.Errorf("got %+v, %+v", x, x.Cases[1].Failure)
	}
	if s.Cases[1].Name != "<bad> & \x1b[31m" {
		t.Error("writing changes the suite")
	}
}

func TestWriteSARIF(t *testing.T) {
	run := &Run{Tool: Tool{Driver{Name: "x"}}}
	var b bytes.Buffer
	if err := WriteSARIF(&b, run); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"results": []`, `"rules": []`, `"version": "2.1.0"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("an empty run lacks %s:\n%s", want, b.String())
		}
	}
	run.Tool.Driver.Rules = []Rule{{ID: "r", Properties: map[string]any{"tags": []string{CWETag(639)}}}}
	run.Invocations = []Invocation{NewInvocation(time.Unix(0, 0), time.Unix(1, 0))}
	run.Results = []Result{{RuleID: "r", Level: "error", Message: Text{"<m>"}, Locations: At("a b/c", `public."x y"`, "table"), PartialFingerprints: map[string]string{"f/v1": "1"}}}
	b.Reset()
	if err := WriteSARIF(&b, run); err != nil {
		t.Fatal(err)
	}
	var log struct{ Runs []Run }
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	got := log.Runs[0].Results[0]
	if l := got.Locations[0]; l.PhysicalLocation.ArtifactLocation.URI != "database/a%20b%2Fc" || l.LogicalLocations[0].FullyQualifiedName != `public."x y"` {
		t.Errorf("location: %+v", l)
	}
	if !strings.Contains(b.String(), "<m>") || !strings.Contains(b.String(), "external/cwe/cwe-639") || log.Runs[0].Invocations[0].StartTimeUTC != "1970-01-01T00:00:00Z" {
		t.Error(b.String())
	}
}
