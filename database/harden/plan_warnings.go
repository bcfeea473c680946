package harden

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// warnings says what changes for others, and what no statement can do, before
// anything is done.
func (p *planner) warnings() {
	if slices.Contains(p.o.phases(), Main) {
		p.warnCopy()
		p.warnIndexes()
		p.warnRoles()
		p.warnOwners()
		p.warnRefresh()
		p.warnTriggers()
	}
	p.warnUnknown()
	if len(p.m.Guessed) > 0 {
		p.warn("database:"+p.s.Database, "selection guessed", "not given and guessed: "+strings.Join(p.m.Guessed, ", ")+
			"; the roles are "+strings.Join(p.plan.AppRoles, ", ")+rootNote(p.m))
	}
}

func rootNote(m *inventory.Model) string {
	if m.Root == nil {
		return ", and there is no root table"
	}
	return ", the root table is " + m.Root.Object()
}

// warnCopy: COPY FROM is refused on every table with row security (manual,
// COPY), so bulk loaders break.
func (p *planner) warnCopy() {
	n, first := 0, ""
	for _, t := range p.m.Tenancies() {
		if t.Tenant() && t.Relation.TakesPolicies() && !t.Relation.RowSecurity && p.reaches(t.Relation, "INSERT") {
			if n++; first == "" {
				first = t.Relation.Object()
			}
		}
	}
	if n > 0 {
		p.warn(first, "COPY FROM will be refused", fmt.Sprintf(
			"PostgreSQL refuses COPY ... FROM on tables with row security; this concerns %d tables, of which this is one: loaders that use it must use INSERT", n))
	}
}

// warnIndexes: a condition whose operator is not leakproof is evaluated after
// the floor, so its index is of no use any more.
func (p *planner) warnIndexes() {
	for _, t := range p.m.Tenancies() {
		if !t.Tenant() || t.Relation.RowSecurity {
			continue
		}
		for _, x := range t.Relation.Indexes {
			if !x.Inherited && slices.ContainsFunc(x.Keys, func(k inventory.IndexKey) bool { return !k.Leakproof }) {
				p.warn(x.Object(), "index of no use under row security", "its operators are not leakproof ("+x.Method+
					"): queries will use the floor's condition instead and filter; partition the table by tenant, or search in a function that names the tenant")
			}
		}
	}
}

// warnRoles lists whom else the floor binds.
func (p *planner) warnRoles() {
	others := p.otherRoles()
	for _, name := range slices.Sorted(maps.Keys(others)) {
		p.warn("role:"+name, "role is bound by the floor", fmt.Sprintf(
			"it has rights on %d tenant tables and may not ask for the tenant (bulkhead.org_id()), so it gets an error: make it a role of the application (--app-role), "+
				"give it BYPASSRLS, or set row_security = off for it, so that its statements fail loudly", others[name]))
	}
}

// warnOwners says who cannot run migrations any more.
func (p *planner) warnOwners() {
	for _, role := range p.m.AppRoles {
		n := 0
		for _, s := range p.plan.Steps {
			if strings.HasSuffix(s.SQL, " owner to "+tablesRole) && strings.HasSuffix(s.Inverse, " owner to "+inventory.Quote(role.Name)) {
				n++
			}
		}
		if n > 0 {
			p.warn(role.Object(), "role owns nothing any more", fmt.Sprintf("it owned %d objects, which %s gets: it reads and writes rows as before, "+
				"but migrations must run as another role, one that is a member of %s", n, tablesRole, tablesRole))
		}
	}
}

// warnRefresh: a materialized view is filled with the rights of its owner.
func (p *planner) warnRefresh() {
	for _, r := range p.s.Relations {
		owner := p.s.Role(p.w.owners[relationKey(r)])
		if r.Kind == inventory.MaterializedView && p.views[r] && owner != nil && !owner.Superuser && !owner.BypassRLS {
			p.warn(r.Object(), "materialized view cannot be refreshed any more", "it is filled with the rights of "+owner.Name+
				", whom the floor binds: give it to a role with BYPASSRLS that cannot log in")
		}
	}
}

// warnTriggers: what a trigger's function does as an owner whom row security
// does not bind, no policy looks at. One on a table that fires after the row
// was checked may be right; one in place of a write to a view is not checked at
// all. Whose rows it writes, only a person can read in its code.
func (p *planner) warnTriggers() {
	for _, r := range p.s.Relations {
		for _, t := range r.Triggers {
			const disabled = 'D'
			f := t.Function
			if f == nil || !f.SecurityDefiner || t.Inherited || t.Enabled == disabled || f.Extension != "" || own(f.Schema) || own(r.Schema) || p.bound(f.Owner) ||
				!slices.ContainsFunc(dml[1:], func(privilege string) bool { return p.reaches(r, privilege) }) {
				continue
			}
			p.warn(t.Object(), "trigger runs around the floor", "it runs "+f.Object()+" as "+f.Owner+", whom row security does not bind: "+
				"make the function SECURITY INVOKER, or see that it writes and returns rows of the tenant of NEW and OLD only")
		}
	}
}

func (p *planner) warnUnknown() {
	for _, t := range p.m.Tenancies() {
		r := t.Relation
		if t.Class == inventory.Unknown && !own(r.Schema) && r.Extension == "" && p.m.Reaches(r) != nil && !p.closed(r) {
			p.warn(r.Object(), "table is not protected", "nothing leads from it to a tenant, and it is not declared global: "+
				"add a tenant column or a foreign key, or name it with --global-table")
		}
	}
}
