package condition

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/parser"
)

// ViewLeaks returns the tables of tenants whose rows of all tenants a view
// shows: its owner is not bound by their policies, and the view has no
// condition of its own that ties them to the session.
func (j *Judge) ViewLeaks(view *inventory.Relation) []*inventory.Relation {
	role := view.Owner
	if view.SecurityInvoker() {
		role = ""
	}
	var unbound []*inventory.Relation
	for _, b := range j.bases(view, role, nil) {
		if j.holdsTenants(b.table) && !j.showsOwn(b) && !slices.Contains(unbound, b.table) {
			unbound = append(unbound, b.table)
		}
	}
	if len(unbound) == 0 {
		return nil
	}
	query, err := parser.Query(view.Definition)
	if err != nil {
		return unbound
	}
	return untied(unbound, j.tiedIn(j.rows(query, &scope{role: role})))
}

// BoundViewTables returns the tables of tenants whose policies bind the owner
// of a view, so that the view shows what those let the owner see.
func (j *Judge) BoundViewTables(view *inventory.Relation) []*inventory.Relation {
	var list []*inventory.Relation
	if view.SecurityInvoker() {
		return nil
	}
	for _, b := range j.bases(view, view.Owner, nil) {
		if b.role != "" && j.holdsTenants(b.table) && b.table.RowSecurity && j.showsOwn(b) && !slices.Contains(list, b.table) {
			list = append(list, b.table)
		}
	}
	return list
}

// ReadsTenants reports whether a view or materialized view is made of rows of
// tenants, whoever may see them.
func (j *Judge) ReadsTenants(view *inventory.Relation) bool {
	return slices.ContainsFunc(j.bases(view, view.Owner, nil), func(b *instance) bool { return j.holdsTenants(b.table) })
}

// FunctionLeaks reports whether a function that runs with its owner's rights
// can give its caller, or change for it, what is not the session's own. Code
// that is more than a query is taken to do so.
func (j *Judge) FunctionLeaks(f *inventory.Function) bool {
	c := j.byObject[f]
	if c == nil {
		return true
	}
	c.load()
	if c.queries == nil || c.acts() {
		return true
	}
	w := &reader{judge: j, row: &scope{}, seen: make(map[*code]bool)}
	w.function(c)
	for called := range w.seen {
		if called.queries == nil && called != c && called.tokens != nil && called.acts() {
			return true
		}
	}
	var unbound []*inventory.Relation
	for _, r := range w.Relations {
		for _, b := range j.bases(r, f.Owner, nil) {
			if j.holdsTenants(b.table) && !j.showsOwn(b) && !slices.Contains(unbound, b.table) {
				unbound = append(unbound, b.table)
			}
		}
	}
	if len(unbound) == 0 {
		return false
	}
	var rows []row
	for _, q := range c.queries {
		rows = append(rows, j.rows(q, c.scope(&scope{}, nil, nil))...)
	}
	return len(untied(unbound, j.tiedIn(rows))) > 0
}

// acts reports whether code does more than return queries.
func (c *code) acts() bool {
	return slices.ContainsFunc(c.tokens, func(t parser.CodeToken) bool {
		if t.Kind != parser.CodeWord || t.Quoted {
			return false
		}
		switch t.Text {
		case "insert", "update", "delete", "merge", "perform", "execute", "truncate", "copy", "call", "alter", "create", "drop", "set":
			return true
		}
		return false
	})
}

// bases are the tables, and the materialized views, that a relation is made
// of, with the role that reads each.
func (j *Judge) bases(r *inventory.Relation, role string, above []*inventory.Relation) []*instance {
	if r.Kind != inventory.View && (r.Kind != inventory.MaterializedView || above != nil) || slices.Contains(above, r) {
		return []*instance{j.instance(r, role)}
	}
	var list []*instance
	for _, used := range r.Uses.Relations {
		if used == r { // the rule of a view depends on it
			continue
		}
		if role == "" && j.model.Can(used, "SELECT") == nil {
			continue // the reader is refused
		}
		as := role
		if used.Kind == inventory.View && !used.SecurityInvoker() {
			as = used.Owner
		}
		list = append(list, j.bases(used, as, append(slices.Clip(above), r))...)
	}
	return list
}

// holdsTenants reports whether a table or materialized view has rows of
// tenants.
func (j *Judge) holdsTenants(r *inventory.Relation) bool {
	if r.Kind == inventory.MaterializedView {
		return j.ReadsTenants(r)
	}
	return j.model.IsTenant(r)
}

// tiedIn returns which tables have all their instances in the rows of a query
// tied to the session.
func (j *Judge) tiedIn(rows []row) map[*inventory.Relation]bool {
	tables := make(map[*inventory.Relation]bool)
	for _, r := range rows {
		bonds := j.bonds(r.clause, false)
		for _, i := range r.instances {
			before, seen := tables[i.table]
			tables[i.table] = bonds[i] != unbound && (before || !seen)
		}
	}
	return tables
}

func untied(list []*inventory.Relation, tied map[*inventory.Relation]bool) []*inventory.Relation {
	return slices.DeleteFunc(list, func(r *inventory.Relation) bool { return tied[r] })
}

// Uses returns all functions that policies call, directly or through others.
func (j *Judge) Uses(policies []*inventory.Policy) map[*inventory.Function]bool {
	used := make(map[*inventory.Function]bool)
	for _, p := range policies {
		for _, f := range j.Read(p.Relation, p.Using, p.Check).Functions {
			used[f] = true
		}
		for _, f := range p.Uses.Functions {
			used[f] = true
		}
	}
	return used
}
