package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// viewChecks ask what views, materialized views and rules show with other
// rights than the reader's.
func viewChecks() []Check {
	return []Check{
		{
			ID: "A401", Name: "view_runs_as_owner", Severity: Critical, Source: Policies, CWE: "CWE-863", Controls: controlsAccess,
			Title: "view shows the rows of all tenants",
			Why: "A view reads its tables with its owner's rights. Where the owner is a superuser, bypasses row security, or owns tables without FORCE, policies " +
				"do not apply: whoever may read the view sees every tenant.",
			Fix: "Make it a security_invoker view (15 and later), or give it to a role that policies bind; or put the tenant's condition into the view.",
			Run: viewRunsAsOwner,
		},
		{
			ID: "A402", Name: "matview_exposed", Severity: Critical, Source: Catalogue, CWE: "CWE-668", Controls: controlsAccess,
			Title: "materialized view with rows of all tenants",
			Why:   "A materialized view holds the rows that its owner saw when it was refreshed. Row security cannot apply to it.",
			Fix:   "Revoke it from the application, and let it read a view over it that has the tenant's condition.",
			Run:   matviewExposed,
		},
		{
			ID: "A406", Name: "rewrite_rule", Severity: Medium, Source: Catalogue, CWE: "CWE-863", Controls: controlsPrivilege,
			Title: "rewrite rule runs with its owner's rights",
			Why: "What a rule adds to a statement is done with the rights of the table's owner: it can write where the application cannot, and policies that do not " +
				"bind the owner do not apply.",
			Fix: "Replace the rule by a trigger whose function runs with the caller's rights.",
			Run: rewriteRule,
		},
		{
			ID: "A415", Name: "view_depends_on_owner_policies", Severity: Medium, Source: Policies, CWE: "CWE-863", Controls: controlsAccess,
			Title: "policies of the application do not apply through the view",
			Why: "The view's owner is bound by row security, but by the policies for itself: those written TO the application's role are not asked. The view shows other " +
				"rows than the tables do, or none.",
			Fix: "Write the policies TO PUBLIC, or make it a security_invoker view (15 and later).",
			Run: viewDependsOnOwner,
		},
	}
}

const invokerSince = 15

// reachedOf are the relations of a kind that the application can read or
// write.
func (f *Facts) reachedOf(kind inventory.Kind) []*inventory.Relation {
	var list []*inventory.Relation
	for _, r := range f.Snapshot.Relations {
		if r.Kind == kind && judged(r) && f.Reaches(r) != nil {
			list = append(list, r)
		}
	}
	return list
}

func names(list []*inventory.Relation) string {
	objects := make([]string, len(list))
	for i, r := range list {
		objects[i] = r.Object()
	}
	return strings.Join(objects, ", ")
}

// others are the relations of a list but one: a view's rule depends on the view.
func others(list []*inventory.Relation, but *inventory.Relation) []*inventory.Relation {
	return slices.DeleteFunc(slices.Clone(list), func(r *inventory.Relation) bool { return r == but })
}

func viewRunsAsOwner(f *Facts) []Finding {
	var found []Finding
	for _, v := range f.reachedOf(inventory.View) {
		leaks := f.review().judge.ViewLeaks(v)
		if len(leaks) == 0 {
			continue
		}
		finding := Finding{Object: v.Object(), Detail: fmt.Sprintf("View %s reads %s as %s, whom row security does not bind; the application reaches it as %s.",
			v.Object(), names(leaks), v.Owner, f.Reaches(v))}.withEvidence("owner "+v.Owner, f.Reaches(v).String())
		for _, r := range leaks {
			if f.Can(r, "SELECT") == nil {
				finding.Detail += " With the reader's rights it needs SELECT on " + r.Object() + " as well."
			}
		}
		found = append(found, f.invokerFix(v, finding))
	}
	return found
}

// invokerFix is security_invoker where the server has it.
func (f *Facts) invokerFix(v *inventory.Relation, finding Finding) Finding {
	if f.Snapshot.Server.Major() < invokerSince {
		return finding.withFix("Give the view to a role without SUPERUSER and BYPASSRLS that owns none of the tables and may read them (ALTER VIEW " + v.SQL() +
			" OWNER TO ...); force row security, with policies TO PUBLIC.")
	}
	return finding.withSQL("ALTER VIEW " + v.SQL() + " SET (security_invoker = true);")
}

func matviewExposed(f *Facts) []Finding {
	var found []Finding
	for _, v := range f.reachedOf(inventory.MaterializedView) {
		way := f.Can(v, "SELECT")
		if way == nil || !f.review().judge.ReadsTenants(v) {
			continue
		}
		finding := Finding{Object: v.Object(), Detail: fmt.Sprintf("Materialized view %s is made of %s, and the application can read it (%s).",
			v.Object(), names(others(v.Uses.Relations, v)), way)}.withEvidence(way.String())
		if !way.Owner {
			finding = finding.withSQL(revokeSQL("ALL", v.SQL(), f.granteesOf(v)))
		}
		found = append(found, finding)
	}
	return found
}

// granteesOf are the grantees by whom the application reaches a relation.
func (f *Facts) granteesOf(r *inventory.Relation) []string {
	var list []string
	for _, g := range r.Grants {
		if g.Grantee != r.Owner && !slices.Contains(list, g.Grantee) && (g.Grantee == inventory.Public || f.Owns(g.Grantee) != nil) {
			list = append(list, g.Grantee)
		}
	}
	return list
}

func rewriteRule(f *Facts) []Finding {
	var found []Finding
	for _, r := range f.Snapshot.Relations {
		if len(r.Rules) == 0 || !judged(r) || f.Reaches(r) == nil {
			continue
		}
		for _, rule := range r.Rules {
			if rule.Enabled == 'D' || doesNothing(rule) || f.Owns(r.Owner) != nil || f.ruleCommand(rule) == nil || f.isOurs(r.Owner) {
				continue
			}
			found = append(found, f.about(r, rule.Object(), fmt.Sprintf("Rule %s on %s does what it does as %s.", rule.Name, r.Object(), r.Owner)).
				withEvidence(rule.Definition).withSQL("DROP RULE "+inventory.Quote(rule.Name)+" ON "+r.SQL()+";"))
		}
	}
	return found
}

// isOurs reports whether a role is one that harden gives tables and views to:
// nobody is a member, and row security binds it.
func (f *Facts) isOurs(name string) bool {
	role := f.Snapshot.Role(name)
	return (name == "bulkhead_tables" || name == "bulkhead_views") && role != nil && !role.Superuser && !role.BypassRLS && !role.Login
}

// doesNothing reports whether a rule only keeps a statement from being run.
func doesNothing(r *inventory.Rule) bool {
	return strings.HasSuffix(strings.TrimRight(r.Definition, "; \n"), "DO INSTEAD NOTHING") || strings.HasSuffix(strings.TrimRight(r.Definition, "; \n"), "DO NOTHING")
}

// ruleCommand returns how the application can run the statement that a rule
// is for, or nil.
func (f *Facts) ruleCommand(r *inventory.Rule) *inventory.Way {
	privileges := map[byte]string{'1': "SELECT", '2': "UPDATE", '3': "INSERT", '4': "DELETE"}
	return f.Can(r.Relation, privileges[r.Event])
}

func viewDependsOnOwner(f *Facts) []Finding {
	var found []Finding
	for _, v := range f.reachedOf(inventory.View) {
		owner := f.Snapshot.Role(v.Owner)
		if owner == nil || f.Owns(v.Owner) != nil {
			continue
		}
		for _, r := range f.review().judge.BoundViewTables(v) {
			p := f.notFor(r, owner)
			if p == nil {
				continue
			}
			finding := Finding{Object: v.Object(), Detail: fmt.Sprintf("View %s reads %s as %s, and policy %s is not for that role.", v.Object(), r.Object(), v.Owner, p.Name)}.
				withEvidence(append([]string{p.Object() + " TO " + roleList(p.Roles)}, expressionText(p)...)...)
			found = append(found, f.invokerFix(v, finding))
			break
		}
	}
	return found
}

// notFor returns a policy that binds the application on a table and not a
// role, or nil.
func (f *Facts) notFor(r *inventory.Relation, role *inventory.Role) *inventory.Policy {
	owner := session{inventory.Public: true}
	for other := range role.Inherits() {
		owner[other.Name] = true
	}
	sessions := f.sessions()
	for _, p := range r.Policies {
		if slices.ContainsFunc(sessions, func(s session) bool { return s.bound(p) }) && !owner.bound(p) {
			return p
		}
	}
	return nil
}
