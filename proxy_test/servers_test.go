package proxytest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// metric returns the value of a line of /metrics, 0 if there is none.
func (p *proxy) metric(t testing.TB, name string) float64 {
	t.Helper()
	_, body := get(t, p.consoleURL(t)+"/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	return 0
}

// awaitRows asks again until the rows are those.
func awaitRows(t *testing.T, what string, ask func() string, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = ask(); got == want {
			return
		}
	}
	t.Errorf("%s: got %s, want %s", what, got, want)
}

// Who gets no server connection in time is told and goes on; while connecting,
// that is the end.
func TestServers_QueueTimeout(t *testing.T) {
	for _, mode := range []string{"transaction", "shared"} {
		p := start(t, options{mode: mode, pool: "max_server_connections: 1, max_per_org: 1, queue_timeout: 300ms"})
		holder, c := p.connect(t, orgA), p.connect(t, orgA)
		holder.Query("BEGIN")
		for what, send := range map[string][][]byte{
			"simple":      {wiretest.Query("SELECT 1")},
			"extended":    {parse("", "SELECT 1"), bind("", ""), describe('P', ""), execute("", 0), synced},
			"large Parse": {parse("", "SELECT '"+strings.Repeat("x", 300_000)+"'"), bind("", ""), execute("", 0), synced},
		} {
			c.Send(send...)
			msgs := c.Until(1)
			if e, _ := wiretest.Error(msgs); len(msgs) != 2 || e.Field('S') != "ERROR" || e.Field('C') != "53300" || wiretest.Status(msgs) != 'I' {
				t.Errorf("%s, %s: %v, want ERROR 53300 and an idle session", mode, what, msgs)
			}
		}
		// A pipeline: each message for itself, the first waits as long as it may.
		c.Send(wiretest.Query("SELECT 1"), wiretest.Query("SELECT 2"))
		if msgs := c.Until(2); strings.Count(wiretest.Transcript(msgs), "C53300") != 2 {
			t.Errorf("%s, pipeline: %v", mode, msgs)
		}
		holder.Query("COMMIT")
		expectRows(t, mode, c, "SELECT 'served'", "[[served]]")
		holder.Query("BEGIN")
		s := p.startup(t, orgB)
		s.Params = map[string]string{"TimeZone": "Asia/Tokyo"} // nobody has connected with it: a server connection is needed
		if _, msgs, err := wiretest.Dial(t, s); err != nil || msgs[len(msgs)-1].Field('S') != "FATAL" || code(msgs) != "53300" {
			t.Errorf("%s, connecting: %v %v, want FATAL 53300", mode, msgs, err)
		}
	}
}

// First come, first served, within an org.
func TestServers_InOrder(t *testing.T) {
	for _, mode := range []string{"transaction", "shared"} {
		p := start(t, options{mode: mode, pool: "max_server_connections: 1, max_per_org: 1, queue_timeout: 60s"})
		p.pg.Exec(t, p.db, "CREATE TABLE turns (n serial, who int); GRANT ALL ON turns TO app; GRANT ALL ON turns_n_seq TO app")
		holder := p.connect(t, orgA)
		holder.Query("BEGIN")
		var waiting []*wiretest.Client
		for i := range 8 {
			c := p.connect(t, orgA)
			c.Send(wiretest.Query(fmt.Sprintf("INSERT INTO turns (who) VALUES (%d)", i)))
			waiting = append(waiting, c)
			awaitRows(t, "clients waiting", func() string { return fmt.Sprint(p.metric(t, "bulkhead_clients_waiting")) }, fmt.Sprint(i+1))
		}
		holder.Query("COMMIT")
		for _, c := range waiting {
			c.Until(1)
		}
		expectRows(t, mode, holder, "SELECT string_agg(who::text, '' ORDER BY n) FROM turns", "[[01234567]]")
	}
}

// An org comes back to its own server connection, and idle ones are closed in
// time: all but min_idle, and every one that is too old.
func TestServers_AffinityAndLimits(t *testing.T) {
	p := start(t, options{mode: "transaction", pool: "max_server_connections: 10, max_per_org: 4, min_idle: 1, idle_timeout: 1s, max_lifetime: 3s"})
	const pid = "SELECT pg_backend_pid()"
	a, b := p.connect(t, orgA), p.connect(t, orgB)
	pidA, pidB := fmt.Sprint(wiretest.Rows(a.Query(pid))), fmt.Sprint(wiretest.Rows(b.Query(pid)))
	for range 3 {
		expectRows(t, "org A", a, pid, pidA)
		expectRows(t, "org B", b, pid, pidB)
	}
	var many []*wiretest.Client
	for range 4 {
		c := p.connect(t, orgA)
		c.Query("BEGIN")
		many = append(many, c)
	}
	for _, c := range many {
		c.Query("COMMIT")
	}
	admin := p.pg.Connect(t, p.db)
	defer admin.Close(t.Context())
	count := func() string {
		var n int
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database()").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(n)
	}
	if got := count(); got < "5" {
		t.Errorf("%s server connections before idle_timeout, want 5 or more", got)
	}
	awaitRows(t, "server connections of the two orgs after idle_timeout", count, "2")
	awaitRows(t, "server connections after max_lifetime", count, "0")
	if got := fmt.Sprint(wiretest.Rows(a.Query(pid))); got == pidA || !strings.HasPrefix(got, "[[") {
		t.Errorf("after max_lifetime org A has server process %s again", got)
	}
}

// A server that is down: each client is told at once, and a storm of clients is
// no storm of logins. When it is back, the same sessions go on.
func TestServers_DownAndBack(t *testing.T) {
	p := own(t)
	const clients, rounds = 60, 5
	var sessions []*wiretest.Client
	for i := range clients {
		sessions = append(sessions, p.connect(t, fmt.Sprintf("%08x-0000-4000-8000-000000000000", i)))
	}
	p.pg.Kill()
	awaitRows(t, "server connections after the crash", func() string { return fmt.Sprint(p.metric(t, `bulkhead_server_connections{state="idle"}`)) }, "0")
	began := time.Now()
	var wg sync.WaitGroup
	for _, c := range sessions {
		wg.Go(func() {
			for range rounds {
				msgs := c.Query("SELECT 1")
				e, _ := wiretest.Error(msgs)
				if c := e.Field('C'); c != "08006" && c != "57P03" || e.Field('S') != "ERROR" || wiretest.Status(msgs) != 'I' {
					t.Errorf("while the server is down: %v", msgs)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	// One at a time with pauses of up to 2 s, after what was under way at first.
	if tried := p.metric(t, "bulkhead_server_login_failures_total"); tried > 30 {
		t.Errorf("%d statements of %d clients in %v made %v logins", clients*rounds, clients, took, tried)
	}
	if took > 20*time.Second {
		t.Errorf("the clients waited %v for their errors", took)
	}
	if err := p.pg.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, c := range sessions {
		awaitRows(t, "after the restart", func() string { return fmt.Sprint(wiretest.Rows(c.Query("SELECT current_setting('app.org_id')"))) },
			fmt.Sprintf("[[%08x-0000-4000-8000-000000000000]]", i))
	}
}

// A server that accepts and says nothing more: who needs a login is told in
// time, and goes on when it has thawed.
func TestServers_Frozen(t *testing.T) {
	pg := ownServer(t)
	p := inFront(t, pg, pg.DSN("app", "postgres")+"&connect_timeout=2", "pool: {queue_timeout: 1s, max_server_connections: 4, max_per_org: 2}")
	org := func(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", i) }
	var sessions []*wiretest.Client
	for i := range 12 {
		sessions = append(sessions, p.connect(t, org(i)))
	}
	pg.Freeze()
	thaw := sync.OnceFunc(pg.Thaw)
	defer thaw()
	var refused, served atomic.Int64
	began := time.Now()
	var wg sync.WaitGroup
	for i, c := range sessions {
		wg.Go(func() {
			msgs := c.Query("SELECT current_setting('app.org_id')")
			e, failed := wiretest.Error(msgs)
			switch code := e.Field('C'); {
			case !failed && fmt.Sprint(wiretest.Rows(msgs)) == "[["+org(i)+"]]":
				served.Add(1) // on a connection that was there
			case (code == "53300" || code == "08006") && e.Field('S') == "ERROR" && wiretest.Status(msgs) == 'I':
				refused.Add(1)
			default:
				t.Errorf("while the server is frozen: %v", msgs)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 10*time.Second || refused.Load() == 0 {
		t.Errorf("%d served, %d refused after %v, want refusals in time", served.Load(), refused.Load(), took)
	}
	thaw()
	for i, c := range sessions {
		awaitRows(t, "after the thaw", func() string { return fmt.Sprint(wiretest.Rows(c.Query("SELECT current_setting('app.org_id')"))) }, "[["+org(i)+"]]")
	}
}

// Two servers, of which one takes writes: when that role moves, sessions go on
// at the other one.
func TestServers_FailOver(t *testing.T) {
	first, second := ownServer(t), ownServer(t)
	second.Exec(t, "postgres", "ALTER SYSTEM SET default_transaction_read_only = on")
	second.Exec(t, "postgres", "SELECT pg_reload_conf()")
	dsn := fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=app dbname=postgres sslmode=disable target_session_attrs=read-write connect_timeout=3", second.Port, first.Port)
	for _, sharing := range []string{"dedicated", "shared"} {
		p := inFront(t, first, dsn, "pool: {sharing: "+sharing+"}")
		c, inTransaction := p.connect(t, orgA), p.connect(t, orgB)
		port := "SELECT current_setting('port')"
		expectRows(t, sharing, c, port, fmt.Sprintf("[[%d]]", first.Port))
		inTransaction.Query("BEGIN")
		inTransaction.Query("INSERT INTO t VALUES ('" + orgB + "', 1)")
		first.Exec(t, "postgres", "CHECKPOINT")
		first.Kill()
		second.Exec(t, "postgres", "ALTER SYSTEM RESET default_transaction_read_only")
		second.Exec(t, "postgres", "SELECT pg_reload_conf()")
		// A transaction is lost, and its client is told so; who had none goes on.
		inTransaction.Send(wiretest.Query("COMMIT"))
		last, _ := drain(inTransaction)
		if last.Type != 'E' || last.Field('S') != "FATAL" {
			t.Errorf("%s: the transaction ends with %v, want FATAL", sharing, last)
		}
		awaitRows(t, sharing+", after the fail-over", func() string { return fmt.Sprint(wiretest.Rows(c.Query(port))) }, fmt.Sprintf("[[%d]]", second.Port))
		expectRows(t, sharing, c, "SELECT current_setting('app.org_id')", "[["+orgA+"]]")
		if err := first.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		second.Exec(t, "postgres", "ALTER SYSTEM SET default_transaction_read_only = on")
		second.Exec(t, "postgres", "SELECT pg_reload_conf()")
		p.stop(t)
	}
}
