package proxytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// turn is one exchange of a client: what it sends, and what ends the reply:
// the given number of ReadyForQuery, or without one a message of type until.
type turn struct {
	send  [][]byte
	ready int
	until byte
}

func query(sql string) turn { return turn{send: [][]byte{wiretest.Query(sql)}, ready: 1} }

// extended is an exchange that ends with its last Sync.
func extended(msgs ...[]byte) turn {
	n := 0
	for _, m := range msgs {
		if m[0] == 'S' {
			n++
		}
	}
	return turn{send: msgs, ready: n}
}

// flushed is an exchange without Sync.
func flushed(until byte, msgs ...[]byte) turn {
	return turn{send: append(msgs, wiretest.Flush), until: until}
}

func (x turn) play(t testing.TB, c *wiretest.Client) string {
	t.Helper()
	c.Send(x.send...)
	if x.ready > 0 {
		return wiretest.Transcript(c.Until(x.ready))
	}
	var msgs []wiretest.Message
	for {
		m, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		msgs = append(msgs, m)
		if m.Type == x.until || m.Type == 'Z' {
			return wiretest.Transcript(msgs)
		}
	}
}

var (
	parse, bind, execute, describe, closes, synced = wiretest.Parse, wiretest.Bind, wiretest.Execute, wiretest.Describe, wiretest.Close, wiretest.Sync
)

// scripts are what clients do whose state must follow them, or keep them,
// between server connections.
var scripts = map[string][]turn{
	"named": {
		extended(parse("s1", "SELECT $1::int + 1"), describe('S', "s1"), synced),
		extended(bind("", "s1", "1"), describe('P', ""), execute("", 0), synced),
		extended(parse("s1", "SELECT 'again'"), synced),
		extended(bind("", "s1", "2"), execute("", 0), bind("", "s1", "3"), execute("", 0), synced),
		extended(closes('S', "s1"), synced),
		extended(bind("", "s1", "4"), execute("", 0), synced),
		extended(closes('S', "s1"), parse("s1", "SELECT 'new one'"), bind("", "s1"), execute("", 0), synced),
		extended(bind("", "s1"), execute("", 0), synced),
	},
	"same name, other text": {
		extended(parse("s1", "SELECT 'other ' || $1"), synced),
		extended(bind("", "s1", "x"), execute("", 0), synced),
		extended(describe('S', "s1"), synced),
		extended(bind("", "s1", "y"), execute("", 0), synced),
	},
	"names after an error": {
		extended(parse("bad", "SELECT FROM nowhere_at_all"), parse("s2", "SELECT 2"), synced),
		extended(bind("", "s2"), execute("", 0), synced),
		extended(bind("", "bad"), execute("", 0), synced),
		extended(parse("s2", "SELECT 22"), bind("", "s2"), execute("", 0), synced),
		extended(parse("z", "SELECT 1/$1::int"), bind("", "z", "0"), execute("", 0), closes('S', "s2"), parse("s3", "SELECT 3"), synced),
		extended(bind("", "s2"), execute("", 0), bind("", "z", "1"), execute("", 0), synced),
		extended(bind("", "s3"), execute("", 0), synced),
	},
	"unnamed over Sync": {
		extended(parse("", "SELECT $1::text AS a"), synced),
		extended(describe('S', ""), synced),
		extended(bind("", "", "x"), execute("", 0), synced),
		extended(bind("", "", "y"), execute("", 0), synced),
		query("SELECT 'kills it'"),
		extended(bind("", "", "z"), execute("", 0), synced),
	},
	"unnamed with Flush": {
		flushed('t', parse("", "SELECT $1::int AS b"), describe('S', "")),
		extended(bind("", "", "7"), execute("", 0), synced),
		flushed('T', parse("", "SELECT 8 AS c"), bind("", ""), describe('P', "")),
		extended(execute("", 0), synced),
	},
	"portals": {
		extended(parse("p", "SELECT generate_series(1, 5)"), synced),
		query("BEGIN"),
		extended(bind("c1", "p"), execute("c1", 2), synced),
		extended(execute("c1", 2), synced),
		extended(execute("c1", 2), closes('P', "c1"), synced),
		query("COMMIT"),
		extended(execute("c1", 2), synced),
		extended(bind("", "p"), execute("", 2), execute("", 2), execute("", 0), synced),
	},
	"in a failed transaction": {
		extended(parse("f", "SELECT 1"), synced),
		query("BEGIN"),
		query("SELECT 1/0"),
		extended(bind("", "f"), execute("", 0), synced),
		extended(parse("g", "SELECT 2"), synced),
		extended(closes('S', "f"), synced),
		query("ROLLBACK"),
		extended(bind("", "f"), execute("", 0), synced),
		extended(bind("", "g"), execute("", 0), synced),
	},
	"settings": {
		query("SET search_path TO public, pg_catalog"),
		query("SET work_mem = '8MB'"),
		query("SHOW search_path"),
		query("BEGIN; SET work_mem = '9MB'; SET LOCAL statement_timeout = '1h'; SHOW work_mem"),
		query("SHOW statement_timeout"),
		query("SAVEPOINT a"),
		query("SET work_mem = '10MB'"),
		query("ROLLBACK TO a"),
		query("COMMIT"),
		query("SELECT current_setting('work_mem'), current_setting('statement_timeout'), current_setting('search_path')"),
		query("BEGIN; SET work_mem = '11MB'; ROLLBACK"),
		query("SELECT set_config('my.own', 'it''s', false), set_config('application_name', 'an app', false)"),
		query("SHOW work_mem"),
		query("SELECT current_setting('my.own'), current_setting('application_name')"),
		query("SET timezone TO 'Asia/Tokyo'"),
		extended(parse("", "SELECT current_setting('timezone'), '2024-01-01 00:00Z'::timestamptz"), bind("", ""), execute("", 0), synced),
		query("RESET work_mem"),
		query("SELECT current_setting('work_mem'), current_setting('my.own')"),
		query("RESET ALL"),
		query("SELECT current_setting('work_mem'), current_setting('my.own', true), current_setting('timezone'), current_setting('application_name')"),
	},
	"other settings": {
		query("SET timezone TO 'Europe/Berlin'"),
		query("SHOW timezone"),
		query("SET DateStyle TO 'SQL, DMY'"),
		query("SELECT '2024-02-01'::date, '2024-01-01 00:00Z'::timestamptz"),
		query("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
		query("SHOW transaction_isolation"),
		query("DISCARD ALL"),
		query("SHOW transaction_isolation"),
		query("SHOW timezone"),
	},
	"SQL-level statements": {
		query("PREPARE q(int) AS SELECT $1 + 1"),
		query("EXECUTE q(1)"),
		extended(bind("", "q", "5"), execute("", 0), synced),
		query("PREPARE q AS SELECT 1"),
		query("DEALLOCATE q"),
		query("EXECUTE q(1)"),
		extended(parse("m", "SELECT $1::int * 2"), synced),
		query("EXECUTE m(4)"),
		query("PREPARE m AS SELECT 1"),
		query("DEALLOCATE m"),
		query("DEALLOCATE m"),
		extended(bind("", "m", "5"), execute("", 0), synced),
		extended(parse("n", "SELECT 5"), synced),
		extended(parse("", "DEALLOCATE n"), bind("", ""), execute("", 0), synced),
		extended(bind("", "n"), execute("", 0), synced),
		extended(parse("n", "SELECT 6"), parse("", "DEALLOCATE n"), bind("", ""), execute("", 0), parse("n", "SELECT 7"), bind("", "n"), execute("", 0), synced),
		query("DEALLOCATE ALL"),
		extended(bind("", "n"), execute("", 0), synced),
		extended(parse("n", "SELECT 8"), bind("", "n"), execute("", 0), synced),
	},
	"temporary table": {
		query("CREATE TEMP TABLE mine (a int)"),
		query("INSERT INTO mine VALUES (1), (2)"),
		query("SELECT sum(a) FROM mine"),
		query("DROP TABLE mine"),
		query("BEGIN; CREATE TEMP TABLE gone (a int) ON COMMIT DROP; COMMIT"),
		query("SELECT 'free'"),
	},
	"cursor": {
		query("DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 3)"),
		query("FETCH h"),
		query("FETCH ALL h"),
		query("CLOSE h"),
		query("FETCH h"),
		query("BEGIN; DECLARE d CURSOR FOR SELECT 1; FETCH d; COMMIT"),
		query("FETCH d"),
	},
	"advisory lock": {
		query("SELECT pg_try_advisory_lock(pg_backend_pid())"),
		query("SELECT pg_advisory_unlock(pg_backend_pid())"),
		query("SELECT pg_try_advisory_lock(pg_backend_pid())"),
		query("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;"),
		query("SELECT 'free'"),
	},
	"two-phase words": {
		query("COMMIT"),
		query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SHOW transaction_read_only"),
		query("COMMIT AND CHAIN"),
		query("SHOW transaction_isolation"),
		query("ROLLBACK"),
		query("SHOW transaction_isolation"),
	},
	"pipeline": {
		extended(parse("k", "SELECT $1::int"), bind("", "k", "1"), execute("", 0), synced, bind("", "k", "2"), execute("", 0), synced,
			bind("", "k", "x"), execute("", 0), synced, bind("", "k", "4"), execute("", 0), closes('S', "k"), bind("", "k", "5"), execute("", 0), synced),
		extended(parse("", "BEGIN"), bind("", ""), execute("", 0), parse("k", "SELECT 6"), bind("", "k"), execute("", 0), synced),
		extended(bind("", "k"), execute("", 0), parse("", "COMMIT"), bind("", ""), execute("", 0), synced),
		{send: [][]byte{wiretest.Query("SELECT 1"), wiretest.Query("SELECT 1/0"), wiretest.Query("SELECT 2")}, ready: 3},
	},
}

// Clients of two orgs go through their scripts in any order, on few server
// connections; each gets what it would get alone on a connection of its own.
func TestPooling_StateFollows(t *testing.T) {
	for i, version := range versions(t) {
		// Both ways of sharing on both versions would take long.
		p := start(t, options{mode: []string{"transaction", "shared"}[i%2], version: version, pool: "max_server_connections: 24, max_per_org: 12",
			extra: "policy: {allow: {functions: [pg_try_advisory_lock]}}"})
		want := make(map[string][]string)
		for name, script := range scripts {
			c := p.direct(t)
			for _, x := range script {
				want[name] = append(want[name], x.play(t, c))
			}
			c.Conn.Close()
		}
		for seed := range uint64(6) {
			playTogether(t, p, seed, want)
		}
	}
}

// playTogether plays every script for both orgs, a turn at a time.
func playTogether(t *testing.T, p *proxy, seed uint64, want map[string][]string) {
	t.Helper()
	type player struct {
		client *wiretest.Client
		name   string
		next   int
	}
	var players []*player
	for name := range scripts {
		for _, org := range []string{orgA, orgB} {
			players = append(players, &player{client: p.connect(t, org), name: name})
		}
	}
	order := rand.New(rand.NewPCG(seed, 1))
	for len(players) > 0 {
		i := order.IntN(len(players))
		who := players[i]
		x := scripts[who.name][who.next]
		got := x.play(t, who.client)
		if got != want[who.name][who.next] {
			var sent strings.Builder
			for _, m := range x.send {
				fmt.Fprintf(&sent, "%q ", m)
			}
			t.Errorf("seed %d, %s, turn %d %s\ngot:\n%swant:\n%s", seed, who.name, who.next, &sent, got, want[who.name][who.next])
			return
		}
		if who.next++; who.next == len(scripts[who.name]) {
			who.client.Conn.Close()
			players = append(players[:i], players[i+1:]...)
		}
	}
}

// A driver that prepares everything needs no server connection of its own.
func TestPooling_ManyClientsOnTwoConnections(t *testing.T) {
	p := start(t, options{mode: "transaction", pool: "max_server_connections: 4, max_per_org: 2"})
	cfg, err := pgxpool.ParseConfig("postgres://anyone@" + p.addr + "/" + p.db + "?sslmode=disable&pool_max_conns=24&pool_min_conns=24")
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.Password = token(t, orgA, nil)
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "SET application_name = 'many'")
		return err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	usePool(t, "many clients", pool)
	_, body := get(t, p.consoleURL(t)+"/metrics")
	if strings.Contains(body, "bulkhead_pins_total{") {
		t.Errorf("sessions keep their server connection:\n%s", body)
	}
}

// More statements than a server connection keeps: the ones that made room are
// prepared again.
func TestPooling_MoreStatementsThanAServerConnectionKeeps(t *testing.T) {
	p := start(t, options{mode: "transaction", pool: "max_server_connections: 2, max_per_org: 1"})
	c := p.connect(t, orgA)
	const n = 600
	for i := range n {
		c.Send(parse(fmt.Sprintf("s%d", i), fmt.Sprintf("SELECT %d + $1::int", i)), synced)
		c.Until(1)
	}
	for i := range n {
		c.Send(bind("", fmt.Sprintf("s%d", i), "1"), execute("", 0), synced)
		if got, want := fmt.Sprint(wiretest.Rows(c.Until(1))), fmt.Sprintf("[[%d]]", i+1); got != want {
			t.Fatalf("statement %d: got %s, want %s", i, got, want)
		}
	}
	count := "SELECT count(*) < 300 FROM pg_prepared_statements"
	if got := fmt.Sprint(wiretest.Rows(c.Query(count))); got != "[[t]]" {
		t.Errorf("%s: %s", count, got)
	}
}

// What keeps a server connection lets go of it when its cause is gone.
func TestPooling_PinEnds(t *testing.T) {
	p := start(t, options{
		mode: "transaction", pool: "max_server_connections: 2, max_per_org: 1",
		extra: "policy: {allow: {functions: [pg_advisory_lock], statements: [LISTEN]}}",
	})
	for _, x := range []struct{ begin, end, reason string }{
		{"CREATE TEMP TABLE t (a int)", "DROP TABLE t", "temporary_object"},
		{"CREATE TEMP TABLE t (a int)", "DISCARD TEMP", ""},
		{"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CLOSE c", "cursor_with_hold"},
		{"PREPARE s AS SELECT 1", "DEALLOCATE s", "prepared_statement"},
		{"LISTEN x", "UNLISTEN x", "listen"},
		{"SELECT pg_advisory_lock(42)", "SELECT pg_advisory_unlock(42)", "advisory_lock"},
		{"CREATE TEMP TABLE t (a int)", "DISCARD ALL", ""},
	} {
		a, b := p.connect(t, orgA), p.connect(t, orgA)
		if e, failed := wiretest.Error(a.Query(x.begin)); failed {
			t.Fatalf("%s: %v", x.begin, e)
		}
		b.Send(wiretest.Query("SELECT 'b'")) // waits until a lets go
		if e, failed := wiretest.Error(a.Query(x.end)); failed {
			t.Fatalf("%s: %v", x.end, e)
		}
		if got := fmt.Sprint(wiretest.Rows(b.Until(1))); got != "[[b]]" {
			t.Errorf("after %s, another session gets %s", x.end, got)
		}
		if _, body := get(t, p.consoleURL(t)+"/metrics"); x.reason != "" && !strings.Contains(body, `bulkhead_pins_total{reason="`+x.reason+`"}`) {
			t.Errorf("%s: no pin for %s in the metrics:\n%s", x.begin, x.reason, grep(body, "pins_total"))
		}
		a.Conn.Close()
		b.Conn.Close()
	}
}

func grep(text, part string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			b.WriteString(line)
		}
	}
	return b.String()
}
