package verify

import "fmt"

// summary says the result in one sentence.
func (r *Report) summary() string {
	c := r.Result.Coverage
	of := fmt.Sprintf("%d of %d relations proven (%.1f %%), %d probes and %d attacks by %s",
		c.Proven, c.Population, c.Percent, len(r.Matrix), len(r.Attacks), wallList(r.Run.Walls))
	switch r.Result.Status {
	case Leak:
		n := r.Result.Cells[Leak] + r.Result.Attacks[Leak]
		return fmt.Sprintf("LEAK: %d probes or attacks reached another org; %s", n, of)
	case NotProven:
		return "NOT PROVEN: no leak was found, but not everything could be tried; " + of
	}
	return "ISOLATED: no leak was found; " + of
}

func wallList(walls []Wall) string {
	switch len(walls) {
	case 0:
		return "no way in"
	case 1:
		return wallName(walls[0])
	}
	return wallName(walls[0]) + " and " + wallName(walls[1])
}

func wallName(w Wall) string {
	if w == Proxy {
		return "the proxy"
	}
	return "direct connections"
}

// Findings are the cells and attempts that are not in order, leaks first: one
// for each relation and command, or attack, and way in.
func (r *Report) Findings() []Finding {
	var leaks, open []Finding
	index := make(map[string]int)
	add := func(f Finding, group string) {
		list := &open
		if f.Status == Leak {
			list = &leaks
		} else if f.Status != NotProven {
			return
		}
		group = string(f.Status) + group
		if i, ok := index[group]; ok {
			(*list)[i].Count++
			return
		}
		f.Count, index[group] = 1, len(*list)
		*list = append(*list, f)
	}
	for i := range r.Matrix {
		c := &r.Matrix[i]
		add(Finding{
			ID: c.ID, Rule: "V-" + c.Command, Object: c.Relation, Title: c.Command + " on another org's row", CWE: cweOf(c.Command),
			Statement: c.Statement, Expected: c.Expected, Got: c.Got, Status: c.Status, Note: c.Note, Where: where(c.Wall, c.Path, c.Context),
		}, c.Relation+"/"+c.Command+"/"+string(c.Wall))
	}
	for i := range r.Attacks {
		a := &r.Attacks[i]
		add(Finding{
			ID: a.ID, Rule: "V-" + a.Attack, Object: a.Class, Title: a.Title, CWE: a.CWE,
			Statement: a.Statement, Expected: a.Expected, Got: a.Got, Status: a.Status, Note: a.Note, Where: where(a.Wall, a.Path, ""),
		}, a.Attack+"/"+string(a.Wall))
	}
	for i := range r.Relations {
		rel := &r.Relations[i]
		if rel.Status == NotProven {
			add(Finding{
				ID: rel.Name, Rule: "V-coverage", Object: rel.Name, Title: "relation not proven",
				Expected: "a canary and a positive control", Got: rel.Control, Status: NotProven, Note: rel.Note,
			}, rel.Name)
		}
	}
	return append(leaks, open...)
}

// Finding is a cell, attempt or relation that is not in order.
type Finding struct {
	ID, Rule, Object, Title, Where string
	CWE                            int
	Statement, Expected, Got, Note string
	Status                         Status
	Count                          int // probes or attempts with this outcome; the fields are those of the first
}

func where(w Wall, path, context string) string {
	s := string(w) + ", " + path
	if context != "" {
		s += ", context " + context
	}
	return s
}

// cweOf maps a command of the matrix to a weakness.
func cweOf(command string) int {
	switch command {
	case cmdTruncate, cmdLock:
		return 250 // execution with unnecessary privileges
	}
	return 639 // authorization bypass through a user-controlled key
}
