package harden

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/schematest"
)

// shape is a schema of testdata/shapes: what only this package tests.
func shape(t *testing.T, name string) *schematest.Schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "shapes", name+".sql"))
	if err != nil {
		t.Fatal(err)
	}
	return schematest.Parse(name, string(text))
}

// tried runs statements as the application of an org, each in a transaction
// that is rolled back, and says what came of each.
type tried struct {
	sql  string
	want string // of the error, or of the one value; "" for no error
}

func try(t *testing.T, c *pgx.Conn, list []tried) {
	t.Helper()
	for _, x := range list {
		tx, err := c.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if strings.Contains(x.sql, "select") || strings.Contains(x.sql, "returning") {
			err = tx.QueryRow(t.Context(), "with x as ("+x.sql+") select coalesce(string_agg(x::text, ' ' order by x::text), 'nothing') from x").Scan(&got)
		} else {
			_, err = tx.Exec(t.Context(), x.sql)
		}
		if err != nil {
			got = err.Error()
		}
		if x.want == "" && err != nil || !strings.Contains(got, x.want) {
			t.Errorf("%s: got %s, want %s", x.sql, got, x.want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

const refused = "violates row-level security policy \"bulkhead_floor\""

// Views that the application reaches without rights on their tables, rules
// that run as a superuser, policies of other people with our names.
func TestHarden_ViewsAndRules(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		d := shape(t, "views_and_rules").Install(t, s)
		before, roles := state(t, d)
		dumped := dump(t, d)
		plan := build(t, d)
		m := apply(t, d, plan, quick)
		for _, problem := range d.Isolation(t) {
			t.Error(problem)
		}
		try(t, d.Connect(t, d.A), []tried{
			{"select marker from deep_view", "(A)"},
			{"select marker from view_of_view", "(A)"},
			{"update deep_view set marker = marker", ""},
			{"insert into deep_view (id, parent, marker) values (3, 1, 'A')", ""},
			{"insert into deep_view (id, parent, marker) values (3, 2, 'B')", refused},
			{"insert into ruled_view values (3, 'A', 'A')", ""},
			{"insert into ruled_view values (3, 'B', 'B')", refused},
			{"insert into ruled_table values (3, 'A', 'A')", ""},
			{"select marker from optional_link", "(A) (A)"}, // the row without a group as well
			{"select marker from bound_view", "(A)"},
			{"select marker from squatted", "(A)"},
			{"insert into squatted values (3, 'A', 'A')", ""},
		})
		// What the rules delete are the tenant's own rows.
		c := d.Connect(t, d.A)
		run(t, c, "delete from ruled_table; delete from ruled_view")
		for _, table := range []string{"log", "alone", "ruled_table"} {
			if got := value(t, d.Admin, "select string_agg(distinct marker, '') from "+table); got != "B" {
				t.Errorf("%s after the rules of A: got rows of %s, want B", table, got)
			}
		}
		if again := build(t, d); len(again.Steps) != 0 {
			t.Errorf("second plan: %s", again.Steps[0].SQL)
		}
		warned := false
		for _, w := range plan.Warnings {
			warned = warned || w.Object == "public.instead_view:instead"
		}
		if !warned {
			t.Error("nobody is told of a trigger that runs around the floor")
		}
		if err := Rollback(t.Context(), d.Admin, m, RollbackOptions{ApplyOptions: quick}); err != nil {
			t.Fatalf("rollback: %v\n%s", err, failed(err))
		}
		same(t, d, "rollback left", before, roles)
		if got := dump(t, d); got != dumped {
			t.Errorf("pg_dump differs after the rollback:\n%s", firstDifference(dumped, got))
		}
	})
}

// A table gets its tenant's column: filled for the rows that are there and for
// those that the application writes, tied to the parent, with a floor that
// reads no other table; all of it goes again. It does not matter whether the
// database is hardened before.
func TestDenormalise(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		for _, hardened := range []bool{false, true} {
			d := shape(t, "denormalise").Install(t, s)
			before, roles := state(t, d)
			if hardened {
				apply(t, d, build(t, d), quick)
			}
			o := Options{Selection: selection(d.Schema), Denormalise: []string{"embeddings", `"Chunks"`}}
			plan, err := Build(t.Context(), d.Admin, o)
			if err != nil {
				t.Fatal(err)
			}
			apply(t, d, plan, quick)
			for _, problem := range d.Isolation(t) {
				t.Error(problem)
			}
			if got := value(t, d.Admin, `select count(*) from pg_policy where polname = 'bulkhead_floor' and polrelid in ('"Chunks"'::regclass, 'embeddings'::regclass)
				and pg_get_expr(polqual, polrelid) like '%EXISTS%'`); got != "0" {
				t.Errorf("%s floors still look at another table", got)
			}
			if got := value(t, d.Admin, `select count(*) from "Chunks" where touched <> 0`); got != "0" {
				t.Errorf("triggers of the application fired for %s rows", got)
			}
			try(t, d.Connect(t, d.A), []tried{
				{`insert into "Chunks" (doc_id, marker) values (1, 'A') returning "orgId"`, d.A},
				{`insert into "Chunks" (doc_id, marker) values (2, 'B')`, refused},
				{`insert into "Chunks" (doc_id, "orgId", marker) values (2, '` + d.A + `', 'B')`, refused},
				{`update "Chunks" set doc_id = 2`, refused},
				{`insert into embeddings (chunk_id, marker) select min(id), 'A' from "Chunks" returning "orgId"`, d.A},
			})
			try(t, d.Admin, []tried{
				{`insert into "Chunks" (doc_id, marker) values (2, 'B') returning "orgId"`, d.B},
				{`update notes set marker = marker`, ""},
				{`update "Chunks" set doc_id = 3 where doc_id = 1 and id = (select min(id) from "Chunks" where doc_id = 1) returning "orgId"`, "23503"}, // its embedding stays behind
				{`update "Chunks" set "orgId" = '` + d.B + `' where doc_id = 1`, "23503"},
			})
			for _, options := range []Options{o, {Selection: selection(d.Schema)}, {Selection: selection(d.Schema), Phases: Phases()}} {
				again, err := Build(t.Context(), d.Admin, options)
				if err != nil {
					t.Fatal(err)
				}
				again.Steps = slices.DeleteFunc(again.Steps, func(s Step) bool { return s.Object != `public."Chunks"` && !strings.Contains(s.Object, "mbeddings") })
				if len(again.Steps) != 0 {
					t.Errorf("second plan: %s", again.Steps[0].SQL)
				}
			}
			rollback(t, d, false)
			if hardened {
				rollback(t, d, false)
			}
			same(t, d, "rollback left", before, roles)
		}
	})
}

// What cannot be done is said before anything is done.
func TestDenormalise_Refuses(t *testing.T) {
	d := shape(t, "denormalise").Install(t, newest(t))
	for table, want := range map[string]string{
		"embeddings": `public."Chunks" has no tenant column to copy: name that table as well`,
		"loose":      "no foreign key that every row has leads to a tenant",
		"nowhere":    "there is no table nowhere",
	} {
		_, err := Build(t.Context(), d.Admin, Options{Selection: selection(d.Schema), Denormalise: []string{table}})
		var wrong *inventory.SelectionError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", table, err, want)
		}
	}
	if _, err := Build(t.Context(), d.Admin, Options{Selection: selection(d.Schema), Denormalise: []string{`"Chunks"`}, Phases: []Phase{Integrity}}); err == nil {
		t.Error("without phase main: no error")
	}
	// It has the column: there is nothing to do.
	plain := build(t, d)
	plan, err := Build(t.Context(), d.Admin, Options{Selection: selection(d.Schema), Denormalise: []string{"docs"}})
	if err != nil || len(plan.Steps) != len(plain.Steps) {
		t.Errorf("docs: got %v, want the plan as it is without", err)
	}
}

// An apply that ended in the middle goes on where it was.
func TestDenormalise_GoesOn(t *testing.T) {
	d := shape(t, "denormalise").Install(t, newest(t))
	before, roles := state(t, d)
	o := Options{Selection: selection(d.Schema), Denormalise: []string{`"Chunks"`}}
	first, err := Build(t.Context(), d.Admin, o)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(first.Steps); n++ {
		if first.Steps[n].Phase != Integrity {
			continue
		}
		plan, err := Build(t.Context(), d.Admin, o)
		if err != nil {
			t.Fatal(err)
		}
		plan.Steps = plan.Steps[:n+1]
		apply(t, d, plan, quick)
		rest, err := Build(t.Context(), d.Admin, o)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, d, rest, quick)
		for _, problem := range d.Isolation(t) {
			t.Errorf("after %d steps: %s", n, problem)
		}
		if again, err := Build(t.Context(), d.Admin, o); err != nil || len(again.Steps) != 0 {
			t.Errorf("after %d steps: third plan: %v %v", n, err, again.Steps[:min(1, len(again.Steps))])
		}
		rollback(t, d, false)
		rollback(t, d, false)
		same(t, d, "rollback left", before, roles)
	}
}

// Partitioned tables get their keys and indexes without a long lock, and lose
// them again.
func TestIntegrity_Partitions(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		d := shape(t, "partitions").Install(t, s)
		before, roles := state(t, d)
		dumped := dump(t, d)
		m := apply(t, d, build(t, d, Phases()...), quick)
		for _, problem := range d.Isolation(t) {
			t.Error(problem)
		}
		for _, wrong := range []string{
			"insert into events values (100, 3, '2020-03-03', 'x')", "insert into details values (9, 1, 2, '2020-03-03', 'x')",
			"insert into plain values (9, 1, 2, '2020-03-03', 'x')", "insert into items values (9, 1, 2, 'x')", "insert into events values (100, null, '2020-03-03', 'x')",
		} {
			if _, err := d.Admin.Exec(t.Context(), wrong); err == nil {
				t.Errorf("is possible: %s", wrong)
			}
		}
		if got := value(t, d.Admin, "select count(*) from pg_index where not indisvalid"); got != "0" {
			t.Errorf("%s indexes are not valid", got)
		}
		if again := build(t, d, Phases()...); len(again.Steps) != 0 {
			t.Errorf("second plan: %s", again.Steps[0].SQL)
		}
		if err := Rollback(t.Context(), d.Admin, m, RollbackOptions{ApplyOptions: quick}); err != nil {
			t.Fatalf("rollback: %v\n%s", err, failed(err))
		}
		same(t, d, "rollback left", before, roles)
		if got := dump(t, d); got != dumped {
			t.Errorf("pg_dump differs after the rollback:\n%s", firstDifference(dumped, got))
		}
	})
}
