package proxytest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// TestSealed_OneConnectionForAll: two orgs take turns on one server connection,
// with resets of all kinds between.
func TestSealed_OneConnectionForAll(t *testing.T) {
	for _, version := range versions(t) {
		for _, mode := range []string{"shared", "session", "transaction"} {
			o := options{version: version, mode: mode}
			if mode == "shared" {
				o.pool = oneShared
			}
			p, _ := startContext(t, o, dbcontext.Sealed)
			a, b := p.connect(t, orgA), p.connect(t, orgB)
			for _, reset := range [][]string{
				{"SELECT 1"},
				{"RESET ALL"},
				{"DISCARD ALL"},
				{"DISCARD SEQUENCES"},
				{"RESET request.jwt.claims"},
				{"RESET bulkhead.org_id"},
				{"BEGIN; RESET ALL; ROLLBACK"},
				{"BEGIN; DISCARD SEQUENCES; ROLLBACK"},
				{"BEGIN; DISCARD ALL", "ROLLBACK"},
				{"BEGIN", "DISCARD SEQUENCES", "COMMIT"},
				{"RESET ROLE"},
				{"SET default_transaction_read_only = on"},
				{"DISCARD SEQUENCES"},
				{"SET SESSION AUTHORIZATION DEFAULT"},
				{"SET default_transaction_read_only = off"},
			} {
				what := fmt.Sprintf("PostgreSQL %d, %s mode, after %s", version, mode, reset)
				sealedAfter(t, what, a, reset, "[["+orgA+" tester 2]]")
				sealedAfter(t, what, b, reset, "[["+orgB+" tester 1]]")
			}
		}
	}
}

// sealedAfter sends resets, and expects the context to be the same afterwards.
func sealedAfter(t *testing.T, what string, c *wiretest.Client, reset []string, want string) {
	t.Helper()
	for _, sql := range reset {
		if e, failed := wiretest.Error(c.Query(sql)); failed && sql != "BEGIN; DISCARD ALL" {
			t.Fatalf("%s: %s", what, e)
		}
	}
	for range 2 {
		msgs := c.Query(whoAmI)
		if got := fmt.Sprint(wiretest.Rows(msgs)); got != want {
			t.Errorf("%s: got %s, want %s\n%s", what, got, want, wiretest.Transcript(msgs))
		}
	}
	if len(reset) > 1 || strings.Contains(reset[0], ";") || strings.HasPrefix(reset[0], "DISCARD") {
		return // no single statement, or refused in the extended protocol
	}
	c.Send(parse("", reset[0]), bind("", ""), execute("", 0), parse("", whoAmI), bind("", ""), execute("", 0), synced)
	if got := fmt.Sprint(lastRows(c.Until(1))); got != want {
		t.Errorf("%s, in a pipeline: got %s, want %s", what, got, want)
	}
}

// TestSealed_SecondWall: with the guard only observing, SQL in the session
// becomes no other tenant, and leaves nothing that the next org could use.
func TestSealed_SecondWall(t *testing.T) {
	for _, version := range versions(t) {
		p, _ := startContext(t, options{version: version, mode: "shared", pool: oneShared, extra: "policy: {mode: observe}"}, dbcontext.Sealed)
		for _, attack := range []string{
			"DO $$ BEGIN SET bulkhead.org_id = '" + orgB + "'; END $$",
			"DO $$ BEGIN PERFORM set_config('bulkhead.' || 'org_id', '" + orgB + "', false); END $$",
			"SELECT set_config('request.jwt.claims', '{}', false)", "SELECT bulkhead.challenge()",
		} {
			a, b := p.connect(t, orgA), p.connect(t, orgB)
			msgs := a.Query("BEGIN; " + attack + "; SELECT name FROM accounts")
			if e, failed := wiretest.Error(msgs); !failed || e.Field('C') != "42501" || !strings.HasPrefix(e.Field('M'), "bulkhead: ") {
				t.Errorf("PostgreSQL %d, after %s: got %v, %v, want 42501", version, attack, wiretest.Rows(msgs), e)
			}
			a.Send(wiretest.Terminate)
			if got := fmt.Sprint(wiretest.Rows(b.Query(whoAmI))); got != "[["+orgB+" tester 1]]" {
				t.Errorf("PostgreSQL %d, the next org after %s: %s", version, attack, got)
			}
			b.Send(wiretest.Terminate)
		}
	}
}

// TestSealed_ManyOrgs: clients of two orgs on three shared server connections,
// as a role of their own, never see each other's rows.
func TestSealed_ManyOrgs(t *testing.T) {
	p, _ := startContext(t, options{mode: "shared", pool: "max_server_connections: 3, max_per_org: 3"}, dbcontext.Sealed, "tenant_role")
	var clients sync.WaitGroup
	for i := range 8 {
		c, err := pgx.Connect(t.Context(), p.dsn(t, []string{orgA, orgB}[i%2]))
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			defer c.Close(context.Background())
			for range 60 {
				var org string
				var n int
				err := c.QueryRow(t.Context(), "SELECT bulkhead.org_id()::text, count(*) FROM accounts WHERE current_user = 'tenant_role'").Scan(&org, &n)
				if err != nil || n != 2-i%2 || org != []string{orgA, orgB}[i%2] {
					t.Errorf("client %d: org %s, %d rows, %v", i, org, n, err)
					return
				}
			}
		})
	}
	clients.Wait()
}

// TestSealed_DiscardInAPipeline is a documented difference: what stands behind
// it would run without a tenant.
func TestSealed_DiscardInAPipeline(t *testing.T) {
	p, _ := startContext(t, options{mode: "session"}, dbcontext.Sealed)
	c := p.connect(t, orgA)
	c.Send(parse("", "DISCARD ALL"), bind("", ""), execute("", 0), synced)
	if e, failed := wiretest.Error(c.Until(1)); !failed || e.Field('C') != "0A000" {
		t.Errorf("got %v, want 0A000", e)
	}
	if got := fmt.Sprint(wiretest.Rows(c.Query(whoAmI))); got != "[["+orgA+" tester 2]]" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestContext_Worker: a worker over all orgs picks one after the other, for the
// session and for a transaction; the database believes each pick and nothing
// else. Before the first pick there is no tenant.
func TestContext_Worker(t *testing.T) {
	for _, mode := range []dbcontext.Mode{dbcontext.Signed, dbcontext.Sealed} {
		for _, pool := range poolModes {
			if mode == dbcontext.Signed && strings.Contains(pool, "shared") {
				continue
			}
			o := options{mode: pool, issuer: anyToken}
			if strings.Contains(pool, "shared") {
				o.pool = oneShared
			}
			p, _ := startContext(t, o, mode)
			c := p.connectAs(t, claim(t, "*", time.Hour))
			what := fmt.Sprintf("%s, %s mode", mode, pool)
			const rows = "SELECT bulkhead.org_id(), count(*) FROM accounts"
			wantA, wantB := "[["+orgA+" 2]]", "[["+orgB+" 1]]"
			if e, failed := wiretest.Error(c.Query(rows)); !failed {
				t.Errorf("%s: a worker without an org gets rows (%v)", what, e)
			}
			expectRows(t, what, c, "SELECT 1", "[[1]]")
			for range 3 {
				c.Query("SET bulkhead.org_id = '" + orgA + "'")
				expectRows(t, what, c, rows, wantA)
				c.Query("BEGIN")
				c.Query("SET LOCAL bulkhead.org_id = '" + orgB + "'")
				expectRows(t, what+", in a transaction", c, rows, wantB)
				c.Query("COMMIT")
				expectRows(t, what+", after it", c, rows, wantA)
				c.Query("SET bulkhead.org_id = '" + orgB + "'")
				expectRows(t, what, c, rows, wantB)
				c.Query("RESET bulkhead.org_id")
			}
			c.Send(wiretest.Terminate)
		}
	}
}

// What takes the challenge away as the first message of a session, behind the
// label that brings one: the session proves its context again, and the next
// user of the org finds a challenge that is right.
func TestSealed_DiscardFirst(t *testing.T) {
	for _, mode := range []string{"transaction", "shared", "session"} {
		p, _ := startContext(t, options{mode: mode, pool: oneShared}, dbcontext.Sealed)
		for i, reset := range []string{"DISCARD SEQUENCES", "DISCARD ALL", "DISCARD SEQUENCES"} {
			for _, user := range []string{"one", "two"} {
				s := p.startup(t, orgA)
				s.Password = token(t, orgA, map[string]any{"nick": fmt.Sprint(user, i)})
				c, msgs, err := wiretest.Dial(t, s)
				if err != nil || msgs[len(msgs)-1].Type != 'Z' {
					t.Fatalf("%s mode, %s: %v %v", mode, reset, msgs, err)
				}
				if user == "one" {
					c.Query(reset)
				}
				expectRows(t, mode+" mode, after "+reset, c, whoAmI, "[["+orgA+" tester 2]]")
				c.Send(wiretest.Terminate)
				c.Conn.Close()
			}
		}
	}
}
