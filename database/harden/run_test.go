package harden

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/schematest"
)

func run(t *testing.T, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
}

func value(t *testing.T, c *pgx.Conn, sql string) string {
	t.Helper()
	var v *string
	if err := c.QueryRow(t.Context(), "select ("+sql+")::text").Scan(&v); err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	if v == nil {
		return "NULL"
	}
	return *v
}

// same fails unless the database is in the given state.
func same(t *testing.T, d *schematest.Database, what string, database, roles State) {
	t.Helper()
	nowDatabase, nowRoles := state(t, d)
	if diff := append(Difference(database, nowDatabase), Difference(roles, nowRoles)...); len(diff) > 0 {
		t.Errorf("%s:\n%s", what, strings.Join(diff, "\n"))
	}
}

func newest(t *testing.T) *pgtest.Server { return pgtest.Shared(t, 0) }

// The guard: a plan for another state does nothing.
func TestApply_RefusesAnotherState(t *testing.T) {
	for _, change := range []string{
		"create table later (id int)", "grant truncate on tags to uuid_report", "alter role uuid_app set app.org_id = 'x'", "alter table tags alter label drop not null",
	} {
		d := schematest.Get(t, "uuid").Install(t, newest(t))
		plan := build(t, d)
		run(t, d.Admin, change)
		t.Cleanup(func() { d.Server.Exec(t, "postgres", "alter role uuid_app reset all") })
		database, roles := state(t, d)
		var changed *ChangedError
		if _, err := Apply(t.Context(), d.Admin, plan, quick); !errors.As(err, &changed) {
			t.Errorf("%s: got %v, want a ChangedError", change, err)
		}
		same(t, d, "something was done", database, roles)
		files, err := Render(plan, RenderOptions{Format: GolangMigrate})
		if err != nil {
			t.Fatal(err)
		}
		var pg *pgconn.PgError
		if _, err := d.Admin.PgConn().Exec(t.Context(), files[0].Content).ReadAll(); !strings.Contains(change, "alter role") && (!errors.As(err, &pg) || pg.Code != "55000") {
			t.Errorf("%s: the file: got %v, want SQLSTATE 55000", change, err)
		}
		run(t, d.Admin, "rollback")
	}
}

// The other phases need the schema that phase main makes for the record.
func TestApply_MainFirst(t *testing.T) {
	d := schematest.Get(t, "grants").Install(t, newest(t))
	database, roles := state(t, d)
	for _, phase := range []Phase{Roles, Integrity} {
		if _, err := Apply(t.Context(), d.Admin, build(t, d, phase), quick); err == nil || !strings.Contains(err.Error(), "phase main") {
			t.Errorf("%s: got %v, want a word about phase main", phase, err)
		}
	}
	same(t, d, "something was done", database, roles)
	for _, phase := range Phases() {
		apply(t, d, build(t, d, phase), quick)
	}
	if again := build(t, d, Phases()...); len(again.Steps) > 0 {
		t.Errorf("after each phase by itself: %s", again.Steps[0].SQL)
	}
	for range Phases() {
		rollback(t, d, false)
	}
	same(t, d, "rollback left", database, roles)
}

// A lock that somebody holds: nothing is done, and tried again until it is
// free.
func TestApply_TriesAgainForLocks(t *testing.T) {
	d := schematest.Get(t, "uuid").Install(t, newest(t))
	plan := build(t, d)
	database, roles := state(t, d)
	holder := d.Server.Connect(t, d.Name)
	defer holder.Close(context.Background())
	run(t, holder, "begin; lock table embeddings in access share mode")

	waits := 0
	o := ApplyOptions{LockTimeout: 50 * time.Millisecond, Pause: time.Millisecond, Tries: 3, Progress: func(p Progress) {
		if p.Waiting != nil {
			waits++
		}
	}}
	_, err := Apply(t.Context(), d.Admin, plan, o)
	if !lockNotAvailable(err) || waits != 2 {
		t.Errorf("got %v after %d pauses, want SQLSTATE 55P03 after 2", err, waits)
	}
	same(t, d, "something was done", database, roles)

	o.Tries, o.Progress = 10, func(p Progress) {
		if p.Waiting != nil {
			run(t, holder, "rollback")
		}
	}
	if _, err := Apply(t.Context(), d.Admin, plan, o); err != nil {
		t.Errorf("after the lock was given back: %v", err)
	}
}

// With a transaction for each table, an apply that ends in the middle leaves
// whole tables done; it can go on or be taken back.
func TestApply_PerTable(t *testing.T) {
	for _, then := range []string{"go on", "take back"} {
		t.Run(then, func(t *testing.T) {
			d := schematest.Get(t, "uuid").Install(t, newest(t))
			plan := build(t, d)
			database, roles := state(t, d)
			ctx, cancel := context.WithCancel(t.Context())
			o := quick
			o.PerTable = true
			o.Progress = func(p Progress) {
				if p.Done >= len(plan.Steps)/3 {
					cancel()
				}
			}
			conn := d.Server.Connect(t, d.Name)
			m, err := Apply(ctx, conn, plan, o)
			if err == nil || m.done == 0 || m.done == len(plan.Steps) {
				t.Fatalf("got %v after %d of %d steps, want an end in the middle", err, m.done, len(plan.Steps))
			}
			o.Progress = nil
			s, err := ReadStatus(t.Context(), d.Admin)
			if err != nil || len(s.Migrations) != 1 || s.Migrations[0].State != Started || len(s.Changes) != 0 {
				t.Fatalf("status: %+v, %v", s, err)
			}
			if then == "go on" {
				apply(t, d, build(t, d), o)
				for _, problem := range d.Isolation(t) {
					t.Error(problem)
				}
				rollback(t, d, false)
			}
			rollback(t, d, false)
			same(t, d, "rollback left", database, roles)
		})
	}
}

// rollback takes the latest migration back.
func rollback(t *testing.T, d *schematest.Database, merge bool) {
	t.Helper()
	m, err := Latest(t.Context(), d.Admin)
	if err != nil {
		t.Fatal(err)
	}
	if err := Rollback(t.Context(), d.Admin, m, RollbackOptions{ApplyOptions: quick, Merge: merge}); err != nil {
		t.Fatalf("rollback: %v\n%s", err, failed(err))
	}
}

func TestRollback_RefusesAnotherState(t *testing.T) {
	d := schematest.Get(t, "uuid").Install(t, newest(t))
	m := apply(t, d, build(t, d), quick)
	run(t, d.Admin, "create policy mine on tags for select using (true)")
	database, roles := state(t, d)
	var changed *ChangedError
	err := Rollback(t.Context(), d.Admin, m, RollbackOptions{ApplyOptions: quick})
	if !errors.As(err, &changed) || !slices.ContainsFunc(changed.Difference, func(l string) bool { return strings.HasPrefix(l, "+policy public.tags mine") }) {
		t.Errorf("got %v, want a ChangedError that names the policy", err)
	}
	same(t, d, "something was undone", database, roles)
	if err := Rollback(t.Context(), d.Admin, m, RollbackOptions{ApplyOptions: quick, Merge: true}); err != nil {
		t.Errorf("with merge: %v", err)
	}
	if got := value(t, d.Admin, "select string_agg(polname, ',') from pg_policy"); got != "mine" {
		t.Errorf("policies after a merge: got %s, want mine", got)
	}
}

// Each apply after a change of the schema does what is new, and each can be
// taken back, latest first.
func TestPlan_NewTablesAndTampering(t *testing.T) {
	d := schematest.Get(t, "uuid").Install(t, newest(t))
	_, roles := state(t, d)
	apply(t, d, build(t, d), quick)
	run(t, d.Admin, `create table invoices (id uuid primary key, org_id uuid not null references organizations, document_id uuid references documents, marker text);
		grant select, insert on invoices to uuid_app`)
	plan := build(t, d)
	for _, s := range plan.Steps {
		if !strings.HasPrefix(s.Object, "public.invoices") && s.SQL != sealFloors {
			t.Errorf("step for %s: %s", s.Object, s.SQL)
		}
	}
	apply(t, d, plan, quick)

	for _, tamper := range []string{
		"alter policy bulkhead_floor on invoices using (true)",
		"alter policy bulkhead_floor on invoices with check (true)",
		"alter policy bulkhead_floor on invoices using (org_id = (select bulkhead.org_id()) or 1 = 1)",
		"alter policy bulkhead_floor on invoices to uuid_report",
		"drop policy bulkhead_floor on invoices",
		"drop policy bulkhead_floor on invoices; create policy bulkhead_floor on invoices using (org_id = (select bulkhead.org_id()))",
		"alter table invoices no force row level security",
		"alter table invoices disable row level security",
		"alter table invoices add column tag_id uuid references tags",
		"grant truncate on invoices to uuid_app",
		"grant select on invoices to public",
	} {
		run(t, d.Admin, "begin; "+tamper+"; commit")
		before, _ := state(t, d)
		if plan = build(t, d); len(plan.Steps) == 0 {
			t.Errorf("no step after: %s", tamper)
			continue
		}
		apply(t, d, plan, quick)
		if again := build(t, d); len(again.Steps) > 0 {
			t.Errorf("%s: second plan: %s", tamper, again.Steps[0].SQL)
		}
		rollback(t, d, false)
		same(t, d, "rollback after "+tamper, before, roles)
		apply(t, d, build(t, d), quick)
	}
}

// A reference to another tenant's row, and one to a row that does not exist,
// give the same error: nobody learns which keys others have (5.2).
func TestFloor_ReferencesTellNothing(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		d := schematest.Get(t, "uuid").Install(t, s)
		apply(t, d, build(t, d), quick)
		c := d.Connect(t, d.A)
		key := func(table, marker string) string {
			return value(t, d.Admin, "select id from "+table+" where marker = '"+marker+"' limit 1")
		}
		const nobody = "99999999-9999-4999-8999-999999999999"
		for table, insert := range map[string]string{
			"users":      "insert into documents values (gen_random_uuid(), '" + d.A + "', '%s', 't', null, 'A')",
			"documents":  "insert into versions values (gen_random_uuid(), '%s', 1, 'A')",
			"embeddings": "insert into neighbours values (gen_random_uuid(), '%s', 1, 'A')",
			"folders":    "insert into folders values (gen_random_uuid(), '" + d.A + "', '%s', 'A')",
			"nodes":      "insert into nodes values (gen_random_uuid(), '" + key("folders", "A") + "', '%s', 'A')",
			"posts":      "insert into threads values (gen_random_uuid(), '" + d.A + "', '%s', 'A')",
		} {
			var messages []string
			for _, parent := range []string{key(table, "B"), nobody} {
				var pg *pgconn.PgError
				if _, err := c.Exec(t.Context(), fmt.Sprintf(insert, parent)); !errors.As(err, &pg) || pg.Code != "42501" {
					t.Errorf("reference to %s: got %v, want SQLSTATE 42501", table, err)
					continue
				}
				messages = append(messages, pg.Message+pg.Detail)
			}
			if len(messages) == 2 && messages[0] != messages[1] {
				t.Errorf("reference to %s: errors differ: %q, %q", table, messages[0], messages[1])
			}
			if _, err := c.Exec(t.Context(), fmt.Sprintf(insert, key(table, "A"))); err != nil {
				t.Errorf("reference to an own row of %s: %v", table, err)
			}
		}
		// Rows of a tree in one statement, each on the one before.
		id := "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
		run(t, c, "insert into folders values ('"+id+"', '"+d.A+"', null, 'A'), (gen_random_uuid(), '"+d.A+"', '"+id+"', 'A')")
	})
}
