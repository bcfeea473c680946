package proxytest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// A transaction with an identity of its own.
func TestIdentity_Local(t *testing.T) {
	for _, mode := range poolModes[:3] {
		p := start(t, options{mode: mode, issuer: anyToken})
		a, b := claim(t, orgA, time.Hour), claim(t, orgB, time.Hour)
		for who, own := range map[string]struct{ token, rows string }{"service": {claim(t, nil, time.Hour), "42501 G803"}, "org B": {b, rowsB}, "org A": {a, rowsA}} {
			what := mode + ", " + who
			c := p.connectAs(t, own.token)
			for _, begin := range []string{"BEGIN", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ", "begin isolation level serializable read only"} {
				for _, set := range []string{"SET LOCAL bulkhead.token = '" + a + "'", "SELECT set_config('bulkhead.token', '" + a + "', true)"} {
					c.Query(begin)
					if msgs := c.Query(set); code(msgs) != "" || wiretest.Status(msgs) != 'T' {
						t.Fatalf("%s: %v", what, msgs)
					}
					expectRows(t, what, c, names, rowsA)
					level, want := "SHOW transaction_isolation", "[[read committed]]"
					if begin != "BEGIN" {
						want = "[[" + strings.ToLower(strings.TrimSuffix(begin[strings.LastIndex(strings.ToUpper(begin), "LEVEL ")+6:], " read only")) + "]]"
					}
					expectRows(t, what, c, level, want)
					// What follows the end is the session's own again, pipelined or not.
					c.Send(wiretest.Query("COMMIT"), wiretest.Query(names))
					msgs := c.Until(2)
					if got := code(msgs) + fmt.Sprint(wiretest.Rows(msgs)); !strings.Contains(got, own.rows) {
						t.Errorf("%s, after %s: got %s, want %s", what, begin, got, own.rows)
					}
				}
			}
			localWrites(t, what, p, c, a)
			localPipelines(t, what, c, a, own.rows)
			localMisplaced(t, what, c, a, own.rows)
			c.Send(wiretest.Terminate)
		}
	}
}

// localWrites: what the transaction writes is committed, or not, for its org.
func localWrites(t *testing.T, what string, p *proxy, c *wiretest.Client, a string) {
	t.Helper()
	admin := p.pg.Connect(t, p.db)
	defer admin.Close(t.Context())
	count := func() (n int) {
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM accounts WHERE name = 'local' AND org_id = $1", orgA).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for end, want := range map[string]int{"COMMIT": 1, "ROLLBACK": 0} {
		before := count()
		for _, q := range []string{"BEGIN", "SET LOCAL bulkhead.token = '" + a + "'", "INSERT INTO accounts (name) VALUES ('local')", end} {
			if e := code(c.Query(q)); e != "" {
				t.Errorf("%s: %s: %s", what, q[:6], e)
			}
		}
		if got := count() - before; got != want {
			t.Errorf("%s: %s leaves %d rows, want %d", what, end, got, want)
		}
	}
	if _, err := admin.Exec(t.Context(), "DELETE FROM accounts WHERE name = 'local'"); err != nil {
		t.Fatal(err)
	}
}

// localPipelines: all of a transaction in one batch of the extended protocol,
// as JDBC sends it, and in several.
func localPipelines(t *testing.T, what string, c *wiretest.Client, a, own string) {
	t.Helper()
	run := func(sql string, params ...any) []byte {
		return bytes.Join([][]byte{parse("", sql), bind("", "", params...), execute("", 0)}, nil)
	}
	set := run("SELECT set_config('bulkhead.token', $1, true)", a)
	for name, send := range map[string][][]byte{
		"one batch":        {run("BEGIN"), set, run(names), synced, run("COMMIT"), synced},
		"batches":          {run("BEGIN"), synced, set, synced, run(names), synced, run("COMMIT"), synced},
		"all in one":       {run("BEGIN"), set, run(names), run("COMMIT"), synced},
		"simple, extended": {wiretest.Query("BEGIN"), set, synced, run(names), synced, wiretest.Query("ROLLBACK")},
		"an error":         {run("BEGIN"), set, run(names), run("SELECT 1/0"), run(names), synced, wiretest.Query("ROLLBACK")},
	} {
		n := 0
		for _, m := range send {
			if m[0] == 'Q' || m[0] == 'S' {
				n++
			}
		}
		c.Send(append(send, wiretest.Query(names))...)
		msgs := c.Until(n + 1)
		rows := wiretest.Rows(msgs)
		var got []string
		for _, r := range rows {
			if r[0] != "[redacted]" {
				got = append(got, r[0])
			}
		}
		want := "own one own two"
		if own != "42501 G803" {
			want += " " + strings.NewReplacer("[", "", "]", "").Replace(own)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s, %s: got %q, want %q\n%s", what, name, strings.Join(got, " "), want, wiretest.Transcript(msgs))
		}
		if wiretest.Status(msgs) != 'I' {
			t.Fatalf("%s, %s: the session is not idle: %v", what, name, msgs[len(msgs)-1])
		}
	}
}

// localMisplaced: everywhere else the statement is refused, and a transaction
// that it stands in has failed.
func localMisplaced(t *testing.T, what string, c *wiretest.Client, a, own string) {
	t.Helper()
	set, local := "SET bulkhead.token = '"+a+"'", "SET LOCAL bulkhead.token = '"+a+"'"
	for _, x := range []struct {
		before      []string
		query, want string
		status      byte
	}{
		{nil, local, "25P01", 'I'},
		{nil, "SELECT set_config('bulkhead.token', '" + a + "', true)", "25P01", 'I'},
		{[]string{"BEGIN"}, set, "25001", 'E'},
		{[]string{"BEGIN"}, "RESET bulkhead.token", "25001", 'E'},
		{[]string{"BEGIN", "SELECT 1"}, local, "25001", 'E'},
		{[]string{"BEGIN", "SAVEPOINT x"}, local, "25001", 'E'},
		{[]string{"BEGIN; SELECT 1"}, local, "25001", 'E'},
		{[]string{"BEGIN", "SELECT 1/0"}, local, "25P02", 'E'},
		{[]string{"BEGIN"}, "SET LOCAL bulkhead.token = 'nonsense'", "28000", 'E'},
		{[]string{"BEGIN", local}, set, "25001", 'E'},
		{[]string{"BEGIN", local, "SELECT 1"}, local, "25001", 'E'},
		{[]string{"BEGIN", local}, "SET LOCAL bulkhead.token = 'nonsense'", "28000", 'E'},
		{[]string{"BEGIN", local}, "COMMIT; " + names, "0A000", 'E'},
		{[]string{"BEGIN", local}, "COMMIT AND CHAIN", "0A000", 'E'},
		{[]string{"BEGIN", local}, "ROLLBACK; BEGIN", "0A000", 'E'},
		{[]string{"BEGIN", local}, "SET ROLE admin_bypass", "42501 G301", 'E'},
		{nil, set + "; SELECT 1", "42501 G201", 'I'},
		{nil, "BEGIN; " + local, "42501 G201", 'I'},
		{nil, "SET bulkhead.token = DEFAULT; SELECT 1", "", 'I'},
		{nil, "SELECT set_config('bulkhead.token', 'x', false), 1", "42501 G201", 'I'},
		{nil, "WITH x AS (SELECT set_config('bulkhead.token', 'x', false)) SELECT 1", "42501 G201", 'I'},
		{nil, "DO $$ BEGIN PERFORM set_config('bulkhead.token', 'x', false); END $$", "42501 G602", 'I'},
	} {
		for _, q := range x.before {
			c.Query(q)
		}
		msgs := c.Query(x.query)
		if got := code(msgs); got != x.want && !(x.want == "42501 G201" && got == "42501 G803") || wiretest.Status(msgs) != x.status {
			shown := strings.ReplaceAll(x.query, a, "...")
			t.Errorf("%s: %s after %d statements: got %s, status %c, want %s, status %c", what, shown, len(x.before), got, wiretest.Status(msgs), x.want, x.status)
		}
		c.Query("ROLLBACK")
		expectRows(t, what+", afterwards", c, names, own)
	}
}
