package condition

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.StopShared()
	os.Exit(code)
}

// onEach runs a test on each version of PostgreSQL that is found here.
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

// tables are those that the conditions are about.
const tables = `
CREATE SCHEMA app; CREATE SCHEMA auth; CREATE SCHEMA private;
CREATE TABLE orgs (id uuid PRIMARY KEY, slug text UNIQUE, name text, owner_id uuid);
CREATE TABLE members (org_id uuid NOT NULL REFERENCES orgs, user_id uuid NOT NULL, role text, PRIMARY KEY (org_id, user_id));
CREATE TABLE projects (id int PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, archived boolean);
CREATE TABLE docs (id int PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, project_id int REFERENCES projects, owner_id uuid,
	title text, is_public boolean, status text, tags text[], login name);
CREATE TABLE tasks (id int PRIMARY KEY, project_id int NOT NULL REFERENCES projects, owner_id uuid, done boolean);
CREATE TABLE comments (id int PRIMARY KEY, task_id int NOT NULL REFERENCES tasks, body text);
CREATE TABLE codes (id int PRIMARY KEY, tenant_id text, org_id uuid, note text);
CREATE TABLE countries (id int PRIMARY KEY, code text);
CREATE TABLE user_orgs (person uuid, organisation uuid);
CREATE TABLE flags (user_id uuid, is_admin boolean);
CREATE VIEW my_orgs AS SELECT org_id AS mine FROM members WHERE user_id = current_setting('app.user_id')::uuid;
CREATE VIEW all_orgs AS SELECT id FROM orgs;

CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
	(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'))::uuid $$;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT coalesce(nullif(current_setting('request.jwt.claim', true), ''),
	nullif(current_setting('request.jwt.claims', true), ''))::jsonb $$;
CREATE FUNCTION app.org() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('app.org_id', true), '')::uuid $$;
CREATE FUNCTION app.org_claim() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT (auth.jwt() -> 'app_metadata' ->> 'org_id')::uuid $$;
CREATE FUNCTION app.org_plpgsql() RETURNS uuid LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN nullif(current_setting('app.org_id', true), '')::uuid; EXCEPTION WHEN others THEN RETURN NULL; END $$;
CREATE FUNCTION app.org_variable() RETURNS uuid LANGUAGE plpgsql STABLE AS $$ DECLARE v uuid; BEGIN v := nullif(current_setting('app.org_id', true), ''); RETURN v; END $$;
CREATE FUNCTION app.org_fallback() RETURNS uuid LANGUAGE plpgsql STABLE AS $$ BEGIN
	IF current_setting('app.org_id', true) IS NULL THEN RETURN 'aaaaaaaa-0000-0000-0000-000000000001'; END IF; RETURN current_setting('app.org_id')::uuid; END $$;
CREATE FUNCTION app.org_constant() RETURNS uuid LANGUAGE plpgsql STABLE AS $$ DECLARE v uuid; BEGIN SELECT id INTO v FROM orgs LIMIT 1; RETURN v; END $$;
CREATE FUNCTION app.org_or(f uuid) RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT coalesce(app.org(), f) $$;
CREATE FUNCTION app.parsed(t text) RETURNS uuid LANGUAGE plpgsql STABLE AS $$ DECLARE x text; BEGIN x := split_part(t, ':', 2); RETURN x::uuid; END $$;
CREATE FUNCTION private.membership() RETURNS TABLE (user_id uuid, org_id uuid) LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT m.user_id, m.org_id FROM members m WHERE m.user_id = auth.uid() $$;
CREATE SCHEMA far; CREATE TABLE far.links (org uuid, who uuid);
CREATE FUNCTION far.who() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT auth.uid() $$;
SET check_function_bodies = off;
CREATE FUNCTION private.linked(o uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT EXISTS (SELECT 1 FROM links WHERE org = o AND links.who = who()) $$;
RESET check_function_bodies;
CREATE FUNCTION private.my_orgs() RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT org_id FROM members WHERE user_id = (SELECT auth.uid()) $$;
CREATE FUNCTION private.every_org() RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT org_id FROM members $$;
CREATE FUNCTION private.visible_orgs() RETURNS SETOF uuid LANGUAGE sql STABLE AS $$ SELECT org_id FROM members $$;
CREATE FUNCTION private.org_array() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT array_agg(m.org_id) FROM members m WHERE m.user_id = auth.uid() $$;
CREATE FUNCTION private.is_member(org uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT EXISTS (SELECT 1 FROM members m WHERE m.org_id = org AND m.user_id = auth.uid()) $$;
CREATE FUNCTION private.is_member_same_name(org_id uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT EXISTS (SELECT 1 FROM members m WHERE m.org_id = org_id AND m.user_id = auth.uid()) $$;
CREATE FUNCTION private.is_member_numbered(uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT count(*) > 0 FROM members WHERE org_id = $1 AND user_id = auth.uid() $$;
CREATE FUNCTION private.is_member_plpgsql(o uuid) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$ DECLARE n int; BEGIN SELECT 1 INTO n FROM members WHERE org_id = o AND user_id = auth.uid(); RETURN FOUND; END $$;
CREATE FUNCTION private.is_member_returns(o uuid) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$ BEGIN RETURN EXISTS (SELECT 1 FROM members m WHERE m.org_id = o AND m.user_id = auth.uid()); END $$;
CREATE FUNCTION private.is_any_member(o uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT EXISTS (SELECT 1 FROM members m WHERE m.org_id = o) $$;
CREATE FUNCTION private.is_valid(o uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN IF o IS NULL THEN RETURN false; END IF; PERFORM 1; RETURN true; END $$;
CREATE FUNCTION private.role_in(o uuid) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT role FROM members WHERE org_id = o AND user_id = auth.uid() $$;
CREATE FUNCTION private.org_of(p int) RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT org_id FROM projects WHERE id = p $$;
CREATE FUNCTION private.org_of_plpgsql(p int) RETURNS uuid LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$ DECLARE o uuid; BEGIN SELECT org_id INTO o FROM projects WHERE id = p; RETURN o; END $$;
CREATE FUNCTION private.is_admin() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT EXISTS (SELECT 1 FROM flags WHERE user_id = auth.uid() AND is_admin) $$;
CREATE FUNCTION private.can_see(docs) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ DECLARE x int; BEGIN RETURN $1.org_id = app.org(); END $$;
`

// expect is one condition and what is to be found of it.
type expect struct {
	table, text string
	want        Verdict
}

// load makes a database of tables and one policy for each case, and judges
// them as the server writes them.
func judgeAll(t *testing.T, s *pgtest.Server, cases []expect, write bool) {
	t.Helper()
	var sql strings.Builder
	sql.WriteString(tables)
	for i, c := range cases {
		fmt.Fprintf(&sql, "CREATE POLICY p%d ON %s USING (%s);\n", i, c.table, c.text)
	}
	database := s.CreateDatabase(t)
	s.Exec(t, database, sql.String())
	conn := s.Connect(t, database)
	defer conn.Close(context.Background())
	snapshot, err := inventory.Load(context.Background(), conn)
	if err != nil {
		t.Fatal(err)
	}
	model, err := inventory.Resolve(snapshot, inventory.Selection{AppRoles: []string{"postgres"}, RootTable: "orgs", GlobalTables: []string{"countries", "flags"}})
	if err != nil {
		t.Fatal(err)
	}
	judge := NewJudge(model)
	for i, c := range cases {
		relation := snapshot.Relation("public", c.table)
		for _, p := range relation.Policies {
			if p.Name != fmt.Sprintf("p%d", i) {
				continue
			}
			if got := judge.Judge(relation, write, p.Using); got.Verdict != c.want || got.Complicated {
				t.Errorf("%s: %s\n got %v (complicated: %v), want %v", c.table, p.Using, got.Verdict, got.Complicated, c.want)
			}
		}
	}
}

func TestJudge(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) { judgeAll(t, s, orgCases, false) })
}

// Where no policy reads an org, rows of the user are the session's own.
func TestJudge_Users(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) { judgeAll(t, s, userCases, false) })
}

// That a row names the user does not keep it from being written into another
// org.
func TestJudge_Write(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) { judgeAll(t, s, writeCases, true) })
}

// Sub-selects in sub-selects end at a bound: reading some of them twice must
// not double the work with every level.
func TestJudge_Nested(t *testing.T) {
	model, err := inventory.Resolve(&inventory.Snapshot{}, inventory.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	table := &inventory.Relation{Schema: "public", Name: "docs", Kind: inventory.Table}
	for _, level := range []string{"NOT EXISTS (SELECT 1 WHERE %s)", "a NOT IN (SELECT 1 WHERE %s)", "(SELECT count(*) FROM x WHERE %s) = 0", "(%s) IS NOT TRUE", "coalesce(NOT (%s), true)", "(%s) = (b)", "(%s) IN (b, c)", "CASE WHEN %s THEN b ELSE c END"} {
		text := "b"
		for range 60 {
			text = strings.Replace(level, "%s", text, 1)
		}
		if got := NewJudge(model).Judge(table, false, text); got.Verdict == Sound {
			t.Errorf("%s: got sound", level)
		}
	}
}

// FuzzJudge: no condition makes the judge panic, and what does not name the
// tenant column is never sound.
func FuzzJudge(f *testing.F) {
	for _, list := range [][]expect{orgCases, userCases, writeCases} {
		for _, c := range list {
			f.Add(c.text)
		}
	}
	table := &inventory.Relation{Schema: "public", Name: "docs", Kind: inventory.Table, RowSecurity: true}
	for _, name := range []string{"id", "org_id", "status"} {
		table.Columns = append(table.Columns, &inventory.Column{Relation: table, Name: name, BaseType: "text"})
	}
	model, err := inventory.Resolve(&inventory.Snapshot{Relations: []*inventory.Relation{table}}, inventory.Selection{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		judge := NewJudge(model)
		got := judge.Judge(table, false, text)
		judge.Read(table, text)
		lower := strings.ToLower(text)
		plain := !strings.ContainsAny(text, `"\\`) && !strings.Contains(lower, "(") && !strings.Contains(lower, "user") && !strings.Contains(lower, "role")
		named := strings.Contains(lower, "org_id")
		if got.Verdict == Sound && plain && !named && !strings.Contains(lower, "null") && !strings.Contains(lower, "false") {
			if e, err := judge.Parse(text); err == nil && len(judge.condition(e, judge.rowScope(table), false)) > 0 {
				t.Errorf("%q: sound without the tenant column", text)
			}
		}
	})
}
