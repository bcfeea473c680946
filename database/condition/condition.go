package condition

import (
	"slices"
	"strconv"

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
		list = both(list, match(j.values(left.Args[i], s), j.values(right.Args[i], s)))
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

func (j *Judge) isNull(e *ast.IsNull, s *scope, not bool) []clause {
	if h := hasOf(j.values(e.Arg, s)) | hasOf(j.children(e.Arg, s)); !not && h&hasTenant != 0 {
		return j.unknown(e, s, markNull)
	}
	return j.unknown(e, s, 0)
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

// sublink is a sub-select as a condition.
func (j *Judge) sublink(e *ast.Sublink, s *scope, not bool) []clause {
	switch {
	case e.Kind == ast.SublinkScalar:
		return j.scalarCondition(e, s, not)
	case not && !(e.Kind == ast.SublinkAll && e.Operator.Name == "<>"):
		return j.inverted(e, s)
	case e.Kind == ast.SublinkExists:
		return j.exists(e.Query, s)
	case e.Kind == ast.SublinkAny && e.Operator.Name == "=", not:
		return j.isIn(e, s)
	case e.Kind == ast.SublinkAny && len(e.Operator.Name) > 1 && e.Operator.Name[0] == '~':
		return j.pattern(e, s)
	}
	return j.inverted(e, s)
}

// exists is EXISTS: there is a row. An aggregate always gives one.
func (j *Judge) exists(q *ast.Select, s *scope) []clause {
	list := nothing
	for _, r := range j.rows(q, s) {
		if r.empty {
			return anything
		}
		r.clause.conditions++
		list = either(list, []clause{r.clause})
	}
	return list
}

// isIn is test IN (query): there is a row that equals it.
func (j *Judge) isIn(e *ast.Sublink, s *scope) []clause {
	tests := []ast.Expr{e.Test}
	if r, ok := e.Test.(*ast.Row); ok {
		tests = r.Args
	}
	list := nothing
	for _, r := range j.rows(e.Query, s) {
		clauses := []clause{r.always()}
		for i, test := range tests {
			if i >= len(r.columns) {
				clauses = []clause{{conditions: 1, marks: markLost}}
				break
			}
			clauses = both(clauses, []clause{r.holding(r.columns[i].Value)})
			clauses = both(clauses, match(j.values(test, s), j.values(r.columns[i].Value, r.at)))
		}
		list = either(list, clauses)
	}
	return list
}

// scalarCondition is (SELECT condition ...).
func (j *Judge) scalarCondition(e *ast.Sublink, s *scope, not bool) []clause {
	list := nothing
	for _, r := range j.rows(e.Query, s) {
		if len(r.columns) != 1 || r.empty {
			return j.unknown(e, s, 0)
		}
		list = either(list, both([]clause{r.clause}, j.condition(r.columns[0].Value, r.at, not)))
	}
	return list
}

// countCondition is (SELECT count(*) ...) > 0 and its relatives: EXISTS.
func (j *Judge) countCondition(e *ast.Operator, s *scope, not bool) ([]clause, bool) {
	left, right, name := bare(e.Left), bare(e.Right), e.Name.Name
	if _, ok := left.(*ast.Constant); ok {
		left, right = right, left
		name = map[string]string{"<": ">", "<=": ">=", "<>": "<>"}[name]
	}
	query, ok := left.(*ast.Sublink)
	number, isNumber := right.(*ast.Constant)
	if !ok || !isNumber || not || query.Kind != ast.SublinkScalar || len(query.Query.Targets) != 1 || query.Query.Grouped {
		return nil, false
	}
	call, ok := bare(query.Query.Targets[0].Value).(*ast.Call)
	n, err := strconv.Atoi(number.Text)
	if !ok || err != nil || call.Name.Name != "count" {
		return nil, false
	}
	if !(name == ">" && n >= 0 || name == ">=" && n >= 1 || name == "<>" && n == 0) {
		return nil, false
	}
	exists := *query.Query
	exists.Targets, exists.Having = nil, nil
	return j.exists(&exists, s), true
}

// callCondition is a function that returns a condition.
func (j *Judge) callCondition(e *ast.Call, s *scope, not bool) []clause {
	found, core := j.lookup(e.Name, len(e.Args), s)
	if core {
		if searches(e) {
			return j.pattern(e, s)
		}
		return j.unknown(e, s, 0)
	}
	rows, ok := j.callRows(e, s)
	if !ok {
		return j.unreadCondition(e, found, s, not)
	}
	list := nothing
	for _, r := range rows {
		if len(r.columns) != 1 || r.empty {
			return j.unknown(e, s, 0)
		}
		list = either(list, both([]clause{r.clause}, j.condition(r.columns[0].Value, r.at, not)))
	}
	return list
}

// unreadCondition is a function whose code does not tell. One that can know
// the session and is given a column that ties a row to its tenant, or a whole
// row, is taken for a check that the session may see it.
func (j *Judge) unreadCondition(e *ast.Call, found []*code, s *scope, not bool) []clause {
	list := j.unknown(e, s, 0)
	reads := len(found) == 0
	for _, f := range found {
		reads = reads || j.readsContext(f, 0)
	}
	if !reads || not {
		return list
	}
	for _, argument := range j.arguments(e, s) {
		for _, a := range argument {
			if a.at != nil && (a.kind == termOther || a.at.identifies(a.column)) {
				list[0].bound = append(list[0].bound, a.at)
			}
		}
	}
	return list
}
