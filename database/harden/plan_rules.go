package harden

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// bound reports whether row security binds a role.
func (p *planner) bound(name string) bool {
	role := p.s.Role(name)
	return role == nil || !role.Superuser && !role.BypassRLS
}

// firedRules are the rewrite rules of a relation that statements of the
// application fire and that do something. They do it as the relation's owner.
func (p *planner) firedRules(r *inventory.Relation) []*inventory.Rule {
	privileges := map[byte]string{'2': "UPDATE", '3': "INSERT", '4': "DELETE"}
	var fired []*inventory.Rule
	for _, rule := range r.Rules {
		const disabled = 'D'
		if privilege := privileges[rule.Event]; privilege != "" && rule.Enabled != disabled && len(rule.Uses.Relations) > 0 && p.reaches(r, privilege) {
			fired = append(fired, rule)
		}
	}
	return fired
}

// rightsOfRule grants a role what a rule needs that runs as it.
func (p *planner) rightsOfRule(role string, rule *inventory.Rule) {
	for _, used := range rule.Uses.Relations {
		if used != rule.Relation {
			p.mayUse(role, used, dml, "rule "+rule.Object()+" does as this role what it does")
		}
	}
}

// mayUse grants one of our roles privileges on a relation, and on what the
// policies of that relation read: a policy reads with the rights of whoever
// reads the table, here the owner of a view or rule.
func (p *planner) mayUse(role string, r *inventory.Relation, names []string, reason string) {
	if !p.writable(r) {
		names = []string{"SELECT"}
	}
	p.useSchema(role, r.Schema, reason)
	p.grant(relationSecurable(r), role, names, reason)
	for _, read := range p.readByPolicies(r) {
		p.useSchema(role, read.Schema, reason)
		p.grant(relationSecurable(read), role, []string{"SELECT"}, "the policies of "+r.Object()+" read it as this role")
	}
}

// readByPolicies are the relations that the policies of a table read, directly
// and by those of what they read.
func (p *planner) readByPolicies(r *inventory.Relation) []*inventory.Relation {
	var found []*inventory.Relation
	var walk func(r *inventory.Relation)
	walk = func(r *inventory.Relation) {
		for _, x := range p.edges[r] {
			if !slices.Contains(found, x) {
				found = append(found, x)
				walk(x)
			}
		}
	}
	walk(r)
	return found
}

// readsPolicies reports whether the owner of a view may read what the policies
// of its tables read: it does so where the application reads the view.
func (p *planner) readsPolicies(v *inventory.Relation) bool {
	owner := p.s.Role(v.Owner)
	if owner == nil {
		return true // ours, and given the rights
	}
	if p.inherits[owner] == nil {
		p.inherits[owner] = p.inherited(owner, p.ended)
	}
	return !slices.ContainsFunc(v.Uses.Relations, func(used *inventory.Relation) bool {
		return slices.ContainsFunc(p.readByPolicies(used), func(x *inventory.Relation) bool { return !p.effective(owner, relationKey(x), "SELECT") })
	})
}

// boundByRules moves tables whose rules run as an owner that row security does
// not bind: what a rule does to other tables, and to its own, would pass by
// every policy.
func (p *planner) boundByRules() {
	for _, r := range p.s.Relations {
		rules := p.firedRules(r)
		if len(rules) == 0 || r.Kind == inventory.View || own(r.Schema) || r.Extension != "" || p.bound(p.w.owners[relationKey(r)]) {
			continue
		}
		p.in(r.Object(), func() {
			p.newOwner()
			for _, rule := range rules {
				p.rightsOfRule(tablesRole, rule)
			}
			p.moveRelation(r, "a rule of the table runs as its owner, "+r.Owner+", whom row security does not bind")
		})
	}
}
