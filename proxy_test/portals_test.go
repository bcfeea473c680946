package proxytest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// named executes a statement of that name in a portal of its own, so that the
// unnamed ones are not touched.
func named(name string) []byte {
	return bytes.Join([][]byte{bind("p_"+name, name), execute("p_"+name, 0), closes('P', "p_"+name)}, nil)
}

// disguises execute the prepared statement "it" inside of a transaction by a
// portal that looks like another statement's, or like none: PostgreSQL keeps an
// older portal of that name where a Bind, Close or Parse fails and the
// transaction goes on behind a savepoint. look must come behind it.
func disguises(look []byte) map[string][][]byte {
	back := bytes.Join([][]byte{synced, named("back")}, nil)
	return map[string][][]byte{
		"bound twice":             {bind("x", "it"), named("save"), bind("x", "one"), back, execute("x", 0), look, synced},
		"bound to nothing":        {bind("", "it"), named("save"), bind("", "nothing"), back, execute("", 0), look, synced},
		"closed, but skipped":     {bind("x", "it"), named("save"), bind("", "nothing"), closes('P', "x"), back, execute("x", 0), look, synced},
		"a refused Parse":         {bind("", "it"), named("save"), parse("", "SET ROLE admin_bypass"), back, execute("", 0), look, synced},
		"a Query that is skipped": {bind("", "it"), named("save"), bind("", "nothing"), wiretest.Query("SELECT 1"), back, execute("", 0), look, synced},
	}
}

// What a portal leaves on the server connection is known whatever its name has
// meant since: the label is put on again, and the next client finds nothing.
// Once, 10,001 portals or a savepoint made the proxy forget what they were.
func TestPortals_Disguised(t *testing.T) {
	const where = "SELECT current_setting('app.org_id', true), current_setting('search_path'), coalesce(current_setting('my.setting', true), '')"
	look := bytes.Join([][]byte{parse("", where), bind("", ""), execute("", 0)}, nil)
	for _, mode := range []string{"shared", "transaction"} {
		p := start(t, options{mode: mode, pool: oneShared})
		for _, it := range []string{"RESET ALL", "RESET app.org_id", "SET search_path = evil", "SET my.setting = 'left'", "SELECT set_config('my.setting', 'left', false)"} {
			for how, send := range disguises(look) {
				what := fmt.Sprintf("%s mode, %s, %s", mode, it, how)
				a := p.connect(t, orgA)
				a.Send(parse("it", it), parse("one", "SELECT 1"), parse("save", "SAVEPOINT s"), parse("back", "ROLLBACK TO s"), parse("end", "COMMIT"), synced, wiretest.Query("BEGIN"))
				a.Until(2)
				a.Send(send...)
				a.Until(2)
				a.Send(named("end"), synced)
				if got := wiretest.Status(a.Until(1)); got != 'I' {
					t.Fatalf("%s: status %c", what, got)
				}
				if got := wiretest.Rows(a.Query(where)); len(got) != 1 || got[0][0] != orgA {
					t.Errorf("%s: the org is %v", what, got)
				}
				a.Send(wiretest.Terminate)
				for _, org := range []string{orgA, orgB} {
					if mode == "transaction" && org == orgB {
						continue // its connection is another
					}
					next := p.connect(t, org)
					expectRows(t, what+", the next client", next, where, "[["+org+` "$user", public ]]`)
					next.Send(wiretest.Terminate)
				}
			}
		}
	}
}

// Too many portals are refused, and none is forgotten; at the end of the
// transaction all are gone.
func TestPortals_Many(t *testing.T) {
	p := start(t, options{mode: "session"})
	c := p.connect(t, orgA)
	many := func(n int) []byte {
		var b bytes.Buffer
		b.Write(parse("n", "SELECT 1"))
		for i := range n {
			b.Write(bind(fmt.Sprint("p", i), "n"))
		}
		b.Write(closes('S', "n"))
		b.Write(synced)
		return b.Bytes()
	}
	for range 3 {
		go c.Conn.Write(many(9_000))
		if msgs := c.Until(1); code(msgs) != "" {
			t.Fatal(code(msgs))
		}
	}
	go c.Conn.Write(many(11_000))
	if got := code(c.Until(1)); got != "54000" {
		t.Errorf("11,000 portals: got %q, want 54000", got)
	}
	expectRows(t, "afterwards", c, names, rowsA)
}
