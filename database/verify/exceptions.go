package verify

import (
	"fmt"
	"strings"
	"time"
)

// except turns findings that somebody has accepted, and not for longer than
// said, into skipped ones. It notes how often each exception was used.
func (r *runner) except() {
	today := r.o.now().UTC().Format(time.DateOnly)
	for _, e := range r.o.Exceptions {
		if e.Expires <= today {
			r.report.Caveats = append(r.report.Caveats, fmt.Sprintf("the exception for %s of %s has expired on %s", e.Match, e.Owner, e.Expires))
			continue
		}
		note := "accepted by " + e.Owner + " until " + e.Expires + ": " + e.Reason
		for i := range r.report.Matrix {
			if c := &r.report.Matrix[i]; open(c.Status) && matches(e.Match, c.ID) {
				c.Status, c.Note, e.Used = Skipped, note, e.Used+1
			}
		}
		for i := range r.report.Attacks {
			if a := &r.report.Attacks[i]; open(a.Status) && matches(e.Match, a.ID) {
				a.Status, a.Note, e.Used = Skipped, note, e.Used+1
			}
		}
		for i := range r.report.Relations {
			if rel := &r.report.Relations[i]; open(rel.Status) && matches(e.Match, rel.Name) {
				rel.Status, rel.Note, e.Used = Skipped, note, e.Used+1
			}
		}
		r.report.Accepted = append(r.report.Accepted, e)
	}
}

func open(s Status) bool { return s == Leak || s == NotProven }

// matches compares an id with a pattern in which * stands for any text, and a
// pattern without one for the whole id or what comes before a slash.
func matches(pattern, id string) bool {
	if !strings.Contains(pattern, "*") {
		return id == pattern || strings.HasPrefix(id, pattern+"/")
	}
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(id, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// Check reports what is wrong with an exception.
func (e *Exception) Check() error {
	if e.Match == "" || e.Owner == "" || e.Reason == "" {
		return fmt.Errorf("an exception needs match, owner and reason")
	}
	if _, err := time.Parse(time.DateOnly, e.Expires); err != nil {
		return fmt.Errorf("the exception for %s: expires must be a day, as 2026-12-31", e.Match)
	}
	return nil
}
