package harden

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

func relationSecurable(r *inventory.Relation) securable {
	kind := "table "
	if r.Kind == inventory.Sequence {
		kind = "sequence "
	}
	return securable{object: r.Object(), sql: kind + r.SQL(), key: relationKey(r), relation: r}
}

func columnSecurable(c *inventory.Column) securable {
	return securable{object: c.Object(), sql: "table " + c.Relation.SQL(), column: inventory.Quote(c.Name), key: columnKey(c)}
}

func functionSecurable(f *inventory.Function) securable {
	return securable{object: f.Object(), sql: f.SQL(), key: functionKey(f)}
}

func schemaSecurable(s *inventory.Schema) securable {
	return securable{object: s.Object(), sql: "schema " + inventory.Quote(s.Name), key: schemaKey(s.Name)}
}

func (p *planner) databaseSecurable() securable {
	return securable{object: "database:" + p.s.Database, sql: "database " + inventory.Quote(p.s.Database), key: databaseKey}
}

func defaultSecurable(d *inventory.DefaultPrivilege, objects string) securable {
	prefix := "alter default privileges for role " + inventory.Quote(d.Owner) + " "
	if d.Schema != "" {
		prefix += "in schema " + inventory.Quote(d.Schema) + " "
	}
	return securable{object: d.Object(), sql: objects, prefix: prefix, key: defaultKey(d)}
}

// grant adds the step that gives a role privileges as the object's owner.
func (p *planner) grant(s securable, role string, names []string, reason string) {
	owner := p.w.owners[s.key]
	list := p.w.list(s.key)
	var privileges []aclPrivilege
	for _, n := range names {
		switch {
		case list.has(role, n):
		case p.passedOn(s, role, n):
			for _, c := range s.columns() {
				p.grant(columnSecurable(c), role, []string{n}, reason)
			}
		default:
			privileges = append(privileges, aclPrivilege{name: n})
		}
	}
	if len(privileges) == 0 {
		return
	}
	inverse := s.revokeSQL(role, privileges)
	if back := p.columnsBack(s, aclEntry{role, owner, privileges}, false); back != "" {
		inverse = joinSQL(inverse, back)
	}
	list.grant(role, owner, privileges)
	p.add(Step{SQL: s.grantSQL(role, privileges), Inverse: inverse, Reason: reason, Object: s.object})
}

// passedOn reports whether a role has granted a privilege on a column of the
// relation to others. A revoke on the whole relation, which undoes a grant on
// it, would fail then.
func (p *planner) passedOn(s securable, role, privilege string) bool {
	return slices.ContainsFunc(s.columns(), func(c *inventory.Column) bool {
		return slices.ContainsFunc(*p.w.list(columnKey(c)), func(e aclEntry) bool {
			return e.grantor == role && role != p.w.owners[s.key] && (privilege == "" || e.index(privilege) >= 0)
		})
	})
}

// columnsBack grants again what a revoke on a whole table takes along: the
// same privileges on its columns. With gone the revoke is the step itself, and
// not what undoes it.
func (p *planner) columnsBack(s securable, e aclEntry, gone bool) string {
	var out []string
	for _, c := range s.columns() {
		list := p.w.list(columnKey(c))
		i := list.entry(e.grantee, e.grantor)
		if i < 0 {
			continue
		}
		lost := aclEntry{e.grantee, e.grantor, slices.DeleteFunc(slices.Clone((*list)[i].privileges), func(x aclPrivilege) bool {
			return !slices.ContainsFunc(e.privileges, func(y aclPrivilege) bool { return y.name == x.name })
		})}
		if len(lost.privileges) == 0 {
			continue
		}
		before := list.clone()
		after := list.clone()
		after.revoke(lost.grantee, lost.grantor, lost.privileges)
		out = append(out, p.regrant(columnSecurable(c), before, after, lost))
		if gone {
			*list = after
		}
	}
	return strings.Join(out, ";\n")
}

// revoke adds the steps that take privileges away from every role of the
// application and from PUBLIC. No names means all privileges.
func (p *planner) revoke(s securable, names []string, reason string) {
	p.revokeFrom(s, names, reason, func(role string) bool { return p.appRoles[role] })
}

func (p *planner) revokeFrom(s securable, names []string, reason string, from func(role string) bool) {
	list := p.w.list(s.key)
	owner := p.w.owners[s.key]
	for _, e := range list.clone() {
		i := list.entry(e.grantee, e.grantor) // it may be gone with what it was passed on from
		if i < 0 || e.grantee == owner || !from(e.grantee) {
			continue
		}
		e = list.clone()[i]
		taken := slices.DeleteFunc(slices.Clone(e.privileges), func(x aclPrivilege) bool {
			return len(names) > 0 && !slices.Contains(names, x.name)
		})
		if len(taken) > 0 {
			p.revokeEntry(s, aclEntry{e.grantee, e.grantor, taken}, reason)
		}
	}
}

// revokeEntry takes away one role's privileges, and before that what it passed
// on: the server would refuse else. Those who got it from there keep it, from
// the owner.
func (p *planner) revokeEntry(s securable, e aclEntry, reason string) {
	list := p.w.list(s.key)
	owner := p.w.owners[s.key]
	for _, passed := range list.clone() {
		if passed.grantor != e.grantee || passed.grantor == owner {
			continue
		}
		taken := slices.DeleteFunc(slices.Clone(passed.privileges), func(x aclPrivilege) bool {
			return !slices.ContainsFunc(e.privileges, func(y aclPrivilege) bool { return y.name == x.name && y.grantable })
		})
		if len(taken) == 0 {
			continue
		}
		p.revokeEntry(s, aclEntry{passed.grantee, passed.grantor, taken}, "it was passed on by "+e.grantee+", which loses it: "+reason)
		if !p.appRoles[passed.grantee] {
			var names []string
			for _, x := range taken {
				names = append(names, x.name)
			}
			p.grant(s, passed.grantee, names, "it had this from "+e.grantee+", and keeps it from the owner")
		}
	}
	before := list.clone()
	list.revoke(e.grantee, e.grantor, e.privileges)
	inverse := p.regrant(s, before, *list, e)
	if back := p.columnsBack(s, e, true); back != "" {
		inverse = joinSQL(inverse, back)
	}
	p.add(Step{
		SQL:     as(e.grantor, owner, s.revokeSQL(e.grantee, e.privileges)),
		Inverse: inverse,
		Reason:  reason, Object: s.object, Lock: s.lock,
	})
}

// revokeRelation takes privileges on a relation away, those on its columns
// first: a revoke on the table would take them along, unseen.
func (p *planner) revokeRelation(r *inventory.Relation, names []string, reason string) {
	for _, c := range r.Columns {
		p.revoke(columnSecurable(c), names, reason)
	}
	p.revoke(relationSecurable(r), names, reason)
}

// regrant is the inverse of a revoke: the grants, and where the entry went, the
// entries behind it once more, so that all stand in their old order.
func (p *planner) regrant(s securable, before, after acl, e aclEntry) string {
	owner := p.w.owners[s.key]
	out := []string{as(e.grantor, owner, s.grantSQL(e.grantee, e.privileges))}
	now := after.clone()
	now.grant(e.grantee, e.grantor, e.privileges)
	if sameOrder(before, now) {
		return out[0]
	}
	first := slices.IndexFunc(before, func(x aclEntry) bool { return x.grantee == e.grantee && x.grantor == e.grantor })
	for _, behind := range before[first+1:] {
		if behind.grantor != owner || p.passedOn(s, behind.grantee, "") {
			return out[0] // who depends on whom matters more than the order
		}
	}
	for _, behind := range before[first+1:] {
		out = append(out, s.revokeSQL(behind.grantee, behind.privileges), s.grantSQL(behind.grantee, behind.privileges))
		if back := p.columnsBack(s, behind, false); back != "" {
			out = append(out, back)
		}
	}
	return strings.Join(out, ";\n")
}
