package audit

import (
	"fmt"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

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
