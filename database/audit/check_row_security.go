package audit

import (
	"fmt"
	"slices"

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
		{
			ID: "A102", Name: "policies_without_rls", Severity: Critical, CWE: "CWE-639", Controls: controlsAccess,
			Title: "policies exist, but row security is off",
			Why:   "Policies do nothing until row security is enabled. The table looks protected and is open.",
			Fix:   "ALTER TABLE ... ENABLE ROW LEVEL SECURITY, and FORCE.",
			Run:   policiesWithoutRLS,
		},
		{
			ID: "A103", Name: "rls_not_forced", Severity: High, CWE: "CWE-284", Controls: controlsAccess,
			Title: "row security does not bind the table's owner",
			Why: "Without FORCE the owner sees all rows, and so does everything that runs with the owner's rights: views without " +
				"security_invoker, SECURITY DEFINER functions, rules, migrations.",
			Fix: "ALTER TABLE ... FORCE ROW LEVEL SECURITY.",
			Run: rlsNotForced,
		},
		{
			ID: "A105", Name: "rls_without_policy", Severity: Low, CWE: "CWE-732", Controls: controlsAvailable,
			Title: "row security without a policy denies everything",
			Why:   "It is safe, but the application holds privileges that never work: a policy is missing, or the privileges should go.",
			Fix:   "Add a policy on the tenant, or revoke the privileges.",
			Run:   rlsWithoutPolicy,
		},
		{
			ID: "A106", Name: "only_restrictive", Severity: Low, CWE: "CWE-732", Controls: controlsAvailable,
			Title: "only restrictive policies: everything is denied",
			Why:   "Restrictive policies narrow what a permissive one allows. Without a permissive one nothing is allowed.",
			Fix:   "Add a permissive policy.",
			Run:   onlyRestrictive,
		},
		{
			ID: "A107", Name: "child_unprotected", Severity: Critical, CWE: "CWE-639", Controls: controlsAccess,
			Title: "partition or inheritance child without row security is reached directly",
			Why: "Policies of the parent count only for queries that name the parent. Whoever names the child gets all its rows, if the " +
				"child has a grant of its own and no row security.",
			Fix: "Revoke the child's own grants, or give it the parent's policies.",
			Run: childUnprotected,
		},
		{
			ID: "A109", Name: "foreign_table", Severity: High, CWE: "CWE-284", Controls: controlsAccess,
			Title: "foreign table within reach: row security cannot apply",
			Why:   "A foreign table takes no policies. What the other server shows to the mapped user, every tenant sees.",
			Fix:   "Revoke it from the application; offer a view with the tenant's condition instead.",
			Run:   foreignTable,
		},
	}
}

func rlsDisabled(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.tenantTables() {
		r := t.Relation
		way := f.ReachesRows(r)
		if !r.TakesPolicies() || r.RowSecurity || len(r.Policies) > 0 || isChild(r) || way == nil {
			continue
		}
		found = append(found, f.forTable(r, fmt.Sprintf("%s holds rows of tenants (%s), the application reaches it as %s, and row security is off.",
			r.Object(), t.Class, way)).withSQL(f.enableSQL(t)).withEvidence("reached as "+way.String()))
	}
	return found
}

func policiesWithoutRLS(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		r := t.Relation
		way := f.ReachesRows(r)
		if r.RowSecurity || len(r.Policies) == 0 || way == nil {
			continue
		}
		finding := f.forTable(r, fmt.Sprintf("%s has %s and row security is off: the application, as %s, sees every row.",
			r.Object(), plural(len(r.Policies), "policy", "policies"), way)).withSQL(f.enableSQL(t))
		for _, p := range r.Policies {
			finding = finding.withEvidence(policyText(p))
		}
		found = append(found, finding)
	}
	return found
}

// policyText shows a policy as evidence.
func policyText(p *inventory.Policy) string {
	kind := "permissive"
	if !p.Permissive {
		kind = "restrictive"
	}
	s := fmt.Sprintf("%s policy %s for %s to %s", kind, p.Name, p.CommandName(), roleList(p.Roles))
	if p.Using != "" {
		s += " using (" + p.Using + ")"
	}
	if p.Check != "" {
		s += " with check (" + p.Check + ")"
	}
	return s
}

func rlsNotForced(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.Tenancies() {
		r := t.Relation
		if !judged(r) || !t.Tenant() || !r.RowSecurity || r.Force || f.ReachesThrough(r) == nil {
			continue
		}
		found = append(found, f.forTable(r, fmt.Sprintf("%s is not forced: its owner %s, and views and SECURITY DEFINER functions of %s, see all tenants.",
			r.Object(), r.Owner, r.Owner)).withSQL("ALTER TABLE "+r.SQL()+" FORCE ROW LEVEL SECURITY;"))
	}
	return found
}

func rlsWithoutPolicy(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		r := t.Relation
		if !r.RowSecurity || len(r.Policies) > 0 {
			continue
		}
		found = append(found, f.missingPolicy(t, r.Object()+" has row security and no policy: the application sees and writes no row."))
	}
	return found
}

func onlyRestrictive(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		r := t.Relation
		if !r.RowSecurity || len(r.Policies) == 0 || hasPermissive(r) {
			continue
		}
		found = append(found, f.missingPolicy(t, r.Object()+" has restrictive policies only: the application sees and writes no row."))
	}
	return found
}

// missingPolicy begins a finding whose fix is one more permissive policy.
func (f *Facts) missingPolicy(t *inventory.Tenancy, detail string) Finding {
	finding := f.forTable(t.Relation, detail)
	if condition := f.tenantCondition(t); condition != "" {
		return finding.withSQL("CREATE POLICY bulkhead_tenant ON " + t.Relation.SQL() + " USING (" + condition + ");")
	}
	return finding
}

func hasPermissive(r *inventory.Relation) bool {
	return slices.ContainsFunc(r.Policies, func(p *inventory.Policy) bool { return p.Permissive })
}

func childUnprotected(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.Tenancies() {
		r := t.Relation
		if !judged(r) || !r.TakesPolicies() || r.RowSecurity || len(r.Policies) > 0 || !isChild(r) || !t.Tenant() {
			continue
		}
		grantees := f.Grantees(r, "")
		if len(grantees) == 0 || f.ReachesRows(r) == nil {
			continue
		}
		found = append(found, f.forTable(r, fmt.Sprintf("%s is a child of %s with a grant of its own to %s and without row security: naming it gets around the parent's policies.",
			r.Object(), r.Parents[0].Object(), roleList(grantees))).withSQL(revokeSQL("ALL", r.SQL(), grantees)))
	}
	return found
}

func foreignTable(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		r := t.Relation
		if r.Kind != inventory.ForeignTable || t.Class == inventory.Global {
			continue
		}
		finding := f.forTable(r, fmt.Sprintf("%s is on server %s; the application reaches it as %s, and no policy can narrow it.", r.Object(), r.ForeignServer, f.Reaches(r)))
		if grantees := f.Grantees(r, ""); len(grantees) > 0 {
			finding = finding.withSQL(revokeSQL("ALL", r.SQL(), grantees))
		}
		found = append(found, finding)
	}
	return found
}

// isChild reports whether the table is a partition or an inheritance child.
func isChild(r *inventory.Relation) bool { return len(r.Parents) > 0 }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
