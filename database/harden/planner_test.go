package harden

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/schematest"
)

// The planner takes the equations of a statement for interchangeable: under a
// floor that is an equation and no more it asked once whether the client's
// value was the tenant, and then each row whether it had that value, which by
// then was another one. Rows of org B came, with a signed context as well.
func TestFloor_HoldsWhileAStatementChanges(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		d := schematest.Get(t, "uuid").Install(t, s)
		apply(t, d, build(t, d), quick)
		if shown := changing(t, d); len(shown) > 0 {
			t.Errorf("org A saw rows of org B by %q", shown)
		}
		own := func(sql string) {
			if _, err := d.Admin.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		own("alter policy bulkhead_floor on users using (users.org_id = (select bulkhead.org_id()))")
		own("alter policy bulkhead_floor on notes using (notes.org_id = (select bulkhead.org_id()))")
		own("alter policy bulkhead_floor on organizations using (organizations.id = (select bulkhead.org_id()))")
		if shown := changing(t, d); len(shown) != len(changes) {
			t.Errorf("under a bare equation only %q got through: the others test nothing", shown)
		}
	})
}

// changes are statements in which something changes that the planner takes for
// constant: %s is org A, %b org B, before what is sent ahead.
var changes = []struct{ before, sql string }{
	{"", "select marker, txid_current() from users where org_id = case when txid_current_if_assigned() is null then '%s' else '%b' end::uuid"},
	{"", "select marker from users where org_id = case when txid_current_if_assigned() is null then '%s' else '%b' end::uuid for update"},
	{"set local x.y = '%s'", "select marker, set_config('x.y', '%b', true) from users where org_id = current_setting('x.y')::uuid"},
	{"set local x.y = '%s'", "delete from notes where org_id = current_setting('x.y')::uuid returning marker, set_config('x.y', '%b', true)"},
	{"set local x.y = '%s'", "select o.marker, u.marker, set_config('x.y', '%b', true) from organizations o join users u on u.org_id = o.id where o.id = current_setting('x.y')::uuid"},
}

// changing returns those by which org A sees a row of org B.
func changing(t *testing.T, d *schematest.Database) (shown []string) {
	t.Helper()
	conn := d.Connect(t, d.A)
	org := strings.NewReplacer("%s", d.A, "%b", d.B)
	for _, c := range changes {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// An index is asked once, with the value at the beginning.
		before := "set local enable_indexscan = off; set local enable_bitmapscan = off; set local enable_hashjoin = off; " + org.Replace(c.before)
		if _, err := tx.Exec(t.Context(), before, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
		rows, err := tx.Query(t.Context(), org.Replace(c.sql), pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		leaked := false
		for rows.Next() {
			for _, v := range rows.RawValues() {
				leaked = leaked || strings.HasPrefix(string(v), "B")
			}
		}
		if rows.Err() != nil {
			t.Fatal(rows.Err())
		}
		if leaked {
			shown = append(shown, c.sql)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return shown
}
