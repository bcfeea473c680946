package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// plant is one fault: what to do, what to find, and what to do about it.
type plant struct {
	fault string
	want  []string // "A201 public.docs:p", nothing for what is no fault
	// repair undoes it; "" stands for dropping the policy planted on docs.
	repair string
	since  int // the oldest version that has it
}

// testPlants goes from no finding to the fault, its findings and back. Only
// the checks that are asked for count, and no info.
func testPlants(t *testing.T, server *pgtest.Server, schema string, sel inventory.Selection, mine func(id string) bool, fixes bool, plants []plant) {
	t.Helper()
	s := newSubject(t, server, schema, Options{Selection: sel})
	audit := func() []string {
		list := []string{}
		for _, f := range s.audit() {
			if f.Detail == "" || f.Fix == "" {
				t.Errorf("%s on %s has no detail or fix", f.Check, f.Object)
			}
			if mine(f.Check) && f.Severity > Info {
				list = append(list, f.Check+" "+f.Object)
			}
		}
		slices.Sort(list)
		return list
	}
	if got := audit(); len(got) > 0 {
		t.Fatalf("the correct schema: got %q", got)
	}
	for i, p := range plants {
		if server.Bin.Version < p.since {
			continue
		}
		s.exec(p.fault)
		slices.Sort(p.want)
		if got := audit(); !slices.Equal(got, p.want) {
			t.Errorf("%d %s:\n got %q\nwant %q", i, p.fault, got, p.want)
		}
		if fixes && p.repair == "" {
			s.fix(p.fault, mine)
		}
		repair := p.repair
		if repair == "" {
			repair = "DROP POLICY planted ON docs"
		}
		s.exec(repair)
	}
	if got := audit(); len(got) > 0 {
		t.Errorf("all repaired: got %q", got)
	}
}

// fix runs the fixes that are SQL, and expects them to end what they are for.
func (s *subject) fix(fault string, mine func(id string) bool) {
	s.t.Helper()
	fixed := make(map[string]string)
	for _, f := range s.audit() {
		if mine(f.Check) && f.FixIsSQL && f.Severity > Info {
			s.exec(f.Fix)
			fixed[f.Check+" "+f.Object] = f.Fix
		}
	}
	if len(fixed) == 0 {
		return
	}
	for _, line := range s.lines(s.audit()) {
		if fix, ok := fixed[line]; ok {
			s.t.Errorf("%s\nfixed by %s: still %s", fault, fix, line)
		}
	}
}

func isPolicyCheck(id string) bool {
	switch id {
	case "A205", "A206", "A207":
		return false
	}
	return strings.HasPrefix(id, "A2") || id == "A702" || id == "A703"
}

// settingsSchema has uuid tenants in a setting.
const settingsSchema = `
CREATE ROLE aud_app LOGIN;
CREATE ROLE aud_reader;
CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO aud_app;
CREATE FUNCTION app.org() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('app.org_id', true), '')::uuid $$;
CREATE TABLE orgs (id uuid PRIMARY KEY, name text);
CREATE TABLE docs (id int PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs ON DELETE CASCADE, title text, is_public boolean, owner text);
CREATE TABLE lines (id int PRIMARY KEY, doc_id int NOT NULL REFERENCES docs);
CREATE TABLE slugs (id int PRIMARY KEY, org_id varchar(40) NOT NULL);
CREATE TABLE floored (id int PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, is_public boolean);
CREATE TABLE hidden (id int PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs);
CREATE TABLE countries (id int PRIMARY KEY, code text);
CREATE TABLE grants (org_id uuid, login text);
ALTER TABLE orgs ENABLE ROW LEVEL SECURITY; ALTER TABLE docs ENABLE ROW LEVEL SECURITY; ALTER TABLE lines ENABLE ROW LEVEL SECURITY;
ALTER TABLE slugs ENABLE ROW LEVEL SECURITY; ALTER TABLE floored ENABLE ROW LEVEL SECURITY; ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
ALTER TABLE countries ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON orgs USING (id = (SELECT app.org()));
CREATE POLICY own ON docs USING (org_id = (SELECT app.org()));
CREATE POLICY own ON lines USING (EXISTS (SELECT 1 FROM docs d WHERE d.id = lines.doc_id));
CREATE POLICY own ON slugs USING (org_id = nullif(current_setting('app.org_id', true), '')) WITH CHECK (org_id = nullif(current_setting('app.org_id', true), ''));
CREATE POLICY floor ON floored AS RESTRICTIVE USING (org_id = (SELECT app.org()));
CREATE POLICY base ON floored USING (true);
CREATE POLICY open ON hidden USING (true);
CREATE POLICY readable ON countries FOR SELECT USING (true);
CREATE POLICY elsewhere ON docs TO aud_reader USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON orgs, docs, lines, slugs, floored TO aud_app; GRANT SELECT ON countries TO aud_app;
`

var settingsSelection = inventory.Selection{AppRoles: []string{"aud_app"}, RootTable: "orgs", GlobalTables: []string{"countries"}}

const docsPolicy = "A%s public.docs:planted"

func onDocs(ids ...string) []string {
	var list []string
	for _, id := range ids {
		list = append(list, fmt.Sprintf(docsPolicy, id))
	}
	return list
}

var settingsPlants = []plant{
	{fault: "CREATE POLICY planted ON docs USING (true)", want: onDocs("201")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (true)", want: onDocs("201")},
	{fault: "CREATE POLICY planted ON docs FOR DELETE USING (1 = 1)", want: onDocs("201")},
	{fault: "CREATE POLICY planted ON docs USING (true) WITH CHECK (true)", want: onDocs("201")},
	{fault: "CREATE POLICY planted ON docs FOR UPDATE USING (true) WITH CHECK (org_id = (SELECT app.org()))", want: onDocs("201")},
	{fault: "CREATE POLICY planted ON docs TO aud_app USING (true)", want: onDocs("201")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (is_public)", want: onDocs("202")},
	{fault: "CREATE POLICY planted ON docs USING (is_public) WITH CHECK (true)", want: onDocs("202", "204")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (org_id = (SELECT app.org()) OR is_public)", want: onDocs("203")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = (SELECT app.org()) OR is_public) WITH CHECK (org_id = (SELECT app.org()) OR is_public)", want: onDocs("203")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (org_id <> (SELECT app.org()))", want: onDocs("203")},
	{fault: "CREATE POLICY planted ON docs FOR INSERT WITH CHECK (true)", want: onDocs("204")},
	{fault: "CREATE POLICY planted ON docs FOR INSERT WITH CHECK (is_public)", want: onDocs("204")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = (SELECT app.org())) WITH CHECK (true)", want: onDocs("204")},
	{fault: "CREATE POLICY planted ON docs FOR UPDATE USING (org_id = (SELECT app.org())) WITH CHECK (title <> '')", want: onDocs("204")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = (SELECT app.org())) WITH CHECK (org_id = (SELECT app.org()) OR is_public)", want: onDocs("204")},
	{fault: "CREATE POLICY planted ON docs USING (org_id IS NULL OR org_id = (SELECT app.org()))", want: onDocs("211")},
	{fault: "CREATE POLICY planted ON docs USING (org_id IS NOT DISTINCT FROM (SELECT app.org()))", want: onDocs("211")},
	{fault: "CREATE POLICY planted ON docs USING (coalesce(org_id, app.org()) = (SELECT app.org()))", want: onDocs("211")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = (SELECT app.org())) WITH CHECK (org_id IS NULL OR org_id = (SELECT app.org()))", want: onDocs("211")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (org_id::text LIKE current_setting('app.org_id', true))", want: onDocs("217")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (org_id = 'aaaaaaaa-0000-0000-0000-000000000001')", want: onDocs("218")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (org_id = (SELECT app.org()) OR org_id = 'aaaaaaaa-0000-0000-0000-000000000001')", want: onDocs("218")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (owner = current_user)", want: onDocs("215")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = (SELECT app.org()) AND owner = session_user)", want: onDocs("215")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = ((current_setting('request.jwt.claims', true)::jsonb -> 'user_metadata') ->> 'org_id')::uuid)", want: onDocs("216")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = nullif(current_setting('app.org_id'), '')::uuid)", want: onDocs("209")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = current_setting('app.org_id')::uuid)", want: onDocs("209")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = current_setting('app.org_id', true)::uuid)", want: onDocs("210")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = (SELECT current_setting('app.org_id', true))::uuid)", want: onDocs("210")},
	{fault: "CREATE POLICY planted ON docs USING (org_id = app.org())", want: onDocs("702")},
	{fault: "CREATE POLICY planted ON docs USING (org_id::text = nullif(current_setting('app.org_id', true), ''))", want: onDocs("703")},
	{fault: "CREATE POLICY planted ON docs USING (org_id IN (SELECT g.org_id FROM grants g WHERE g.login = nullif(current_setting('app.user', true), ''))); GRANT SELECT, INSERT ON grants TO aud_app", want: onDocs("214"), repair: "DROP POLICY planted ON docs; REVOKE ALL ON grants FROM aud_app"},
	{fault: "CREATE POLICY planted ON docs USING (org_id IN (SELECT g.org_id FROM grants g WHERE g.login = nullif(current_setting('app.user', true), ''))); GRANT SELECT ON grants TO aud_app", want: nil, repair: "DROP POLICY planted ON docs; REVOKE ALL ON grants FROM aud_app"},
	{fault: "ALTER FUNCTION app.org() IMMUTABLE", want: []string{"A212 app.org()"}, repair: "ALTER FUNCTION app.org() STABLE"},
	{fault: "ALTER FUNCTION app.org() VOLATILE", want: []string{"A213 app.org()"}, repair: "ALTER FUNCTION app.org() STABLE"},
	{fault: "ALTER POLICY own ON lines USING (true)", want: []string{"A201 public.lines:own"}, repair: "ALTER POLICY own ON lines USING (doc_id IN (SELECT id FROM docs))"},
	{fault: "ALTER POLICY own ON orgs USING (name <> '')", want: []string{"A202 public.orgs:own"}, repair: "ALTER POLICY own ON orgs USING (id = (SELECT app.org()))"},
	{fault: "ALTER POLICY own ON slugs USING (lower(org_id) = lower(nullif(current_setting('app.org_id', true), '')))", want: []string{"A703 public.slugs:own"}, repair: "ALTER POLICY own ON slugs USING (org_id = nullif(current_setting('app.org_id', true), ''))"},

	// A restrictive policy on the tenant makes wrong permissive ones harmless,
	// for what it covers.
	{fault: "CREATE POLICY wide ON floored FOR SELECT USING (is_public); CREATE POLICY wider ON floored USING (true) WITH CHECK (true)", want: nil, repair: "DROP POLICY wide ON floored; DROP POLICY wider ON floored"},
	{fault: "DROP POLICY floor ON floored; CREATE POLICY floor ON floored AS RESTRICTIVE FOR SELECT USING (org_id = (SELECT app.org()))", want: []string{"A201 public.floored:base"}, repair: "DROP POLICY floor ON floored; CREATE POLICY floor ON floored AS RESTRICTIVE USING (org_id = (SELECT app.org()))"},
	{fault: "DROP POLICY floor ON floored; CREATE POLICY floor ON floored AS RESTRICTIVE TO aud_reader USING (org_id = (SELECT app.org()))", want: []string{"A201 public.floored:base"}, repair: "DROP POLICY floor ON floored; CREATE POLICY floor ON floored AS RESTRICTIVE USING (org_id = (SELECT app.org()))"},
	{fault: "ALTER POLICY floor ON floored USING (org_id IS NOT DISTINCT FROM (SELECT app.org()))", want: []string{"A211 public.floored:floor"}, repair: "ALTER POLICY floor ON floored USING (org_id = (SELECT app.org()))"},
	{fault: "ALTER POLICY floor ON floored USING (org_id = (SELECT app.org()) OR is_public)", want: []string{"A203 public.floored:floor"}, repair: "ALTER POLICY floor ON floored USING (org_id = (SELECT app.org()))"},
	{fault: "ALTER POLICY floor ON floored WITH CHECK (true)", want: []string{"A204 public.floored:floor"}, repair: "DROP POLICY floor ON floored; CREATE POLICY floor ON floored AS RESTRICTIVE USING (org_id = (SELECT app.org()))"},
	{fault: "CREATE POLICY narrow ON docs AS RESTRICTIVE USING (NOT is_public)", want: nil, repair: "DROP POLICY narrow ON docs"},
	{fault: "CREATE POLICY narrow ON docs AS RESTRICTIVE USING (org_id IS NULL OR org_id = (SELECT app.org()))", want: nil, repair: "DROP POLICY narrow ON docs"},

	// What the application cannot use is no fault.
	{fault: "CREATE POLICY planted ON docs FOR DELETE USING (true); REVOKE DELETE ON docs FROM aud_app", want: nil, repair: "DROP POLICY planted ON docs; GRANT DELETE ON docs TO aud_app"},
	{fault: "GRANT aud_reader TO aud_app", want: []string{"A201 public.docs:elsewhere"}, repair: "REVOKE aud_reader FROM aud_app"},
	{fault: "GRANT SELECT ON hidden TO aud_app", want: []string{"A201 public.hidden:open"}, repair: "REVOKE SELECT ON hidden FROM aud_app"},
}

func TestPolicies_Settings(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		testPlants(t, s, settingsSchema, settingsSelection, isPolicyCheck, s.Bin.Version == 15, settingsPlants)
	})
}

// memberSchema has tenants by membership, as applications on Supabase have.
const memberSchema = `
CREATE ROLE aud_authenticator LOGIN NOINHERIT;
CREATE ROLE aud_authenticated; GRANT aud_authenticated TO aud_authenticator;
CREATE SCHEMA auth; CREATE SCHEMA private; GRANT USAGE ON SCHEMA auth, private TO aud_authenticated;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
	(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'))::uuid $$;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT coalesce(nullif(current_setting('request.jwt.claim', true), ''),
	nullif(current_setting('request.jwt.claims', true), ''))::jsonb $$;
CREATE TABLE accounts (id bigint PRIMARY KEY, slug text UNIQUE, owner_id uuid NOT NULL);
CREATE TABLE memberships (account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE, user_id uuid NOT NULL, role text NOT NULL, PRIMARY KEY (account_id, user_id));
CREATE TABLE docs (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE, author uuid NOT NULL, is_public boolean, published_at timestamptz);
CREATE TABLE "Doc Comments" ("Id" bigint PRIMARY KEY, "docId" bigint NOT NULL REFERENCES docs, author uuid, body text);
CREATE FUNCTION private.my_accounts() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS
	$$ SELECT account_id FROM public.memberships WHERE user_id = (SELECT auth.uid()) $$;
CREATE FUNCTION private.has_role(account bigint, wanted text) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS
	$$ BEGIN RETURN EXISTS (SELECT 1 FROM public.memberships m WHERE m.account_id = account AND m.user_id = auth.uid() AND m.role = wanted); END $$;
ALTER TABLE accounts ENABLE ROW LEVEL SECURITY; ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;
ALTER TABLE docs ENABLE ROW LEVEL SECURITY; ALTER TABLE "Doc Comments" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "members read accounts" ON accounts FOR SELECT TO aud_authenticated USING (id IN (SELECT private.my_accounts()));
CREATE POLICY "owners change accounts" ON accounts FOR UPDATE TO aud_authenticated USING (owner_id = (SELECT auth.uid())) WITH CHECK (id IN (SELECT private.my_accounts()));
CREATE POLICY own ON memberships FOR SELECT TO aud_authenticated USING (user_id = (SELECT auth.uid()));
CREATE POLICY colleagues ON memberships FOR SELECT TO aud_authenticated USING (account_id IN (SELECT private.my_accounts()));
CREATE POLICY admins ON memberships TO aud_authenticated USING (private.has_role(account_id, 'admin')) WITH CHECK (private.has_role(account_id, 'admin'));
CREATE POLICY read ON docs FOR SELECT TO aud_authenticated USING (account_id IN (SELECT m.account_id FROM memberships m WHERE m.user_id = (SELECT auth.uid())));
CREATE POLICY write ON docs FOR INSERT TO aud_authenticated WITH CHECK (author = (SELECT auth.uid()) AND private.has_role(account_id, 'editor'));
CREATE POLICY change ON docs FOR UPDATE TO aud_authenticated USING (author = (SELECT auth.uid())) WITH CHECK (account_id IN (SELECT private.my_accounts()));
CREATE POLICY "read it" ON "Doc Comments" FOR SELECT TO aud_authenticated USING (EXISTS (SELECT 1 FROM docs WHERE docs.id = "docId"));
CREATE POLICY "write it" ON "Doc Comments" FOR INSERT TO aud_authenticated WITH CHECK (author = (SELECT auth.uid()) AND "docId" IN (SELECT id FROM docs));
GRANT SELECT, INSERT, UPDATE, DELETE ON accounts, memberships, docs, "Doc Comments" TO aud_authenticated;
`

var memberPlants = []plant{
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (is_public)", want: onDocs("202")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (published_at < now())", want: onDocs("202")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT TO aud_authenticated USING ((SELECT auth.uid()) IS NOT NULL)", want: onDocs("202")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (account_id IN (SELECT private.my_accounts()) OR is_public)", want: onDocs("203")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (author = (SELECT auth.uid()) OR is_public)", want: onDocs("203")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = (SELECT auth.uid())))", want: onDocs("202")},
	{fault: "CREATE POLICY planted ON docs FOR INSERT WITH CHECK (author = (SELECT auth.uid()))", want: onDocs("204")},
	{fault: "CREATE POLICY planted ON memberships FOR INSERT WITH CHECK (user_id = (SELECT auth.uid()))", want: []string{"A204 public.memberships:planted"}, repair: "DROP POLICY planted ON memberships"},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (account_id = ((SELECT auth.jwt()) -> 'user_metadata' ->> 'account_id')::bigint)", want: onDocs("216")},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (account_id = ((SELECT auth.jwt()) -> 'app_metadata' ->> 'account_id')::bigint)", want: nil},
	{fault: "CREATE POLICY planted ON docs FOR SELECT USING (author = auth.uid())", want: onDocs("702")},
	{fault: `CREATE POLICY planted ON "Doc Comments" FOR SELECT USING (body LIKE '%public%')`, want: []string{`A202 public."Doc Comments":planted`}, repair: `DROP POLICY planted ON "Doc Comments"`},
	{fault: `ALTER POLICY "read it" ON "Doc Comments" USING (true)`, want: []string{`A201 public."Doc Comments":read it`}, repair: `ALTER POLICY "read it" ON "Doc Comments" USING ("docId" IN (SELECT id FROM docs))`},
	{fault: "ALTER FUNCTION auth.uid() IMMUTABLE", want: []string{"A212 auth.uid()"}, repair: "ALTER FUNCTION auth.uid() STABLE"},
	{fault: "ALTER TABLE memberships DISABLE ROW LEVEL SECURITY", want: []string{"A214 public.docs:read"}, repair: "ALTER TABLE memberships ENABLE ROW LEVEL SECURITY"},
	{
		fault:  "CREATE OR REPLACE FUNCTION private.my_accounts() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS 'SELECT account_id FROM public.memberships'",
		want:   []string{"A202 public.accounts:members read accounts", "A202 public.memberships:colleagues", "A204 public.accounts:owners change accounts", "A204 public.docs:change"},
		repair: "CREATE OR REPLACE FUNCTION private.my_accounts() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS 'SELECT account_id FROM public.memberships WHERE user_id = (SELECT auth.uid())'",
	},
}

func TestPolicies_Members(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		sel := inventory.Selection{AppRoles: []string{"aud_authenticator"}}
		testPlants(t, s, memberSchema, sel, isPolicyCheck, s.Bin.Version == 15, memberPlants)
	})
}

// plantedInPolicies reports whether a fault of the check is among those here.
func plantedInPolicies(id string) bool {
	for _, list := range [][]plant{settingsPlants, memberPlants, codePlants} {
		for _, p := range list {
			if slices.ContainsFunc(p.want, func(w string) bool { return strings.HasPrefix(w, id+" ") }) {
				return true
			}
		}
	}
	return id == "A208" || id == "A408" || id == "A414" // TestPolicies_SettableContext, TestCode_ForTheRecord
}

// Which settings policies read is for the record: once for a function, and for
// each policy that reads one itself.
func TestPolicies_SettableContext(t *testing.T) {
	s := newSubject(t, pgtest.Shared(t, 15), settingsSchema, Options{Selection: settingsSelection})
	settable := func() []string {
		return slices.DeleteFunc(s.lines(s.audit()), func(line string) bool { return !strings.HasPrefix(line, "A208 ") })
	}
	if got, want := settable(), []string{"A208 app.org()", "A208 public.slugs:own"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	s.exec("ALTER POLICY own ON slugs USING (false) WITH CHECK (false)")
	if got, want := settable(), []string{"A208 app.org()"}; !slices.Equal(got, want) {
		t.Errorf("without a setting in the policy: got %q, want %q", got, want)
	}
}

// A claim that users can change is critical where it stands for the tenant, and
// a matter within the tenant under a floor.
func TestPolicies_EditableClaim(t *testing.T) {
	s := newSubject(t, pgtest.Shared(t, 15), settingsSchema, Options{Selection: settingsSelection})
	for table, want := range map[string]Severity{"docs": Critical, "floored": Medium} {
		s.exec("CREATE POLICY claims ON " + table + " USING (org_id = ((current_setting('request.jwt.claims', true)::jsonb -> 'user_metadata') ->> 'org_id')::uuid)")
		for _, f := range s.audit() {
			if f.Check == "A216" && (f.Object != "public."+table+":claims" || f.Severity != want) {
				t.Errorf("got %s of %s, want %s on %s", f.Severity, f.Object, want, table)
			}
		}
		if !slices.Contains(s.lines(s.audit()), "A216 public."+table+":claims") {
			t.Errorf("%s: not found", table)
		}
		s.exec("DROP POLICY claims ON " + table)
	}
}
