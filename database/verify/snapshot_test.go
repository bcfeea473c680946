package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The orgs of tests in snapshot mode.
const (
	orgA = "11111111-1111-4111-8111-111111111111"
	orgB = "22222222-2222-4222-8222-222222222222"
)

// rows are two orgs with a row of each in every table.
const rows = `
INSERT INTO orgs VALUES ('` + orgA + `', 'one', 'free'), ('` + orgB + `', 'two', 'pro');
INSERT INTO countries VALUES ('de', 'Germany');
INSERT INTO users (org_id, mail, country) VALUES ('` + orgA + `', 'a@example.com', 'de'), ('` + orgB + `', 'b@example.com', 'de'), ('` + orgB + `', 'b2@example.com', 'de');
INSERT INTO "Mixed Case" (org_id, owner, "State", amount) SELECT org_id, id, 'open', 10 FROM users;
INSERT INTO comments (user_id, body) SELECT id, 'a comment' FROM users;
INSERT INTO events SELECT id, '2025-05-05', 'an event' FROM orgs;
`

func (p place) snapshot() Options {
	o := p.options(Snapshot)
	o.Orgs = [2]string{orgA, orgB}
	return o
}

func TestSnapshot_CorrectSchema(t *testing.T) {
	for _, version := range versions(t) {
		p := newPlace(t, version, rows)
		before := p.writes(t)
		o := p.snapshot()
		if version != newest(t) {
			o.Paths = []Path{Simple, Prepared}
		}
		r := run(t, o)
		if r.Result.Status != Isolated || r.Result.Coverage.Percent != 100 {
			t.Errorf("PostgreSQL %d: %s\n%s", version, r.Result.Summary, describeFindings(r))
		}
		if after := p.writes(t); after != before {
			t.Errorf("PostgreSQL %d: the run wrote: before %s, after %s", version, before, after)
		}
	}
}

// writes is what a write would change: rows that were ever written to, dead
// ones of rolled back transactions included, and sequences.
func (p place) writes(t testing.TB) string {
	t.Helper()
	c := p.pg.Connect(t, p.db)
	defer c.Close(context.Background())
	var out []string
	for _, table := range []string{"orgs", "countries", "users", `"Mixed Case"`, "comments", "events_2025"} {
		var n int64
		var xmax string
		// The size tells of rows that were rolled back; xmax of row locks.
		err := c.QueryRow(context.Background(), "SELECT pg_relation_size('"+table+"'), coalesce(max(xmax::text::bigint), 0)::text FROM "+table).Scan(&n, &xmax)
		if err != nil {
			t.Fatal(err)
		}
		var lines int64
		if err := c.QueryRow(context.Background(), "SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_all_tables WHERE relid = '"+table+"'::regclass").Scan(&lines); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(table, n, xmax))
	}
	var sequences string
	if err := c.QueryRow(context.Background(), "SELECT string_agg(sequencename || coalesce(last_value::text, ''), ',' ORDER BY 1) FROM pg_sequences").Scan(&sequences); err != nil {
		t.Fatal(err)
	}
	return strings.Join(append(out, sequences), " ")
}

func TestSnapshot_FindsFaults(t *testing.T) {
	for _, f := range []fault{
		{name: "no row security", sql: "ALTER TABLE users DISABLE ROW LEVEL SECURITY", want: []string{
			"public.users COMPARE", "public.users COMPARE no org", "public.users SELECT", "public.users UPDATE", "public.users DELETE", "public.users INSERT",
		}},
		{name: "a row of no org", sql: `ALTER TABLE events ALTER COLUMN org_id DROP NOT NULL; DROP POLICY floor ON events;
			CREATE POLICY floor ON events AS RESTRICTIVE USING (org_id = bulkhead.org_id() OR org_id IS NULL); INSERT INTO events VALUES (NULL, '2025-01-01', 'x')`, want: []string{"public.events COMPARE"}},
		{name: "INSERT with a check that is always true", sql: `DROP POLICY floor ON users; DROP POLICY base ON users;
			CREATE POLICY a ON users USING (org_id = bulkhead.org_id()) WITH CHECK (true)`, want: []string{"public.users INSERT"}},
		{name: "a view that runs as its owner", sql: "CREATE VIEW v AS SELECT * FROM events; GRANT SELECT ON v TO %app%", want: []string{"public.v COMPARE", "public.v SELECT"}},
		{name: "a partition", sql: "ALTER TABLE events_2025 DISABLE ROW LEVEL SECURITY; GRANT SELECT ON events_2025 TO %app%", want: []string{"public.events_2025 COMPARE"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, newest(t), rows+f.sql)
			o := p.snapshot()
			o.Paths = []Path{Simple}
			r := run(t, o)
			found := leaks(r)
			for _, want := range f.want {
				if !slices.Contains(found, want) {
					t.Errorf("not found: %s; found %s\n%s", want, strings.Join(found, ", "), describeFindings(r))
				}
			}
		})
	}
}

// What is broken looks isolated: an own row that is not visible proves
// nothing.
func TestSnapshot_NotProven(t *testing.T) {
	p := newPlace(t, newest(t), rows+"CREATE TABLE lonely (org_id uuid); GRANT SELECT ON lonely TO %app%; CREATE TABLE nobodys (a int); GRANT SELECT ON nobodys TO %app%; CREATE POLICY never ON users AS RESTRICTIVE USING (false)")
	r := run(t, p.snapshot())
	if r.Result.Status != NotProven {
		t.Fatalf("%s\n%s", r.Result.Summary, describeFindings(r))
	}
	for _, rel := range r.Relations {
		want := map[string]Status{"public.lonely": NotProven, "public.nobodys": NotProven, "public.users": NotProven, "public.orgs": Pass}
		if w, ok := want[rel.Name]; ok && rel.Status != w {
			t.Errorf("%s: got %s (%s), want %s", rel.Name, rel.Status, rel.Note, w)
		}
	}
	o := p.snapshot()
	o.AllowNotProven = true
	if r := run(t, o); r.Result.Status != Isolated {
		t.Errorf("with AllowNotProven: %s", r.Result.Summary)
	}
}

func TestRun_Refuses(t *testing.T) {
	p := newPlace(t, newest(t), rows)
	for name, tt := range map[string]struct {
		change func(o *Options)
		want   error
	}{
		"no orgs":   {func(o *Options) { o.Orgs[B] = "" }, ErrNoOrgs},
		"one org":   {func(o *Options) { o.Orgs[B] = orgA }, ErrNoOrgs},
		"no way in": {func(o *Options) { o.AppDSN = "" }, ErrNoWay},
		"blind":     {func(o *Options) { o.AdminDSN = o.AppDSN }, ErrBlind},
	} {
		o := p.snapshot()
		tt.change(&o)
		if _, err := Run(context.Background(), o); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}
