package harden

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// acl is an access list in the order in which PostgreSQL stores it. The order
// means nothing to the server, but pg_dump writes grants in it: what is undone
// must leave it as it was.
type acl []aclEntry

// aclEntry is what one role granted to another.
type aclEntry struct {
	grantee, grantor string
	privileges       []aclPrivilege // in the server's order
}

type aclPrivilege struct {
	name      string
	grantable bool // WITH GRANT OPTION
}

func (e *aclEntry) index(privilege string) int {
	return slices.IndexFunc(e.privileges, func(p aclPrivilege) bool { return p.name == privilege })
}

func (a acl) clone() acl {
	out := slices.Clone(a)
	for i := range out {
		out[i].privileges = slices.Clone(out[i].privileges)
	}
	return out
}

func (a acl) entry(grantee, grantor string) int {
	return slices.IndexFunc(a, func(e aclEntry) bool { return e.grantee == grantee && e.grantor == grantor })
}

// has reports whether somebody granted the privilege to the grantee.
func (a acl) has(grantee, privilege string) bool {
	return slices.ContainsFunc(a, func(e aclEntry) bool { return e.grantee == grantee && e.index(privilege) >= 0 })
}

// grant does what GRANT does: it adds to the entry of the same two roles, or
// appends one.
func (a *acl) grant(grantee, grantor string, privileges []aclPrivilege) {
	i := a.entry(grantee, grantor)
	if i < 0 {
		*a = append(*a, aclEntry{grantee: grantee, grantor: grantor})
		i = len(*a) - 1
	}
	e := &(*a)[i]
	for _, p := range privileges {
		if j := e.index(p.name); j >= 0 {
			e.privileges[j].grantable = e.privileges[j].grantable || p.grantable
		} else {
			e.privileges = append(e.privileges, p)
		}
	}
}

// revoke does what REVOKE does: an entry without privileges goes.
func (a *acl) revoke(grantee, grantor string, privileges []aclPrivilege) {
	i := a.entry(grantee, grantor)
	if i < 0 {
		return
	}
	e := &(*a)[i]
	e.privileges = slices.DeleteFunc(e.privileges, func(p aclPrivilege) bool {
		return slices.ContainsFunc(privileges, func(q aclPrivilege) bool { return q.name == p.name })
	})
	if len(e.privileges) == 0 {
		*a = slices.Delete(*a, i, i+1)
	}
}

// changeOwner does what ALTER ... OWNER TO does: the new owner takes the place
// of the old one in every entry.
func (a *acl) changeOwner(from, to string) {
	old := a.clone()
	*a = (*a)[:0]
	for _, e := range old {
		if e.grantee == from {
			e.grantee = to
		}
		if e.grantor == from {
			e.grantor = to
		}
		a.grant(e.grantee, e.grantor, e.privileges)
	}
}

// sameOrder reports whether the two lists hold the same pairs of roles in the
// same order.
func sameOrder(a, b acl) bool {
	return slices.EqualFunc(a, b, func(x, y aclEntry) bool { return x.grantee == y.grantee && x.grantor == y.grantor })
}

// securable is something with an access list.
type securable struct {
	object string // as reports spell it
	sql    string // TABLE x.y, FUNCTION x.y(int), SCHEMA x: as GRANT ... ON writes it
	column string // quoted; of a column's own list
	lock   string
	// prefix makes another statement of GRANT and REVOKE: ALTER DEFAULT
	// PRIVILEGES FOR ROLE x.
	prefix   string
	key      string // of the world
	relation *inventory.Relation
}

// columns are those whose own lists a REVOKE on the relation touches.
func (s *securable) columns() []*inventory.Column {
	if s.relation == nil {
		return nil
	}
	return s.relation.Columns
}

func grantee(role string) string {
	if role == inventory.Public {
		return "public"
	}
	return inventory.Quote(role)
}

// list writes the privileges for GRANT and REVOKE.
func (s *securable) list(privileges []aclPrivilege) string {
	names := make([]string, len(privileges))
	for i, p := range privileges {
		names[i] = strings.ToLower(p.name)
		if s.column != "" {
			names[i] += " (" + s.column + ")"
		}
	}
	return strings.Join(names, ", ")
}

func (s *securable) grantSQL(role string, privileges []aclPrivilege) string {
	plain, option := byOption(privileges)
	var out []string
	if len(plain) > 0 {
		out = append(out, s.prefix+"grant "+s.list(plain)+" on "+s.sql+" to "+grantee(role))
	}
	if len(option) > 0 {
		out = append(out, s.prefix+"grant "+s.list(option)+" on "+s.sql+" to "+grantee(role)+" with grant option")
	}
	return strings.Join(out, ";\n")
}

func (s *securable) revokeSQL(role string, privileges []aclPrivilege) string {
	return s.prefix + "revoke " + s.list(privileges) + " on " + s.sql + " from " + grantee(role)
}

func byOption(privileges []aclPrivilege) (plain, option []aclPrivilege) {
	for _, p := range privileges {
		if p.grantable {
			option = append(option, p)
		} else {
			plain = append(plain, p)
		}
	}
	return plain, option
}

// as runs a statement as the role that made a grant: REVOKE finds only the
// grants of the role that runs it, and superusers count as the owner.
func as(role, owner, sql string) string {
	if role == owner {
		return sql
	}
	return "set local role " + inventory.Quote(role) + ";\n" + sql + ";\nreset role"
}
