package proxytest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// running counts the server processes of the proxy that run something.
func (p *proxy) running(t testing.TB) (n int) {
	t.Helper()
	c := p.pg.Connect(t, p.db)
	defer c.Close(context.Background())
	if err := c.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'app' AND state = 'active'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A client that leaves its statements behind, one after the other, runs no
// more of them at a time than the pool has places. Each place once became free
// with its client, while the server process worked on.
func TestPool_Abandoned(t *testing.T) {
	slow := wiretest.Query("SELECT pg_sleep(120)")
	ways := map[string]func(c *wiretest.Client){
		"closes":     func(c *wiretest.Client) { c.Send(slow) },
		"terminates": func(c *wiretest.Client) { c.Send(slow, wiretest.Terminate) },
		"no Sync":    func(c *wiretest.Client) { c.Send(run2("SELECT pg_sleep(120)"), wiretest.Flush) },
		"half a message": func(c *wiretest.Client) {
			c.Send(slow, bind("", "", "")[:9])
		},
		"many": func(c *wiretest.Client) { c.Send(slow, slow, slow, wiretest.Terminate) },
	}
	for _, mode := range []string{"transaction", "session"} {
		for what, leave := range ways {
			p := start(t, options{mode: mode, pool: "max_server_connections: 2, max_per_org: 2, queue_timeout: 300ms"})
			for range 4 {
				c, msgs, _ := wiretest.Dial(t, p.startup(t, orgA))
				if len(msgs) > 0 && msgs[len(msgs)-1].Type == 'Z' {
					c.Query("SELECT 1") // its label is on: now nothing is held back
					before := p.running(t)
					leave(c)
					for end := time.Now().Add(500 * time.Millisecond); p.running(t) == before && time.Now().Before(end); {
						time.Sleep(10 * time.Millisecond)
					}
				}
				c.Conn.Close()
			}
			if n := p.running(t); n > 2 {
				t.Errorf("%s mode, a client %s: %d server processes run, the pool has 2 places", mode, what, n)
			}
			p.pg.Exec(t, p.db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'app'")
		}
	}
}

// What a client has sent is carried out although it is gone, as PostgreSQL
// does; but not for ever.
func TestPool_AbandonedEnds(t *testing.T) {
	p := start(t, options{mode: "transaction", pool: "max_server_connections: 1, max_per_org: 1"})
	for i, last := range [][]byte{nil, wiretest.Terminate} {
		c := p.connect(t, orgA)
		c.Query("SELECT 1")
		c.Send(wiretest.Query(fmt.Sprintf("INSERT INTO countries SELECT 'c%d', pg_sleep(0.3)::text", i)), last)
		c.Conn.Close()
		p.awaitSQL(t, fmt.Sprintf("SELECT count(*) = 1 FROM countries WHERE code = 'c%d'", i))
	}
	c := p.connect(t, orgA)
	c.Query("SELECT 1")
	c.Send(wiretest.Query("SELECT pg_sleep(600)"), wiretest.Query("SELECT pg_sleep(600)"))
	for p.running(t) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	c.Conn.Close()
	expectRows(t, "with the one place", p.connect(t, orgA), "SELECT 1", "[[1]]")
}

// A client that keeps a server connection by half of a batch, or of a message,
// is in a transaction as far as others of its org can tell.
func TestPool_HalfSent(t *testing.T) {
	p := start(t, options{mode: "transaction", pool: "max_server_connections: 1, max_per_org: 1", extra: "limits: {idle_in_transaction_timeout: 300ms}"})
	for what, send := range map[string][]byte{
		"a batch":           append(parse("", "SELECT 1"), wiretest.Flush...),
		"a Bind":            append(append(parse("", "SELECT $1"), wiretest.Flush...), bind("", "", "x")[:9]...),
		"a Bind on its own": bind("", "", "xxxxxxxxxxxx")[:12],
	} {
		c := p.connect(t, orgA)
		c.Send(send)
		var last wiretest.Message
		for m, err := c.Receive(); err == nil; m, err = c.Receive() {
			last = m
		}
		if last.Type != 'E' || last.Field('C') != "25P03" {
			t.Errorf("half of %s: %s, want 25P03", what, last)
		}
		expectRows(t, "after half of "+what, p.connect(t, orgA), "SELECT 1", "[[1]]")
	}
}
