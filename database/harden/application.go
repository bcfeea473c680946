package harden

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// application works out which memberships the roles phase ends, and what the
// application is after that.
func (p *planner) application() {
	p.ended = make(map[*inventory.Membership]bool)
	p.appRoles = map[string]bool{inventory.Public: true}
	p.inherits = make(map[*inventory.Role]map[string]bool)
	// A role can lead to another one only over the first: each round may show
	// further memberships until nothing is dangerous any more.
	for _, app := range p.m.AppRoles {
		p.follow(app)
	}
	for _, r := range p.runAs {
		p.inherits[r] = p.inherited(r, p.ended)
		for name := range p.inherits[r] {
			p.appRoles[name] = true
		}
	}
}

// follow walks from a role over its memberships, and ends those that lead to a
// role which row security does not bind.
func (p *planner) follow(r *inventory.Role) {
	if slices.Contains(p.runAs, r) {
		return
	}
	p.runAs = append(p.runAs, r)
	for _, m := range r.Memberships {
		if p.dangerous(m.Role) != "" {
			p.ended[m] = true
			continue
		}
		// What r inherits is followed like what it can become: there, too, a
		// dangerous role may wait behind a harmless one.
		p.follow(m.Role)
	}
}

// dangerous says why no role of the application may be a member of another
// one, or "".
func (p *planner) dangerous(r *inventory.Role) string {
	switch {
	case slices.Contains(ourRoles, r.Name):
		return "it belongs to Bulkhead"
	case slices.Contains(p.m.AppRoles, r):
		return "" // chosen by the operator: it loses what is dangerous itself
	case r.Superuser:
		return "it is a superuser"
	case r.BypassRLS:
		return "row security does not bind it"
	case r.CreateRole:
		return "it can make itself a member of other roles"
	case r.Replication:
		return "it can stream the changes of all tenants"
	case predefined[r.Name] != "":
		return predefined[r.Name]
	}
	if r.Name == p.s.DatabaseOwner {
		return "it owns the database, and with it the schema public"
	}
	for _, t := range p.m.Tenancies() {
		if t.Tenant() && t.Relation.Owner == r.Name {
			return "it owns " + t.Relation.Object() + " and can switch row security off"
		}
	}
	for _, s := range p.s.Schemas {
		if s.Owner == r.Name && p.holdsTenants(s.Name) && r.Name != "pg_database_owner" {
			return "it owns the schema " + s.Name + " and can replace what is in it"
		}
	}
	return ""
}

func (p *planner) holdsTenants(schema string) bool {
	return slices.ContainsFunc(p.m.Tenancies(), func(t *inventory.Tenancy) bool { return t.Tenant() && t.Relation.Schema == schema })
}

// predefined are the server's own roles that lead around row security or to
// other sessions (manual, 22.5), with the reason.
var predefined = map[string]string{
	"pg_read_all_data":            "it reads every table",
	"pg_write_all_data":           "it writes every table",
	"pg_read_server_files":        "it reads files of the server's host",
	"pg_write_server_files":       "it writes files of the server's host",
	"pg_execute_server_program":   "it runs programs on the server's host",
	"pg_create_subscription":      "it makes the server connect elsewhere",
	"pg_monitor":                  "it sees the statements of all sessions",
	"pg_read_all_stats":           "it sees the statements of all sessions",
	"pg_stat_scan_tables":         "it can lock every table",
	"pg_read_all_settings":        "it sees settings that are kept from others",
	"pg_signal_backend":           "it can end the sessions of other tenants",
	"pg_signal_autovacuum_worker": "it can disturb the server",
	"pg_maintain":                 "it can lock every table",
	"pg_checkpoint":               "it can disturb the server",
}

// inherited are the roles whose privileges r has without SET ROLE, itself
// included, when the given memberships are gone.
func (p *planner) inherited(r *inventory.Role, without map[*inventory.Membership]bool) map[string]bool {
	found := map[string]bool{}
	var walk func(r *inventory.Role)
	walk = func(r *inventory.Role) {
		if found[r.Name] {
			return
		}
		found[r.Name] = true
		for _, m := range r.Memberships {
			if m.Inherit && !without[m] {
				walk(m.Role)
			}
		}
	}
	walk(r)
	return found
}

// effective reports whether a role has a privilege on something in the state
// that the plan has reached, by grants to itself, to roles that it inherits
// from, or to PUBLIC.
func (p *planner) effective(r *inventory.Role, key, privilege string) bool {
	return p.w.list(key).has(inventory.Public, privilege) || p.effectiveOwn(r, key, privilege)
}

// effectiveOwn is effective without PUBLIC.
func (p *planner) effectiveOwn(r *inventory.Role, key, privilege string) bool {
	for name := range p.inherits[r] {
		if p.w.list(key).has(name, privilege) {
			return true
		}
	}
	return false
}

// reaches reports whether any role that the application runs as has the
// privilege, on the relation or on a column of it, in the state that the plan
// has reached.
func (p *planner) reaches(r *inventory.Relation, privilege string) bool {
	for _, role := range p.runAs {
		if p.may(role, r, privilege) {
			return true
		}
	}
	return false
}

// may is effective on a relation or any of its columns.
func (p *planner) may(role *inventory.Role, r *inventory.Relation, privilege string) bool {
	if p.effective(role, relationKey(r), privilege) {
		return true
	}
	return slices.ContainsFunc(r.Columns, func(c *inventory.Column) bool { return p.effective(role, columnKey(c), privilege) })
}

// mayRead reports whether a role may read the given columns of a relation.
func (p *planner) mayRead(role *inventory.Role, r *inventory.Relation, columns []*inventory.Column) bool {
	if p.inherits[role] == nil {
		p.inherits[role] = p.inherited(role, p.ended)
	}
	if p.effective(role, relationKey(r), "SELECT") {
		return true
	}
	if len(columns) == 0 { // count(*) asks for some column, whichever
		return p.may(role, r, "SELECT")
	}
	return !slices.ContainsFunc(columns, func(c *inventory.Column) bool { return !p.effective(role, columnKey(c), "SELECT") })
}
