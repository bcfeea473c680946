package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/condition"
	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// policyExpressionChecks ask what the conditions of policies imply. One fault
// of a policy is one finding, of the check that names it best.
func policyExpressionChecks() []Check {
	return slices.Concat(policyTenantChecks(), policyContextChecks(), policyFormChecks())
}

// policyTenantChecks ask whether a condition ties rows to the session's tenant.
func policyTenantChecks() []Check {
	return []Check{
		{
			ID: "A201", Name: "policy_always_true", Severity: Critical, Source: Policies, CWE: "CWE-639", Controls: controlsAccess,
			Title: "policy lets every row pass",
			Why: "A permissive policy whose condition is always true gives the application the rows of all tenants, for SELECT as well as for " +
				"writing: policies are ORed, so the right ones beside it do not help. Below a restrictive policy on the tenant it is harmless, and not reported.",
			Fix: "Put the tenant's condition in its place, or add a restrictive policy with it.",
			Run: usingVerdict("lets every row pass", condition.AlwaysTrue),
		},
		{
			ID: "A202", Name: "policy_without_tenant", Severity: Critical, Source: Policies, CWE: "CWE-639", Controls: controlsAccess,
			Title: "policy without a condition on the tenant",
			Why: "A permissive policy asks for something, but not for the tenant: a row that meets it is visible to all tenants. Policies are ORed, " +
				"so it widens all others. A sub-select that is not tied to the row, or a function that does not look at the session, is no condition on the tenant.",
			Fix: "Add the tenant's condition with AND, or make the policy restrictive if it was meant to narrow the others.",
			Run: withoutTenant,
		},
		{
			ID: "A203", Name: "or_branch_without_tenant", Severity: Critical, Source: Policies, CWE: "CWE-639", Controls: controlsAccess,
			Title: "policy with a way round its condition on the tenant",
			Why: "The condition compares the tenant, but a row passes without it as well: OR is_public, OR the context is not set, a CASE with another way, " +
				"or the comparison is the wrong way round (<>, NOT).",
			Fix: "Move the tenant's condition outside: tenant AND (the rest).",
			Run: usingVerdict("compares the tenant, but there is a way round that", condition.Branch),
		},
		{
			ID: "A204", Name: "check_without_tenant", Severity: Critical, Source: Policies, CWE: "CWE-639", Controls: controlsIntegrity,
			Title: "rows can be written into other tenants",
			Why: "What is written must meet WITH CHECK, or where there is none, USING. If that does not ask for the tenant, a tenant can insert rows into " +
				"another, or give rows away with an UPDATE that has no WHERE (one with a WHERE may be refused by the SELECT policy: a test can miss it). " +
				"That the row names the user is not enough: it may name another tenant beside.",
			Fix: "Write the tenant's condition into WITH CHECK; or leave WITH CHECK out where USING has it.",
			Run: checkWithoutTenant,
		},
		{
			ID: "A211", Name: "null_tolerant", Severity: High, Source: Policies, CWE: "CWE-639", Controls: controlsAccess,
			Title: "policy that NULL passes",
			Why: "IS NULL, coalesce() or IS NOT DISTINCT FROM on the tenant column: rows without a tenant belong to all, and where no context is set, " +
				"a comparison that takes NULL for equal shows them, or everything.",
			Fix: "Compare with =, which NULL does not pass, and make the column NOT NULL.",
			Run: anyVerdict("lets rows or sessions without a tenant pass", condition.NullTolerant),
		},
		{
			ID: "A217", Name: "pattern_match_on_context", Severity: High, Source: Policies, CWE: "CWE-155", Controls: controlsAccess,
			Title: "policy compares the tenant as a pattern",
			Why:   "LIKE, ~ and starts_with take characters of the context for patterns: % matches every tenant, and one tenant's name may begin another's.",
			Fix:   "Compare with =.",
			Run:   anyVerdict("compares the tenant with LIKE or another pattern", condition.Pattern),
		},
		{
			ID: "A218", Name: "literal_tenant", Severity: Medium, Source: Policies, CWE: "CWE-547", Controls: controlsAccess,
			Title: "policy names a tenant",
			Why: "The tenant column is compared with a literal: a developer's or the support's tenant stands in the policy, and every session reaches its rows, " +
				"or falls back to it without a context.",
			Fix: "Compare with the session's context only.",
			Run: anyVerdict("compares the tenant with a literal", condition.Literal),
		},
	}
}

// policyContextChecks ask what a condition takes for the context.
func policyContextChecks() []Check {
	return []Check{
		{
			ID: "A215", Name: "policy_uses_login_role", Severity: Medium, Source: Policies, CWE: "CWE-863", Controls: controlsAccess,
			Title: "policy uses the login role",
			Why: "current_user and session_user are the pool's role, the same for all tenants: the condition holds for everybody or for nobody. In a function " +
				"with SECURITY DEFINER current_user is the function's owner.",
			Fix: "Read the tenant from the context.",
			Run: policyUsesLogin,
		},
		{
			ID: "A216", Name: "client_editable_claim", Severity: Critical, Source: Policies, CWE: "CWE-639", Controls: controlsAccess,
			Title: "policy trusts a claim that users can change",
			Why:   "user_metadata (raw_user_meta_data) can be written by every user with an ordinary call of the sign-in service: whoever wants another tenant's rows puts its id there.",
			Fix:   "Use app_metadata, or look the tenant up in a table that users cannot write.",
			Run:   policyTrustsEditable,
		},
	}
}

// usingVerdict reports policies whose USING has one of the verdicts.
func usingVerdict(says string, verdicts ...condition.Verdict) func(*Facts) []Finding {
	return eachFault(func(p *policyFault) bool { return slices.Contains(verdicts, p.using) }, says)
}

// anyVerdict reports policies whose USING or WITH CHECK has the verdict.
func anyVerdict(says string, verdict condition.Verdict) func(*Facts) []Finding {
	return eachFault(func(p *policyFault) bool { return p.using == verdict || p.check == verdict }, says)
}

func checkWithoutTenant(f *Facts) []Finding {
	return eachFault(func(p *policyFault) bool {
		switch p.check {
		case condition.AlwaysTrue, condition.WithoutTenant, condition.Branch, condition.Unreadable:
			return true
		}
		return false
	}, "does not ask of written rows that they are of the session's tenant")(f)
}

// withoutTenant reports A202, and at a lower severity conditions whose syntax
// is newer than the parser: nobody has judged those.
func withoutTenant(f *Facts) []Finding {
	found := usingVerdict("asks nothing that ties the row to the session's tenant", condition.WithoutTenant)(f)
	for _, finding := range usingVerdict("has a condition that this version cannot read: judge it by eye, and accept the finding if it is sound", condition.Unreadable)(f) {
		finding.Severity = High
		found = append(found, finding)
	}
	return found
}

func policyUsesLogin(f *Facts) []Finding {
	return eachFault(func(p *policyFault) bool {
		return p.login || p.using == condition.Login || p.check == condition.Login
	}, "uses the role that logged in, which is the same for all tenants of a pool")(f)
}

func policyTrustsEditable(f *Facts) []Finding {
	var found []Finding
	v := f.review()
	for _, p := range v.policies {
		if !v.faults[p.Policy].editable {
			continue
		}
		finding := f.forPolicy(p, "trusts user_metadata, which users can write themselves")
		if v.faults[p.Policy].floored {
			finding.Severity = Medium // within the tenant
		}
		found = append(found, finding)
	}
	return found
}

// eachFault reports policies with a fault. One that trusts an editable claim
// is A216's alone.
func eachFault(is func(*policyFault) bool, says string) func(*Facts) []Finding {
	return func(f *Facts) []Finding {
		var found []Finding
		v := f.review()
		for _, p := range v.policies {
			if fault := v.faults[p.Policy]; !fault.editable && is(fault) {
				found = append(found, f.forPolicy(p, says))
			}
		}
		return found
	}
}

// forPolicy begins a finding about a policy, with the statement that mends it.
func (f *Facts) forPolicy(p reviewedPolicy, says string) Finding {
	finding := f.about(p.Relation, p.Object(), fmt.Sprintf("Policy %s for %s on %s %s.", p.Name, p.CommandName(), p.Relation.Object(), says)).
		withEvidence(expressionText(p.Policy)...)
	if sql := f.mendPolicy(p); sql != "" {
		return finding.withSQL(sql)
	}
	return finding
}

// expressionText is the policy as evidence.
func expressionText(p *inventory.Policy) []string {
	var lines []string
	if p.Using != "" {
		lines = append(lines, "USING ("+p.Using+")")
	}
	if p.Check != "" {
		lines = append(lines, "WITH CHECK ("+p.Check+")")
	}
	return lines
}

// mendPolicy is the statement that gives a policy the tenant's condition where
// it lacks it. What it asks beside stays, unless that is what is wrong.
func (f *Facts) mendPolicy(p reviewedPolicy) string {
	tenant, fault := f.tenantCondition(p.tenancy), f.review().faults[p.Policy]
	if tenant == "" {
		return ""
	}
	using, check := p.Using, p.Check
	if fault.editable || fault.login {
		using, check = replaceIf(using != "", tenant), replaceIf(check != "", tenant)
	} else {
		using = mended(using, tenant, fault.using)
		switch {
		case fault.check != condition.Sound:
			check = mended(checkOf(p.Policy), tenant, fault.check)
		case p.Check == p.Using: // one fault, said once
			check = using
		}
	}
	var b strings.Builder
	b.WriteString("ALTER POLICY " + inventory.Quote(p.Name) + " ON " + p.Relation.SQL())
	if using != p.Using {
		b.WriteString(" USING (" + using + ")")
	}
	if check != p.Check {
		b.WriteString(" WITH CHECK (" + check + ")")
	}
	return b.String() + ";"
}

func replaceIf(present bool, text string) string {
	if present {
		return text
	}
	return ""
}

// mended is a condition with the tenant's.
func mended(text, tenant string, verdict condition.Verdict) string {
	switch verdict {
	case condition.Sound:
		return text
	case condition.WithoutTenant, condition.Branch, condition.Unreadable:
		return tenant + " AND (" + text + ")"
	}
	return tenant
}
