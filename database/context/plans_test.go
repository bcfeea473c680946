package context

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// rowsOfTwo is a table that is large enough for a parallel plan, with a floor.
const rowsOfTwo = `
create table public.t (id bigint generated always as identity, org_id uuid not null, v int);
insert into public.t (org_id, v) select case when i % 4 = 0 then '` + orgA + `' else '` + orgB + `' end::uuid, i from generate_series(1, 40000) as i;
create index on public.t (org_id);
alter table public.t enable row level security;
alter table public.t force row level security;
create policy floor on public.t as restrictive using (org_id = (select bulkhead.org_id()));
create policy base on public.t using (true);
grant select on public.t to ctx_app;
analyze public.t`

// TestSigned_Plans: the function runs once for each statement, in the leader
// of a parallel plan, and a generic plan keeps no tenant.
func TestSigned_Plans(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		in := install(t, s, Options{Mode: Signed, KeyType: "uuid"})
		in.addKeys(t)
		s.Exec(t, in.database, rowsOfTwo)
		c := in.as(t, "ctx_app")
		backend := value(t, c, "select bulkhead.backend()")
		become := func(o string) {
			claim(t, c, o, "", newKey(t, 1, 0xa7).SignBackend(backend, o, "", time.Now().Add(time.Hour)))
		}
		become(orgA)
		parallelPlan(t, c)
		if _, err := c.Exec(t.Context(), "reset all; set plan_cache_mode = force_generic_plan; prepare p as select count(*) from public.t"); err != nil {
			t.Fatal(err)
		}
		for o, want := range map[string]int{orgA: 10000, orgB: 30000} {
			become(o)
			for range 7 { // plpgsql's own plans become generic as well
				var n int
				if err := c.QueryRow(t.Context(), "execute p", pgx.QueryExecModeSimpleProtocol).Scan(&n); err != nil || n != want {
					t.Fatalf("%s: got %d rows, %v, want %d", o, n, err, want)
				}
			}
		}
		claim(t, c, orgA, "", "")
		if _, err := c.Exec(t.Context(), "execute p"); code(err) != "42501" {
			t.Errorf("a prepared statement without a signature: got %v", err)
		}
		indexIsUsed(t, c, become)
	})
}

func indexIsUsed(t *testing.T, c *pgx.Conn, become func(string)) {
	t.Helper()
	if _, err := c.Exec(t.Context(), "reset all"); err != nil {
		t.Fatal(err)
	}
	become(orgA)
	if got := explain(t, c, "explain select * from public.t where v = 4"); !strings.Contains(got, "InitPlan") {
		t.Errorf("no InitPlan:\n%s", got)
	}
	if _, err := c.Exec(t.Context(), "set enable_seqscan = off"); err != nil {
		t.Fatal(err)
	}
	if got := explain(t, c, "explain select * from public.t"); !strings.Contains(got, "Index Cond: (org_id = ") {
		t.Errorf("the index is not used:\n%s", got)
	}
}

func parallelPlan(t *testing.T, c *pgx.Conn) {
	t.Helper()
	const force = `set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
		set max_parallel_workers_per_gather = 2; set enable_bitmapscan = off; set enable_indexscan = off; set enable_indexonlyscan = off`
	if _, err := c.Exec(t.Context(), force); err != nil {
		t.Fatal(err)
	}
	plan := explain(t, c, "explain (analyze, costs off, timing off, summary off) select count(*) from public.t")
	if !strings.Contains(plan, "Workers Launched: ") || strings.Contains(plan, "Workers Launched: 0") {
		t.Errorf("no parallel plan:\n%s", plan)
	}
	if got := value(t, c, "select count(*) from public.t"); got != "10000" {
		t.Errorf("parallel: got %s rows", got)
	}
}

func explain(t *testing.T, c *pgx.Conn, sql string) string {
	t.Helper()
	rows, err := c.Query(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintln(strings.Join(lines, "\n"))
}

// TestSealed_Plans: the same with the sealed context.
func TestSealed_Plans(t *testing.T) {
	in := install(t, pgtest.Shared(t, 0), Options{Mode: Sealed, KeyType: "uuid"})
	in.addKeys(t)
	in.s.Exec(t, in.database, rowsOfTwo)
	c := in.as(t, "ctx_app")
	become := func(o string) {
		n := challenge(t, c)
		if got := enter(t, c, o, "", newKey(t, 1, 0xa7).SignCheckout(in.database, n, o, "", time.Now().Add(time.Hour))); got != "" {
			t.Fatal(got)
		}
	}
	become(orgA)
	parallelPlan(t, c)
	indexIsUsed(t, c, become)
}
