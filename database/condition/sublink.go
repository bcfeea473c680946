package condition

import (
	"strconv"

	"github.com/pgbulkhead/bulkhead/parser/ast"
)

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
