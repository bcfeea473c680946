package proxytest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// pool.min_idle is opened ahead, within the limits, and again after the server
// has ended what there was.
func TestServers_OpenedAhead(t *testing.T) {
	for _, x := range []struct{ mode, after string }{
		{"transaction", "6"}, // as many as there may be
		{"shared", "4"},
	} {
		p := start(t, options{mode: x.mode, pool: "max_server_connections: 6, max_per_org: 5, min_idle: 3"})
		l := p.loser(t)
		count := func() string {
			var n int
			if err := l.c.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database() AND application_name <> 'bulkhead'").Scan(&n); err != nil {
				t.Error(err)
			}
			return fmt.Sprint(n)
		}
		a := p.connect(t, orgA)
		expectRows(t, x.mode, a, "SELECT current_setting('app.org_id')", "[["+orgA+"]]")
		awaitRows(t, x.mode+", server connections of one org", count, "3")
		l.end("true", true)
		awaitRows(t, x.mode+", after the server has ended them", count, "3")
		a.Query("BEGIN")
		awaitRows(t, x.mode+", with a busy one", count, "4")
		b := p.connect(t, orgB)
		expectRows(t, x.mode, b, "SELECT current_setting('app.org_id')", "[["+orgB+"]]")
		awaitRows(t, x.mode+", with another org", count, x.after)
		a.Query("COMMIT")
	}
}

// Five hundred clients that come at once are no storm of logins, and all are
// served.
func TestServers_Storm(t *testing.T) {
	for _, mode := range []string{"transaction", "shared"} {
		p := start(t, options{mode: mode, pool: "max_server_connections: 8, max_per_org: 4, queue_timeout: 60s"})
		var all sync.WaitGroup
		startups := map[string]wiretest.Startup{orgA: p.startup(t, orgA), orgB: p.startup(t, orgB)}
		for i := range 500 {
			org := []string{orgA, orgB}[i%2]
			all.Go(func() {
				c, msgs, err := wiretest.Dial(t, startups[org])
				if err != nil || msgs[len(msgs)-1].Type != 'Z' {
					t.Errorf("%s: connect: %v %v", mode, msgs, err)
					return
				}
				defer c.Conn.Close()
				if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT current_setting('app.org_id')"))); got != "[["+org+"]]" {
					t.Errorf("%s: %s, want %s", mode, got, org)
				}
			})
		}
		all.Wait()
		l := p.loser(t)
		var logins int
		if err := l.c.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database()").Scan(&logins); err != nil || logins > 8 {
			t.Errorf("%s: %d server connections after the storm, want 8 or less (%v)", mode, logins, err)
		}
		var made int
		if err := l.c.QueryRow(t.Context(), "SELECT sessions FROM pg_stat_database WHERE datname = current_database()").Scan(&made); err == nil && made > 40 {
			t.Errorf("%s: %d logins for 500 clients", mode, made)
		}
	}
}
