package proxytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// TestChanging_BetweenFetches: a statement that is carried out in several
// pieces must not see another value of a setting in between. PostgreSQL asks
// once whether the client's value is the tenant's, and then each row only
// whether it has the client's (rule G209).
func TestChanging_BetweenFetches(t *testing.T) {
	const query = "SELECT name FROM accounts WHERE org_id = current_setting('x.y')::uuid"
	other := "SELECT set_config('x.y', replace('" + strings.Replace(orgB, "-", "-x", 1) + "', 'x', ''), true)"
	for _, mode := range []string{"session", "transaction"} {
		p := start(t, options{mode: mode})
		for how, steps := range map[string][][]byte{
			"a cursor": {
				wiretest.Query("DECLARE c CURSOR FOR " + query), wiretest.Query("FETCH 1 FROM c"), wiretest.Query(other), wiretest.Query("FETCH ALL FROM c"),
			},
			"a portal": {
				parse("q", query), bind("p", "q"), execute("p", 1), synced, wiretest.Query(other), execute("p", 0), synced,
			},
			"a portal, in one batch": {
				parse("q", query), parse("o", other), bind("p", "q"), execute("p", 1), bind("", "o"), execute("", 0), execute("p", 0), synced,
			},
			"a portal, by FETCH": {
				parse("q", query), bind("p", "q"), synced, wiretest.Query("FETCH 1 FROM p"), wiretest.Query(other), wiretest.Query("FETCH ALL FROM p"),
			},
			"a cursor, in one text": {
				wiretest.Query("DECLARE c CURSOR FOR " + query + "; FETCH 1 FROM c; " + other + "; FETCH ALL FROM c"),
			},
			"a cursor, by EXECUTE": {
				wiretest.Query("PREPARE o AS " + other), wiretest.Query("DECLARE c CURSOR FOR " + query + "; FETCH 1 FROM c; EXECUTE o; FETCH ALL FROM c"),
			},
			"a cursor, by a Bind of PREPARE": {
				wiretest.Query("PREPARE o AS " + other), wiretest.Query("DECLARE c CURSOR FOR " + query), wiretest.Query("FETCH 1 FROM c"),
				bind("", "o"), execute("", 0), synced, wiretest.Query("FETCH ALL FROM c"),
			},
			"a cursor, by EXECUTE of a Parse": {
				parse("o", other), synced, wiretest.Query("DECLARE c CURSOR FOR " + query), wiretest.Query("FETCH 1 FROM c"), wiretest.Query("EXECUTE o"), wiretest.Query("FETCH ALL FROM c"),
			},
			"a cursor, bound before": {
				parse("o", other), bind("later", "o"), synced, wiretest.Query("DECLARE c CURSOR FOR " + query), wiretest.Query("FETCH 1 FROM c"),
				execute("later", 0), synced, wiretest.Query("FETCH ALL FROM c"),
			},
			"a cursor, in disguise": {
				parse("o", other), parse("one", "SELECT 1"), bind("x", "o"), synced, wiretest.Query("SAVEPOINT s"), bind("", "nothing"), bind("x", "one"), closes('P', "x"), synced,
				wiretest.Query("ROLLBACK TO s"), wiretest.Query("DECLARE c CURSOR FOR " + query), wiretest.Query("FETCH 1 FROM c"), execute("x", 0), synced, wiretest.Query("FETCH ALL FROM c"),
			},
			"a portal, by ROLLBACK TO": {
				wiretest.Query(other), parse("q", query), bind("p", "q"), synced, wiretest.Query("SAVEPOINT s"), wiretest.Query("SET LOCAL x.y = '" + orgA + "'"),
				execute("p", 1), synced, wiretest.Query("ROLLBACK TO s"), execute("p", 0), synced,
			},
			"a portal, by FETCH and ROLLBACK TO": {
				wiretest.Query(other), parse("q", query), bind("p", "q"), synced, wiretest.Query("SAVEPOINT s; SET LOCAL x.y = '" + orgA + "'"),
				wiretest.Query("FETCH 1 FROM p"), wiretest.Query("ROLLBACK TO s"), wiretest.Query("FETCH ALL FROM p"),
			},
			"a portal, by ROLLBACK TO in one text": {
				wiretest.Query(other), parse("q", query), bind("p", "q"), synced, wiretest.Query("SAVEPOINT s; SET LOCAL x.y = '" + orgA + "'"),
				wiretest.Query("FETCH 1 FROM p; ROLLBACK TO s; FETCH ALL FROM p"),
			},
			"a portal, all in one text": {
				wiretest.Query(other), parse("q", query), bind("p", "q"), synced,
				wiretest.Query("SAVEPOINT s; SET LOCAL x.y = '" + orgA + "'; FETCH 1 FROM p; ROLLBACK TO s; FETCH ALL FROM p"),
			},
			"a portal, bound behind a change in between": {
				parse("q", query), bind("p", "q"), synced, wiretest.Query("SAVEPOINT s"), execute("p", 1), synced, wiretest.Query("ROLLBACK TO s; SET LOCAL x.y = '" + orgB + "'"), execute("p", 0), synced,
			},
			"a cursor, by a temporary table": {
				wiretest.Query("DECLARE c CURSOR FOR SELECT name FROM accounts WHERE org_id = CASE WHEN to_regclass('pg_temp.t') IS NULL THEN '" + orgA + "' ELSE replace('" +
					strings.Replace(orgB, "-", "-x", 1) + "', 'x', '') END::uuid"), wiretest.Query("FETCH 1 FROM c"), wiretest.Query("CREATE TEMP TABLE t (a int)"), wiretest.Query("FETCH ALL FROM c"),
			},
			"a cursor, with SET": {
				wiretest.Query("DECLARE c CURSOR FOR " + query), wiretest.Query("FETCH 1 FROM c"), wiretest.Query("SET LOCAL x.y = '" + orgB + "'"), wiretest.Query("FETCH ALL FROM c"),
			},
		} {
			c := p.connect(t, orgA)
			c.Query("BEGIN")
			c.Query("SET LOCAL x.y = '" + orgA + "'")
			ends := 0
			for _, m := range steps {
				c.Send(m)
				if m[0] == 'Q' || m[0] == 'S' {
					ends++
				}
			}
			if got := fmt.Sprint(wiretest.Rows(c.Until(ends))); strings.Contains(got, "CANARY-B") {
				t.Errorf("%s mode, %s: %s", mode, how, got)
			}
			c.Send(wiretest.Terminate)
		}
	}
}

// TestChanging_Before: what is set before the first row may be set, and what
// ends the transaction may come with a reset, as pools send it.
func TestChanging_Before(t *testing.T) {
	p := start(t, options{mode: "transaction"})
	c := p.connect(t, orgA)
	for _, text := range []string{
		"BEGIN; SET LOCAL work_mem = '5MB'; DECLARE c CURSOR FOR SELECT name FROM accounts", "FETCH 1 FROM c", "SAVEPOINT s", "FETCH 1 FROM c", "ROLLBACK TO s",
		"ROLLBACK; SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL", "SET work_mem = '6MB'", "BEGIN", "FETCH ALL FROM nothing", "ROLLBACK",
	} {
		for _, m := range c.Query(text) {
			if m.Type == 'E' && m.Field('C') == "42501" {
				t.Errorf("%s: %v", text, m)
			}
		}
	}
}

// TestChanging_BehindFunction: a table is also read by a function of the schema,
// which the planner may inline.
func TestChanging_BehindFunction(t *testing.T) {
	p := start(t, options{prepare: func(p *proxy) {
		p.pg.Exec(t, p.db, "CREATE FUNCTION all_accounts() RETURNS SETOF accounts LANGUAGE sql STABLE AS 'SELECT * FROM accounts'")
	}})
	c := p.connect(t, orgA)
	c.Query("BEGIN")
	c.Query("SET LOCAL x.y = '" + orgA + "'")
	got := fmt.Sprint(wiretest.Rows(c.Query("SELECT name, set_config('x.y', replace('" + strings.Replace(orgB, "-", "-x", 1) + "', 'x', ''), true) FROM all_accounts() WHERE org_id = current_setting('x.y')::uuid")))
	if strings.Contains(got, "CANARY-B") {
		t.Errorf("org A reads %s", got)
	}
}
