package verify

import (
	"encoding/xml"
	"fmt"
	"io"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// junit writes each cell, attempt and relation as a case.
func (r *Report) junit(w io.Writer) error {
	at := r.Run.Started.UTC().Format("2006-01-02T15:04:05")
	suites := junitSuites{Name: "bulkhead verify " + r.Database.Name}
	add := func(name string, cases []junitCase) {
		s := junitSuite{Name: name, Timestamp: at, Cases: cases, Tests: len(cases)}
		for _, c := range cases {
			if c.Failure != nil {
				s.Failures++
			}
			if c.Skipped != nil {
				s.Skipped++
			}
		}
		suites.Tests, suites.Failures, suites.Skipped = suites.Tests+s.Tests, suites.Failures+s.Failures, suites.Skipped+s.Skipped
		suites.Suites = append(suites.Suites, s)
	}
	var relations, cells, attempts []junitCase
	for _, rel := range r.Relations {
		relations = append(relations, newCase(rel.Name, "coverage", rel.Status, rel.Note, rel.Control))
	}
	for i := range r.Matrix {
		c := &r.Matrix[i]
		cells = append(cells, newCase(c.Relation, c.ID, c.Status, c.Note, detail(c.Statement, c.Expected, c.Got)))
	}
	for i := range r.Attacks {
		a := &r.Attacks[i]
		attempts = append(attempts, newCase(a.Class, a.ID, a.Status, a.Note, detail(a.Statement, a.Expected, a.Got)))
	}
	add("coverage", relations)
	add("matrix", cells)
	add("attacks", attempts)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suites); err != nil {
		return fmt.Errorf("encode JUnit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func detail(statement, expected, got string) string {
	return "statement: " + statement + "\nexpected: " + expected + "\ngot: " + got
}

func newCase(class, name string, status Status, note, text string) junitCase {
	c := junitCase{Class: visible(class), Name: visible(name)}
	switch status {
	case Leak, NotProven:
		c.Failure = &junitMessage{Message: visible(note), Type: string(status), Text: visible(text)}
	case Skipped, Exposed:
		c.Skipped = &junitMessage{Message: visible(note)}
	}
	return c
}
