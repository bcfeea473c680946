package condition

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// tenantAndContext are both sides of a comparison that ought to be an
// equation.
const tenantAndContext = hasTenant | hasContext

// inverted is a comparison that is not an equation.
func (j *Judge) inverted(e ast.Expr, s *scope) []clause {
	if searches(e) {
		return j.pattern(e, s)
	}
	m := mark(0)
	if (hasOf(j.children(e, s))|hasOf(j.values(e, s)))&tenantAndContext == tenantAndContext {
		m = markInverted
	}
	return j.unknown(e, s, m)
}

// searches reports whether an expression looks for one text in another.
func searches(e ast.Expr) bool {
	found := false
	ast.Visitor{Expr: func(e ast.Expr) bool {
		if c, ok := e.(*ast.Call); ok {
			switch c.Name.Name {
			case "strpos", "position", "regexp_match", "regexp_matches", "regexp_count", "regexp_instr", "regexp_like", "starts_with", "textregexeq", "like":
				found = true
			}
		}
		return true
	}}.Visit(e)
	return found
}

// operator is a comparison.
func (j *Judge) operator(e *ast.Operator, s *scope, not bool) []clause {
	if e.Left == nil || e.Name.Schema != "" && e.Name.Schema != "pg_catalog" {
		return j.unknown(e, s, 0)
	}
	if list, ok := j.countCondition(e, s, not); ok {
		return list
	}
	switch e.Name.Name {
	case "=":
		return j.equation(e, s, not)
	case "<>", "!=":
		return j.equation(e, s, !not)
	case "@>", "<@", "&&", "?":
		if !not && j.holdsElement(e) {
			return match(j.values(e.Left, s), j.values(e.Right, s))
		}
	case "~~", "~~*", "~", "~*", "^@", "!~~", "!~~*", "!~", "!~*":
		return j.pattern(e, s)
	}
	return j.inverted(e, s)
}

// holdsElement reports whether a containment operator is true only if one
// element at least is common: the contained side must not be an empty array.
func (j *Judge) holdsElement(e *ast.Operator) bool {
	contained := e.Right
	switch e.Name.Name {
	case "&&", "?":
		return true
	case "<@":
		contained = e.Left
	}
	for {
		switch c := contained.(type) {
		case *ast.Cast:
			contained = c.Arg
			continue
		case *ast.Array:
			return len(c.Elements) == 1
		case *ast.Call:
			return (c.Name.Name == "to_jsonb" || c.Name.Name == "jsonb_build_array") && len(c.Args) == 1
		}
		return false
	}
}

func (j *Judge) pattern(e ast.Expr, s *scope) []clause {
	h := hasOf(j.children(e, s))
	switch {
	case h&tenantAndContext == tenantAndContext:
		return j.unknown(e, s, markPattern)
	case h&(hasTenant|hasLogin) == hasTenant:
		return j.unknown(e, s, markLiteral)
	}
	return j.unknown(e, s, 0)
}

// equation is left = right, or with not, left <> right.
func (j *Judge) equation(e *ast.Operator, s *scope, not bool) []clause {
	for _, side := range [][2]ast.Expr{{e.Left, e.Right}, {e.Right, e.Left}} {
		if c, ok := bare(side[1]).(*ast.Constant); ok && c.Kind == ast.ConstantBoolean {
			return j.condition(side[0], s, not != (c.Text != "true"))
		}
	}
	if not {
		return j.inverted(e, s)
	}
	left, isRow := bare(e.Left).(*ast.Row)
	right, bothRows := bare(e.Right).(*ast.Row)
	if !isRow || !bothRows || len(left.Args) != len(right.Args) {
		return match(j.values(e.Left, s), j.values(e.Right, s))
	}
	list := anything
	for i := range left.Args {
		list = both(list, j.equation(&ast.Operator{Name: e.Name, Left: left.Args[i], Right: right.Args[i]}, s, false))
	}
	return list
}

// bare is an expression without casts.
func bare(e ast.Expr) ast.Expr {
	for {
		c, ok := e.(*ast.Cast)
		if !ok {
			return e
		}
		e = c.Arg
	}
}

// match is the equation of two values.
func match(left, right []alternative) []clause {
	list := nothing
	for _, l := range left {
		for _, r := range right {
			if c, ok := equal(l, r); ok {
				list = either(list, []clause{c})
			}
		}
	}
	return list
}

// equal is the equation of two alternatives; false if it cannot be true.
func equal(l, r alternative) (clause, bool) {
	c := l.clause.with(r.clause)
	if l.kind == termNull || r.kind == termNull {
		return c, false
	}
	if l.kind == termLiteral && r.kind == termLiteral {
		if l.text != r.text {
			c.conditions++ // perhaps the same in another spelling
		}
		return c, true
	}
	if l.kind == termColumn && r.kind == termColumn && l.at == r.at && l.column == r.column {
		return c, true
	}
	c.conditions++
	c.marks |= marksOf(l.has | r.has)
	for _, side := range [][2]term{{l.term, r.term}, {r.term, l.term}} {
		switch {
		case side[0].kind == termDerived && (side[0].knows || side[1].kind == termContext):
			c.bound = append(slices.Clip(c.bound), side[0].at)
		case side[0].kind != termDerived && side[0].has&hasTenant != 0 && side[1].kind == termLiteral:
			c.marks |= markLiteral
		}
	}
	c.equal = append(slices.Clip(c.equal), [2]term{l.term, r.term})
	return c, true
}

// distinct is IS DISTINCT FROM. Its negation is an equation that NULL passes.
func (j *Judge) distinct(e *ast.Distinct, s *scope, not bool) []clause {
	for _, side := range [][2]ast.Expr{{e.Left, e.Right}, {e.Right, e.Left}} {
		if c, ok := bare(side[1]).(*ast.Constant); ok && c.Kind == ast.ConstantBoolean {
			test := ast.IsNotFalse
			if c.Text == "true" {
				test = ast.IsNotTrue
			}
			return j.truth(&ast.IsTruth{Arg: side[0], Test: test}, s, not)
		}
	}
	switch h := hasOf(j.children(e, s)); {
	case not && h&hasTenant != 0:
		return j.unknown(e, s, markNull)
	case not:
		return j.unknown(e, s, 0)
	}
	return j.inverted(e, s)
}

// quantified is ANY or ALL of an array.
func (j *Judge) quantified(e *ast.Quantified, s *scope, not bool) []clause {
	plain := e.Name.Schema == "" || e.Name.Schema == "pg_catalog"
	name := e.Name.Name
	equals := name == "=" && !e.All && !not || (name == "<>" || name == "!=") && e.All && not
	switch {
	case plain && equals:
		if array, ok := bare(e.Right).(*ast.Array); ok {
			list := nothing
			for _, element := range array.Elements {
				list = either(list, j.equation(&ast.Operator{Name: ast.Name{Name: "="}, Left: e.Left, Right: element}, s, false))
			}
			return list
		}
		return match(j.values(e.Left, s), j.values(e.Right, s))
	case plain && len(name) > 1 && (name[0] == '~' || name[:2] == "!~" || name == "^@"):
		return j.pattern(e, s)
	}
	return j.inverted(e, s)
}
