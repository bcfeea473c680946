package proxytest

import (
	"context"
	"fmt"
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

var parse, bind, execute, describe, closes, synced = wiretest.Parse, wiretest.Bind, wiretest.Execute, wiretest.Describe, wiretest.Close, wiretest.Sync

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

// Each unnamed statement may come back if the server skips the next, so it is
// kept: but not any number of them.
func TestPooling_ManyLargeUnnamedStatements(t *testing.T) {
	p := start(t, options{mode: "transaction"})
	c := p.connect(t, orgA)
	c.Query("SELECT 1")
	text := "SELECT '" + strings.Repeat("x", 15<<10) + "'"
	const n = 2000 // 30 MB
	before := p.resident(t)
	all := make([][]byte, n)
	for i := range all {
		all[i] = parse("", text)
	}
	go c.Send(append(all, bind("", ""), execute("", 0), synced)...)
	done := 0
	for _, m := range c.Until(1) {
		if m.Type == '1' {
			done++
		}
	}
	if done != n {
		t.Errorf("%d statements were parsed, want %d", done, n)
	}
	if grown := p.resident(t) - before; grown > 24<<20 {
		t.Errorf("the proxy grew by %d MiB", grown>>20)
	}
}
