package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/condition"
	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// policyFormChecks ask how a condition reads the context: whether clients can
// set it, what happens where it is not set, and how often it is evaluated.
func policyFormChecks() []Check {
	return slices.Concat(policySettingChecks(), policyFunctionChecks(), policySpeedChecks())
}

func policySettingChecks() []Check {
	return []Check{
		{
			ID: "A208", Name: "settable_context", Severity: Info, Source: Policies, CWE: "CWE-807", Controls: controlsAccess,
			Title: "policy reads a setting that any session can change",
			Why: "Custom settings have no owner: whoever can send SQL can SET them. Behind the proxy that is refused; a client that connects to the database " +
				"itself can become any tenant.",
			Fix: "Let only the proxy connect as the application's role (pg_hba.conf), or use the signed context.",
			Run: settableContext,
		},
		{
			ID: "A209", Name: "context_raises_when_unset", Severity: Low, Source: Policies, CWE: "CWE-755", Controls: controlsAvailable,
			Title: "context that is not set raises an error",
			Why: "current_setting with one argument fails where the setting does not exist: every statement on the table, also those of maintenance, ends with " +
				"\"unrecognized configuration parameter\" instead of finding no row.",
			Fix: "Write current_setting('name', true) and compare with =: NULL finds nothing.",
			Run: contextRaises,
		},
		{
			ID: "A210", Name: "empty_context_cast", Severity: Medium, Source: Policies, CWE: "CWE-755", Controls: controlsAvailable,
			Title: "context that is empty fails to be cast",
			Why: "Once a SET LOCAL has ended, a custom setting is '' and not NULL: ''::uuid and ''::int raise. It depends on what the connection did before, " +
				"so it appears in production under a pool.",
			Fix: "Write nullif(current_setting('name', true), '')::type.",
			Run: emptyContextCast,
		},
	}
}

func policyFunctionChecks() []Check {
	return []Check{
		{
			ID: "A212", Name: "immutable_context_function", Severity: Critical, Source: Policies, CWE: "CWE-639", Controls: controlsAccess,
			Title: "context function is IMMUTABLE",
			Why: "PostgreSQL evaluates an IMMUTABLE function once and keeps the result in the plan: a prepared statement goes on returning the rows of the tenant " +
				"that it was planned for, after the connection has switched to another.",
			Fix: "Make the function STABLE.",
			Run: volatilityCheck('i', "is IMMUTABLE, but its result depends on the session: plans keep the result of the tenant that they were made for"),
		},
		{
			ID: "A213", Name: "volatile_context_function", Severity: Medium, Source: Policies, CWE: "CWE-400", Controls: controlsAvailable,
			Title: "context function is VOLATILE",
			Why:   "A VOLATILE function (the default) is called once for each row and rules out indexes on the tenant.",
			Fix:   "Make the function STABLE.",
			Run:   volatilityCheck('v', "is VOLATILE: policies call it for each row, and no index serves them"),
		},
		{
			ID: "A214", Name: "policy_reads_unprotected_table", Severity: High, Source: Policies, CWE: "CWE-863", Controls: controlsAccess,
			Title: "policy trusts a table that the application can write",
			Why: "The policy looks up in another table what the session may see, a membership for instance. The application can write that table and row security " +
				"is off: one INSERT makes a member of any tenant.",
			Fix: "Revoke writing, or turn row security on for that table with a policy on the tenant.",
			Run: readsUnprotected,
		},
	}
}

func policySpeedChecks() []Check {
	return []Check{
		{
			ID: "A702", Name: "context_per_row", Severity: Medium, Source: Policies, CWE: "CWE-400", Controls: controlsAvailable,
			Title: "context function is called for each row",
			Why: "A function in a policy is evaluated for each row that is looked at. In a sub-select, (select f()), it is evaluated once: 0.05 s instead of 18 s on " +
				"200,000 rows with the signed context.",
			Fix: "Write (select f()) in its place.",
			Run: contextPerRow,
		},
		{
			ID: "A703", Name: "cast_on_tenant_column", Severity: Medium, Source: Policies, CWE: "CWE-400", Controls: controlsAvailable,
			Title: "cast on the tenant column",
			Why:   "A condition on the tenant column as another type, or through a function, cannot use the index on the column: every query reads the whole table.",
			Fix:   "Cast the context to the column's type instead.",
			Run:   castOnColumn,
		},
	}
}

// sound are the reviewed policies without a fault of their own: what else
// could be said of the others is mended with it.
func (v *policyReview) sound() []reviewedPolicy {
	var list []reviewedPolicy
	for _, p := range v.policies {
		if !v.faults[p.Policy].bad() {
			list = append(list, p)
		}
	}
	return list
}

// formFaults are the objects that checks find something about, above info.
func (f *Facts) formFaults(checks ...func(*Facts) []Finding) map[string]bool {
	objects := make(map[string]bool)
	for _, check := range checks {
		for _, finding := range check(f) {
			if finding.Severity != Info {
				objects[finding.Object] = true
			}
		}
	}
	return objects
}

// settableContext reports the policies that read a setting, and once each
// function that does so for policies. Policies that are to be written anew for
// another reason are left out.
func settableContext(f *Facts) []Finding {
	other := f.formFaults(contextRaises, emptyContextCast, contextPerRow, castOnColumn)
	return f.settingFindings(func(p reviewedPolicy, s condition.SettingRead) bool {
		return strings.Contains(s.Name, ".") && !f.signed(p.Relation) && (s.In != nil || !other[p.Object()])
	}, "reads %s, which any session can set that is not behind the proxy")
}

// signed reports whether a restrictive policy of the table reads the verified
// context: then what the other policies read is no longer what keeps tenants
// apart.
func (f *Facts) signed(r *inventory.Relation) bool {
	for _, p := range f.review().policies {
		if p.Relation != r || p.Permissive {
			continue
		}
		if slices.ContainsFunc(p.reading.Functions, func(fn *inventory.Function) bool {
			return fn.Schema == inventory.OwnSchema && fn.SecurityDefiner
		}) {
			return true
		}
	}
	return false
}

func contextRaises(f *Facts) []Finding {
	return f.settingFindings(func(_ reviewedPolicy, s condition.SettingRead) bool {
		return !s.MissingOK && strings.Contains(s.Name, ".")
	},
		"reads %s with current_setting of one argument: an error where it is not set")
}

func emptyContextCast(f *Facts) []Finding {
	return f.settingFindings(func(_ reviewedPolicy, s condition.SettingRead) bool { return s.MissingOK && s.CastTo != "" },
		"casts %s as it is: an error where it is empty, as it is after SET LOCAL")
}

// settingFindings reports policies, and functions that policies call, by how
// they read a setting.
func (f *Facts) settingFindings(is func(reviewedPolicy, condition.SettingRead) bool, says string) []Finding {
	var found []Finding
	seen := make(map[*inventory.Function]bool)
	for _, p := range f.review().sound() {
		inPolicy := false
		for _, s := range p.reading.Settings {
			switch {
			case !is(p, s):
			case s.In == nil && !inPolicy:
				inPolicy = true
				found = append(found, f.about(p.Relation, p.Object(), fmt.Sprintf("Policy %s on %s "+says+".", p.Name, p.Relation.Object(), s.Name)).
					withEvidence(expressionText(p.Policy)...))
			case s.In != nil && !seen[s.In] && judgedFunction(s.In):
				seen[s.In] = true
				found = append(found, Finding{Object: s.In.Object(), Detail: fmt.Sprintf("Function %s, which policies call, "+says+".", s.In.Object(), s.Name)})
			}
		}
	}
	return found
}

// judgedFunction reports whether a function is the application's: not
// Bulkhead's own and not part of an extension.
func judgedFunction(fn *inventory.Function) bool {
	return fn.Schema != inventory.OwnSchema && fn.Extension == ""
}

// volatilityCheck reports functions of one volatility that policies call and
// whose result depends on the session.
func volatilityCheck(volatility byte, says string) func(*Facts) []Finding {
	return func(f *Facts) []Finding {
		var found []Finding
		var seen []*inventory.Function
		v := f.review()
		for _, p := range v.policies {
			for _, fn := range p.reading.Functions {
				if fn.Volatility != volatility || slices.Contains(seen, fn) || !judgedFunction(fn) || !v.judge.DependsOnSession(fn) {
					continue
				}
				seen = append(seen, fn)
				found = append(found, Finding{Object: fn.Object(), Detail: fmt.Sprintf("Function %s, which policies such as %s call, %s.", fn.Object(), p.Object(), says)}.
					withSQL("ALTER "+fn.SQL()+" STABLE;"))
			}
		}
		return found
	}
}

// readsUnprotected reports the policies that name such a table themselves, and
// those that read it through functions only where no policy names it.
func readsUnprotected(f *Facts) []Finding {
	v := f.review()
	named := make(map[*inventory.Relation]bool)
	for _, p := range v.policies {
		for _, r := range p.reading.Direct {
			named[r] = true
		}
	}
	var found []Finding
	for _, p := range v.policies {
		for _, r := range p.reading.Relations {
			if named[r] && !slices.Contains(p.reading.Direct, r) {
				continue
			}
			if r == p.Relation || !r.TakesPolicies() || r.RowSecurity || !judged(r) || f.writes(r) == nil {
				continue
			}
			if f.IsTenant(r) && !v.judge.LooksUpUser(r) {
				continue // a parent: A101
			}
			way := f.writes(r)
			found = append(found, f.about(p.Relation, p.Object(), fmt.Sprintf("Policy %s on %s relies on %s, which the application can write (%s) and which has no row security.",
				p.Name, p.Relation.Object(), r.Object(), way)).withEvidence(expressionText(p.Policy)...).
				withSQL(revokeSQL("INSERT, UPDATE, DELETE, TRUNCATE", r.SQL(), []string{way.Grantee})))
			break
		}
	}
	return found
}

// writes returns how the application can write a table, or nil.
func (f *Facts) writes(r *inventory.Relation) *inventory.Way {
	for _, privilege := range []string{"INSERT", "UPDATE", "DELETE"} {
		if way := f.Can(r, privilege); way != nil {
			return way
		}
	}
	return nil
}

// contextPerRow reports functions; current_setting itself is cheap, so that it
// is called for each row is for the record.
func contextPerRow(f *Facts) []Finding {
	var found []Finding
	other := f.formFaults(contextRaises, emptyContextCast, castOnColumn)
	for _, p := range f.review().sound() {
		says := fmt.Sprintf("Policy %s on %s calls ", p.Name, p.Relation.Object())
		i := slices.IndexFunc(p.reading.PerRow, func(fn *inventory.Function) bool { return fn.Volatility == 's' })
		switch {
		case i >= 0:
			fn := p.reading.PerRow[i]
			found = append(found, f.about(p.Relation, p.Object(), says+fn.Object()+" outside of a sub-select: once for each row.").withEvidence(expressionText(p.Policy)...).
				withFix(fmt.Sprintf("Write (SELECT %s.%s(...)) in its place.", inventory.Quote(fn.Schema), inventory.Quote(fn.Name))))
		case p.reading.SettingPerRow && !other[p.Object()]:
			finding := f.about(p.Relation, p.Object(), says+"current_setting outside of a sub-select: once for each row, which is cheap but for long claims.").
				withEvidence(expressionText(p.Policy)...).withFix("Write (SELECT current_setting(...)) in its place.")
			finding.Severity = Info
			found = append(found, finding)
		}
	}
	return found
}

func castOnColumn(f *Facts) []Finding {
	var found []Finding
	for _, p := range f.review().sound() {
		if len(p.reading.ColumnCasts) == 0 || p.Name == FloorPolicy && f.isFloorCast(p.tenancy) {
			continue
		}
		c := p.reading.ColumnCasts[0]
		finding := f.about(p.Relation, p.Object(), fmt.Sprintf("Policy %s on %s compares %s as another type: no index on it serves.",
			p.Name, p.Relation.Object(), c.Object())).withEvidence(expressionText(p.Policy)...)
		found = append(found, finding.withFix("Leave the column as it is, and cast the context to "+c.Type+"."))
	}
	return found
}

// isFloorCast reports whether the floor of harden had to cast the tenant column
// of a table: nothing else compares the two types. They are A506's finding.
func (f *Facts) isFloorCast(t *inventory.Tenancy) bool {
	return t.Column != nil && f.RootKey != nil && !sameType(t.Column.BaseType, f.RootKey.BaseType)
}
