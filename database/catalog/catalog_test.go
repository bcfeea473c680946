package catalog

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.StopShared()
	os.Exit(code)
}

// sample is a careless database. cat_app logs in; cat_tenant is the role of
// sessions. The fake relations and functions in the path of the login role
// stand where an unqualified name of the catalogue would find them.
const sample = `
DROP ROLE IF EXISTS cat_app, cat_tenant, cat_admin, cat_owner, cat_middle;
CREATE ROLE cat_app LOGIN;
CREATE ROLE cat_tenant;
CREATE ROLE cat_owner;
GRANT cat_tenant TO cat_app;

CREATE SCHEMA secret;
CREATE TABLE secret.hidden (id int, org_id uuid);
CREATE TABLE orgs (id uuid PRIMARY KEY, name text);
CREATE TABLE accounts (id int PRIMARY KEY, org_id uuid REFERENCES orgs, name text);
ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts FORCE ROW LEVEL SECURITY;
CREATE TABLE lines (id int PRIMARY KEY, account_id int REFERENCES accounts);
CREATE TABLE sublines (id int, line_id int REFERENCES lines);
CREATE TABLE countries (code text);
CREATE TABLE "Odd" (id int, "OrgId" uuid);
CREATE VIEW v AS SELECT * FROM accounts;
CREATE VIEW v_activity AS SELECT query FROM pg_stat_activity;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM accounts;
CREATE TABLE events (id int, org_id uuid) PARTITION BY LIST (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
CREATE FUNCTION plain(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 1';
CREATE FUNCTION dynamic(accounts) RETURNS int LANGUAGE plpgsql AS
	$$ BEGIN EXECUTE 'SELECT 1'; PERFORM pg_catalog.set_config('a.b', 'x', false); RETURN 1; END $$;
CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS
	$$ BEGIN RETURN new; END $$;
CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int);
CREATE TYPE mood AS ENUM ('good');
CREATE FUNCTION pg_has_role(name, oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
GRANT SELECT ON accounts, lines, countries, v, v_activity, mv, events, events_1, orgs, "Odd" TO cat_tenant;
`

// onEach runs a test on each version of PostgreSQL that is found here; those
// that the system lacks come from scripts/postgresql-get.
func onEach(t *testing.T, test func(t *testing.T, s *pgtest.Server)) {
	t.Helper()
	all := pgtest.All()
	if len(all) == 0 {
		t.Fatal(pgtest.ErrNotFound)
	}
	for _, bin := range all {
		t.Run(strconv.Itoa(bin.Version), func(t *testing.T) { test(t, pgtest.Shared(t, bin.Version)) })
	}
}

// load makes the sample with changes in a database of its own and takes a
// snapshot as cat_app.
func load(t *testing.T, s *pgtest.Server, o Options, changes string) *Snapshot {
	t.Helper()
	database := s.CreateDatabase(t)
	s.Exec(t, database, sample+changes)
	t.Cleanup(func() {
		s.Exec(t, database, "DROP OWNED BY cat_app, cat_tenant, cat_owner")
		s.Exec(t, database, "REASSIGN OWNED BY cat_owner TO postgres")
		s.Exec(t, "postgres", "DROP ROLE IF EXISTS cat_admin, cat_middle")
	})
	return loadAs(t, s, "cat_app", database, o)
}

func loadAs(t *testing.T, s *pgtest.Server, role, database string, o Options) *Snapshot {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.DSN(role, database))
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(ctx)
	snapshot, err := Load(ctx, conn, o)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return snapshot
}

var tenantOptions = Options{TenantColumns: []string{"org_id"}, Role: "cat_tenant"}

func find(t *testing.T, s *Snapshot, name string) *Relation {
	t.Helper()
	for i := range s.Relations {
		if s.Relations[i].Name == name {
			return &s.Relations[i]
		}
	}
	t.Fatalf("relation %s is not in the snapshot", name)
	return nil
}

func TestRelations(t *testing.T) { onEach(t, testRelations) }

func testRelations(t *testing.T, s *pgtest.Server) {
	snapshot := load(t, s, tenantOptions, "")
	accounts := find(t, snapshot, "accounts")
	if accounts.TenantColumn != "org_id" || !accounts.RowSecurity || !accounts.Force || !accounts.Reachable || accounts.Owner != "postgres" {
		t.Errorf("accounts: got %+v", *accounts)
	}
	if got := find(t, snapshot, "Odd").TenantColumn; got != "OrgId" {
		t.Errorf("tenant column in another spelling: got %q", got)
	}
	if find(t, snapshot, "hidden").Reachable {
		t.Error("a table in a schema without USAGE counts as reachable")
	}
	if got := find(t, snapshot, "events_1").Parent; got != "public.events" {
		t.Errorf("parent of a partition: got %q", got)
	}
	if got := strings.Join(accounts.Columns, " "); got != "id org_id name" {
		t.Errorf("columns of accounts: %s", got)
	}
	if got := find(t, snapshot, "orgs").OrgKey; got != "id" || accounts.OrgKey != "" {
		t.Errorf("key of orgs: %q, of accounts: %q", got, accounts.OrgKey)
	}
	for name, want := range map[string]string{"orgs": "references", "lines": "lines -> accounts", "sublines": "sublines -> lines", "countries": ""} {
		if got := find(t, snapshot, name).TenantPath; !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("path of %s: got %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"v", "mv"} {
		r := find(t, snapshot, name)
		if len(r.Uses) != 1 || r.Uses[0].Name != "accounts" || r.Definition == nil || r.Definition.Batch == nil {
			t.Errorf("%s: got uses %v, definition %+v", name, r.Uses, r.Definition)
		}
	}
}

func TestSecurityInvoker(t *testing.T) { onEach(t, testSecurityInvoker) }

func testSecurityInvoker(t *testing.T, s *pgtest.Server) {
	if s.Bin.Version < 15 {
		t.Skip("views have no security_invoker before PostgreSQL 15")
	}
	snapshot := load(t, s, tenantOptions, "CREATE VIEW vi WITH (security_invoker) AS SELECT * FROM accounts; CREATE VIEW vo WITH (security_invoker = off) AS SELECT * FROM accounts;")
	if !find(t, snapshot, "vi").Invoker || find(t, snapshot, "vo").Invoker {
		t.Error("security_invoker is read wrongly")
	}
}

func TestFunctions(t *testing.T) { onEach(t, testFunctions) }

func testFunctions(t *testing.T, s *pgtest.Server) {
	snapshot := load(t, s, tenantOptions, "")
	f := make(map[string]*Function)
	for i := range snapshot.Functions {
		f[snapshot.Functions[i].Name] = &snapshot.Functions[i]
	}
	if b := f["plain"].Body; b == nil || b.Batch == nil || len(b.Batch.Statements) != 1 {
		t.Errorf("body in SQL: got %+v", b)
	}
	d := f["dynamic"]
	if !slices.Contains(d.Body.Words, "execute") || !slices.Contains(d.Body.Calls, "pg_catalog.set_config") || !d.RowArgument || !d.OneArgument {
		t.Errorf("body in PL/pgSQL: got %+v, row argument %v", *d.Body, d.RowArgument)
	}
	if w := f["on_write"]; !w.Trigger || !w.SecurityDefiner || !slices.Equal(w.Settings, []string{"search_path"}) {
		t.Errorf("trigger function: got %+v", *w)
	}
	if a := f["total"]; !a.Aggregate || a.Body != nil {
		t.Errorf("aggregate: got %+v", *a)
	}
}

func TestStandardBodies(t *testing.T) { onEach(t, testStandardBodies) }

func testStandardBodies(t *testing.T, s *pgtest.Server) {
	if s.Bin.Version < 14 {
		t.Skip("no bodies in standard SQL before PostgreSQL 14")
	}
	snapshot := load(t, s, tenantOptions, `CREATE FUNCTION two() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;
		CREATE FUNCTION three() RETURNS int LANGUAGE sql RETURN 3;`)
	want := map[string]int{"two": 2, "three": 1}
	for _, f := range snapshot.Functions {
		if n := want[f.Name]; n > 0 && (f.Body.Batch == nil || len(f.Body.Batch.Statements) != n) {
			t.Errorf("%s: got %+v, want %d statements", f.Name, f.Body, n)
		}
		delete(want, f.Name)
	}
	if len(want) > 0 {
		t.Errorf("not in the snapshot: %v", want)
	}
}

// A function of the user's in the way of the catalogue's own must not be
// called: the sample's pg_has_role says yes to everything.
func TestShadowsAreNotCalled(t *testing.T) { onEach(t, testShadowsAreNotCalled) }

func testShadowsAreNotCalled(t *testing.T, s *pgtest.Server) {
	snapshot := load(t, s, tenantOptions, "ALTER ROLE cat_app SET search_path = public, pg_catalog; CREATE ROLE cat_admin BYPASSRLS;")
	if r := snapshot.role("cat_admin"); r != nil && r.Reachable != "" {
		t.Error("a function in public stood in for pg_catalog.pg_has_role")
	}
}

// Each case makes one fault and removes it again: no finding, one, none.
func TestJudgeLogin(t *testing.T) { onEach(t, testJudgeLogin) }

func testJudgeLogin(t *testing.T, s *pgtest.Server) {
	tests := []struct {
		name, fault, repair, key string
	}{
		{"superuser", "ALTER ROLE cat_app SUPERUSER", "ALTER ROLE cat_app NOSUPERUSER", "superuser"},
		{"bypassrls", "ALTER ROLE cat_app BYPASSRLS", "ALTER ROLE cat_app NOBYPASSRLS", "bypassrls"},
		{"createrole", "ALTER ROLE cat_app CREATEROLE", "ALTER ROLE cat_app NOCREATEROLE", "attribute"},
		{"replication", "ALTER ROLE cat_app REPLICATION", "ALTER ROLE cat_app NOREPLICATION", "attribute"},
		{
			"member of a member of a bypassing role",
			"CREATE ROLE cat_admin BYPASSRLS; CREATE ROLE cat_middle; GRANT cat_admin TO cat_middle; GRANT cat_middle TO cat_app",
			"DROP ROLE cat_middle; DROP ROLE cat_admin", "bypassrls",
		},
		{"owns a tenant table", "ALTER TABLE accounts OWNER TO cat_app", "ALTER TABLE accounts OWNER TO postgres", "owner"},
		{
			"may become the owner",
			"ALTER TABLE accounts OWNER TO cat_owner; GRANT cat_owner TO cat_app; ALTER ROLE cat_app NOINHERIT",
			"REVOKE cat_owner FROM cat_app; ALTER TABLE accounts OWNER TO postgres; ALTER ROLE cat_app INHERIT", "owner",
		},
		{"reads server files", "GRANT pg_read_server_files TO cat_app", "REVOKE pg_read_server_files FROM cat_app", "predefined"},
		{"monitor", "GRANT pg_monitor TO cat_app", "REVOKE pg_monitor FROM cat_app", "predefined"},
		{"may not become the tenant role", "REVOKE cat_tenant FROM cat_app", "GRANT cat_tenant TO cat_app", "role"},
	}
	database := s.CreateDatabase(t)
	s.Exec(t, database, sample)
	t.Cleanup(func() { s.Exec(t, database, "DROP OWNED BY cat_app, cat_tenant, cat_owner") })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := unsafeFindings(JudgeLogin(loadAs(t, s, "cat_app", database, tenantOptions))); len(got) != 0 {
				t.Fatalf("before the fault: got %v", got)
			}
			s.Exec(t, database, tt.fault)
			got := unsafeFindings(JudgeLogin(loadAs(t, s, "cat_app", database, tenantOptions)))
			s.Exec(t, database, tt.repair)
			if len(got) == 0 || !slices.ContainsFunc(got, func(f Finding) bool { return f.Key == tt.key && f.Text != "" && f.Remedy != "" }) {
				t.Errorf("with the fault: got %v, want one of key %s", got, tt.key)
			}
			if got := unsafeFindings(JudgeLogin(loadAs(t, s, "cat_app", database, tenantOptions))); len(got) != 0 {
				t.Errorf("after the repair: got %v", got)
			}
		})
	}
}

func unsafeFindings(list []Finding) []Finding {
	return slices.DeleteFunc(list, func(f Finding) bool { return f.Severity != Unsafe })
}

func TestJudgeLoginOfNewerServer(t *testing.T) {
	s := &Snapshot{ServerVersion: (GrammarVersion + 1) * 10000}
	got := JudgeLogin(s)
	if len(got) != 1 || got[0].Key != "grammar" || got[0].Severity != Warning {
		t.Errorf("got %v, want one warning on the grammar", got)
	}
}

func TestScanWords(t *testing.T) {
	words, calls := scanWords(`-- set_config(1)
		/* a /* b( */ c( */ BEGIN perform "My Schema"."F x"('x(', $$ y( $$, $tag$ z( $tag$, $1); d := date'a\'; EXECUTE E'\'f(' END`)
	if want := []string{"begin", "perform", "My Schema.F x", "d", "date", "execute", "e", "end"}; !slices.Equal(words, want) {
		t.Errorf("words: got %q, want %q", words, want)
	}
	if want := []string{"My Schema.F x"}; !slices.Equal(calls, want) {
		t.Errorf("calls: got %q, want %q", calls, want)
	}
}

// FuzzScanWords hunts for endless loops and panics.
func FuzzScanWords(f *testing.F) {
	f.Add(`BEGIN PERFORM f('a', $$b$$); END`)
	f.Add(`"`)
	f.Add(`E'\`)
	f.Add(`$a`)
	f.Add(`/*`)
	f.Add(`a."`)
	f.Fuzz(func(_ *testing.T, source string) { scanWords(source) })
}
