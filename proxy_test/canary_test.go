package proxytest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// ready polls /readyz until it answers as wanted, or gives up.
func (p *proxy) ready(t *testing.T, want int, text string) {
	t.Helper()
	url := p.consoleURL(t)
	deadline := time.Now().Add(time.Minute)
	for {
		status, body := get(t, url+"/readyz")
		if status == want && strings.Contains(body, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("/readyz: got %d %s, want %d with %q\n%s", status, body, want, text, tail(p.stderr.String()))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// The canary of the running proxy: /readyz fails while a table leaks, and
// recovers.
func TestCanary_ReadyzFailsWithIsolation(t *testing.T) {
	o := options{version: versions(t)[0], server: pgtest.New(t, pgtest.Options{Version: versions(t)[0]})}
	o.prepare = func(p *proxy) {
		hardenAll(t, p, dbcontext.Plain)
		// The guard must not help: what it lets through is what counts here.
		p.pg.Exec(t, p.db, `INSERT INTO old_notes VALUES ('`+orgA+`', 'own note')`)
	}
	o.configure = func(p *proxy) string {
		return `audit: {global_tables: [countries]}
verify: {interval: 200ms, dsn: "` + p.pg.DSN(pgtest.Superuser, p.db) + `", orgs: ["` + orgA + `", "` + orgB + `"]}
`
	}
	p := start(t, o)
	if line, ok := p.stderr.await("isolation verified"); !ok {
		t.Fatalf("the canary did not run: %s", tail(p.stderr.String()))
	} else if !strings.Contains(line, `"result":"isolated"`) {
		t.Fatal(line)
	}
	p.ready(t, http.StatusOK, `"ready":true`)
	// A policy that lets everything through, and a floor that is gone: row
	// security stays on, so the guard has no reason to refuse.
	p.pg.Exec(t, p.db, `DROP POLICY bulkhead_floor ON invoices; CREATE POLICY everything ON invoices USING (true)`)
	p.ready(t, http.StatusServiceUnavailable, `"isolation"`)
	p.pg.Exec(t, p.db, `DROP POLICY everything ON invoices`)
	p.ready(t, http.StatusOK, `"ready":true`)
	_, body := get(t, p.consoleURL(t)+"/metrics")
	for _, want := range []string{`bulkhead_verify_runs_total{result="leak"}`, "bulkhead_verify_coverage_ratio", "bulkhead_verify_last_run_timestamp_seconds"} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	for _, secret := range []string{orgA, orgB, "CANARY"} {
		if strings.Contains(p.stderr.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

// A database that is busy, half migrated or gone takes nothing out of
// service in the name of isolation.
func TestCanary_TroubleIsNoLeak(t *testing.T) {
	o := options{version: versions(t)[0], server: pgtest.New(t, pgtest.Options{Version: versions(t)[0]})}
	o.prepare = func(p *proxy) { hardenAll(t, p, dbcontext.Plain) }
	o.configure = func(p *proxy) string {
		return `audit: {global_tables: [countries]}
verify: {interval: 50ms, dsn: "` + p.pg.DSN(pgtest.Superuser, p.db) + `", orgs: ["` + orgA + `", "` + orgB + `"]}
`
	}
	p := start(t, o)
	// Rows come and go all the time: a session that cannot share the
	// administrator's snapshot sees others than it.
	busy, ended := make(chan struct{}), make(chan struct{})
	conn := p.pg.Connect(t, p.db)
	go func() {
		defer close(ended)
		for {
			select {
			case <-busy:
				return
			default:
			}
			if _, err := conn.Exec(context.Background(), "WITH gone AS (DELETE FROM accounts WHERE name = 'busy' RETURNING 1) INSERT INTO accounts (org_id, name) SELECT '"+orgA+"', 'busy' FROM generate_series(1, 3) WHERE pg_sleep(0.02) IS NOT NULL"); err != nil {
				return
			}
		}
	}()
	p.canaryRuns(t, 2)
	p.pg.Exec(t, p.db, "CREATE TABLE later (org_id uuid, note text); DROP TABLE messages CASCADE")
	p.canaryRuns(t, 1)
	close(busy)
	<-ended
	conn.Close(context.Background())
	failed := strings.Count(p.stderr.String(), "isolation could not be verified")
	p.pg.Kill()
	for strings.Count(p.stderr.String(), "isolation could not be verified") < failed+2 {
		if _, body := get(t, p.consoleURL(t)+"/readyz"); strings.Contains(body, `"isolation"`) {
			t.Fatalf("/readyz without a server: %s", body)
		}
	}
	if log := p.stderr.String(); strings.Contains(log, "isolation does not hold") {
		t.Errorf("trouble was taken for a leak: %s", tail(log))
	}
}

// canaryRuns waits for more runs of the canary that came to a result.
func (p *proxy) canaryRuns(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		return strings.Count(p.stderr.String(), `"isolation verified"`) + strings.Count(p.stderr.String(), "isolation could not be verified where")
	}
	deadline := time.Now().Add(time.Minute)
	for want := count() + more; count() < want; time.Sleep(10 * time.Millisecond) {
		if _, body := get(t, p.consoleURL(t)+"/readyz"); strings.Contains(body, `"isolation"`) {
			t.Fatalf("/readyz: %s\n%s", body, tail(p.stderr.String()))
		}
		if time.Now().After(deadline) {
			t.Fatalf("the canary came to no result: %s", tail(p.stderr.String()))
		}
	}
}
