package policy

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/parser"
)

const (
	orgA = "11111111-1111-4111-8111-111111111111"
	orgB = "22222222-2222-4222-8222-222222222222"
)

// testOptions are those of a proxy for sampleCatalog. The catalogue counts as
// fresh only after a lookup, and there is none.
func testOptions(t *testing.T) Options {
	t.Helper()
	return Options{
		TenantColumns:  []string{"org_id", "tenant_id"},
		OrgType:        "uuid",
		TenantSettings: []string{"app.org_id", "request.jwt.claims"},
		ContextRole:    "tenant_role",
		Catalog:        sampleCatalog(t),
	}
}

func newTestEngine(t *testing.T, o Options) *Engine {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return e
}

// withLookup makes every name that the sample does not know count as missing.
func withLookup(t *testing.T, o Options) Options {
	t.Helper()
	o.Lookup = func(context.Context) (*Catalog, error) {
		c := sampleCatalog(t)
		c.TakenAt = time.Now()
		return c, nil
	}
	return o
}

// table is a relation of kind r in schema public, owned by owner and reachable.
func table(name string, change func(*CatalogRelation)) CatalogRelation {
	r := CatalogRelation{Schema: "public", Name: name, Kind: KindTable, Owner: "owner", Reachable: true}
	if change != nil {
		change(&r)
	}
	return r
}

func protected(r *CatalogRelation) {
	r.TenantColumn, r.RowSecurity, r.ForceRowSecurity = "org_id", true, true
}

func uses(names ...string) []parser.Name {
	list := make([]parser.Name, 0, len(names))
	for _, n := range names {
		list = append(list, parser.Name{Schema: "public", Name: n})
	}
	return list
}

func sqlBody(t *testing.T, text string) *CatalogBody {
	t.Helper()
	b, err := parser.Parse(text, parser.Options{})
	if err != nil {
		t.Fatalf("parse %q: %v", text, err)
	}
	return &CatalogBody{Batch: b}
}

// words makes the body of a function in PL/pgSQL.
func words(text string) *CatalogBody {
	b := &CatalogBody{}
	for _, w := range strings.Fields(text) {
		call := strings.HasSuffix(w, "(")
		w = strings.TrimSuffix(w, "(")
		b.Words = append(b.Words, w)
		if call {
			b.Calls = append(b.Calls, w)
		}
	}
	return b
}

// sampleCatalog is a careless database: role app serves tenants, owner owns
// everything, and the super user owns some views.
func sampleCatalog(t *testing.T) *Catalog {
	t.Helper()
	return &Catalog{
		SessionRoles: []string{"tenant_role"},
		Roles: []CatalogRole{
			{Name: "tenant_role", Inherits: []string{"tenant_role"}},
			{Name: "owner", Inherits: []string{"owner"}},
			{Name: "postgres", Bypasses: true, Inherits: []string{"postgres", "owner"}},
		},
		Relations: sampleRelations(t),
		Functions: sampleFunctions(t),
		Types:     []parser.Name{{Schema: "public", Name: "mood"}},
	}
}

func sampleRelations(t *testing.T) []CatalogRelation {
	t.Helper()
	view := func(name, owner, query string, below ...string) CatalogRelation {
		return table(name, func(r *CatalogRelation) {
			r.Kind, r.Owner, r.Uses, r.Definition = KindView, owner, uses(below...), sqlBody(t, query)
		})
	}
	return []CatalogRelation{
		table("accounts", protected),
		table("documents", protected),
		table("messages", protected),
		table("events", func(r *CatalogRelation) { protected(r); r.Kind = KindPartitioned }),
		table("events_2025", func(r *CatalogRelation) { r.TenantColumn, r.Parent = "org_id", "public.events" }),
		table("events_2026", func(r *CatalogRelation) { protected(r); r.Parent = "public.events" }),
		table("audit_events", func(r *CatalogRelation) { r.TenantColumn = "org_id" }),
		table("unforced", func(r *CatalogRelation) { protected(r); r.ForceRowSecurity, r.Owner = false, "tenant_role" }),
		table("hidden", func(r *CatalogRelation) { r.TenantColumn, r.Reachable = "org_id", false }),
		table("countries", nil),
		table("order_lines", func(r *CatalogRelation) { r.TenantPath = "order_lines -> orders" }),
		table("remote_orders", func(r *CatalogRelation) { r.Kind = KindForeign }),
		table("mv_invoices", func(r *CatalogRelation) { r.Kind, r.Uses = KindMatview, uses("accounts") }),
		table("mv_countries", func(r *CatalogRelation) { r.Kind, r.Uses = KindMatview, uses("countries") }),
		table("accounts_id_seq", func(r *CatalogRelation) { r.Kind = KindSequence }),
		view("v_documents", "postgres", "SELECT * FROM public.documents", "documents"),
		view("v_bound", "owner", "SELECT * FROM public.documents", "documents"),
		view("v_nested", "owner", "SELECT * FROM public.v_documents", "v_documents"),
		view("v_countries", "postgres", "SELECT * FROM public.countries", "countries"),
		view("v_activity", "postgres", "SELECT query FROM pg_catalog.pg_stat_activity"),
		view("v_setter", "owner", "SELECT pg_catalog.set_config('app.org_id', 'x', false)"),
		table("v_documents_invoker", func(r *CatalogRelation) {
			r.Kind, r.Owner, r.SecurityInvoker, r.Uses = KindView, "postgres", true, uses("documents")
			r.Definition = sqlBody(t, "SELECT * FROM public.documents")
		}),
		table("v_audit_invoker", func(r *CatalogRelation) {
			r.Kind, r.Owner, r.SecurityInvoker, r.Uses = KindView, "owner", true, uses("audit_events")
		}),
	}
}

func sampleFunctions(t *testing.T) []CatalogFunction {
	t.Helper()
	f := func(name, language string, body *CatalogBody) CatalogFunction {
		return CatalogFunction{Schema: "public", Name: name, Language: language, Body: body}
	}
	definer := f("document_by_id", "sql", sqlBody(t, "SELECT * FROM documents WHERE id = $1"))
	definer.SecurityDefiner = true
	leak := f("leak_row", "sql", sqlBody(t, "SELECT set_config('app.org_id', 'x', false)"))
	leak.RowArgument = true
	definer.OneArgument = true
	dblink := f("dblink_connect", "c", nil)
	dblink.Extension = "dblink"
	crosstab := f("crosstab", "c", nil)
	crosstab.Extension = "tablefunc"
	digest := f("digest", "c", nil)
	digest.Extension = "pgcrypto"
	odd := f("odd_c", "c", nil)
	odd.Extension = "never_heard_of"
	trigger := f("on_insert", "plpgsql", words("begin execute end"))
	trigger.Trigger = true
	inContext := func(name string) CatalogFunction {
		c := f(name, "plpgsql", words("begin perform set_config( end"))
		c.Schema, c.SecurityDefiner = "bulkhead", true
		return c
	}
	rolled := f("as_admin", "sql", sqlBody(t, "SELECT 1"))
	rolled.Settings = []string{"role"}
	return []CatalogFunction{
		inContext("org_id"), inContext("claims"), inContext("challenge"), inContext("enter"), inContext("backend"), inContext("add_key"),
		inContext("add_tax"), inContext("reverse"),
		definer, leak, dblink, crosstab, digest, odd, trigger, rolled,
		f("document_by_id_invoker", "sql", sqlBody(t, "SELECT * FROM documents WHERE id = $1")),
		f("exec_sql", "plpgsql", words("begin execute $1 end")),
		f("calls_exec", "plpgsql", words("begin perform exec_sql( x end")),
		f("calls_calls", "sql", sqlBody(t, "SELECT calls_exec('x')")),
		f("set_tenant", "plpgsql", words("begin perform set_config( end")),
		f("set_local", "plpgsql", words("begin set local app.org_id end")),
		f("reads_audit", "plpgsql", words("begin return query select from audit_events end")),
		f("reads_audit_sql", "sql", sqlBody(t, "SELECT count(*) FROM audit_events")),
		f("add_tax", "plpgsql", words("begin if ( x then return round( x end if end")),
		f("perl_code", "plperl", &CatalogBody{Unreadable: "language plperl"}),
		f("reverse", "plpgsql", words("begin execute end")),
	}
}
