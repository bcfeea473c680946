package condition

import (
	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/parser/ast"
)

// source is one way in which FROM gives rows.
type source struct {
	clause
	at *scope
}

// from reads the items of FROM from left to right.
func (j *Judge) from(items []ast.FromItem, s *scope) []source {
	list := []source{{at: s}}
	for _, f := range items {
		var next []source
		for _, left := range list {
			for _, right := range j.fromItem(f, left.at) {
				next = append(next, source{left.clause.with(right.clause), right.at})
			}
		}
		list = next
	}
	return list
}

// fromItem adds one item to a scope.
func (j *Judge) fromItem(f ast.FromItem, s *scope) []source {
	switch f := f.(type) {
	case *ast.Table:
		return j.fromTable(f, s)
	case *ast.Derived:
		return j.derived(f.Query, s, s, f.Alias, f.Columns)
	case *ast.FunctionTable:
		return j.fromFunction(f, s)
	case *ast.Join:
		return j.fromJoin(f, s)
	}
	return []source{{clause{conditions: 1, marks: markLost}, s}}
}

func (j *Judge) fromTable(f *ast.Table, s *scope) []source {
	alias := f.Alias
	if alias == "" {
		alias = f.Name.Name
	}
	if w, ok := s.query(f.Name); ok {
		columns := w.columns
		if f.Columns != nil {
			columns = f.Columns
		}
		at := *w.at
		if at.depth++; at.depth > maxDepth {
			return []source{{clause{conditions: 1, marks: markLost}, s}}
		}
		return j.derived(w.query, &at, s, alias, columns)
	}
	table := j.table(f.Name, s)
	if table != nil && table.Kind == inventory.View {
		if list := j.fromView(table, s, alias, f.Columns); list != nil {
			return list
		}
	}
	i := j.instance(table, s.role)
	return []source{{clause{instances: []*instance{i}}, s.adding(item{alias: alias, schema: f.Name.Schema, instance: i, renamed: f.Columns})}}
}

// fromView reads a view as the query that it is; nil if that cannot be read.
func (j *Judge) fromView(view *inventory.Relation, s *scope, alias string, columns []string) []source {
	query, err := parser.Query(view.Definition)
	if err != nil || s.depth >= maxDepth {
		return nil
	}
	if columns == nil {
		for _, c := range view.Columns {
			columns = append(columns, c.Name)
		}
	}
	at := &scope{role: s.role, schemas: nil, depth: s.depth + 1}
	if !view.SecurityInvoker() {
		at.role = view.Owner
	}
	return j.derived(query, at, s, alias, columns)
}

// derived adds a query's columns to a scope under an alias. The names in the
// query are those of inside.
func (j *Judge) derived(q *ast.Select, inside, s *scope, alias string, columns []string) []source {
	var list []source
	for _, r := range j.rows(q, inside) {
		i := item{alias: alias, columns: make(map[string][]alternative)}
		for n, c := range r.columns {
			name := c.Name
			if n < len(columns) {
				name = columns[n]
			}
			i.columns[name] = j.values(c.Value, r.at)
			i.renamed = append(i.renamed, name)
		}
		list = append(list, source{r.always(), s.adding(i)})
	}
	return list
}

// fromFunction adds what functions in FROM return.
func (j *Judge) fromFunction(f *ast.FunctionTable, s *scope) []source {
	alias := f.Alias
	if c, ok := f.Calls[0].(*ast.Call); ok {
		if alias == "" {
			alias = c.Name.Name
		}
		if rows, ok := j.callRows(c, s); ok && len(f.Calls) == 1 {
			return j.fromRows(rows, s, alias, f.Columns)
		}
	}
	i := item{alias: alias}
	for _, c := range f.Calls {
		i.all = append(i.all, j.values(c, s)...)
	}
	if f.Columns != nil {
		i.columns = make(map[string][]alternative)
		for _, name := range f.Columns {
			i.columns[name] = i.all
		}
		i.renamed = f.Columns
	}
	return []source{{at: s.adding(i)}}
}

// fromRows adds the rows of a function's body. Whatever its columns are
// called, those of a single one are found.
func (j *Judge) fromRows(rows []row, s *scope, alias string, columns []string) []source {
	var list []source
	for _, r := range rows {
		i := item{alias: alias, columns: make(map[string][]alternative)}
		for n, c := range r.columns {
			name := c.Name
			if n < len(columns) {
				name = columns[n]
			}
			i.columns[name] = j.values(c.Value, r.at)
			i.renamed = append(i.renamed, name)
			if len(r.columns) == 1 {
				i.all = i.columns[name]
				i.columns[alias] = i.all
			}
		}
		list = append(list, source{r.always(), s.adding(i)})
	}
	return list
}

// fromJoin reads a join. The condition of an outer join does not restrict the
// rows of its outer side, so it is left out.
func (j *Judge) fromJoin(f *ast.Join, s *scope) []source {
	var list []source
	for _, left := range j.fromItem(f.Left, s) {
		for _, right := range j.fromItem(f.Right, left.at) {
			if f.Kind == ast.JoinLeft || f.Kind == ast.JoinFull {
				right.clause = right.clause.optional()
			}
			if f.Kind == ast.JoinRight || f.Kind == ast.JoinFull {
				left.clause = left.clause.optional()
			}
			all := []clause{left.clause.with(right.clause)}
			if f.Kind == ast.JoinInner {
				all = both(all, j.joinCondition(f, left.at, right.at))
			}
			for _, c := range all {
				list = append(list, source{c, right.at})
			}
		}
	}
	return list
}

// optional is the clause of the side of an outer join that may be missing:
// what a condition elsewhere equates with its columns is there, but nothing
// else is certain.
func (c clause) optional() clause {
	return clause{instances: c.instances, conditions: c.conditions, marks: c.marks}
}

func (j *Judge) joinCondition(f *ast.Join, left, both *scope) []clause {
	if f.On != nil {
		return j.condition(f.On, both, false)
	}
	c := clause{}
	right := &scope{items: both.items[len(left.items):]}
	for _, name := range f.Using {
		column := &ast.Column{Parts: []string{name}}
		l, r := left.column(column), right.column(column)
		if len(l) == 1 && len(r) == 1 {
			c.equal = append(c.equal, [2]term{l[0].term, r[0].term})
		}
	}
	return []clause{c}
}
