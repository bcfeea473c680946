package condition

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// rows has two orgs with a user each, and a row of docs for every combination
// of what conditions can ask: some of org B name the user of A, some no org.
const rows = `
ALTER TABLE docs ALTER org_id DROP NOT NULL;
INSERT INTO orgs (id) VALUES ('aaaaaaaa-0000-0000-0000-000000000001'), ('bbbbbbbb-0000-0000-0000-000000000002');
INSERT INTO members SELECT id, id, 'admin' FROM orgs;
INSERT INTO projects SELECT n, id, false FROM (SELECT row_number() OVER (ORDER BY id) AS n, id FROM orgs) o;
INSERT INTO docs (id, org_id, project_id, owner_id, is_public, status)
	SELECT row_number() OVER (), o.id, p.id, u.id, b, s FROM (SELECT id FROM orgs UNION ALL SELECT NULL) o
	LEFT JOIN projects p ON p.org_id = o.id, orgs u, unnest(ARRAY[true, false, NULL]) b, unnest(ARRAY['x', NULL]) s;
ALTER TABLE orgs ENABLE ROW LEVEL SECURITY; ALTER TABLE members ENABLE ROW LEVEL SECURITY; ALTER TABLE projects ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON members USING (org_id = app.org()); CREATE POLICY own ON projects USING (org_id = app.org());
CREATE POLICY own ON orgs USING (id = app.org()); CREATE POLICY own ON docs USING (org_id = app.org()); CREATE POLICY claim ON docs USING (org_id = app.org_claim());
CREATE ROLE cond_app; GRANT USAGE ON SCHEMA app, auth, private TO cond_app; GRANT SELECT ON ALL TABLES IN SCHEMA public TO cond_app;
`

// atoms are conditions that random ones are made of.
var atoms = []string{
	"org_id = app.org()", "(SELECT app.org_claim()) = org_id", "org_id IN (SELECT private.my_orgs())", "private.is_member(org_id)", "private.is_member_returns(org_id)",
	"EXISTS (SELECT 1 FROM members m WHERE m.org_id = docs.org_id AND m.user_id = auth.uid())", "org_id = ANY (private.org_array())", "private.role_in(org_id) = 'admin'",
	"project_id IN (SELECT p.id FROM projects p)", "org_id IN (SELECT m.org_id FROM members m)", "private.org_of(project_id) = app.org()",
	"(SELECT count(*) FROM members m WHERE m.org_id = docs.org_id AND m.user_id = auth.uid()) > 0",
	"org_id = coalesce(app.org(), app.org_claim())", "org_id = coalesce(app.org(), '00000000-0000-0000-0000-000000000000')",
	"org_id <> app.org()", "org_id IS NULL", "org_id IS NOT NULL", "app.org() IS NULL", "app.org() IS NOT NULL", "org_id IS NOT DISTINCT FROM app.org()", "org_id IS DISTINCT FROM app.org()",
	"coalesce(org_id, app.org()) = app.org()", "org_id = coalesce(app.org(), org_id)", "org_id IN (SELECT private.every_org())", "private.is_any_member(org_id)",
	"is_public", "status = 'x'", "status IS NULL", "owner_id = auth.uid()", "auth.uid() IS NOT NULL", "true", "false", "NULL::boolean", "org_id = org_id",
	"EXISTS (SELECT 1 FROM orgs o LEFT JOIN members m ON m.org_id = docs.org_id AND m.user_id = auth.uid())", "org_id = 'bbbbbbbb-0000-0000-0000-000000000002'",
	"EXISTS (SELECT count(*) FROM members m WHERE m.org_id = docs.org_id)",
	"EXISTS (SELECT 1 FROM (SELECT count(*) AS n FROM members m WHERE m.org_id = docs.org_id AND m.user_id = auth.uid()) d)",
	"org_id = (SELECT coalesce(min(m.org_id::text)::uuid, docs.org_id) FROM members m WHERE m.org_id = docs.org_id AND m.user_id = auth.uid())",
	"org_id = (SELECT min(m.org_id::text)::uuid FROM members m WHERE m.user_id = auth.uid())",
	"0 IN (SELECT count(*) FROM members m WHERE m.org_id = docs.org_id AND m.user_id = auth.uid())", "0 = (SELECT count(*) FROM members m WHERE m.org_id = docs.org_id)",
	"org_id IN (SELECT m.org_id FROM members m UNION SELECT docs.org_id)", "org_id IN (SELECT docs.org_id EXCEPT SELECT m.org_id FROM members m)",
	"org_id IN (SELECT m.org_id FROM members m INTERSECT SELECT docs.org_id)", "org_id = ALL (SELECT m.org_id FROM members m)", "org_id <> ALL (SELECT app.org())",
	"org_id IN (WITH w AS (SELECT m.org_id FROM members m WHERE m.user_id = auth.uid()) SELECT w.org_id FROM w)", "EXISTS (SELECT 1 FROM members m WHERE m.org_id = docs.org_id AND m.user_id = auth.uid() LIMIT 1)",
	"EXISTS (SELECT 1 FROM orgs o LEFT JOIN (SELECT m.org_id FROM members m WHERE m.org_id = docs.org_id AND m.user_id = auth.uid()) d ON true)",
	"EXISTS (SELECT 1 FROM orgs o RIGHT JOIN (VALUES (1)) v (n) ON o.id = docs.org_id)", "EXISTS (SELECT 1 FROM orgs o FULL JOIN members m ON m.org_id = o.id WHERE o.id = docs.org_id)",
	"EXISTS (SELECT 1 FROM orgs o CROSS JOIN members m WHERE (m.org_id, m.user_id) = (docs.org_id, auth.uid()))", "(org_id, owner_id) IN (SELECT m.org_id, m.user_id FROM members m)",
	"(org_id, is_public) = (app.org(), true)", "(org_id = app.org(), is_public) = (true, true)", "org_id IN (app.org(), docs.org_id)", "org_id = ANY (ARRAY[app.org(), app.org_claim()])",
	"EXISTS (SELECT 1 FROM members m WHERE m.org_id = docs.org_id GROUP BY m.org_id HAVING count(*) >= 0)", "EXISTS (SELECT 1 FROM unnest(ARRAY[app.org()]) u WHERE u = docs.org_id)",
	"EXISTS (SELECT 1 FROM private.my_orgs() x WHERE x = docs.org_id)", "EXISTS (SELECT 1 FROM private.my_orgs())", "greatest(org_id::text, app.org()::text) = app.org()::text", "array_length(ARRAY[org_id, app.org()], 1) = 2",
	"concat(org_id, '') = concat(app.org(), '')", "org_id::text || '' = app.org()::text", "ARRAY[org_id] <@ ARRAY[app.org()]", "ARRAY[app.org()] @> ARRAY[]::uuid[]", "ARRAY[org_id, app.org()] && ARRAY[app.org()]", "org_id IN (SELECT id FROM all_orgs)",
}

// shapes are ways to make a condition of three others.
var shapes = []string{
	"(%[1]s) AND (%[2]s)", "(%[1]s) AND (%[2]s)", "(%[1]s) OR (%[2]s)", "(%[1]s) OR (%[2]s)", "NOT (%[1]s)", "NOT ((%[1]s) OR (%[2]s))", "NOT ((%[1]s) AND (%[2]s))",
	"CASE WHEN %[1]s THEN %[2]s ELSE %[3]s END", "CASE WHEN %[1]s THEN %[2]s END", "CASE (%[1]s) WHEN true THEN %[2]s WHEN false THEN %[3]s END",
	"coalesce(%[1]s, %[2]s)", "coalesce(%[1]s, false)", "coalesce(%[1]s, true)", "nullif(%[1]s, %[2]s)",
	"(%[1]s) IS TRUE", "(%[1]s) IS NOT TRUE", "(%[1]s) IS FALSE", "(%[1]s) IS NOT FALSE", "(%[1]s) IS UNKNOWN", "(%[1]s) IS NOT UNKNOWN", "(%[1]s) IS NULL",
	"(%[1]s) = true", "(%[1]s) = false", "(%[1]s) = (%[2]s)", "(%[1]s) <> (%[2]s)", "(%[1]s) IS DISTINCT FROM (%[2]s)", "(%[1]s) IS NOT DISTINCT FROM true", "(%[1]s) IS DISTINCT FROM false",
	"(SELECT %[1]s)", "(SELECT %[1]s WHERE %[2]s)", "EXISTS (SELECT 1 WHERE %[1]s)", "NOT EXISTS (SELECT 1 WHERE %[1]s)",
	"EXISTS (SELECT 1 FROM members x WHERE x.org_id = docs.org_id AND (%[1]s))", "EXISTS (SELECT 1 FROM orgs x WHERE %[1]s)", "EXISTS (SELECT 1 FROM orgs x WHERE x.id = docs.org_id AND (%[1]s))",
	"(%[1]s) IN (true, %[2]s)", "true = ANY (ARRAY[%[1]s, %[2]s])", "true = ALL (ARRAY[%[1]s, %[2]s])", "(true, %[1]s) = (%[2]s, true)",
	"org_id = CASE WHEN %[1]s THEN app.org() ELSE org_id END", "org_id IN (SELECT app.org() WHERE %[1]s)", "org_id = (SELECT app.org() WHERE %[1]s)",
}

func randomCondition(r *rand.Rand, depth int) string {
	if depth == 0 {
		return atoms[r.IntN(len(atoms))]
	}
	part := func() string { return randomCondition(r, r.IntN(depth)) }
	return fmt.Sprintf(shapes[r.IntN(len(shapes))]+"%.0[1]s%.0[2]s%.0[3]s", part(), part(), part())
}

// contexts are what sessions of org A, and of nobody, have set.
var contexts = []string{
	`SET app.org_id = 'aaaaaaaa-0000-0000-0000-000000000001'; SET request.jwt.claims = '{"sub": "aaaaaaaa-0000-0000-0000-000000000001", "app_metadata": {"org_id": "aaaaaaaa-0000-0000-0000-000000000001"}}'`,
	`SET app.org_id = ''; SET request.jwt.claims = '{"sub": "aaaaaaaa-0000-0000-0000-000000000001"}'`,
	`SET app.org_id = ''; SET request.jwt.claims = ''`,
}

// TestJudge_Random asks the server whether what the judge calls sound is: no
// session of org A, and none without a context, may see a row of another org or
// of none.
func TestJudge_Random(t *testing.T) {
	s := pgtest.Shared(t, 15)
	database := s.CreateDatabase(t)
	s.Exec(t, database, tables+rows)
	t.Cleanup(func() { s.Exec(t, database, "DROP OWNED BY cond_app; DROP ROLE cond_app") })
	conn := s.Connect(t, database)
	defer conn.Close(context.Background())
	snapshot, err := inventory.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	model, err := inventory.Resolve(snapshot, inventory.Selection{AppRoles: []string{"cond_app"}, RootTable: "orgs"})
	if err != nil {
		t.Fatal(err)
	}
	judge := NewJudge(model)
	docs := snapshot.Relation("public", "docs")
	r := rand.New(rand.NewPCG(1, 2))
	sound := 0
	seen := make(map[string]bool)
	for range 20000 {
		text := randomCondition(r, 1+r.IntN(3))
		if seen[text] || judge.Judge(docs, false, text).Verdict != Sound {
			continue
		}
		seen[text] = true
		if leaks(t, conn, text) {
			t.Errorf("the judge says sound: %s", text)
		}
		if sound++; sound == 1500 {
			break
		}
	}
	if sound < 500 {
		t.Errorf("only %d conditions were sound: the test tells nothing", sound)
	}
}

// leaks asks the server, as the application's role.
func leaks(t *testing.T, conn *pgx.Conn, text string) bool {
	t.Helper()
	for i, c := range contexts {
		if _, err := conn.Exec(t.Context(), c+"; SET ROLE cond_app"); err != nil {
			t.Fatal(err)
		}
		own := "'aaaaaaaa-0000-0000-0000-000000000001'"
		if i == len(contexts)-1 {
			own = "NULL"
		}
		var found bool
		// Row security of docs itself must not help.
		query := "SELECT EXISTS (SELECT 1 FROM docs WHERE (" + text + ") AND (org_id = " + own + ") IS NOT TRUE)"
		err := conn.QueryRow(t.Context(), query).Scan(&found)
		if _, reset := conn.Exec(t.Context(), "RESET ROLE"); reset != nil {
			t.Fatal(reset)
		}
		if err != nil && !strings.Contains(err.Error(), "more than one row") {
			t.Fatalf("%v\n%s", err, query)
		}
		if found {
			return true
		}
	}
	return false
}
