package inventory

import "slices"

// identity is one role that a session of the application can run as, with
// everything that it has then.
type identity struct {
	app     *Role
	as      *Role
	path    Path            // from app to as
	has     map[string]Path // roles whose grants it has, and the way from as
	owns    map[string]Path // roles whose ownership it has
	schemas map[string]bool // where it has USAGE
}

// identify works out the identities. Attributes and predefined roles do not
// count here: a superuser, and a member of pg_read_all_data, would reach
// everything, which is a finding of its own and not one for each table. For
// the same reason nothing is followed that leads over a superuser, and no
// grants that lead over a role with BYPASSRLS.
func (m *Model) identify() {
	m.identities = nil
	for _, app := range m.AppRoles {
		becomes := app.Becomes()
		for _, as := range sortedRoles(becomes) {
			if becomes[as].over(func(r *Role) bool { return r.Superuser }) {
				continue
			}
			id := identity{
				app: app, as: as, path: becomes[as], has: map[string]Path{Public: {}}, owns: make(map[string]Path), schemas: make(map[string]bool),
			}
			id.collect()
			for _, s := range m.Snapshot.Schemas {
				_, owns := id.owns[s.Owner]
				id.schemas[s.Name] = owns || id.grant(s.Grants, "USAGE") != nil
			}
			m.identities = append(m.identities, id)
		}
	}
	// The shortest way is the one to show.
	slices.SortStableFunc(m.identities, func(a, b identity) int { return len(a.path) - len(b.path) })
}

// collect fills in has and owns.
func (id *identity) collect() {
	bypass := func(r *Role) bool { return r.BypassRLS }
	for role, path := range id.as.Inherits() {
		if path.over(func(r *Role) bool { return r.Superuser }) {
			continue
		}
		id.owns[role.Name] = path
		if !path.over(bypass) && !id.path.over(bypass) {
			id.has[role.Name] = path
		}
	}
}

// over reports whether a path leads to or over a role of some kind.
func (p Path) over(is func(*Role) bool) bool {
	return slices.ContainsFunc(p, func(s Step) bool { return is(s.Membership.Role) })
}

// Way says how the application comes to a privilege.
type Way struct {
	App     *Role  // that logs in
	As      *Role  // that it runs as
	Path    Path   // memberships from App to the role that has the privilege
	Grantee string // Public, or that role
	Owner   bool   // the privilege comes from ownership
}

// String writes the way: app -> rw, or PUBLIC.
func (w *Way) String() string {
	switch {
	case w.Grantee == Public:
		return "PUBLIC"
	case len(w.Path) == 0:
		return w.App.Name
	}
	return w.Path.String()
}

func (id *identity) way(grantee string, owner bool) *Way {
	from := id.has
	if owner {
		from = id.owns
	}
	return &Way{App: id.app, As: id.as, Path: slices.Concat(id.path, from[grantee]), Grantee: grantee, Owner: owner}
}

// grant returns the first grant of a privilege that the identity has; ""
// stands for any privilege.
func (id *identity) grant(grants []Grant, privilege string) *Grant {
	for i := range grants {
		if _, ok := id.has[grants[i].Grantee]; ok && (privilege == "" || grants[i].Privilege == privilege) {
			return &grants[i]
		}
	}
	return nil
}

// holds returns how the identity has a privilege that owners have anyway.
func (id *identity) holds(owner string, grants []Grant, privilege string) *Way {
	if _, ok := id.owns[owner]; ok {
		return id.way(owner, true)
	}
	if g := id.grant(grants, privilege); g != nil {
		return id.way(g.Grantee, false)
	}
	return nil
}

// first asks every identity in turn, nearest first.
func (m *Model) first(ask func(id *identity) *Way) *Way {
	for i := range m.identities {
		if way := ask(&m.identities[i]); way != nil {
			return way
		}
	}
	return nil
}

// Can returns how the application has a privilege on a relation (on all of it
// or on a column), or nil. USAGE on its schema is asked for too.
func (m *Model) Can(r *Relation, privilege string) *Way {
	return m.first(func(id *identity) *Way {
		if !id.schemas[r.Schema] {
			return nil
		}
		return id.can(r, privilege)
	})
}

// Reaches returns how the application has any privilege on a relation, or nil.
func (m *Model) Reaches(r *Relation) *Way { return m.Can(r, "") }

// RowPrivileges are the privileges that reach single rows: those that policies
// are for.
var RowPrivileges = []string{"SELECT", "INSERT", "UPDATE", "DELETE"}

// ReachesRows returns how the application reads or writes rows of a relation,
// or nil.
func (m *Model) ReachesRows(r *Relation) *Way {
	for _, privilege := range RowPrivileges {
		if way := m.Can(r, privilege); way != nil {
			return way
		}
	}
	return nil
}

// Granted is Can without ownership: by a grant on the whole relation.
func (m *Model) Granted(r *Relation, privilege string) *Way {
	return m.first(func(id *identity) *Way {
		if g := id.grant(r.Grants, privilege); g != nil && id.schemas[r.Schema] {
			return id.way(g.Grantee, false)
		}
		return nil
	})
}

// Calls returns how the application may call a function by name, or nil.
func (m *Model) Calls(f *Function) *Way {
	return m.first(func(id *identity) *Way {
		if f.Schema != "pg_catalog" && !id.schemas[f.Schema] {
			return nil
		}
		return id.holds(f.Owner, f.Grants, "EXECUTE")
	})
}

// Uses returns how the application may use what is in a schema, or nil.
func (m *Model) Uses(schema string) *Way {
	s := m.Snapshot.Schema(schema)
	if s == nil {
		return nil
	}
	return m.Has(s.Owner, s.Grants, "USAGE")
}

// Has returns how the application has a privilege by ownership or grant,
// without regard to schemas.
func (m *Model) Has(owner string, grants []Grant, privilege string) *Way {
	return m.first(func(id *identity) *Way { return id.holds(owner, grants, privilege) })
}

// Owns returns how the application gets the rights of an owner, or nil.
func (m *Model) Owns(owner string) *Way {
	return m.first(func(id *identity) *Way {
		if _, ok := id.owns[owner]; ok {
			return id.way(owner, true)
		}
		return nil
	})
}

// Identities are the roles that sessions of the application can run as, with
// the way there.
func (m *Model) Identities() map[*Role]Path {
	found := make(map[*Role]Path)
	for _, id := range m.identities {
		if _, ok := found[id.as]; !ok {
			found[id.as] = id.path
		}
	}
	return found
}

// Grantees are the roles of the application, or Public, that a grant on the
// relation or on one of its columns gives a privilege; "" stands for any.
// Owners, who need no grant, are left out. It is empty if the application has
// no USAGE on the schema.
func (m *Model) Grantees(r *Relation, privilege string) []string {
	if m.Uses(r.Schema) == nil {
		return nil
	}
	grants := slices.Clone(r.Grants)
	for _, c := range r.Columns {
		grants = append(grants, c.Grants...)
	}
	return m.GranteesOf(r.Owner, grants, privilege)
}

// GranteesOf is Grantees for other objects.
func (m *Model) GranteesOf(owner string, grants []Grant, privilege string) []string {
	var names []string
	for _, g := range grants {
		if g.Grantee == owner || privilege != "" && g.Privilege != privilege || slices.Contains(names, g.Grantee) {
			continue
		}
		for i := range m.identities {
			if _, ok := m.identities[i].has[g.Grantee]; ok {
				names = append(names, g.Grantee)
				break
			}
		}
	}
	slices.Sort(names)
	return names
}

// Covered reports whether a policy that fits applies to the application when
// it uses a privilege: for one of the roles that hold the privilege.
func (m *Model) Covered(r *Relation, privilege string, fits func(*Policy) bool) bool {
	for i := range m.identities {
		id := &m.identities[i]
		if !id.schemas[r.Schema] || id.can(r, privilege) == nil {
			continue
		}
		for _, p := range r.Policies {
			if fits(p) && slices.ContainsFunc(p.Roles, func(role string) bool { _, ok := id.has[role]; return ok }) {
				return true
			}
		}
	}
	return false
}

// can returns how the identity has a privilege on a relation or a column of
// it, schemas aside, or nil.
func (id *identity) can(r *Relation, privilege string) *Way {
	if way := id.holds(r.Owner, r.Grants, privilege); way != nil {
		return way
	}
	for _, c := range r.Columns {
		if g := id.grant(c.Grants, privilege); g != nil {
			return id.way(g.Grantee, false)
		}
	}
	return nil
}

// ReachesThrough returns how the application reaches a table, directly or
// through views, or nil.
func (m *Model) ReachesThrough(r *Relation) *Way {
	seen := map[*Relation]bool{r: true}
	for queue := []*Relation{r}; len(queue) > 0; queue = queue[1:] {
		if way := m.Reaches(queue[0]); way != nil {
			return way
		}
		for _, v := range m.Snapshot.Relations {
			if v.Kind == View && !seen[v] && slices.Contains(v.Uses.Relations, queue[0]) {
				seen[v] = true
				queue = append(queue, v)
			}
		}
	}
	return nil
}
