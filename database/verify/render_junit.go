package verify

import (
	"io"

	"github.com/pgbulkhead/bulkhead/database/report"
)

// junit writes each cell, attempt and relation as a case.
func (r *Report) junit(w io.Writer) error {
	suite := func(name string) *report.Suite { return report.NewSuite(name, r.Run.Started) }
	relations, cells, attempts := suite("coverage"), suite("matrix"), suite("attacks")
	for _, rel := range r.Relations {
		relations.Add(newCase(rel.Name, "coverage", rel.Status, rel.Note, rel.Control))
	}
	for i := range r.Matrix {
		c := &r.Matrix[i]
		cells.Add(newCase(c.Relation, c.ID, c.Status, c.Note, detail(c.Statement, c.Expected, c.Got)))
	}
	for i := range r.Attacks {
		a := &r.Attacks[i]
		attempts.Add(newCase(a.Class, a.ID, a.Status, a.Note, detail(a.Statement, a.Expected, a.Got)))
	}
	return report.WriteJUnit(w, "bulkhead verify "+visible(r.Database.Name), relations, cells, attempts)
}

func detail(statement, expected, got string) string {
	return "statement: " + statement + "\nexpected: " + expected + "\ngot: " + got
}

func newCase(class, name string, status Status, note, text string) report.Case {
	c := report.Case{Class: visible(class), Name: visible(name)}
	switch status {
	case Leak, NotProven:
		c.Failure = &report.Message{Message: visible(note), Type: string(status), Text: text}
	case Skipped, Exposed:
		c.Skipped = &report.Message{Message: visible(note)}
	}
	return c
}
