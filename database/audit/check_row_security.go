package audit

import (
	"fmt"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// rowSecurityChecks ask whether row security is on and binds everybody.
func rowSecurityChecks() []Check {
	return []Check{
		{
			ID: "A101", Name: "rls_disabled", Severity: Critical, CWE: "CWE-639", Controls: controlsAccess,
			Title: "tenant table without row security",
			Why: "The application can reach a table with rows of all tenants, and nothing in the database keeps them apart: one " +
				"forgotten WHERE, or one SQL injection, and a tenant reads another's rows.",
			Fix: "Turn row security on, force it, and add a policy on the tenant (or let `bulkhead harden` add its floor).",
			Run: rlsDisabled,
		},
	}
}

func rlsDisabled(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.tenantTables() {
		r := t.Relation
		if !r.TakesPolicies() || r.RowSecurity || len(r.Policies) > 0 || isChild(r) {
			continue
		}
		found = append(found, f.forTable(r, fmt.Sprintf("%s holds rows of tenants (%s), the application reaches it as %s, and row security is off.",
			r.Object(), t.Class, f.Reaches(r))).withEvidence(f.Reaches(r).String()))
	}
	return found
}

// isChild reports whether the table is a partition or an inheritance child.
func isChild(r *inventory.Relation) bool { return len(r.Parents) > 0 }
