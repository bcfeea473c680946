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

func definerChecks() []Check {
	return []Check{
		{
			ID: "A403", Name: "definer_function_callable", Severity: High, Source: Policies, CWE: "CWE-269", Controls: controlsPrivilege,
			Title: "SECURITY DEFINER function that the application can call",
			Why: "It runs with its owner's rights, whom row security may not bind: document_by_id(5) gives the document of any tenant. Functions that policies call, " +
				"and those whose query ties all rows to the session, are not reported.",
			Fix: "Make it SECURITY INVOKER, or revoke EXECUTE from PUBLIC and the application.",
			Run: definerCallable,
		},
		{
			ID: "A404", Name: "definer_search_path", Severity: High, Source: Catalogue, CWE: "CWE-426", Controls: controlsPrivilege,
			Title: "SECURITY DEFINER function without a safe search_path",
			Why: "Names in its body are looked up in the caller's search_path: whoever may create objects somewhere, temporary tables for instance, makes it read " +
				"or call his own with the owner's rights.",
			Fix: "SET search_path = pg_catalog, pg_temp, and qualify the names in the body.",
			Run: definerSearchPath,
		},
		{
			ID: "A405", Name: "definer_trigger", Severity: Medium, Source: Catalogue, CWE: "CWE-269", Controls: controlsPrivilege,
			Title: "trigger that runs with its owner's rights",
			Why:   "Its function is SECURITY DEFINER: a write of the application makes it read and write with the owner's rights, whom row security may not bind.",
			Fix:   "Make the function SECURITY INVOKER, or make sure that it touches only the row's own tenant.",
			Run:   definerTrigger,
		},
		{
			ID: "A407", Name: "leakproof_function", Severity: High, Source: Catalogue, CWE: "CWE-203", Controls: controlsAccess,
			Title: "LEAKPROOF function of the application's",
			Why: "PostgreSQL runs LEAKPROOF functions of a query on rows before policies have removed those of other tenants. If it can tell what it was given, by an " +
				"error, a notice or a write, hidden values get out.",
			Fix: "Make it NOT LEAKPROOF.",
			Run: leakproofFunction,
		},
	}
}

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

func definerCallable(f *Facts) []Finding {
	var found []Finding
	for _, fn := range f.functions() {
		way := f.calls(fn)
		if !fn.SecurityDefiner || way == nil || f.Owns(fn.Owner) != nil || f.calledByPolicies()[fn] || !f.review().judge.FunctionLeaks(fn) {
			continue
		}
		finding := Finding{Object: fn.Object(), Detail: fmt.Sprintf("Function %s runs as %s, and the application can call it (%s).", fn.Object(), fn.Owner, way)}.
			withEvidence("owner "+fn.Owner, way.String())
		found = append(found, f.withRevoke(finding, fn))
	}
	return found
}

func definerSearchPath(f *Facts) []Finding {
	var found []Finding
	for _, fn := range f.functions() {
		if !fn.SecurityDefiner || f.Owns(fn.Owner) != nil || isStandardBody(fn) {
			continue
		}
		runs, path := f.runs(fn), f.unsafePath(fn)
		if runs == "" || path == "" {
			continue
		}
		found = append(found, Finding{Object: fn.Object(), Detail: fmt.Sprintf("Function %s runs as %s with %s; the application %s.", fn.Object(), fn.Owner, path, runs)}.
			withSQL("ALTER "+fn.SQL()+" SET search_path = "+f.safePath(fn)+";"))
	}
	return found
}

// isStandardBody reports whether the names in a body were looked up when the
// function was made.
func isStandardBody(fn *inventory.Function) bool {
	upper := strings.ToUpper(strings.TrimSpace(fn.Source))
	return fn.Language == "sql" && (strings.HasPrefix(upper, "BEGIN ATOMIC") || strings.HasPrefix(upper, "RETURN ") || strings.HasPrefix(upper, "RETURN("))
}

// unsafePath says what is wrong with a function's search_path, "" for nothing.
func (f *Facts) unsafePath(fn *inventory.Function) string {
	path, ok := fn.Setting("search_path")
	if !ok {
		return "the search_path of its caller"
	}
	for _, name := range pathNames(path) {
		if name == "$user" {
			return "a search_path that depends on the caller"
		}
		if s := f.Snapshot.Schema(name); s != nil && f.Has(s.Owner, s.Grants, "CREATE") != nil {
			return "a search_path with schema " + name + ", where the application can create objects"
		}
	}
	return ""
}

func pathNames(path string) []string {
	var names []string
	for _, name := range strings.Split(path, ",") {
		if name = strings.Trim(name, `" `); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// safePath is a search_path that finds what the function finds today: the
// server's own objects first, temporary ones last.
func (f *Facts) safePath(fn *inventory.Function) string {
	path := []string{"pg_catalog"}
	if s := f.Snapshot.Schema(fn.Schema); s != nil && f.Has(s.Owner, s.Grants, "CREATE") == nil {
		path = append(path, inventory.Quote(fn.Schema))
	}
	return strings.Join(append(path, "pg_temp"), ", ")
}

func definerTrigger(f *Facts) []Finding {
	var found []Finding
	for _, r := range f.Snapshot.Relations {
		if !judged(r) || f.writes(r) == nil {
			continue
		}
		for _, t := range r.Triggers {
			fn := t.Function
			if fn == nil || !fn.SecurityDefiner || t.Inherited || t.Enabled == 'D' || !judgedFunction(fn) || f.Owns(fn.Owner) != nil {
				continue
			}
			found = append(found, f.about(r, t.Object(), fmt.Sprintf("Trigger %s on %s runs %s as %s when the application writes (%s).",
				t.Name, r.Object(), fn.Object(), fn.Owner, f.writes(r))).withEvidence(t.Definition).withSQL("ALTER "+fn.SQL()+" SECURITY INVOKER;"))
		}
	}
	return found
}

func leakproofFunction(f *Facts) []Finding {
	var found []Finding
	for _, fn := range f.functions() {
		way := f.calls(fn)
		if !fn.Leakproof || way == nil {
			continue
		}
		found = append(found, Finding{Object: fn.Object(), Detail: fmt.Sprintf("Function %s is LEAKPROOF, and the application can call it (%s): it is run on rows before policies.",
			fn.Object(), way)}.withSQL("ALTER "+fn.SQL()+" NOT LEAKPROOF;"))
	}
	return found
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
