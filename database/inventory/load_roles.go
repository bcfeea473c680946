package inventory

import (
	"context"
	"strings"
)

func (l *loader) roles(ctx context.Context) error {
	const query = `
SELECT rolname::text, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin, rolinherit, rolconnlimit
FROM pg_roles ORDER BY rolname::text COLLATE "C"`
	var r Role
	dest := []any{
		&r.Name, &r.Superuser, &r.BypassRLS, &r.CreateRole, &r.CreateDB, &r.Replication, &r.Login, &r.Inherit, &r.ConnectionLimit,
	}
	return l.each(ctx, "roles", query, nil, dest, func() error {
		role := r
		l.s.Roles = append(l.s.Roles, &role)
		l.s.roles[role.Name] = &role
		return nil
	})
}

// memberships reads the role graph. The options are columns from 16 on.
func (l *loader) memberships(ctx context.Context) error {
	const query = `
SELECT r.rolname::text, m.rolname::text, COALESCE(g.rolname::text, ''), a.admin_option,
	COALESCE((to_jsonb(a)->>'inherit_option')::bool, m.rolinherit), COALESCE((to_jsonb(a)->>'set_option')::bool, true)
FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member LEFT JOIN pg_roles g ON g.oid = a.grantor
ORDER BY r.rolname::text COLLATE "C", m.rolname::text COLLATE "C", 3`
	var role, member string
	var m Membership
	dest := []any{&role, &member, &m.Grantor, &m.Admin, &m.Inherit, &m.Set}
	err := l.each(ctx, "role memberships", query, nil, dest, func() error {
		membership := m
		membership.Role, membership.Member = l.s.roles[role], l.s.roles[member]
		membership.link()
		return nil
	})
	implicit := &Membership{
		Role: l.s.roles["pg_database_owner"], Member: l.s.roles[l.s.DatabaseOwner], Inherit: true, Set: true, Implicit: true,
	}
	implicit.link()
	return err
}

// link enters the membership in its roles, if both are known.
func (m *Membership) link() {
	if m.Role == nil || m.Member == nil {
		return
	}
	m.Member.Memberships = append(m.Member.Memberships, m)
	m.Role.Members = append(m.Role.Members, m)
}

// roleSettings reads what ALTER ROLE and ALTER DATABASE SET for this
// database.
func (l *loader) roleSettings(ctx context.Context) error {
	const query = `
SELECT COALESCE(r.rolname::text, ''), COALESCE(d.datname::text, ''), c
FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
CROSS JOIN unnest(s.setconfig) AS c
WHERE s.setdatabase = 0 OR d.datname = current_database()
ORDER BY COALESCE(r.rolname::text, '') COLLATE "C", 2, c COLLATE "C"`
	var s RoleSetting
	var config string
	return l.each(ctx, "role settings", query, nil, []any{&s.Role, &s.Database, &config}, func() error {
		s.Name, s.Value, _ = strings.Cut(config, "=")
		l.s.RoleSettings = append(l.s.RoleSettings, s)
		return nil
	})
}

func (l *loader) schemas(ctx context.Context) error {
	var g Grant
	const database = `SELECT ` + exploded + ` FROM pg_database d CROSS JOIN aclexplode(COALESCE(d.datacl, acldefault('d', d.datdba))) x
WHERE d.datname = current_database() ORDER BY 1, 2, 4, 3`
	err := l.each(ctx, "the database's privileges", database, nil, scanGrant(&g), func() error {
		l.s.DatabaseGrants = append(l.s.DatabaseGrants, g)
		return nil
	})
	if err != nil {
		return err
	}
	var s Schema
	query := `SELECT n.nspname::text, pg_get_userbyid(n.nspowner)::text, ` + extensionOf("pg_namespace", "n.oid") + `
FROM pg_namespace n WHERE ` + userSchemas + ` ORDER BY n.nspname::text COLLATE "C"`
	err = l.each(ctx, "schemas", query, nil, []any{&s.Name, &s.Owner, &s.Extension}, func() error {
		schema := s
		l.s.Schemas = append(l.s.Schemas, &schema)
		l.s.schemas[schema.Name] = &schema
		return nil
	})
	if err != nil {
		return err
	}
	var name string
	const grants = `SELECT n.nspname::text, ` + exploded + ` FROM pg_namespace n CROSS JOIN aclexplode(COALESCE(n.nspacl, acldefault('n', n.nspowner))) x
WHERE ` + userSchemas + ` ORDER BY 1, 2, 3, 5, 4`
	return l.each(ctx, "privileges on schemas", grants, nil, append([]any{&name}, scanGrant(&g)...), func() error {
		if schema := l.s.schemas[name]; schema != nil {
			schema.Grants = append(schema.Grants, g)
		}
		return nil
	})
}

func (l *loader) defaultPrivileges(ctx context.Context) error {
	const query = `
SELECT pg_get_userbyid(d.defaclrole)::text, COALESCE(n.nspname::text, ''), d.defaclobjtype::text, ` + exploded + `
FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace CROSS JOIN aclexplode(d.defaclacl) x
ORDER BY 1, 2, 3, 4, 5, 7, 6`
	var d DefaultPrivilege
	var kind string
	var g Grant
	return l.each(ctx, "default privileges", query, nil, append([]any{&d.Owner, &d.Schema, &kind}, scanGrant(&g)...), func() error {
		d.Kind = kind[0]
		list := l.s.DefaultPrivileges
		if n := len(list); n > 0 && list[n-1].Owner == d.Owner && list[n-1].Schema == d.Schema && list[n-1].Kind == d.Kind {
			list[n-1].Grants = append(list[n-1].Grants, g)
			return nil
		}
		entry := d
		entry.Grants = []Grant{g}
		l.s.DefaultPrivileges = append(list, entry)
		return nil
	})
}

// parameters reads the rights on settings, a catalogue of 15 and later.
func (l *loader) parameters(ctx context.Context) error {
	const since = 15
	if l.s.Server.Major() < since {
		return nil
	}
	const query = `SELECT p.parname, ` + exploded + ` FROM pg_parameter_acl p CROSS JOIN aclexplode(p.paracl) x ORDER BY 1, 2, 3, 5, 4`
	var name string
	var g Grant
	return l.each(ctx, "privileges on settings", query, nil, append([]any{&name}, scanGrant(&g)...), func() error {
		list := l.s.ParameterGrants
		if n := len(list); n > 0 && list[n-1].Parameter == name {
			list[n-1].Grants = append(list[n-1].Grants, g)
			return nil
		}
		l.s.ParameterGrants = append(list, ParameterGrant{Parameter: name, Grants: []Grant{g}})
		return nil
	})
}
