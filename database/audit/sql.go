package audit

import (
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// ownContext is the function that harden's policies call.
const ownContext = "org_id"

// defaultSetting is the setting that fixes read where nothing else is known.
const defaultSetting = "app.org_id"

// contextSQL is the tenant's key in a policy, of a type, evaluated once per
// statement.
func (f *Facts) contextSQL(typ string) string {
	for _, fn := range f.Snapshot.Functions {
		if fn.Schema == inventory.OwnSchema && fn.Name == ownContext && fn.Arguments == "" {
			cast := ""
			if fn.Result != typ {
				cast = "::" + typ
			}
			return "(SELECT " + fn.Object() + cast + ")"
		}
	}
	setting := defaultSetting
	if len(f.Settings) > 0 && !slices.Contains(f.Settings, defaultSetting) {
		setting = f.Settings[0]
	}
	return "(SELECT nullif(current_setting(" + inventory.QuoteLiteral(setting) + ", true), '')::" + typ + ")"
}

// tenantCondition is a policy's expression that binds a table to the tenant,
// or "" if the table's class does not tell how.
func (f *Facts) tenantCondition(t *inventory.Tenancy) string {
	switch {
	case t.Column != nil:
		return f.columnCondition(t)
	case len(t.Chain) > 0 && t.Parent == nil:
		k := t.Chain[0]
		var terms []string
		for i, c := range k.Columns {
			terms = append(terms, "parent."+inventory.Quote(k.ReferencedColumns[i].Name)+" = "+c.Object())
		}
		return "EXISTS (SELECT 1 FROM " + k.References.SQL() + " AS parent WHERE " + strings.Join(terms, " AND ") + ")"
	}
	return ""
}

// columnCondition compares the tenant column with the context. A column that
// references another key of the root table, a slug, is looked up.
func (f *Facts) columnCondition(t *inventory.Tenancy) string {
	column := inventory.Quote(t.Column.Name)
	if k := t.Reference; k != nil && k.References == f.Root && len(k.Columns) == 1 && f.RootKey != nil && k.ReferencedColumns[0] != f.RootKey {
		return column + " = (SELECT root." + inventory.Quote(k.ReferencedColumns[0].Name) + " FROM " + f.Root.SQL() + " AS root WHERE root." +
			inventory.Quote(f.RootKey.Name) + " = " + f.contextSQL(f.RootKey.BaseType) + ")"
	}
	return column + " = " + f.contextSQL(t.Column.BaseType)
}

// enableSQL turns row security on for everybody, with a policy on the tenant
// if the table has none and it is known how.
func (f *Facts) enableSQL(t *inventory.Tenancy) string {
	r := t.Relation
	var sql []string
	if !r.RowSecurity {
		sql = append(sql, "ALTER TABLE "+r.SQL()+" ENABLE ROW LEVEL SECURITY;")
	}
	if !r.Force {
		sql = append(sql, "ALTER TABLE "+r.SQL()+" FORCE ROW LEVEL SECURITY;")
	}
	permissive := slices.ContainsFunc(r.Policies, func(p *inventory.Policy) bool { return p.Permissive })
	if condition := f.tenantCondition(t); condition != "" && !permissive {
		sql = append(sql, "CREATE POLICY bulkhead_tenant ON "+r.SQL()+" USING ("+condition+");")
	}
	return strings.Join(sql, "\n")
}

// revokeSQL takes privileges on an object from grantees.
func revokeSQL(privileges, object string, grantees []string) string {
	return "REVOKE " + privileges + " ON " + object + " FROM " + roleList(grantees) + ";"
}

// roleList quotes grantees for GRANT and REVOKE.
func roleList(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = inventory.QuoteRole(name)
	}
	return strings.Join(quoted, ", ")
}

// leaveSQL ends the membership that a path of roles ends with. From 16 on a
// membership belongs to its grantor.
func (f *Facts) leaveSQL(path inventory.Path) string {
	const grantorsSince = 16
	m := path[len(path)-1].Membership
	if m.Implicit {
		return "ALTER DATABASE " + inventory.Quote(f.Snapshot.Database) + " OWNER TO CURRENT_USER;"
	}
	sql := "REVOKE " + inventory.Quote(m.Role.Name) + " FROM " + inventory.Quote(m.Member.Name)
	if f.Snapshot.Server.Major() >= grantorsSince && m.Grantor != "" {
		sql += " GRANTED BY " + inventory.Quote(m.Grantor)
	}
	return sql + ";"
}
