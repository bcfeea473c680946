package harden

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/schematest"
)

// Everything of schema grants that leads around row security is closed, and
// what has nothing to do with it stays.
func TestHarden_Grants(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		d := schematest.Get(t, "grants").Install(t, s)
		apply(t, d, build(t, d), quick)
		for sql, want := range map[string]string{
			// closed
			"select has_table_privilege('grants_app', 'orders', 'truncate')":                                                           "false",
			"select has_table_privilege('grants_app', 'orders', 'trigger')":                                                            "false",
			"select has_column_privilege('grants_app', 'order_lines', 'id', 'references')":                                             "false",
			"select has_table_privilege('grants_app', 'rates', 'insert, update, delete')":                                              "false",
			"select has_table_privilege('grants_app', 'mv_orders', 'select')":                                                          "false",
			"select has_function_privilege('grants_app', 'all_orders()', 'execute')":                                                   "false",
			"select has_schema_privilege('grants_app', 'public', 'create')":                                                            "false",
			"select pg_has_role('grants_app', 'grants_owner', 'member')":                                                               "false",
			"select pg_has_role('grants_app', 'grants_bypass', 'member')":                                                              "false",
			"select pg_has_role('grants_app', 'pg_read_all_stats', 'member')":                                                          "false",
			"select count(*) from pg_default_acl, aclexplode(defaclacl) where grantee in (0, 'grants_rw'::regrole)":                    "0",
			"select count(*) from pg_class, aclexplode(relacl) where relname in ('orders', 'secrets') and grantee = 0":                 "0",
			"select count(*) from pg_db_role_setting, unnest(setconfig) as c where setrole = 'grants_app'::regrole and c like 'app.%'": "0",
			// kept
			"select has_table_privilege('grants_app', 'orders', 'select, insert, update, delete')":                                         "true",
			"select has_table_privilege('grants_app', 'rates', 'select')":                                                                  "true",
			"select has_table_privilege('grants_app', 'secrets', 'select')":                                                                "true",
			"select has_column_privilege('grants_app', 'order_lines', 'id', 'select')":                                                     "true",
			"select has_function_privilege('grants_app', 'org_exists(uuid)', 'execute')":                                                   "true", // a policy calls it
			"select has_function_privilege('grants_app', 'plain_sum(int, int)', 'execute')":                                                "true",
			"select has_table_privilege('grants_reader', 'orders', 'select with grant option')":                                            "true",
			"select has_table_privilege('grants_reader', 'secrets', 'select')":                                                             "true",
			"select has_table_privilege('grants_reader', 'mv_orders', 'select')":                                                           "true",
			"select pg_has_role('grants_reader', 'grants_bypass', 'member')":                                                               "true",
			"select pg_has_role('grants_app', 'grants_rw', 'member')":                                                                      "true",
			"select count(*) from pg_default_acl, aclexplode(defaclacl) where grantee = 'grants_reader'::regrole":                          "1",
			"select count(*) from pg_db_role_setting, unnest(setconfig) as c where setrole = 'grants_app'::regrole and c like 'work_mem%'": "1",
			"select array_to_string(proconfig, ';') from pg_proc where proname = 'org_exists'":                                             "search_path=pg_catalog, public, pg_temp",
		} {
			if got := value(t, d.Admin, sql); got != want {
				t.Errorf("%s: got %s, want %s", sql, got, want)
			}
		}
		rollback(t, d, false)
	})
}

// What the operator keeps stays callable, with a search_path that is pinned.
func TestHarden_KeepFunction(t *testing.T) {
	d := schematest.Get(t, "grants").Install(t, newest(t))
	for _, name := range []string{"public.all_orders", "public.all_orders()"} {
		plan, err := Build(t.Context(), d.Admin, Options{Selection: selection(d.Schema), KeepFunctions: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range plan.Steps {
			if s.Object == "public.all_orders()" && !strings.HasPrefix(s.SQL, "alter FUNCTION public.all_orders() set search_path = ") {
				t.Errorf("keep %s: %s", name, s.SQL)
			}
		}
	}
	var selection *inventory.SelectionError
	if _, err := Build(t.Context(), d.Admin, Options{KeepFunctions: []string{"all_orders"}}); !errors.As(err, &selection) {
		t.Errorf("a function that is not there: got %v", err)
	}
}

// In the modes with signatures a tenant that is only said counts for nothing,
// and the rest is as in mode plain.
func TestHarden_Modes(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		for _, mode := range []dbcontext.Mode{dbcontext.Signed, dbcontext.Sealed} {
			d := schematest.Get(t, "uuid").Install(t, s)
			before, roles := state(t, d)
			o := Options{Selection: selection(d.Schema), Context: mode}
			plan, err := Build(t.Context(), d.Admin, o)
			if err != nil {
				t.Fatal(err)
			}
			apply(t, d, plan, quick)
			c := d.Connect(t, d.A)
			var pg *pgconn.PgError
			if _, err := c.Exec(t.Context(), "select count(*) from documents"); !errors.As(err, &pg) || pg.Code != "42501" && pg.Code != "55000" {
				t.Errorf("%s: an org without a signature: got %v, want a refusal", mode, err)
			}
			if again := build(t, d); len(again.Steps) != 0 || again.Context != string(mode) {
				t.Errorf("%s: second plan: context %s, %d steps", mode, again.Context, len(again.Steps))
			}
			o.Context = dbcontext.Plain
			if plan, err = Build(t.Context(), d.Admin, o); err != nil || len(plan.Steps) == 0 {
				t.Fatalf("%s: change of the mode: %v", mode, err)
			}
			apply(t, d, plan, quick)
			for _, problem := range d.Isolation(t) {
				t.Errorf("%s, then plain: %s", mode, problem)
			}
			rollback(t, d, false)
			rollback(t, d, false)
			same(t, d, "rollback left", before, roles)
		}
	})
}

// TestIntegrity_WholeWay: on every schema the phase applies, a second plan of it
// is empty, isolation stays, and the way back is exact.
func TestIntegrity_WholeWay(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		for _, name := range []string{"bigint", "correct", "half_hardened", "owner", "text", "uuid"} {
			t.Run(name, func(t *testing.T) {
				d := schematest.Get(t, name).Install(t, s)
				before, roles := state(t, d)
				dumped := dump(t, d)
				plan := build(t, d, Phases()...)
				steps := slices.ContainsFunc(plan.Steps, func(s Step) bool { return s.Phase == Integrity })
				if steps == (name == "correct") {
					t.Errorf("integrity steps: %v", steps)
				}
				apply(t, d, plan, quick)
				for _, problem := range d.Isolation(t) {
					t.Error(problem)
				}
				if again := build(t, d, Phases()...); len(again.Steps) != 0 {
					t.Errorf("second plan: %s", again.Steps[0].SQL)
				}
				rollback(t, d, false)
				same(t, d, "rollback left", before, roles)
				if got := dump(t, d); got != dumped {
					t.Errorf("pg_dump differs after the rollback:\n%s", firstDifference(dumped, got))
				}
			})
		}
	})
}

// Rows that a constraint would not take stop the phase before it, and are
// counted even where row security would hide them.
func TestIntegrity_AsksTheData(t *testing.T) {
	for name, wrong := range map[string]string{
		"no tenant":      "insert into notes values (gen_random_uuid(), null, '', '')",
		"orphan":         "insert into notes values (gen_random_uuid(), gen_random_uuid(), '', '')",
		"other tenant's": "update documents set author_id = (select id from users where marker = 'B' limit 1) where marker = 'A'",
	} {
		d := schematest.Get(t, "uuid").Install(t, newest(t))
		apply(t, d, build(t, d), quick)
		run(t, d.Admin, wrong)
		_, err := Apply(t.Context(), d.Admin, build(t, d, Integrity), quick)
		var step *StepError
		if !errors.As(err, &step) || !strings.Contains(err.Error(), "rows stand against it") || step.Step.Repair == "" {
			t.Errorf("%s: got %v, want a step that counts rows", name, err)
			continue
		}
		if m, err := Latest(t.Context(), d.Admin); err != nil || m.State != Started {
			t.Errorf("%s: record: %+v, %v", name, m, err)
		}
		// What the plan offers sets the rows aside; then it goes on.
		repair, where, _ := strings.Cut(step.Step.Repair, "-- then correct the rows, or: ")
		run(t, d.Admin, repair)
		if name == "other tenant's" {
			where = "update documents set author_id = null where marker = 'A'"
		}
		run(t, d.Admin, where)
		apply(t, d, build(t, d, Integrity), quick)
		if _, err := d.Admin.Exec(t.Context(), wrong); err == nil {
			t.Errorf("%s: is still possible", name)
		}
	}
}

// Without a superuser, as on managed services: a role with CREATEROLE that owns
// the tables. Functions that bypass row security cannot be made then, and what
// needs them is said.
func TestHarden_NoSuperuser(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		s.Exec(t, "postgres", "drop role if exists bulkhead_owner, bulkhead_reader, bulkhead_tables, bulkhead_views, harden_deployer, uuid_app, uuid_report; create role harden_deployer login createrole")
		d := schematest.Get(t, "uuid").InstallAs(t, s, "harden_deployer")
		before, roles := state(t, d)
		conn, err := pgx.Connect(t.Context(), s.DSN("harden_deployer", d.Name))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		d.Admin.Close(t.Context())
		d.Admin = conn
		plan := build(t, d)
		if !slices.ContainsFunc(plan.Warnings, func(w Warning) bool {
			return w.Object == "public.folders:folders_parent_id_fkey" && strings.Contains(w.Title, "not checked")
		}) {
			t.Errorf("nobody is told that a tree is not checked: %+v", plan.Warnings)
		}
		apply(t, d, plan, quick)
		if again := build(t, d); len(again.Steps) != 0 {
			t.Errorf("second plan: %s", again.Steps[0].SQL)
		}
		d.Admin = s.Connect(t, d.Name) // whom row security does not bind
		for _, problem := range d.Isolation(t) {
			unchecked := strings.HasPrefix(problem, "public.folders: moves") || strings.HasPrefix(problem, "public.nodes: moves") || strings.HasPrefix(problem, "public.threads: moves")
			if !unchecked {
				t.Error(problem)
			}
		}
		d.Admin.Close(t.Context())
		d.Admin = conn
		rollback(t, d, false)
		same(t, d, "rollback left", before, roles)
	})
}
