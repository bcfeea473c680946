package audit

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The JUnit XML that CI servers read.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"timestamp,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// renderJUnit writes a case for each finding and for each check without one. A
// finding below the severity that fails the run passes, with its text.
func renderJUnit(w io.Writer, r *Report, tool Tool) error {
	suite := junitSuite{Name: "bulkhead audit " + r.Model.Snapshot.Database, Time: r.Now.UTC().Format("2006-01-02T15:04:05")}
	found := make(map[string]bool)
	for i := range r.Findings {
		f := &r.Findings[i]
		found[f.Check] = true
		c := junitCase{Class: "bulkhead.audit." + f.Check, Name: f.Check + " " + f.Name + ": " + f.Object}
		text := f.Detail + "\n\nFix:\n" + f.Fix
		if f.Severity >= tool.Failing {
			c.Failure = &junitMessage{Message: f.Title + ": " + f.Object, Type: f.Severity.String(), Text: printableXML(text)}
		} else {
			c.Out = printableXML(f.Severity.String() + ": " + text)
		}
		suite.add(c)
	}
	for i := range r.Accepted {
		a := &r.Accepted[i]
		found[a.Check] = true
		suite.add(junitCase{
			Class: "bulkhead.audit." + a.Check, Name: a.Check + " " + a.Name + ": " + a.Object, Skipped: &junitMessage{Message: "accepted: " + a.Reason},
		})
	}
	for _, check := range Checks() {
		if found[check.ID] {
			continue
		}
		c := junitCase{Class: "bulkhead.audit." + check.ID, Name: check.ID + " " + check.Name}
		if check.Source == Rows && !r.Data {
			c.Skipped = &junitMessage{Message: "rows were not counted (--data)"}
		}
		suite.add(c)
	}
	suites := junitSuites{Tests: suite.Tests, Failures: suite.Failures, Skipped: suite.Skipped, Suites: []junitSuite{suite}}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suites); err != nil {
		return fmt.Errorf("write JUnit XML: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

// printableXML replaces what XML cannot hold.
func printableXML(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, s)
}
