package condition

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// termKind tells what a value is.
type termKind uint8

const (
	termOther   termKind = iota
	termNull             // NULL: nothing equals it
	termColumn           // a column of an instance, perhaps cast
	termContext          // made of the session's settings, claims or functions of them
	termLiteral          // made of literals
	termLogin            // current_user and the like
	termDerived          // what a function that is not read makes of a column
)

// term is a value in a condition. Arrays and their elements are one term: an
// equation with it means "one of these".
type term struct {
	kind   termKind
	at     *instance // termColumn, termDerived, and a whole row
	column string    // termColumn, termDerived
	knows  bool      // termDerived: the function can know the session
	key    string    // termContext: what the setting, claim or function is called
	text   string    // termLiteral
	has    has
}

// has are the things that a value is made of.
type has uint8

const (
	hasTenant   has = 1 << iota // the row's tenant column
	hasRow                      // any column of the row
	hasContext                  // settings, claims, functions that read them
	hasLogin                    // current_user and the like
	hasEditable                 // a claim that users can change themselves
	hasTable                    // columns of other tables
)

// instance is one appearance of a table in a condition.
type instance struct {
	table   *inventory.Relation // nil for what is no table of the snapshot
	tenancy *inventory.Tenancy  // nil for what is no table
	row     bool                // the row that the policy is about
	role    string              // whose rights read it; "" for the application's
}

// isTenant reports whether a column carries the tenant's key.
func (i *instance) isTenant(column string) bool {
	if i.tenancy == nil || column == "" {
		return false
	}
	if c := i.tenancy.Column; c != nil && c.Name == column {
		return true
	}
	return slices.ContainsFunc(i.tenancy.Candidates, func(c *inventory.Column) bool { return c != nil && c.Name == column })
}

// identifies reports whether a column ties a row to its tenant: it carries the
// tenant's key, is the row's own key, or references another row.
func (i *instance) identifies(column string) bool {
	if i.isTenant(column) {
		return true
	}
	if i.table == nil {
		return false
	}
	return slices.ContainsFunc(i.table.Constraints, func(k *inventory.Constraint) bool {
		return (k.Kind == inventory.PrimaryKey || k.Kind == inventory.ForeignKey) &&
			slices.ContainsFunc(k.Columns, func(c *inventory.Column) bool { return c.Name == column })
	})
}

// mark says why a conjunction that does not bind the row may have been meant
// to.
type mark uint16

const (
	markNull     mark = 1 << iota // lets rows without a tenant pass, or all rows without a context
	markPattern                   // compares the tenant as a pattern
	markLiteral                   // compares the tenant with a literal
	markLogin                     // uses the login role
	markEditable                  // uses a claim that users can change
	markInverted                  // compares tenant and context, but not for equality
	markLost                      // too complicated: parts were left out
)

// clause is a conjunction.
type clause struct {
	instances  []*instance
	equal      [][2]term
	bound      []*instance // by a function that is taken on trust
	nulls      []nullTest
	conditions int // how many conjuncts there are, understood or not
	marks      mark
}

// nullTest says that a column of the policy's row is NULL, or is not.
type nullTest struct {
	column string
	null   bool
}

// contradicts reports whether a column would have to be NULL and not NULL: no
// row is such an alternative.
func (c clause) contradicts(d clause) bool {
	return slices.ContainsFunc(c.nulls, func(n nullTest) bool { return slices.Contains(d.nulls, nullTest{n.column, !n.null}) })
}

// with returns the conjunction of two clauses.
func (c clause) with(d clause) clause {
	return clause{
		instances:  append(slices.Clip(c.instances), d.instances...),
		equal:      append(slices.Clip(c.equal), d.equal...),
		bound:      append(slices.Clip(c.bound), d.bound...),
		nulls:      append(slices.Clip(c.nulls), d.nulls...),
		conditions: c.conditions + d.conditions,
		marks:      c.marks | d.marks,
	}
}

// maxClauses bounds the alternatives of a condition.
const maxClauses = 512

// anything is the condition true, nothing is false.
var (
	anything = []clause{{}}
	nothing  []clause
)

// both is the conjunction of two conditions. Where that has too many
// alternatives one of them is left out, which is weaker and so still sound.
func both(a, b []clause) []clause {
	if len(a)*len(b) > maxClauses {
		if len(b) < len(a) {
			a = b
		}
		kept := slices.Clone(a)
		for i := range kept {
			kept[i].conditions++
			kept[i].marks |= markLost
		}
		return kept
	}
	var list []clause
	for _, c := range a {
		for _, d := range b {
			if !c.contradicts(d) {
				list = append(list, c.with(d))
			}
		}
	}
	return list
}

// either is the disjunction of two conditions.
func either(a, b []clause) []clause {
	if len(a)+len(b) > maxClauses {
		return []clause{{conditions: 1, marks: markLost}}
	}
	return append(slices.Clip(a), b...)
}

// alternative is one value that an expression may have, and what holds when it
// has it.
type alternative struct {
	term
	clause
}

func just(t term) []alternative { return []alternative{{term: t}} }

// maxAlternatives bounds the values of one expression.
const maxAlternatives = 64

// hasOf is what any of the alternatives is made of.
func hasOf(list []alternative) has {
	var h has
	for _, a := range list {
		h |= a.has
	}
	return h
}

// combine is the value of an operator or function of other values: it is the
// session's if it is made of the session's and of literals only.
func combine(arguments ...[]alternative) []alternative {
	list := []alternative{{}}
	for i, argument := range arguments {
		if len(argument) == 0 {
			argument = just(term{})
		}
		if len(list)*len(argument) > maxAlternatives {
			return just(term{has: hasOf(slices.Concat(arguments...))})
		}
		var next []alternative
		for _, a := range list {
			for _, b := range argument {
				if i == 0 {
					next = append(next, b)
					continue
				}
				next = append(next, alternative{mix(a.term, b.term), a.clause.with(b.clause)})
			}
		}
		list = next
	}
	if len(arguments) == 0 {
		return just(term{})
	}
	return list
}

// mix is the value of something made of two values.
func mix(a, b term) term {
	t := term{has: a.has | b.has}
	fixed := func(k termKind) bool { return k == termLiteral || k == termNull }
	switch {
	case a.kind == termContext && (b.kind == termContext || fixed(b.kind)):
		t.kind, t.key = termContext, a.key
	case b.kind == termContext && fixed(a.kind):
		t.kind, t.key = termContext, b.key
	case a.kind == termLogin && fixed(b.kind), b.kind == termLogin && fixed(a.kind):
		t.kind = termLogin
	case fixed(a.kind) && fixed(b.kind):
		t.kind, t.text = termLiteral, a.text+" "+b.text
	}
	return t
}

// opaque makes values that are lost on us: of a clause nothing remains, as
// count(*) is a value even where there is no row.
func opaque(list []alternative) []alternative {
	return just(term{has: hasOf(list)})
}

// isSentinel reports whether a literal stands for "no tenant" where a context
// is not set: empty, or made of zeros.
func isSentinel(text string) bool {
	return strings.Trim(text, "-0 ") == "" || text == "-1"
}
