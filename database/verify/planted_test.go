package verify

import (
	"slices"
	"strings"
	"testing"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
)

// planted are ways to break a hardened schema in one place, and to mend it.
// Only what is named may be found: cells by relation and command, * for any.
var planted = []struct {
	name, breaks, mends string
	found               []string
}{
	{
		name: "a floor is dropped", breaks: "ALTER POLICY bulkhead_floor ON notes RENAME TO gone; ALTER POLICY gone ON notes USING (true) WITH CHECK (true)",
		mends: "%floor%", found: []string{"public.notes *"},
	},
	{
		name: "a permissive policy without a floor", breaks: "DROP POLICY bulkhead_floor ON notes; CREATE POLICY own ON notes USING (org_id = (SELECT bulkhead.org_id())); CREATE POLICY oops ON notes FOR SELECT USING (true)",
		mends: "DROP POLICY own ON notes; DROP POLICY oops ON notes; %floor%", found: []string{"public.notes *"},
	},
	{name: "TRUNCATE", breaks: "GRANT TRUNCATE ON notes TO uuid_app", mends: "REVOKE TRUNCATE ON notes FROM uuid_app", found: []string{"public.notes " + cmdTruncate}},
	{
		name: "a view that runs as its owner", breaks: "CREATE VIEW v_notes AS SELECT * FROM notes; GRANT SELECT ON v_notes TO uuid_app", mends: "DROP VIEW v_notes",
		found: []string{"public.v_notes *"},
	},
	{
		name: "a materialized view", breaks: "GRANT SELECT ON mv_documents TO uuid_app", mends: "REVOKE SELECT ON mv_documents FROM uuid_app",
		found: []string{"public.mv_documents *"},
	},
	{
		name:   "a function that runs as a superuser",
		breaks: "CREATE FUNCTION all_notes() RETURNS SETOF notes LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM notes'", mends: "DROP FUNCTION all_notes()",
		found: []string{"public.all_notes() " + cmdCall},
	},
	{
		name: "a partition that can be reached", breaks: "ALTER TABLE logs_1 DISABLE ROW LEVEL SECURITY; GRANT SELECT ON logs_1 TO uuid_app",
		mends: "ALTER TABLE logs_1 ENABLE ROW LEVEL SECURITY; REVOKE SELECT ON logs_1 FROM uuid_app", found: []string{"public.logs_1 *"},
	},
	{
		name: "a reference that is not checked", breaks: "ALTER POLICY bulkhead_floor ON notes_of WITH CHECK (org_id = (SELECT bulkhead.org_id()))",
		mends: "ALTER POLICY bulkhead_floor ON notes_of WITH CHECK (false)", found: []string{"public.notes_of " + cmdReference + " by notes_of_folder_fkey"},
	},
	{
		name: "row security is not forced on what the application owns", breaks: "ALTER TABLE notes OWNER TO uuid_app; ALTER TABLE notes NO FORCE ROW LEVEL SECURITY",
		mends: "ALTER TABLE notes FORCE ROW LEVEL SECURITY; ALTER TABLE notes OWNER TO postgres", found: []string{"public.notes *"},
	},
}

// more is what the schema lacks: partitions, and a leaf with a reference.
const more = `
CREATE TABLE logs (org_id uuid NOT NULL REFERENCES organizations, n int NOT NULL, line text, marker text) PARTITION BY RANGE (n);
CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (1000000);
INSERT INTO logs SELECT id, 1, 'line', marker FROM organizations;
CREATE TABLE notes_of (id uuid PRIMARY KEY, org_id uuid NOT NULL REFERENCES organizations, folder uuid CONSTRAINT notes_of_folder_fkey REFERENCES folders, text text);
INSERT INTO notes_of SELECT gen_random_uuid(), org_id, id, 'x' FROM folders;
GRANT SELECT, INSERT, UPDATE, DELETE ON logs, notes_of TO uuid_app;
CREATE SEQUENCE numbers; GRANT USAGE ON numbers TO uuid_app`

// Each fault is found, and nothing else; without one everything is proven.
func TestPlantedFaults(t *testing.T) {
	s := &shapes[0]
	p := newShape(t, newest(t), s)
	p.exec(t, more)
	o := s.options(p, Canary)
	p.apply(t, &o, dbcontext.Plain)
	floor := p.text(t, "SELECT format('DROP POLICY IF EXISTS gone ON notes; DROP POLICY IF EXISTS bulkhead_floor ON notes; CREATE POLICY bulkhead_floor ON notes AS RESTRICTIVE USING (%s) WITH CHECK (%s)', "+
		"pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM pg_policy WHERE polrelid = 'notes'::regclass AND polname = 'bulkhead_floor'")
	check := p.text(t, "SELECT pg_get_expr(polwithcheck, polrelid) FROM pg_policy WHERE polrelid = 'notes_of'::regclass AND polname = 'bulkhead_floor'")
	modes := func(what string, want []string) {
		for _, mode := range []Mode{Canary, Snapshot} {
			o := s.options(p, mode)
			if mode == Snapshot {
				o.Orgs = s.orgs
			}
			precisely(t, string(mode)+": "+what, run(t, o), want)
		}
	}
	modes("no fault", nil)
	for _, f := range planted {
		p.exec(t, f.breaks)
		modes(f.name, f.found)
		p.exec(t, strings.NewReplacer("%floor%", floor, "WITH CHECK (false)", "WITH CHECK ("+check+")").Replace(f.mends))
	}
	modes("all mended", nil)
	p.exec(t, "GRANT UPDATE ON numbers TO uuid_app")
	r := run(t, o)
	if !slices.ContainsFunc(r.Matrix, func(c Cell) bool {
		return c.Relation == "public.numbers" && c.Command == cmdSetval && c.Status == Exposed
	}) {
		t.Error("that the role may set a sequence is not found")
	}
}

// precisely compares the leaks of a report with those that are wanted.
func precisely(t *testing.T, what string, r *Report, want []string) {
	t.Helper()
	found := leaks(r)
	if len(want) == 0 {
		if r.Result.Status != Isolated || r.Result.Coverage.Percent != 100 {
			t.Errorf("%s: %s\n%s", what, r.Result.Summary, describeFindings(r))
		}
		return
	}
	for _, w := range want {
		relation, command, _ := strings.Cut(w, " ")
		if !slices.ContainsFunc(found, func(f string) bool { return f == w || command == "*" && strings.HasPrefix(f, relation+" ") }) {
			t.Errorf("%s: %s is not found; found %q", what, w, found)
		}
		found = slices.DeleteFunc(found, func(f string) bool { return f == w || command == "*" && strings.HasPrefix(f, relation+" ") })
	}
	if len(found) > 0 {
		t.Errorf("%s: found too: %q", what, found)
	}
}

// text runs a query for one text.
func (p place) text(t *testing.T, sql string) string {
	t.Helper()
	c := p.pg.Connect(t, p.db)
	defer c.Close(t.Context())
	var out string
	if err := c.QueryRow(t.Context(), sql).Scan(&out); err != nil {
		t.Fatal(err)
	}
	return out
}
