package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// functionChecks ask what functions do with other rights than the caller's, or
// behind the back of a parser that sees only a call.
func functionChecks() []Check { return slices.Concat(definerChecks(), bodyChecks()) }

func bodyChecks() []Check {
	return []Check{
		{
			ID: "A411", Name: "function_sets_context", Severity: High, Source: Policies, CWE: "CWE-807", Controls: controlsAccess,
			Title: "function that sets the tenant context",
			Why: "The application can call a function that sets a custom setting. A parser in front of the database sees only the call: one SELECT, and the session is " +
				"another tenant's.",
			Fix: "Revoke it from PUBLIC and the application; the context is the proxy's to set.",
			Run: functionSetsContext,
		},
		{
			ID: "A412", Name: "function_row_security_off", Severity: Medium, Source: Catalogue, CWE: "CWE-284", Controls: controlsPrivilege,
			Title: "function that turns row security off or changes the role",
			Why: "SET row_security = off or SET role in a function's definition applies while it runs: with an owner that policies do not bind it reads everything, with " +
				"others it fails, and SET role leaves the tenant's role.",
			Fix: "Remove the setting from the function.",
			Run: functionRowSecurityOff,
		},
		{
			ID: "A413", Name: "dynamic_sql_callable", Severity: High, Source: Policies, CWE: "CWE-89", Controls: controlsAccess,
			Title: "function that runs its argument as SQL",
			Why: "A parser in front of the database sees only the call; the text inside can be any statement, SET of the context included. With SECURITY DEFINER it runs " +
				"with the owner's rights on top.",
			Fix: "Pass values with USING instead of making SQL of them, or revoke the function from PUBLIC and the application.",
			Run: dynamicSQL,
		},
		{
			ID: "A414", Name: "sql_runner_in_core", Severity: Medium, Source: Catalogue, CWE: "CWE-89", Controls: controlsAccess,
			Title: "functions of the server that run text as SQL",
			Why: "query_to_xml, cursor_to_xml, table_to_xml, database_to_xml, ts_stat and ts_rewrite run SQL text or read whole tables by name. PUBLIC may call them. The " +
				"guard of the proxy refuses them; a client that connects to the database itself can use them to run what a parser would not let pass.",
			Fix: "Nothing behind the proxy. Otherwise revoke them from PUBLIC.",
			Run: sqlRunners,
		},
	}
}

// functions are the application's functions, in the order of the snapshot.
func (f *Facts) functions() []*inventory.Function {
	return slices.DeleteFunc(slices.Clone(f.Snapshot.Functions), func(fn *inventory.Function) bool {
		return !judgedFunction(fn) || fn.Kind == 'a' || fn.Kind == 'w'
	})
}

// calls returns how the application can call a function by its name, or nil.
// Trigger functions cannot be called.
func (f *Facts) calls(fn *inventory.Function) *inventory.Way {
	if fn.Trigger {
		return nil
	}
	return f.Calls(fn)
}

// triggers returns a trigger that a write of the application fires, or nil.
func (f *Facts) triggers(fn *inventory.Function) *inventory.Trigger {
	for _, t := range fn.UsedByTriggers {
		if t.Enabled != 'D' && f.writes(t.Relation) != nil {
			return t
		}
	}
	return nil
}

// runs says how the application makes a function run: by a call, by a trigger
// or by a policy; "" if it does not.
func (f *Facts) runs(fn *inventory.Function) string {
	if way := f.calls(fn); way != nil {
		return "can call it (" + way.String() + ")"
	}
	if t := f.triggers(fn); t != nil {
		return "fires it by trigger " + t.Object()
	}
	if f.calledByPolicies()[fn] {
		return "runs it by a policy"
	}
	return ""
}

// calledByPolicies are the functions that policies call, one way or another.
func (f *Facts) calledByPolicies() map[*inventory.Function]bool {
	v := f.review()
	if v.called == nil {
		var all []*inventory.Policy
		for _, r := range f.Snapshot.Relations {
			all = append(all, r.Policies...)
		}
		v.called = v.judge.Uses(all)
	}
	return v.called
}

// revokeFunction takes a function from whomever the application has it by.
func (f *Facts) revokeFunction(fn *inventory.Function) string {
	var grantees []string
	for _, g := range fn.Grants {
		if g.Grantee != fn.Owner && (g.Grantee == inventory.Public || f.Owns(g.Grantee) != nil) && !slices.Contains(grantees, g.Grantee) {
			grantees = append(grantees, g.Grantee)
		}
	}
	if len(grantees) == 0 {
		return ""
	}
	return revokeSQL("EXECUTE", fn.SQL(), grantees)
}

func (f *Facts) withRevoke(finding Finding, fn *inventory.Function) Finding {
	if sql := f.revokeFunction(fn); sql != "" {
		return finding.withSQL(sql)
	}
	return finding
}

func functionRowSecurityOff(f *Facts) []Finding {
	var found []Finding
	for _, fn := range f.functions() {
		runs := f.runs(fn)
		if runs == "" {
			continue
		}
		for _, name := range []string{"row_security", "role"} {
			value, ok := fn.Setting(name)
			if !ok || name == "row_security" && isOn(value) {
				continue
			}
			found = append(found, Finding{Object: fn.Object(), Detail: fmt.Sprintf("Function %s sets %s = %s while it runs; the application %s.", fn.Object(), name, value, runs)}.
				withSQL("ALTER "+fn.SQL()+" RESET "+name+";"))
			break
		}
	}
	return found
}

// isOn reads a boolean setting as the server does.
func isOn(value string) bool {
	switch strings.ToLower(value) {
	case "on", "true", "yes", "1", "t", "y":
		return true
	}
	return false
}

// sqlRunners is for the record: PUBLIC may call these on every server.
func sqlRunners(f *Facts) []Finding {
	var found []Finding
	for _, app := range f.AppRoles {
		var lines, sql []string
		for _, fn := range f.Snapshot.CoreFunctions {
			if !runsSQL(fn.Name) || fn.Name == "ts_rewrite" && !strings.Contains(fn.Arguments, "text") || f.Calls(fn) == nil {
				continue
			}
			lines = append(lines, fn.Object())
			sql = append(sql, "REVOKE EXECUTE ON FUNCTION "+fn.Object()+" FROM PUBLIC;")
		}
		if len(lines) == 0 {
			continue
		}
		finding := Finding{Object: app.Object(), Severity: Info, Detail: fmt.Sprintf("Role %s can call %d functions of the server that run SQL text or read tables by name.", app.Name, len(lines))}
		found = append(found, finding.withEvidence(lines...).withSQL(strings.Join(sql, "\n")))
	}
	return found
}

// runsSQL reports whether a function of the server runs text as SQL.
func runsSQL(name string) bool {
	return strings.Contains(name, "_to_xml") || name == "ts_stat" || name == "ts_rewrite"
}
