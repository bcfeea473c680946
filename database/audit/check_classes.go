package audit

import (
	"fmt"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// classChecks ask whose rows a table holds.
func classChecks() []Check {
	return []Check{
		{
			ID: "A110", Name: "unclassified", Severity: Medium, CWE: "CWE-668", Controls: controlsAccess,
			Title: "table that belongs neither to tenants nor to all",
			Why:   "No tenant column, no foreign key that leads to one, and not declared global: nobody has decided whose rows these are, and the application reaches them.",
			Fix:   "Add a tenant column or foreign key, or declare the table global (audit.global_tables, --global-table), or revoke it from the application.",
			Run:   unclassified,
		},
		{
			ID: "A111", Name: "global_writable", Severity: Medium, CWE: "CWE-668", Controls: controlsAccess,
			Title: "global table that the application can write",
			Why:   "What one tenant writes there, all others read: a channel between tenants, and a way to change how the application treats them.",
			Fix:   "Revoke the write privileges; let a role of its own maintain the table.",
			Run:   globalWritable,
		},
		{
			ID: "A509", Name: "indirect_tenancy", Severity: Info, CWE: "CWE-284", Controls: controlsAccess,
			Title: "table that belongs to tenants through foreign keys",
			Why: "Its policy has to look at its parent: fine for look-ups, but a query over the whole table reads the rows of all tenants. " +
				"Large tables are better off with a tenant column of their own.",
			Fix: "Decide whether to add the tenant column (`bulkhead harden --denormalise`).",
			Run: indirectTenancy,
		},
	}
}

func unclassified(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		r := t.Relation
		if t.Class != inventory.Unknown || r.Kind == inventory.ForeignTable {
			continue
		}
		found = append(found, f.forTable(r, fmt.Sprintf("%s has no way to a tenant and is not declared global; the application reaches it as %s.", r.Object(), f.Reaches(r))))
	}
	return found
}

// writes are the privileges that change rows.
var writes = []string{"INSERT", "UPDATE", "DELETE", "TRUNCATE"}

func globalWritable(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		r := t.Relation
		if t.Class != inventory.Global {
			continue
		}
		var held, sql []string
		for _, privilege := range writes {
			if f.Can(r, privilege) == nil {
				continue
			}
			held = append(held, privilege)
			if grantees := f.Grantees(r, privilege); len(grantees) > 0 {
				sql = append(sql, revokeSQL(privilege, r.SQL(), grantees))
			}
		}
		if len(held) == 0 {
			continue
		}
		finding := f.forTable(r, fmt.Sprintf("%s is global, and the application may %s it.", r.Object(), strings.Join(held, ", ")))
		if len(sql) == len(held) && f.Owns(r.Owner) == nil {
			finding = finding.withSQL(strings.Join(sql, "\n"))
		}
		found = append(found, finding)
	}
	return found
}

func indirectTenancy(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.tenantTables() {
		if t.Class != inventory.Indirect {
			continue
		}
		path := []string{t.Relation.Object()}
		for _, k := range t.Chain {
			path = append(path, k.References.Object())
		}
		found = append(found, f.forTable(t.Relation, strings.Join(path, " -> ")+": the tenant is "+plural(len(t.Chain), "foreign key", "foreign keys")+" away."))
	}
	return found
}
