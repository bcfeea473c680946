package harden

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

func relationSecurable(r *inventory.Relation) securable {
	kind := "table "
	if r.Kind == inventory.Sequence {
		kind = "sequence "
	}
	return securable{object: r.Object(), sql: kind + r.SQL(), key: relationKey(r)}
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
		if !list.has(role, n) {
			privileges = append(privileges, aclPrivilege{name: n})
		}
	}
	if len(privileges) == 0 {
		return
	}
	list.grant(role, owner, privileges)
	p.add(Step{SQL: s.grantSQL(role, privileges), Inverse: s.revokeSQL(role, privileges), Reason: reason, Object: s.object})
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
		if e.grantee == owner || !from(e.grantee) {
			continue
		}
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
	p.add(Step{
		SQL:     as(e.grantor, owner, s.revokeSQL(e.grantee, e.privileges)),
		Inverse: s.regrant(before, *list, e, owner),
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
