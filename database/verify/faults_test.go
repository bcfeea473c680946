package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// fault is one way to lose isolation, on top of the correct schema.
type fault struct {
	name string
	sql  string
	// want are relations and commands that must leak: "public.users SELECT".
	want []string
	// only says that nothing else may leak.
	only    bool
	version int // the oldest with this fault
	// everywhere runs it on all versions, not only on the newest.
	everywhere bool
}

var faults = []fault{
	{
		name: "no row security", everywhere: true, sql: "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
		want: []string{
			"public.users SELECT", "public.users SELECT FOR UPDATE", "public.users INSERT", "public.users UPDATE", "public.users UPDATE without WHERE",
			"public.users UPDATE to the other org", "public.users DELETE", "public.users COPY TO",
			"public.users COPY (query) TO", "public.users COPY FROM", "public.users DECLARE CURSOR", "public.users DECLARE CURSOR WITH HOLD",
			"public.users EXPLAIN ANALYZE", "public.users INSERT ON CONFLICT DO NOTHING",
		},
	},
	{
		name: "a policy for SELECT that is always true", sql: "DROP POLICY floor ON users; CREATE POLICY floor ON users AS RESTRICTIVE FOR INSERT WITH CHECK (org_id = (SELECT bulkhead.org_id()))",
		want: []string{"public.users SELECT", "public.users DELETE"},
	},
	{
		// Accepted without WHERE only: then the policy for SELECT is not applied
		// to the new row.
		name: "UPDATE with a check that is always true",
		sql: `DROP POLICY base ON users; DROP POLICY floor ON users;
			CREATE POLICY s ON users FOR SELECT USING (org_id = bulkhead.org_id());
			CREATE POLICY i ON users FOR INSERT WITH CHECK (org_id = bulkhead.org_id());
			CREATE POLICY d ON users FOR DELETE USING (org_id = bulkhead.org_id());
			CREATE POLICY u ON users FOR UPDATE USING (org_id = bulkhead.org_id()) WITH CHECK (true)`,
		want: []string{"public.users UPDATE to the other org"}, only: true,
	},
	{
		name: "INSERT with a check that is always true",
		sql: `DROP POLICY floor ON comments; DROP POLICY base ON comments;
			CREATE POLICY a ON comments USING (EXISTS (SELECT FROM users u WHERE u.id = user_id)) WITH CHECK (true)`,
		want: []string{"public.comments INSERT", "public.comments UPDATE to the other org"},
	},
	{
		name: "a null-tolerant condition", sql: `DROP POLICY floor ON users; CREATE POLICY floor ON users AS RESTRICTIVE USING (org_id = bulkhead.org_id() OR bulkhead.org_id() IS NULL)`,
		want: []string{"public.users SELECT"},
	},
	{
		// The prepared statement still sees the org in whose context it was
		// planned.
		name: "an immutable context function", sql: `CREATE OR REPLACE FUNCTION bulkhead.org_id() RETURNS uuid LANGUAGE plpgsql IMMUTABLE AS
			$$ BEGIN RETURN nullif(current_setting('bulkhead.org_id', true), '')::uuid; END $$`,
		want: []string{"public.users SELECT"},
	},
	{
		name: "a partition that is reached directly", sql: "ALTER TABLE events_2025 DISABLE ROW LEVEL SECURITY; GRANT SELECT ON events_2025 TO %app%",
		want: []string{"public.events_2025 SELECT"}, only: false,
	},
	{
		name: "an inheritance child", sql: "CREATE TABLE old_users () INHERITS (users); GRANT SELECT ON old_users TO %app%",
		want: []string{"public.old_users SELECT"},
	},
	{
		name: "a view that runs as its owner", sql: "CREATE VIEW v AS SELECT * FROM events; GRANT SELECT, UPDATE, DELETE ON v TO %app%",
		want: []string{"public.v DELETE without WHERE", "public.v INFLUENCE", "public.v SELECT", "public.v UPDATE without WHERE"},
	},
	{
		// No mark and no key of an org is in it: only the influence tells.
		name: "a view that counts", sql: "CREATE VIEW n AS SELECT count(*) FROM users; GRANT SELECT ON n TO %app%",
		want: []string{"public.n INFLUENCE"}, only: true,
	},
	{
		name: "a view over a definer function", everywhere: true, sql: `CREATE FUNCTION f() RETURNS SETOF users LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM users';
			CREATE VIEW vf AS SELECT * FROM f(); GRANT SELECT ON vf TO %app%`,
		want: []string{"public.vf INFLUENCE", "public.vf SELECT"},
	},
	{
		name: "a materialized view", sql: "CREATE MATERIALIZED VIEW mv AS SELECT * FROM users; GRANT SELECT ON mv TO %app%",
		want: []string{"public.mv INFLUENCE", "public.mv SELECT"},
	},
	{
		name: "TRUNCATE", sql: "GRANT TRUNCATE ON users, comments, \"Mixed Case\" TO %app%",
		want: []string{"public.users TRUNCATE", "public.comments TRUNCATE"},
	},
	{
		name: "a global table that can be written", sql: "GRANT INSERT, UPDATE ON countries TO %app%",
		want: []string{"public.countries INSERT", "public.countries UPDATE"},
	},
	{
		name: "the application owns the table and it is not forced", sql: "ALTER TABLE users OWNER TO %app%; ALTER TABLE users NO FORCE ROW LEVEL SECURITY",
		want: []string{"public.users SELECT"},
	},
}

func TestCanary_FindsFaults(t *testing.T) {
	for _, version := range versions(t) {
		for _, f := range faults {
			if version < f.version || version != newest(t) && !f.everywhere {
				continue
			}
			t.Run(fmt.Sprintf("%d/%s", version, f.name), func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, version, f.sql)
				o := p.options(Canary)
				o.Paths = []Path{Simple, Prepared}
				r := run(t, o)
				if r.Result.Status != Leak {
					t.Fatalf("%s\n%s", r.Result.Summary, describeFindings(r))
				}
				found := leaks(r)
				for _, want := range f.want {
					if !slices.Contains(found, want) {
						t.Errorf("not found: %s; found %s", want, strings.Join(found, ", "))
					}
				}
				if f.only && len(found) > len(f.want) {
					t.Errorf("found %s, want only %s", strings.Join(found, ", "), strings.Join(f.want, ", "))
				}
			})
		}
	}
}
