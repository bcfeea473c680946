package verify

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Attacks that reach around row security.
var reachAttacks = []attack{
	{id: "reach.definer", class: classReach, title: "functions that run as their owner", cwe: 269, held: byDatabase, statements: definerCalls},
	{id: "reach.xml", class: classReach, title: "functions that take the name of a table", cwe: 284, held: byDatabase, skip: noVictim, statements: tableToXML},
	{id: "reach.truncate", class: classReach, title: "TRUNCATE, which row security does not cover", cwe: 284, held: byDatabase, refused: true, skip: noVictim, statements: onTable("TRUNCATE %t CASCADE")},
	{
		id: "reach.program", class: classReach, title: "COPY with a program or a file of the server", cwe: 250, held: byDatabase, refused: true, skip: noVictim,
		statements: onTable("COPY %t TO PROGRAM 'cat'", "COPY (SELECT 1) TO '/tmp/bulkhead-verify'", "COPY %t FROM '/etc/hostname'"),
	},
	{
		id: "reach.files", class: classReach, title: "functions that read files of the server", cwe: 250, held: byDatabase, refused: true,
		statements: always("SELECT pg_read_file('PG_VERSION')", "SELECT pg_read_binary_file('PG_VERSION')", "SELECT pg_ls_dir('.')", "SELECT lo_import('/etc/hostname')"),
	},
	{id: "reach.catalog", class: classReach, title: "catalogues that hold secrets or values", cwe: 200, held: byDatabase, refused: true, statements: always("SELECT * FROM pg_catalog.pg_authid", "SELECT * FROM pg_catalog.pg_statistic")},
	{id: "reach.large-object", class: classReach, title: "a large object of another org", cwe: 668, held: byProxy, statements: largeObject},
	{id: "reach.key", class: classReach, title: "the signing key of the tenant context", cwe: 732, held: byDatabase, refused: true, skip: noKeyTable, statements: always("SELECT * FROM bulkhead.signing_key")},
	{id: "reach.extension", class: classReach, title: "a connection or code from an extension", cwe: 668, held: byDatabase, refused: true, statements: always("CREATE EXTENSION dblink", "LOAD 'auto_explain'")},
}

// maxCalls bounds how many calls of one function are tried.
const maxCalls = 20

// definerCalls calls functions that run as their owner: without arguments, or
// with one for which a key of the other org fits.
func definerCalls(w *world) []string {
	var out []string
	for _, f := range w.r.snap.Functions {
		if definer(f, w.r.model) {
			out = append(out, calls(f, w.x.pop, w.aim)...)
		}
	}
	return out
}

// definer reports whether a function of the application runs as its owner and
// can be called.
func definer(f *inventory.Function, model *inventory.Model) bool {
	return f.SecurityDefiner && f.Extension == "" && !f.Trigger && f.Kind == 'f' && f.Schema != inventory.OwnSchema && model.Calls(f) != nil
}

// calls are the calls of a function that are tried, none if it takes several
// arguments.
func calls(f *inventory.Function, pop *population, aim Side) []string {
	call := "SELECT * FROM " + inventory.Quote(f.Schema) + "." + inventory.Quote(f.Name) + "("
	if f.Arguments == "" {
		return []string{call + ")"}
	}
	if strings.Contains(f.Arguments, ",") {
		return nil
	}
	var out []string
	for i, v := range pop.valuesFor(f.Arguments, aim) {
		if i == maxCalls {
			break
		}
		out = append(out, call+literal(v)+")")
	}
	return out
}

// valuesFor are keys of the other org of the type that an argument has.
func (p *population) valuesFor(argument string, aim Side) []string {
	seen := make(map[string]bool)
	var out []string
	for _, m := range p.members {
		r := m.canary[aim]
		if r == nil || !m.tenantOwned() {
			continue
		}
		for _, c := range m.key() {
			if v := r[c.Name]; strings.HasSuffix(argument, c.Type) && !v.null && !seen[v.text] {
				seen[v.text] = true
				out = append(out, v.text)
			}
		}
	}
	return out
}

func tableToXML(w *world) []string {
	var out []string
	for _, m := range w.victims() {
		out = append(out, "SELECT table_to_xml("+literal(m.rel.SQL())+", true, false, '')",
			"SELECT query_to_xml("+literal("SELECT * FROM "+m.rel.SQL())+", true, false, '')")
	}
	return out
}

// largeObject reads the object that prepare has made for the other org.
func largeObject(w *world) []string {
	if w.p.object[w.aim] == 0 {
		return nil
	}
	n := itoa(w.p.object[w.aim])
	return []string{"SELECT convert_from(lo_get(" + n + "), 'UTF8')"}
}

func noKeyTable(w *world) string {
	if w.r.snap.Relation(inventory.OwnSchema, "signing_key") == nil {
		return "the tenant context is not signed"
	}
	return ""
}
