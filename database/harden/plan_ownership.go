package harden

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// dml are the privileges that an application needs on tables.
var dml = []string{"SELECT", "INSERT", "UPDATE", "DELETE"}

// ownership moves what the application's roles own to a role that nobody is:
// an owner switches row security off, grants itself anything, and replaces
// what a schema holds. What the owner could do with rows is granted back.
func (p *planner) ownership() {
	p.moveDatabase()
	for _, s := range p.s.Schemas {
		if p.appRoles[s.Owner] && !own(s.Name) && s.Extension == "" {
			p.moveSchema(s)
		}
	}
	for _, r := range p.s.Relations {
		if p.appRoles[r.Owner] && !own(r.Schema) && r.Extension == "" && (r.HoldsRows() || r.Kind == inventory.MaterializedView) {
			p.in(r.Object(), func() {
				p.moveRelation(r, "the owner of a table switches row security off; "+r.Owner+" is a role of the application")
			})
		}
	}
}

// newOwner makes the role that takes over.
func (p *planner) newOwner() {
	p.makeRole(tablesRole, "nologin", "owns what the application's role owned; cannot log in, and nobody is a member of it")
}

func (p *planner) moveDatabase() {
	old := p.s.DatabaseOwner
	if !p.appRoles[old] {
		return
	}
	s := p.databaseSecurable()
	p.newOwner()
	p.joined(tablesRole, "", func() {
		p.add(Step{
			SQL:     "alter " + s.sql + " owner to " + tablesRole,
			Inverse: "alter " + s.sql + " owner to " + inventory.Quote(old),
			Reason:  "the owner of a database creates schemas in it, and from 14 on owns the schema public; " + old + " is a role of the application",
			Object:  s.object,
		})
	})
	p.w.changeOwner(databaseKey, tablesRole)
	if !p.w.list(databaseKey).has(inventory.Public, "CONNECT") {
		p.grant(s, old, []string{"CONNECT"}, "the former owner goes on connecting")
	}
}

func (p *planner) moveSchema(s *inventory.Schema) {
	old := s.Owner
	p.newOwner()
	p.joined(tablesRole, "", func() {
		p.add(Step{
			SQL:     "alter schema " + inventory.Quote(s.Name) + " owner to " + tablesRole,
			Inverse: "alter schema " + inventory.Quote(s.Name) + " owner to " + inventory.Quote(old),
			Reason:  "the owner of a schema drops and replaces what is in it; " + old + " is a role of the application",
			Object:  s.Object(),
		})
	})
	p.w.changeOwner(schemaKey(s.Name), tablesRole)
	if !p.w.list(schemaKey(s.Name)).has(inventory.Public, "USAGE") {
		p.grant(schemaSecurable(s), old, []string{"USAGE"}, "the former owner goes on using the schema")
	}
}

func (p *planner) moveRelation(r *inventory.Relation, reason string) {
	old := r.Owner
	p.newOwner()
	p.useSchema(tablesRole, r.Schema, "foreign keys are checked as the owner of the table")
	keyword := "alter " + r.Kind.Keyword() + " " + r.SQL()
	p.joined(tablesRole, r.Schema, func() {
		p.add(Step{
			SQL: keyword + " owner to " + tablesRole, Inverse: keyword + " owner to " + inventory.Quote(old),
			Reason: reason, Lock: accessExclusive(r), Object: r.Object(),
		})
	})
	before := p.w.list(relationKey(r)).clone()
	p.w.changeOwner(relationKey(r), tablesRole)
	for _, c := range r.Columns {
		p.w.changeOwner(columnKey(c), tablesRole)
	}
	role := p.s.Role(old)
	needsGrants := role == nil || !role.Superuser || p.appRoles[old]
	if needsGrants {
		p.grantBack(r, old, before)
	}
	for _, s := range p.s.Relations {
		if s.Kind != inventory.Sequence || s.OwnedBy == nil || s.OwnedBy.Relation != r {
			continue
		}
		p.w.changeOwner(relationKey(s), tablesRole) // it follows the table
		if !needsGrants {
			continue
		}
		p.grant(relationSecurable(s), old, []string{"USAGE", "SELECT"}, "the former owner goes on drawing numbers")
	}
}

// grantBack gives the former owner what it could do with rows and still may.
func (p *planner) grantBack(r *inventory.Relation, old string, before acl) {
	if p.closed(r) {
		return
	}
	var names []string
	for _, privilege := range dml {
		if before.has(old, privilege) && (privilege == "SELECT" || p.writable(r)) {
			names = append(names, privilege)
		}
	}
	p.grant(relationSecurable(r), old, names, "the former owner goes on reading and writing rows, and nothing else")
}

// closed reports whether the application loses a relation altogether: row
// security cannot apply to it.
func (p *planner) closed(r *inventory.Relation) bool {
	switch r.Kind {
	case inventory.MaterializedView:
		return p.views[r]
	case inventory.ForeignTable:
		return p.m.Tenancy(r).Class != inventory.Global
	case inventory.View:
		return p.around[r]
	}
	return false
}

// writable reports whether the application may write a relation: what belongs
// to no tenant is a channel between tenants else.
func (p *planner) writable(r *inventory.Relation) bool {
	t := p.m.Tenancy(r)
	return t == nil || t.Class != inventory.Global
}

// useSchema lets one of our roles name what is in a schema.
func (p *planner) useSchema(role, schema, reason string) {
	s := p.s.Schema(schema)
	if s == nil || p.w.owners[schemaKey(schema)] == role || p.w.list(schemaKey(schema)).has(inventory.Public, "USAGE") {
		return
	}
	p.grant(schemaSecurable(s), role, []string{"USAGE"}, reason)
}

// keepMemberships grants roles of the application directly what they had, by
// way of memberships that the roles phase ends, on rows.
func (p *planner) keepMemberships() {
	for _, r := range p.runAs {
		lost := p.inherited(r, nil)
		for name := range p.inherits[r] {
			delete(lost, name)
		}
		if len(lost) == 0 {
			continue
		}
		for _, s := range p.s.Schemas {
			if !own(s.Name) && p.lostOn(schemaKey(s.Name), lost, "USAGE") && !p.effective(r, schemaKey(s.Name), "USAGE") {
				p.grant(schemaSecurable(s), r.Name, []string{"USAGE"}, keptReason)
			}
		}
		for _, rel := range p.s.Relations {
			if !own(rel.Schema) && rel.Extension == "" {
				p.in(rel.Object(), func() { p.keepRelation(r, rel, lost) })
			}
		}
	}
}

const keptReason = "it had this by a membership that ends, because it leads around row security"

func (p *planner) keepRelation(r *inventory.Role, rel *inventory.Relation, lost map[string]bool) {
	if p.closed(rel) {
		return
	}
	wanted := dml
	if rel.Kind == inventory.Sequence {
		wanted = []string{"USAGE", "SELECT"}
	}
	var names []string
	for _, privilege := range wanted {
		if p.lostOn(relationKey(rel), lost, privilege) && !p.effective(r, relationKey(rel), privilege) && (privilege == "SELECT" || p.writable(rel)) {
			names = append(names, privilege)
		}
	}
	p.grant(relationSecurable(rel), r.Name, names, keptReason)
}

// lostOn reports whether any of the roles has the privilege. The predefined
// ones have it without a grant.
func (p *planner) lostOn(key string, lost map[string]bool, privilege string) bool {
	reads := privilege == "SELECT" || privilege == "USAGE" && key[0] == schemaKey("")[0]
	if reads && lost["pg_read_all_data"] {
		return true
	}
	if slices.Contains(dml[1:], privilege) && lost["pg_write_all_data"] {
		return true
	}
	for name := range lost {
		if p.w.list(key).has(name, privilege) {
			return true
		}
	}
	return false
}
