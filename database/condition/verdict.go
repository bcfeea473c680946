package condition

import "github.com/pgbulkhead/bulkhead/database/inventory"

// Verdict says what a condition does for the isolation of tenants.
type Verdict uint8

// The verdicts.
const (
	Sound         Verdict = iota // every row that passes is the session's own
	AlwaysTrue                   // every row passes
	WithoutTenant                // nothing compares row and session
	Branch                       // something does, but there are other ways to pass; or it is inverted
	NullTolerant                 // rows without a tenant pass, or all rows where no context is set
	Pattern                      // the tenant is compared as a pattern
	Literal                      // the tenant is compared with a literal
	Login                        // current_user is in place of a context
	Unreadable                   // it cannot be parsed
)

// String names the verdict for messages of tests.
func (v Verdict) String() string {
	return [...]string{"sound", "always true", "without tenant", "branch", "null tolerant", "pattern", "literal", "login", "unreadable"}[v]
}

// Judgement is what there is to say about one condition.
type Judgement struct {
	Verdict Verdict
	// Login says that current_user or the like is in it, Editable that a claim
	// is which users can change themselves.
	Login, Editable bool
	// Complicated says that parts of the condition were left out, as it has too
	// many alternatives.
	Complicated bool
}

// Judge judges the conjunction of conditions of a table's policies. With write
// it is one that rows must meet to be written.
func (j *Judge) Judge(r *inventory.Relation, write bool, texts ...string) Judgement {
	clauses, row := anything, j.rowScope(r)
	unreadable := false
	for _, text := range texts {
		e, err := j.Parse(text)
		if err != nil {
			unreadable = true // the others may do
			continue
		}
		clauses = both(clauses, j.condition(e, row, false))
	}
	g := j.judge(clauses, write)
	if unreadable && g.Verdict != Sound {
		g.Verdict = Unreadable
	}
	return g
}

func (j *Judge) judge(clauses []clause, write bool) Judgement {
	g := Judgement{Verdict: Sound}
	var bad []clause
	for _, c := range clauses {
		if !j.binds(c, write) {
			bad = append(bad, c)
		}
		g.Complicated = g.Complicated || c.marks&markLost != 0
		g.Login = g.Login || c.marks&markLogin != 0
		g.Editable = g.Editable || c.marks&markEditable != 0
	}
	if len(bad) > 0 {
		g.Verdict = worst(bad, len(bad) < len(clauses))
	}
	return g
}

// special are the marks that name a fault of their own, the one to name first
// if there are several.
var special = []struct {
	mark
	verdict Verdict
}{{markPattern, Pattern}, {markNull, NullTolerant}, {markLiteral, Literal}, {markLogin, Login}}

// worst is the verdict on alternatives that do not tie the row. others says
// that there are some that do.
func worst(bad []clause, others bool) Verdict {
	verdict, named := Sound, true
	inverted, empty := false, false
	for _, c := range bad {
		v := Sound
		for _, s := range special {
			if c.marks&s.mark != 0 && v == Sound {
				v = s.verdict
			}
		}
		named = named && v != Sound
		if verdict == Sound {
			verdict = v
		}
		inverted = inverted || c.marks&markInverted != 0
		empty = empty || c.conditions == 0
	}
	switch {
	case named:
		return verdict
	case others, inverted:
		return Branch
	case empty:
		return AlwaysTrue
	}
	return WithoutTenant
}
