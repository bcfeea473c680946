package harden

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// securityInvoker is the first version whose views can run as whoever reads them.
const securityInvoker = 15

// readers finds the views and materialized views that read tenants' rows, by
// themselves or through others.
func (p *planner) readers() {
	p.views = make(map[*inventory.Relation]bool)
	for changed := true; changed; {
		changed = false
		for _, r := range p.s.Relations {
			if p.views[r] || r.Kind != inventory.View && r.Kind != inventory.MaterializedView {
				continue
			}
			if slices.ContainsFunc(r.Uses.Relations, func(x *inventory.Relation) bool {
				t := p.m.Tenancy(x)
				return p.views[x] || t != nil && (t.Tenant() || x.Kind == inventory.ForeignTable && t.Class == inventory.Unknown)
			}) {
				p.views[r], changed = true, true
			}
		}
	}
	p.unbound()
}

// unbound finds the views that show what row security cannot apply to:
// materialized views, foreign tables. One that asks for the tenant itself, by
// bulkhead.org_id(), is the way to show such rows.
func (p *planner) unbound() {
	p.around = make(map[*inventory.Relation]bool)
	for changed := true; changed; {
		changed = false
		for _, r := range p.s.Relations {
			if r.Kind != inventory.View || p.around[r] || asksForTenant(r) {
				continue
			}
			if slices.ContainsFunc(r.Uses.Relations, p.closed) {
				p.around[r], changed = true, true
			}
		}
	}
}

func asksForTenant(r *inventory.Relation) bool {
	return slices.ContainsFunc(r.Uses.Functions, func(f *inventory.Function) bool { return f.Schema == inventory.OwnSchema && f.Name == "org_id" })
}

// viewOwners makes views obey row security. A view reads with the rights of its
// owner; an owner that row security does not bind shows the rows of all
// tenants to whoever may read the view, and so do views behind it.
func (p *planner) viewOwners() {
	done := make(map[*inventory.Relation]bool)
	for _, r := range p.s.Relations {
		if r.Kind == inventory.View && p.views[r] && (p.reaches(r, "SELECT") || p.reaches(r, "INSERT") || p.reaches(r, "UPDATE") || p.reaches(r, "DELETE")) {
			p.view(r, done)
		}
	}
}

// view treats a view and the views that it reads.
func (p *planner) view(r *inventory.Relation, done map[*inventory.Relation]bool) {
	if done[r] {
		return
	}
	done[r] = true
	rules := p.firedRules(r)
	if (!r.SecurityInvoker() || len(rules) > 0) && !p.showsClosed(r) {
		switch {
		case p.appRoles[r.Owner]:
			// It reads with the rights of the application itself.
		case p.s.Server.Major() >= securityInvoker && len(rules) == 0 && p.callersMay(r):
			p.in(r.Object(), func() { p.invoker(r) })
		case !p.bound(r.Owner):
			// What rules do is done as the owner, by a security invoker as well.
			p.in(r.Object(), func() { p.moveView(r, "whom row security does not bind") })
		case !p.readsPolicies(r) && p.s.Login.Superuser:
			p.in(r.Object(), func() { p.moveView(r, "who may not read what the policies of its tables read") })
		}
	}
	for _, used := range r.Uses.Relations {
		if used.Kind == inventory.View && p.views[used] {
			p.view(used, done)
		}
	}
}

// showsClosed reports whether a view shows, with its owner's rights, what the
// application may not read itself. It asks for the tenant itself, or the
// application has lost it.
func (p *planner) showsClosed(r *inventory.Relation) bool {
	return slices.ContainsFunc(r.Uses.Relations, p.closed)
}

// callersMay reports whether all who can use a view may do the same with what
// it reads: as security invokers they must.
func (p *planner) callersMay(r *inventory.Relation) bool {
	for _, e := range *p.w.list(relationKey(r)) {
		if e.grantee == viewsRole {
			return false // a view in front of it runs as that role
		}
		role := p.s.Role(e.grantee)
		if e.grantee == r.Owner || role != nil && (role.Superuser || slices.Contains(ourRoles, role.Name)) {
			continue
		}
		if role == nil {
			return false // PUBLIC
		}
		for _, x := range e.privileges {
			if slices.Contains(dml, x.name) && !p.callerMay(role, r, x.name) {
				return false
			}
		}
	}
	return true
}

func (p *planner) callerMay(role *inventory.Role, r *inventory.Relation, privilege string) bool {
	for _, used := range r.Uses.Relations {
		columns := slices.DeleteFunc(slices.Clone(r.Uses.Columns), func(c *inventory.Column) bool { return c.Relation != used })
		if !p.mayRead(role, used, columns) || !p.effective(role, schemaKey(used.Schema), "USAGE") {
			return false
		}
		if privilege != "SELECT" && !p.effective(role, relationKey(used), privilege) {
			return false
		}
	}
	for _, f := range r.Uses.Functions {
		if !p.effective(role, functionKey(f), "EXECUTE") {
			return false
		}
	}
	return true
}

func (p *planner) invoker(r *inventory.Relation) {
	inverse := "alter view " + r.SQL() + " reset (security_invoker)"
	if old, ok := r.Option("security_invoker"); ok {
		inverse = "alter view " + r.SQL() + " set (security_invoker = " + inventory.QuoteLiteral(old) + ")"
	}
	p.add(Step{
		SQL: "alter view " + r.SQL() + " set (security_invoker = true)", Inverse: inverse,
		Reason: "the view reads with the rights of " + r.Owner + "; now it reads as whoever asks, who may read what it shows",
		Lock:   accessExclusive(r), Object: r.Object(),
	})
}

// moveView gives a view to a role that row security binds.
func (p *planner) moveView(r *inventory.Relation, why string) {
	p.makeRole(viewsRole, "nologin", "owns views; it owns no table and bypasses nothing, so row security binds it")
	needs := p.viewNeeds(r)
	for _, used := range r.Uses.Relations {
		p.mayUse(viewsRole, used, needs, "the view "+r.Object()+" reads it as this role")
	}
	for _, rule := range p.firedRules(r) {
		p.rightsOfRule(viewsRole, rule)
	}
	p.joined(viewsRole, r.Schema, func() {
		p.add(Step{
			SQL: "alter view " + r.SQL() + " owner to " + viewsRole, Inverse: "alter view " + r.SQL() + " owner to " + inventory.Quote(r.Owner),
			Reason: "the view reads with the rights of " + r.Owner + ", " + why,
			Lock:   accessExclusive(r), Object: r.Object(),
		})
	})
	p.w.changeOwner(relationKey(r), viewsRole)
	for _, c := range r.Columns {
		p.w.changeOwner(columnKey(c), viewsRole)
	}
	p.hiddenByPolicies(r)
}

// viewNeeds is what the owner of a view needs on what it reads: SELECT, and what
// somebody may do through the view. Which of several tables is written through
// it only the server knows.
func (p *planner) viewNeeds(r *inventory.Relation) []string {
	names := []string{"SELECT"}
	for _, privilege := range dml[1:] {
		for _, e := range *p.w.list(relationKey(r)) {
			if e.grantee != r.Owner && e.index(privilege) >= 0 {
				names = append(names, privilege)
				break
			}
		}
	}
	return names
}

// hiddenByPolicies warns where a view's new owner is none that the
// application's own policies let through.
func (p *planner) hiddenByPolicies(r *inventory.Relation) {
	for _, used := range r.Uses.Relations {
		permissive := slices.DeleteFunc(slices.Clone(used.Policies), func(x *inventory.Policy) bool { return !x.Permissive })
		if len(permissive) > 0 && !slices.ContainsFunc(permissive, func(x *inventory.Policy) bool { return slices.Contains(x.Roles, inventory.Public) }) {
			p.warn(r.Object(), "view shows no rows", "it reads "+used.Object()+" as "+viewsRole+
				", and the policies there are for other roles: grant the readers of the view SELECT on the table and plan again (15 and newer), or add a policy")
		}
	}
}
