package policy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNewRefusesUnknownNames(t *testing.T) {
	for name, o := range map[string]Options{
		"rule":     {Rules: map[string]RuleMode{"G999": RuleOff}},
		"org type": {OrgType: "number"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: New took a name that does not exist", name)
		}
	}
}

func TestCached(t *testing.T) {
	e := newTestEngine(t, testOptions(t))
	text := []byte("SELECT * FROM accounts")
	if _, ok := e.Cached(text, Simple); ok {
		t.Fatal("a text that was never inspected is cached")
	}
	want := e.Inspect(t.Context(), string(text), Simple)
	got, ok := e.Cached(text, Extended)
	if !ok || got.Decision != want.Decision || got.Text() != want.Text() {
		t.Fatalf("Cached: got %+v %v, want %+v", got, ok, want)
	}
	if allocs := testing.AllocsPerRun(100, func() { e.Cached(text, Simple) }); allocs != 0 {
		t.Errorf("Cached: got %v allocations, want 0", allocs)
	}
	e.SetCatalog(sampleCatalog(t))
	if _, ok := e.Cached(text, Simple); ok {
		t.Error("a decision outlived its catalogue")
	}
}

// A buffer of the caller's is used again after Cached: entries that were
// promoted must not refer to it.
func TestCachedDoesNotKeepTheText(t *testing.T) {
	e := newTestEngine(t, testOptions(t))
	e.Inspect(t.Context(), "SHOW abc", Simple)
	buffer := []byte("SHOW abc")
	e.Cached(buffer, Simple)
	copy(buffer, "SHOW xyz")
	if _, ok := e.Cached(buffer, Simple); ok {
		t.Error("the cache refers to the caller's buffer")
	}
}

func TestObserve(t *testing.T) {
	o := testOptions(t)
	o.Mode = ObserveMode
	o.Rules = map[string]RuleMode{"G602": RuleEnforce, "G607": RuleOff}
	e := newTestEngine(t, o)
	tests := []struct {
		text   string
		action Action
		rule   string
	}{
		{"SELECT 1", Allow, ""},
		{"SET app.org_id = 'B'", Observe, "G201"},
		{"DO $$ $$", Block, "G602"},
		{"SET app.org_id = 'B'; DO $$ $$", Block, "G602"}, // a rule that blocks wins
		{"LISTEN orders", Allow, ""},
		{"SELEC 1", Observe, "G701"},
	}
	for _, tt := range tests {
		if d := e.Inspect(t.Context(), tt.text, Simple).Decision; d.Action != tt.action || d.Rule != tt.rule {
			t.Errorf("%s: got %v %s, want %v %s", tt.text, d.Action, d.Rule, tt.action, tt.rule)
		}
	}
	if d := e.Replication(); d.Action != Block {
		t.Errorf("replication in observe mode: got %v, want blocked", d.Action)
	}
	if d := e.FunctionCall(1); d.Action != Observe || d.Rule != "G103" {
		t.Errorf("FunctionCall in observe mode: got %v %s, want observed G103", d.Action, d.Rule)
	}
}

func TestAllow(t *testing.T) {
	o := testOptions(t)
	o.AllowFunctions = []string{"public.document_by_id", "pg_advisory_lock"}
	o.AllowSettings = []string{"Session_Replication_Role"}
	o.AllowStatements = []string{"listen", "TRUNCATE"}
	o.AllowRelations = []string{"audit_events", "public.mv_invoices"}
	e := newTestEngine(t, o)
	for _, text := range []string{
		"SELECT document_by_id(1)", "SELECT public.document_by_id(1)", "SELECT pg_advisory_lock(1)",
		"SET session_replication_role = replica", "LISTEN x", "TRUNCATE messages",
		"SELECT * FROM audit_events", "SELECT * FROM public.mv_invoices", "SELECT * FROM v_audit_invoker", "SELECT reads_audit()",
	} {
		if d := e.Inspect(t.Context(), text, Simple).Decision; d.Action != Allow {
			t.Errorf("%s: got %v %s %q, want allowed", text, d.Action, d.Rule, d.Reason)
		}
	}
	for _, text := range []string{
		"NOTIFY x", "SELECT exec_sql('x')", "SET app.org_id = 'B'", "SELECT other.document_by_id(1)", "TRUNCATE messages; SET ROLE x",
	} {
		if d := e.Inspect(t.Context(), text, Simple).Decision; d.Action != Block {
			t.Errorf("%s: got %v, want blocked", text, d.Action)
		}
	}
}

// What neither the lists nor a fresh snapshot know is missing, and the server
// says so itself; but such a decision is not kept.
func TestUnknownNamesWithLookup(t *testing.T) {
	e := newTestEngine(t, withLookup(t, testOptions(t)))
	for _, text := range []string{"SELECT * FROM my_temp", "DROP TABLE my_temp", "TRUNCATE my_temp", "CREATE INDEX i ON my_temp (id)"} {
		if d := e.Inspect(t.Context(), text, Simple).Decision; d.Action != Allow {
			t.Errorf("%s: got %v %s %q, want allowed", text, d.Action, d.Rule, d.Reason)
		}
		if _, ok := e.Cached([]byte(text), Simple); ok {
			t.Errorf("%s: a decision on a name that nobody knows was kept", text)
		}
	}
	for _, text := range []string{"SELECT pg_future_function()", "SELECT * FROM pg_stat_future", "SELECT * FROM pg_catalog.pg_future", "SELECT no_such_function()", "CALL no_such_procedure()", "SELECT pg_temp.f()", "DROP TABLE accounts", "DROP TABLE my_temp, accounts", "DROP TABLE pg_temp_3.t", "TRUNCATE pg_temp_3.t", "SELECT * FROM pg_temp_3.t"} {
		if d := e.Inspect(t.Context(), text, Simple).Decision; d.Action != Block {
			t.Errorf("%s: got %v, want blocked", text, d.Action)
		}
	}
}

func TestUnknownNamesWhenLookupFails(t *testing.T) {
	o := testOptions(t)
	o.Lookup = func(context.Context) (*Catalog, error) { return nil, errors.New("down") }
	e := newTestEngine(t, o)
	if d := e.Inspect(t.Context(), "SELECT * FROM my_temp", Simple).Decision; d.Rule != "G508" {
		t.Errorf("got %v %s, want blocked G508", d.Action, d.Rule)
	}
}

// A table that appears is found by the lookup and judged.
func TestLookupFindsNewTables(t *testing.T) {
	o := testOptions(t)
	o.Lookup = func(context.Context) (*Catalog, error) {
		c := sampleCatalog(t)
		c.TakenAt = time.Now()
		c.Relations = append(c.Relations, table("fresh_leak", func(r *CatalogRelation) { r.TenantColumn = "org_id" }), table("fresh_safe", protected))
		return c, nil
	}
	e := newTestEngine(t, o)
	if d := e.Inspect(t.Context(), "SELECT * FROM fresh_safe", Simple).Decision; d.Action != Allow {
		t.Errorf("protected table: got %v %s, want allowed", d.Action, d.Rule)
	}
	if d := e.Inspect(t.Context(), "SELECT * FROM fresh_leak", Simple).Decision; d.Rule != "G501" {
		t.Errorf("unprotected table: got %v %s, want blocked G501", d.Action, d.Rule)
	}
}

func TestForOrg(t *testing.T) {
	e := newTestEngine(t, testOptions(t))
	tests := []struct {
		text, org, want string
	}{
		{"SELECT * FROM accounts WHERE org_id = '" + orgA + "'", orgA, ""},
		{"SELECT * FROM accounts WHERE org_id = '" + orgB + "'", orgA, "G801"},
		{"SELECT * FROM accounts WHERE org_id = '" + orgA + "'", "", "G801"},
		{"SELECT * FROM accounts WHERE org_id IN ('" + orgA + "', '" + orgB + "')", orgA, "G801"},
		{"SELECT * FROM accounts WHERE tenant_id = 'x'", orgA, "G801"},
		{"INSERT INTO accounts (id, org_id) VALUES (1, '" + orgB + "')", orgA, "G801"},
		{"UPDATE accounts SET org_id = '" + orgB + "'", orgA, "G801"},
		{"SELECT * FROM accounts WHERE org_id = '" + strings.ToUpper(orgA) + "'", orgA, ""},
		{"SELECT * FROM accounts WHERE org_id = current_setting('app.org_id')::uuid", orgA, ""},
		{"SELECT 'org_id = " + orgB + "'", orgA, ""},
		{"SET ROLE x; SELECT * FROM accounts WHERE org_id = '" + orgB + "'", orgA, "G301"},
	}
	for _, tt := range tests {
		if got := e.Inspect(t.Context(), tt.text, Simple).ForOrg(e, tt.org).Rule; got != tt.want {
			t.Errorf("%s for %q: got rule %q, want %q", tt.text, tt.org, got, tt.want)
		}
	}
	i := e.Inspect(t.Context(), "SELECT * FROM accounts WHERE org_id = $2 AND id = $1", Extended)
	if len(i.OrgParams) != 1 || i.OrgParams[0] != 2 {
		t.Errorf("parameters that meet a tenant column: got %v, want [2]", i.OrgParams)
	}
}

// Nothing that the client wrote as a value may appear in what is said about
// its statement.
func TestDecisionsHoldNoValues(t *testing.T) {
	const secret = "s3cr3t"
	e := newTestEngine(t, testOptions(t))
	for _, text := range []string{
		"SET app.org_id = '" + secret + "'", "SELECT * FROM accounts WHERE org_id = '" + secret + "'",
		"SELECT set_config('search_path', '" + secret + ",pg_temp', false)", "SELECT '" + secret + "' FROM", "ALTER ROLE app PASSWORD '" + secret + "'",
		"NOTIFY x, '" + secret + "'", "SELEC '" + secret + "'", "SELECT '" + secret,
	} {
		i := e.Inspect(t.Context(), text, Simple)
		d := i.ForOrg(e, orgA)
		if d.Action != Block {
			t.Errorf("%s: got %v, want blocked", text, d.Action)
		}
		if d.Rule != "G701" && strings.Contains(d.Message, secret) { // a syntax error quotes the client's text, to the client only
			t.Errorf("%s: a value is in the message %q", text, d.Message)
		}
		for _, said := range append([]string{d.Reason, d.Hint, d.Title, string(i.Text()), i.Kind, i.Fingerprint}, i.Settings...) {
			if strings.Contains(said, secret) {
				t.Errorf("%s: a value is in %q", text, said)
			}
		}
	}
}

func TestEngineParallel(t *testing.T) {
	e := newTestEngine(t, withLookup(t, testOptions(t)))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				for _, text := range []string{"SELECT * FROM accounts", "SELECT calls_calls()", "SELECT * FROM v_setter", "SELECT * FROM unknown_one"} {
					e.Cached([]byte(text), Simple)
					e.Inspect(t.Context(), text, Simple)
				}
				e.SetCatalog(sampleCatalog(t))
			}
		})
	}
	wg.Wait()
}
