package audit

import (
	"fmt"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// policyRoleChecks ask which privileges and roles policies are for. What their
// expressions say is asked elsewhere.
func policyRoleChecks() []Check {
	return []Check{
		{
			ID: "A205", Name: "insert_policy_without_check", Severity: Low, CWE: "CWE-732", Controls: controlsAvailable,
			Title: "INSERT policy without WITH CHECK allows nothing",
			Why:   "A policy FOR INSERT has no USING, so without WITH CHECK it lets no row in.",
			Fix:   "Add WITH CHECK with the tenant's condition.",
			Run:   insertWithoutCheck,
		},
		{
			ID: "A206", Name: "command_without_policy", Severity: Low, CWE: "CWE-732", Controls: controlsAvailable,
			Title: "privilege that no policy covers",
			Why:   "The application holds a privilege, but no permissive policy is for that command: every row is denied. Either is wrong.",
			Fix:   "Add a policy for the command, or revoke the privilege.",
			Run:   commandWithoutPolicy,
		},
		{
			ID: "A207", Name: "policy_not_for_app", Severity: Medium, CWE: "CWE-732", Controls: controlsAccess,
			Title: "policies are for other roles only",
			Why:   "None of the table's permissive policies is for a role of the application: it is denied everything, or is meant to connect as somebody else.",
			Fix:   "Name the application's role in the policies (or PUBLIC), or revoke the table from it.",
			Run:   policyNotForApp,
		},
		{
			ID: "A706", Name: "many_permissive_policies", Severity: Info, CWE: "CWE-732", Controls: controlsAvailable,
			Title: "several permissive policies for one command",
			Why:   "PostgreSQL ORs them: each widens the others, each is evaluated, and a reader must know all of them to know one.",
			Fix:   "Merge them into one policy per command.",
			Run:   manyPermissive,
		},
	}
}

// commands are the privileges with the letter that policies have for them.
var commands = []struct {
	privilege string
	letter    byte
}{{"SELECT", 'r'}, {"INSERT", 'a'}, {"UPDATE", 'w'}, {"DELETE", 'd'}}

const allCommands = '*'

func insertWithoutCheck(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		for _, p := range t.Relation.Policies {
			if !p.Permissive || !allowsNothing(p) {
				continue
			}
			finding := f.about(t.Relation, p.Object(), fmt.Sprintf("Policy %s is FOR INSERT without WITH CHECK: it allows no row.", p.Name)).withEvidence(policyText(p))
			if condition := f.tenantCondition(t); condition != "" {
				finding = finding.withSQL("ALTER POLICY " + inventory.Quote(p.Name) + " ON " + t.Relation.SQL() + " WITH CHECK (" + condition + ");")
			}
			found = append(found, finding)
		}
	}
	return found
}

// allowsNothing reports whether a policy is FOR INSERT without WITH CHECK.
func allowsNothing(p *inventory.Policy) bool { return p.Command == 'a' && p.Check == "" }

func commandWithoutPolicy(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		r := t.Relation
		if !r.RowSecurity || !f.coveredAtAll(r) {
			continue // A105 to A107, A207
		}
		var missing, sql []string
		for _, c := range commands {
			if f.Can(r, c.privilege) == nil || f.Covered(r, c.privilege, permissiveFor(c.letter)) {
				continue
			}
			missing = append(missing, c.privilege)
			if grantees := f.Grantees(r, c.privilege); len(grantees) > 0 {
				sql = append(sql, revokeSQL(c.privilege, r.SQL(), grantees))
			}
		}
		if len(missing) == 0 {
			continue
		}
		finding := f.forTable(r, fmt.Sprintf("The application holds %s on %s, and no permissive policy is for it: every row is denied.", strings.Join(missing, ", "), r.Object()))
		if len(sql) == len(missing) {
			finding = finding.withSQL(strings.Join(sql, "\n"))
		}
		found = append(found, finding)
	}
	return found
}

func permissiveFor(letter byte) func(*inventory.Policy) bool {
	return func(p *inventory.Policy) bool {
		return p.Permissive && (p.Command == allCommands || p.Command == letter)
	}
}

// coveredAtAll reports whether any permissive policy is for the application.
func (f *Facts) coveredAtAll(r *inventory.Relation) bool {
	return f.Covered(r, "", func(p *inventory.Policy) bool { return p.Permissive })
}

func policyNotForApp(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		r := t.Relation
		if !r.RowSecurity || !hasPermissive(r) || f.coveredAtAll(r) {
			continue
		}
		finding := f.forTable(r, fmt.Sprintf("No permissive policy of %s is for the application, which reaches it as %s.", r.Object(), f.Reaches(r)))
		for _, p := range r.Policies {
			finding = finding.withEvidence(policyText(p))
		}
		found = append(found, finding)
	}
	return found
}

func manyPermissive(f *Facts) []Finding {
	var found []Finding
	for _, t := range f.reached() {
		r := t.Relation
		var commandNames []string
		for _, c := range commands {
			n := 0
			for _, p := range r.Policies {
				fits := func(q *inventory.Policy) bool { return q == p && permissiveFor(c.letter)(q) && !allowsNothing(q) }
				if f.Covered(r, c.privilege, fits) {
					n++
				}
			}
			if n > 1 {
				commandNames = append(commandNames, c.privilege)
			}
		}
		if r.RowSecurity && len(commandNames) > 0 {
			found = append(found, f.forTable(r, fmt.Sprintf("%s has several permissive policies for %s.", r.Object(), strings.Join(commandNames, ", "))))
		}
	}
	return found
}
