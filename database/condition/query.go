package condition

import (
	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// row is one way in which a query gives rows: what holds then, and the
// columns.
type row struct {
	clause
	at      *scope
	columns []ast.Target
	// empty says that the row may come from no row at all: count(*) without
	// GROUP BY.
	empty bool
}

// holding is what holds when a column of the row is not NULL. A row that may
// come from no row at all tells nothing, but by an aggregate that is NULL then.
func (r *row) holding(column ast.Expr) clause {
	if !r.empty {
		return r.clause
	}
	if c, ok := bare(column).(*ast.Call); ok && c.Name.Name != "count" && aggregateNames[c.Name.Name] {
		return r.clause
	}
	return r.clause.optional()
}

// always is what holds when there is a row.
func (r *row) always() clause {
	if r.empty {
		return r.clause.optional()
	}
	return r.clause
}

// maxDepth bounds functions, views and WITH queries in each other.
const maxDepth = 12

// rows returns the ways in which a query gives rows.
func (j *Judge) rows(q *ast.Select, s *scope) []row {
	if q == nil || q.Unknown != "" {
		return []row{{clause: clause{conditions: 1, marks: markLost}, at: s}}
	}
	q = countAsExists(q)
	s = s.inner()
	s.defineWith(q.With)
	switch q.Set {
	case ast.SetUnion:
		return append(j.rows(q.Left, s), j.rows(q.Right, s)...)
	case ast.SetIntersect, ast.SetExcept:
		return j.rows(q.Left, s)
	}
	if q.Values != nil {
		return valueRows(q.Values, s)
	}
	var list []row
	for _, from := range j.from(q.From, s) {
		clauses := []clause{from.clause}
		if q.Where != nil {
			clauses = both(clauses, j.condition(q.Where, from.at, false))
		}
		columns := from.at.expand(q.Targets)
		for _, c := range clauses {
			list = append(list, row{clause: c, at: from.at, columns: columns, empty: !q.Grouped && aggregates(q.Targets)})
		}
	}
	return list
}

// countAsExists writes SELECT count(*) > 0 FROM ... as SELECT EXISTS (...).
func countAsExists(q *ast.Select) *ast.Select {
	if len(q.Targets) != 1 || len(q.From) == 0 || q.Grouped {
		return q
	}
	o, ok := bare(q.Targets[0].Value).(*ast.Operator)
	if !ok || o.Left == nil {
		return q
	}
	left, leftIs := bare(o.Left).(*ast.Call)
	right, rightIs := bare(o.Right).(*ast.Call)
	inner := *q
	comparison := *o
	switch {
	case leftIs && left.Name.Name == "count":
		inner.Targets = []ast.Target{{Value: left}}
		comparison.Left = &ast.Sublink{Kind: ast.SublinkScalar, Query: &inner}
	case rightIs && right.Name.Name == "count":
		inner.Targets = []ast.Target{{Value: right}}
		comparison.Right = &ast.Sublink{Kind: ast.SublinkScalar, Query: &inner}
	default:
		return q
	}
	return &ast.Select{Targets: []ast.Target{{Name: q.Targets[0].Name, Value: &comparison}}}
}

func valueRows(values [][]ast.Expr, s *scope) []row {
	var list []row
	for _, v := range values {
		r := row{at: s}
		for _, e := range v {
			r.columns = append(r.columns, ast.Target{Value: e})
		}
		list = append(list, r)
	}
	return list
}

// defineWith makes the names of a WITH clause known. A recursive query stands
// for its first part: what it adds follows from rows of that part.
func (s *scope) defineWith(list []ast.With) {
	for _, w := range list {
		if s.with == nil {
			s.with = make(map[string]with)
		}
		at := *s
		at.with = make(map[string]with)
		for name, other := range s.with {
			at.with[name] = other
		}
		if w.Recursive && w.Query != nil && w.Query.Set == ast.SetUnion {
			at.with[w.Name] = with{w.Query.Left, w.Columns, s}
		}
		s.with[w.Name] = with{w.Query, w.Columns, &at}
	}
}

// expand replaces * among the columns of a query.
func (s *scope) expand(targets []ast.Target) []ast.Target {
	var list []ast.Target
	for _, t := range targets {
		c, ok := t.Value.(*ast.Column)
		if !ok || !c.Star {
			list = append(list, ast.Target{Name: columnName(t), Value: t.Value})
			continue
		}
		for _, i := range s.items {
			if len(c.Parts) > 0 && c.Parts[len(c.Parts)-1] != i.alias {
				continue
			}
			for _, name := range i.columnNames() {
				list = append(list, ast.Target{Name: name, Value: &ast.Column{Parts: []string{i.alias, name}}})
			}
		}
	}
	return list
}

func (i *item) columnNames() []string {
	var names []string
	if i.instance != nil && i.instance.table != nil {
		for _, c := range i.instance.table.Columns {
			names = append(names, c.Name)
		}
		copy(names, i.renamed)
	}
	if i.columns == nil && i.all != nil {
		names = append(names, i.alias)
	}
	for _, name := range i.renamed {
		if _, ok := i.columns[name]; ok {
			names = append(names, name)
		}
	}
	return names
}

// columnName is the name that the server gives a column.
func columnName(t ast.Target) string {
	if t.Name != "" {
		return t.Name
	}
	e := t.Value
	for {
		switch v := e.(type) {
		case *ast.Cast:
			e = v.Arg
			continue
		case *ast.Column:
			return v.Parts[len(v.Parts)-1]
		case *ast.Call:
			return v.Name.Name
		case *ast.Sublink:
			if v.Kind == ast.SublinkScalar && v.Query.Targets != nil {
				return columnName(v.Query.Targets[0])
			}
		}
		return ""
	}
}

// aggregateNames are the server's aggregates that policies can be expected to
// use; count(*) and those with DISTINCT or FILTER show themselves.
var aggregateNames = map[string]bool{
	"count": true, "sum": true, "avg": true, "min": true, "max": true, "bool_or": true, "bool_and": true, "every": true,
	"array_agg": true, "string_agg": true, "json_agg": true, "jsonb_agg": true, "any_value": true,
}

func aggregates(targets []ast.Target) bool {
	found := false
	for _, t := range targets {
		ast.Visitor{Expr: func(e ast.Expr) bool {
			if c, ok := e.(*ast.Call); ok && (c.Aggregate || aggregateNames[c.Name.Name]) {
				found = true
			}
			_, sublink := e.(*ast.Sublink)
			return !sublink
		}}.Visit(t.Value)
	}
	return found
}
