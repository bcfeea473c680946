package harden

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// beyondRows are privileges that row security does not look at, or that let
// others' sessions run code.
var beyondRows = []struct{ privilege, why string }{
	{"TRUNCATE", "TRUNCATE asks no policy: it empties the table of all tenants"},
	{"TRIGGER", "TRIGGER puts code into the sessions of whoever writes the table"},
	{"REFERENCES", "REFERENCES lets a foreign key ask which keys other tenants have"},
	{"MAINTAIN", "MAINTAIN locks the table for everybody"},
}

// grants takes away what no row security can bind.
func (p *planner) grants() {
	for _, r := range p.s.Relations {
		if !own(r.Schema) && r.Extension == "" {
			p.in(r.Object(), func() { p.relationGrants(r) })
		}
	}
	for _, s := range p.s.Schemas {
		if !own(s.Name) && s.Extension == "" {
			p.schemaGrants(s)
		}
	}
	p.revoke(p.databaseSecurable(), []string{"CREATE"}, "a schema of the application's own can hold objects that take the place of others")
}

func (p *planner) relationGrants(r *inventory.Relation) {
	t := p.m.Tenancy(r)
	switch {
	case p.closed(r):
		p.revokeRelation(r, nil, p.closedReason(r))
	case t != nil && t.Class == inventory.Global:
		p.revokeRelation(r, []string{"INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "REFERENCES", "MAINTAIN"},
			"the table belongs to no tenant: what one writes there, all others read")
	case t != nil && t.Tenant():
		p.beyondRows(r)
		p.publicGrants(r)
	case r.Kind == inventory.View && p.views[r]:
		p.beyondRows(r)
		p.publicGrants(r)
	}
}

func (p *planner) closedReason(r *inventory.Relation) string {
	if r.Kind == inventory.View {
		return "it shows a materialized view or foreign table, to which row security cannot apply: add the condition on bulkhead.org_id() and grant it again"
	}
	return "row security cannot apply to a " + r.Kind.String() + ": it shows the rows of all tenants"
}

func (p *planner) beyondRows(r *inventory.Relation) {
	for _, b := range beyondRows {
		p.revokeRelation(r, []string{b.privilege}, b.why)
	}
}

// publicGrants takes rights on tenants' rows from PUBLIC: every role that will
// ever be made has them. The application keeps what it had.
func (p *planner) publicGrants(r *inventory.Relation) {
	for _, c := range r.Columns {
		p.fromPublic(columnSecurable(c), relationKey(r))
	}
	p.fromPublic(relationSecurable(r), "")
}

// fromPublic moves privileges from PUBLIC to the roles that the application runs
// as. A privilege on the whole relation, at the key whole, makes one on a
// column superfluous.
func (p *planner) fromPublic(s securable, whole string) {
	list := p.w.list(s.key)
	var names []string
	for _, e := range *list {
		if e.grantee != inventory.Public {
			continue
		}
		for _, x := range e.privileges {
			names = append(names, x.name)
		}
	}
	if len(names) == 0 {
		return
	}
	for _, role := range p.runAs {
		var missing []string
		for _, n := range names {
			if slices.Contains(dml, n) && !p.effectiveOwn(role, s.key, n) && (whole == "" || !p.effectiveOwn(role, whole, n)) {
				missing = append(missing, n)
			}
		}
		p.grant(s, role.Name, missing, "it had this as one of PUBLIC, which loses it")
	}
	p.revokeFrom(s, nil, "PUBLIC is every role, those of the future included", func(role string) bool { return role == inventory.Public })
}

// schemaGrants takes CREATE away. Owners of tables in the schema that had it
// from PUBLIC keep it: migrations run as them.
func (p *planner) schemaGrants(s *inventory.Schema) {
	key := schemaKey(s.Name)
	const why = "who can create objects puts functions and tables in front of those that others mean"
	if p.w.list(key).has(inventory.Public, "CREATE") {
		for _, r := range p.s.Relations {
			owner := p.s.Role(p.w.owners[relationKey(r)])
			if r.Schema != s.Name || owner == nil || owner.Superuser || p.appRoles[owner.Name] || slices.Contains(ourRoles, owner.Name) || p.w.owners[key] == owner.Name {
				continue
			}
			p.grant(schemaSecurable(s), owner.Name, []string{"CREATE"}, "it owns tables here, and had this as one of PUBLIC")
		}
	}
	p.revoke(schemaSecurable(s), []string{"CREATE"}, why)
}

// defaultPrivileges closes what would open tomorrow's tables before they have
// row security.
func (p *planner) defaultPrivileges() {
	for i := range p.s.DefaultPrivileges {
		d := &p.s.DefaultPrivileges[i]
		if own(d.Schema) {
			continue
		}
		switch d.Kind {
		case 'r':
			p.revoke(defaultSecurable(d, "tables"), nil, "a table made tomorrow would be open to the application, with no row security yet; grant rights with the policy")
		case 'n':
			p.revoke(defaultSecurable(d, "schemas"), []string{"CREATE"}, "in a schema made tomorrow the application could create objects")
		}
	}
}
