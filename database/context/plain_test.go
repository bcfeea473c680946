package context

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

func asPgError(err error) (*pgconn.PgError, bool) {
	var pg *pgconn.PgError
	ok := errors.As(err, &pg)
	return pg, ok
}

const orgA = "00000000-0000-0000-0000-00000000000a"

// TestPlain_Inlined: the plain context costs nothing, and no object in the
// caller's search_path can stand in for what it names.
func TestPlain_Inlined(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		in := install(t, s, Options{Mode: Plain, KeyType: "uuid"})
		run(t, in.admin, "create schema evil", "grant usage on schema evil to ctx_app",
			"create function evil.current_setting(text, boolean) returns text language sql as $$select '00000000-0000-0000-0000-00000000000e'$$",
			"create function evil.never(text, text) returns boolean language sql as 'select false'",
			"create operator evil.<> (leftarg = text, rightarg = text, function = evil.never)",
			"create domain evil.uuid as text")
		c := in.as(t, "ctx_app")
		if _, err := c.Exec(t.Context(), "set search_path = evil, pg_catalog; set bulkhead.org_id = '"+orgA+"'"); err != nil {
			t.Fatal(err)
		}
		if got := value(t, c, "select bulkhead.org_id()"); got != orgA {
			t.Errorf("got %s, want %s", got, orgA)
		}
		rows, err := c.Query(t.Context(), "explain (verbose) select bulkhead.org_id()")
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line)
		}
		if strings.Contains(plan.String(), "bulkhead.org_id()") {
			t.Errorf("not inlined: %s", plan.String())
		}
	})
}
