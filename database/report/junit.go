package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Suite is one test suite of JUnit XML, as CI servers read it.
type Suite struct {
	Name     string `xml:"name,attr"`
	Tests    int    `xml:"tests,attr"` // counted by Add, as the next two
	Failures int    `xml:"failures,attr"`
	Skipped  int    `xml:"skipped,attr"`
	Time     string `xml:"timestamp,attr"` // see Stamp
	Cases    []Case `xml:"testcase"`
}

// Case is one test: it failed, was skipped, or passed where it is neither.
type Case struct {
	Class   string   `xml:"classname,attr"`
	Name    string   `xml:"name,attr"`
	Failure *Message `xml:"failure,omitempty"`
	Skipped *Message `xml:"skipped,omitempty"`
	Out     string   `xml:"system-out,omitempty"`
}

// Message says why a case failed or was skipped.
type Message struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// NewSuite begins a suite that ran at a time.
func NewSuite(name string, at time.Time) *Suite {
	return &Suite{Name: name, Time: at.UTC().Format("2006-01-02T15:04:05")}
}

// Add adds a case and counts it.
func (s *Suite) Add(c Case) {
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr,omitempty"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Skipped  int      `xml:"skipped,attr"`
	Suites   []Suite  `xml:"testsuite"`
}

// WriteJUnit writes suites as one document. name may be "".
func WriteJUnit(w io.Writer, name string, list ...*Suite) error {
	all := suites{Name: xmlText(name)}
	for _, s := range list {
		all.Tests, all.Failures, all.Skipped = all.Tests+s.Tests, all.Failures+s.Failures, all.Skipped+s.Skipped
		all.Suites = append(all.Suites, s.printable())
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return fmt.Errorf("write JUnit XML: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// printable is the suite with what XML can hold.
func (s *Suite) printable() Suite {
	out := *s
	out.Name = xmlText(s.Name)
	out.Cases = make([]Case, len(s.Cases))
	for i, c := range s.Cases {
		out.Cases[i] = Case{
			Class: xmlText(c.Class), Name: xmlText(c.Name), Failure: c.Failure.printable(), Skipped: c.Skipped.printable(), Out: xmlText(c.Out),
		}
	}
	return out
}

func (m *Message) printable() *Message {
	if m == nil {
		return nil
	}
	return &Message{Message: xmlText(m.Message), Type: xmlText(m.Type), Text: xmlText(m.Text)}
}

// xmlText replaces what an XML document cannot hold: control characters,
// surrogates and what is no UTF-8.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == utf8.RuneError || r >= 0xFFFE && r <= 0xFFFF {
			return utf8.RuneError
		}
		return r
	}, s)
}
