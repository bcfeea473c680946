package condition

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// condition returns the alternatives in which an expression is true, or with
// not, false.
func (j *Judge) condition(e ast.Expr, s *scope, not bool) []clause {
	switch e := e.(type) {
	case *ast.And:
		return j.all(e.Args, s, not, not)
	case *ast.Or:
		return j.all(e.Args, s, not, !not)
	case *ast.Not:
		return j.condition(e.Arg, s, !not)
	case *ast.Constant:
		return constant(e, not)
	case *ast.Cast:
		return j.condition(e.Arg, s, not)
	case *ast.Operator:
		return j.operator(e, s, not)
	case *ast.Quantified:
		return j.quantified(e, s, not)
	case *ast.Distinct:
		return j.distinct(e, s, not)
	case *ast.IsNull:
		return j.isNull(e, s, not)
	case *ast.IsTruth:
		return j.truth(e, s, not)
	case *ast.Coalesce:
		return j.coalesce(e, s, not)
	case *ast.Case:
		return j.caseCondition(e, s, not)
	case *ast.Sublink:
		return j.sublink(e, s, not)
	case *ast.Call:
		return j.callCondition(e, s, not)
	}
	return j.unknown(e, s, 0)
}

// all is the conjunction or disjunction of expressions.
func (j *Judge) all(args []ast.Expr, s *scope, not, disjunction bool) []clause {
	if disjunction {
		list := nothing
		for _, a := range args {
			list = either(list, j.condition(a, s, not))
		}
		return list
	}
	list := anything
	for _, a := range args {
		list = both(list, j.condition(a, s, not))
	}
	return list
}

// constant is true, false or NULL. As a string it is what 't'::boolean reads.
func constant(e *ast.Constant, not bool) []clause {
	if e.Kind == ast.ConstantNull {
		return nothing
	}
	value := false
	for _, text := range []string{"true", "t", "on", "yes", "y", "1"} {
		value = value || e.Text == text
	}
	if value != not {
		return anything
	}
	return nothing
}

// unknown is a conjunct that is not understood: it counts for nothing, but
// what is in it may tell why.
func (j *Judge) unknown(e ast.Expr, s *scope, m mark) []clause {
	h := hasOf(j.values(e, s))
	if _, isCall := e.(*ast.Call); !isCall {
		h |= hasOf(j.children(e, s))
	}
	return []clause{{conditions: 1, marks: m | marksOf(h)}}
}

func marksOf(h has) mark {
	var m mark
	if h&hasLogin != 0 {
		m |= markLogin
	}
	if h&hasEditable != 0 {
		m |= markEditable
	}
	return m
}

func (j *Judge) isNull(e *ast.IsNull, s *scope, not bool) []clause {
	values := j.values(e.Arg, s)
	m := mark(0)
	if !not && (hasOf(values)|hasOf(j.children(e.Arg, s)))&hasTenant != 0 {
		m = markNull
	}
	list := j.unknown(e, s, m)
	if _, plain := e.Arg.(*ast.Column); plain && len(values) == 1 {
		if t := values[0].term; t.kind == termColumn && t.at != nil && t.at.row && t.column != "" {
			list[0].nulls = []nullTest{{t.column, !not}}
		}
	}
	return list
}

// truth is IS TRUE and its relatives. Those that NULL passes let rows and
// contexts without a tenant pass.
func (j *Judge) truth(e *ast.IsTruth, s *scope, not bool) []clause {
	opposite := map[ast.Truth]ast.Truth{
		ast.IsTrue: ast.IsNotTrue, ast.IsNotTrue: ast.IsTrue, ast.IsFalse: ast.IsNotFalse,
		ast.IsNotFalse: ast.IsFalse, ast.IsUnknown: ast.IsNotUnknown, ast.IsNotUnknown: ast.IsUnknown,
	}
	test := e.Test
	if not {
		test = opposite[test]
	}
	switch test {
	case ast.IsTrue:
		return j.condition(e.Arg, s, false)
	case ast.IsFalse:
		return j.condition(e.Arg, s, true)
	case ast.IsNotFalse, ast.IsUnknown:
		if j.mentions(e.Arg, s)&hasTenant != 0 {
			return j.unknown(e, s, markNull)
		}
	case ast.IsNotTrue:
		if j.mentions(e.Arg, s)&tenantAndContext == tenantAndContext {
			return j.unknown(e, s, markInverted)
		}
	}
	return j.unknown(e, s, 0)
}

// mentions is what all that an expression has in it is made of.
func (j *Judge) mentions(e ast.Expr, s *scope) has {
	var h has
	ast.Visitor{Expr: func(part ast.Expr) bool {
		switch part.(type) {
		case *ast.Column, *ast.Call, *ast.Value:
			h |= hasOf(j.values(part, s))
		}
		_, sublink := part.(*ast.Sublink)
		return !sublink
	}}.Visit(e)
	return h
}

// coalesce is true if one of its conditions is; a literal true behind a
// tenant condition lets rows and contexts without a tenant pass.
func (j *Judge) coalesce(e *ast.Coalesce, s *scope, not bool) []clause {
	list := nothing
	var before has
	for _, a := range e.Args {
		clauses := slices.Clone(j.condition(a, s, not))
		if before&hasTenant != 0 {
			for i := range clauses {
				clauses[i].marks |= markNull
			}
		}
		list = either(list, clauses)
		before |= j.mentions(a, s)
	}
	return list
}

func (j *Judge) caseCondition(e *ast.Case, s *scope, not bool) []clause {
	list := nothing
	for _, w := range e.Whens {
		when := w.Condition
		if e.Arg != nil {
			when = &ast.Operator{Name: ast.Name{Name: "="}, Left: e.Arg, Right: w.Condition}
		}
		result := j.condition(w.Result, s, not)
		if len(result) > 0 {
			list = either(list, both(j.condition(when, s, false), result))
		}
	}
	if e.Else != nil {
		list = either(list, j.condition(e.Else, s, not))
	}
	return list
}
