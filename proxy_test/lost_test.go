package proxytest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// loser ends the server connections of a proxy.
type loser struct {
	t *testing.T
	c *pgx.Conn
}

func (p *proxy) loser(t *testing.T) *loser {
	t.Helper()
	c := p.pg.Connect(t, p.db)
	t.Cleanup(func() { c.Close(t.Context()) })
	return &loser{t, c}
}

// end ends the server connections of app that meet the condition, and returns
// how many there were. With gone it waits until they are.
func (l *loser) end(condition string, gone bool) (n int) {
	l.t.Helper()
	where := " FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database() AND " + condition
	if err := l.c.QueryRow(l.t.Context(), "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))"+where).Scan(&n); err != nil {
		l.t.Error(err)
	}
	if gone {
		awaitRows(l.t, "server connections that were ended", func() string {
			var left int
			if err := l.c.QueryRow(l.t.Context(), "SELECT count(*)"+where).Scan(&left); err != nil {
				l.t.Error(err)
			}
			return fmt.Sprint(left)
		}, "0")
	}
	return n
}

// A server connection that ends while it is idle is noticed by nobody.
func TestLost_WhileIdle(t *testing.T) {
	for _, mode := range []string{"transaction", "shared"} {
		p := start(t, options{mode: mode})
		l, c := p.loser(t), p.connect(t, orgA)
		c.Query("SET work_mem = '5MB'")
		c.Send(parse("s", "SELECT current_setting('work_mem') || current_setting('app.org_id')"), parse("", "SELECT 'unnamed'"), synced)
		c.Until(1)
		for i := range 20 {
			if n := l.end("state LIKE 'idle%'", true); n == 0 && i == 0 {
				t.Fatalf("%s: there is no server connection to end", mode)
			}
			c.Send(bind("", "s"), execute("", 0), synced)
			if got, want := fmt.Sprint(wiretest.Rows(c.Until(1))), "[[5MB"+orgA+"]]"; got != want {
				t.Fatalf("%s, %d: got %s, want %s\n%s", mode, i, got, want, tail(p.stderr.String()))
			}
		}
	}
}

// blocked waits until a server connection of app waits for a lock.
func (l *loser) blocked() {
	l.t.Helper()
	awaitRows(l.t, "server connections that wait for the lock", func() string {
		var n int
		if err := l.c.QueryRow(l.t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database() AND wait_event_type = 'Lock'").Scan(&n); err != nil {
			l.t.Error(err)
		}
		return fmt.Sprint(n)
	}, "1")
}

// Who waits for an answer when the server connection is lost gets an error in
// its place, each reply once and in order; the session, its settings and
// statements remain, and nothing is carried out twice or outside of its
// transaction.
func TestLost_InFlight(t *testing.T) {
	const slow = "INSERT INTO documents (org_id, body) VALUES (current_setting('app.org_id')::uuid, 'slow')"
	const quick = "INSERT INTO documents (org_id, body) VALUES (current_setting('app.org_id')::uuid, 'quick')"
	q, run := wiretest.Query, func(sql string) []byte {
		return slices.Concat(parse("", sql), bind("", ""), execute("", 0))
	}
	tests := []struct {
		name string
		send [][]byte
		want string // types of the replies, the SQLSTATE of errors, the status
		then [][]byte
		rest string
	}{
		{"query", [][]byte{q(slow)}, "08006 I", [][]byte{q("SELECT 1")}, "T D C I"},
		{"queries", [][]byte{q(slow), q("SELECT 1"), q("SET ROLE x")}, "08006 I 08006 I 42501 I", [][]byte{q("SELECT 1")}, "T D C I"},
		{"rows before", [][]byte{q("SELECT 7; " + slow)}, "T D C 08006 I", nil, ""},
		{"batch", [][]byte{run("SELECT 7"), run(slow), run(quick), synced, run("SELECT 8"), synced}, "1 2 D C 08006 I 08006 I", nil, ""},
		{"batch without Sync", [][]byte{run("SELECT 7"), run(slow), wiretest.Flush}, "1 2 D C 08006", [][]byte{run(quick), q("SELECT 1"), synced}, "I"},
		{"Close behind it", [][]byte{run(slow), closes('S', "kept"), synced}, "08006 I", nil, ""},
		{"failed before", [][]byte{run("SELECT 1/0"), run(quick), synced, run(slow), synced}, "1 22012 I 08006 I", nil, ""},
		{"BEGIN behind it", [][]byte{q(slow), q("BEGIN"), q(quick)}, "08006 I 08006 E 08006 E", [][]byte{q(quick), run(quick), synced, q("COMMIT")}, "25P02 E 25P02 E C I"},
		{"BEGIN in the batch", [][]byte{run("BEGIN"), run(slow), synced}, "1 2 C 08006 E", [][]byte{q("ROLLBACK TO x"), run("ROLLBACK"), synced}, "3B001 E 1 2 C I"},
		{"the whole transaction", [][]byte{q(slow), q("BEGIN"), q(quick), q("COMMIT")}, "08006 I 08006 E 08006 E 08006 I", nil, ""},
		{"a SET", [][]byte{q("SET work_mem = '9MB'; " + slow)}, "C 08006 I", nil, ""},
		{"a Parse", [][]byte{parse("gone", "SELECT 9"), run(slow), parse("never", "SELECT 10"), synced}, "1 08006 I", [][]byte{bind("", "gone"), execute("", 0), bind("", "never"), synced}, "2 D C 26000 I"},
	}
	for _, mode := range []string{"transaction", "shared"} {
		p := start(t, options{mode: mode})
		l, holder := p.loser(t), p.pg.Connect(t, p.db)
		defer holder.Close(t.Context())
		for _, x := range tests {
			c := p.connect(t, orgA)
			c.Query("SET work_mem = '5MB'")
			c.Send(parse("kept", "SELECT current_setting('work_mem') || current_setting('app.org_id')"), synced)
			c.Until(1)
			tx, err := holder.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), "LOCK documents IN EXCLUSIVE MODE"); err != nil {
				t.Fatal(err)
			}
			c.Send(x.send...)
			l.blocked()
			l.end("wait_event_type = 'Lock'", true)
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := replies(c, len(strings.Fields(x.want))); got != x.want {
				t.Errorf("%s, %s: got %s, want %s", mode, x.name, got, x.want)
				continue
			}
			c.Send(x.then...)
			if got := replies(c, len(strings.Fields(x.rest))); got != x.rest {
				t.Errorf("%s, %s: then got %s, want %s", mode, x.name, got, x.rest)
			}
			c.Send(bind("", "kept"), execute("", 0), synced)
			if got, want := fmt.Sprint(wiretest.Rows(c.Until(1))), "[[5MB"+orgA+"]]"; got != want {
				t.Errorf("%s, %s: afterwards %s, want %s", mode, x.name, got, want)
			}
			c.Conn.Close()
		}
		expectRows(t, mode, p.connect(t, orgA), "SELECT count(*) FROM documents WHERE body IN ('slow', 'quick')", "[[0]]")
	}
}

// replies reads n messages and tells what they are.
func replies(c *wiretest.Client, n int) string {
	var out []string
	for range n {
		m, err := c.Receive()
		switch {
		case err != nil:
			return strings.Join(append(out, err.Error()), " ")
		case m.Type == 'E':
			out = append(out, m.Field('C'))
		case m.Type == 'Z':
			out = append(out, string(m.Body))
		default:
			out = append(out, string(m.Type))
		}
	}
	return strings.Join(out, " ")
}

// In a transaction, or with something that is lost with the server connection,
// the session ends with an error, never in silence.
func TestLost_WithState(t *testing.T) {
	p := start(t, options{mode: "transaction", extra: "policy: {allow: {statements: [LISTEN]}}"})
	l := p.loser(t)
	for name, send := range map[string][]string{
		"transaction": {"BEGIN", "SELECT 1"},
		"failed":      {"BEGIN", "SELECT 1/0"},
		"PREPARE":     {"PREPARE x AS SELECT 1"},
		"LISTEN":      {"LISTEN c"},
	} {
		c := p.connect(t, orgA)
		for _, sql := range send {
			c.Query(sql)
		}
		l.end("true", true)
		if last, _ := drain(c); last.Type != 'E' || last.Field('S') != "FATAL" {
			t.Errorf("%s: the session ends with %v, want FATAL", name, last)
		}
	}
}

// Statements and ends of server connections in any order: each client gets each
// reply once, none of another's, and no session ends outside of a transaction.
func TestLost_AtRandom(t *testing.T) {
	for _, mode := range []string{"transaction", "shared"} {
		p := start(t, options{mode: mode, pool: "max_server_connections: 3, max_per_org: 2"})
		l := p.loser(t)
		kick := make(chan struct{}, 1)
		var ending sync.WaitGroup
		ended, answered := 0, atomic.Int64{}
		ending.Go(func() {
			for range kick {
				ended += l.end("random() < 0.7", false)
			}
		})
		var clients sync.WaitGroup
		for n := range 8 {
			org := []string{orgA, orgB}[n%2]
			clients.Go(func() {
				c := p.connect(t, org)
				for prepared := false; !prepared; {
					c.Send(parse("s", fmt.Sprintf("SELECT current_setting('app.org_id') || ' %d ' || $1::text", n)), synced)
					e, failed := wiretest.Error(c.Until(1))
					prepared = !failed || e.Field('C') == "42P05"
				}
				for i := range 150 {
					c.Send(bind("", "s", fmt.Sprint(i)), execute("", 0), synced, wiretest.Query(fmt.Sprintf("SELECT 'q%d.%d'", n, i)))
					for _, want := range []string{fmt.Sprintf("[[%s %d %d]]", org, n, i), fmt.Sprintf("[[q%d.%d]]", n, i)} {
						msgs := c.Until(1)
						if answered.Add(1)%20 == 0 {
							select {
							case kick <- struct{}{}:
							default:
							}
						}
						e, failed := wiretest.Error(msgs)
						if got := fmt.Sprint(wiretest.Rows(msgs)); wiretest.Status(msgs) != 'I' || failed && (e.Field('C') != "08006" || e.Field('S') != "ERROR") || !failed && got != want {
							t.Errorf("%s, client %d, %d: got %v, want %s", mode, n, i, msgs, want)
							return
						}
					}
				}
			})
		}
		clients.Wait()
		close(kick)
		ending.Wait()
		if ended == 0 {
			t.Errorf("%s: no server connection was ended", mode)
		}
	}
}
