package proxytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
	"github.com/pgbulkhead/bulkhead/tenant"
)

// floor is what bulkhead harden adds to a table.
const floor = `
ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts FORCE ROW LEVEL SECURITY;
DROP POLICY tenant ON accounts;
CREATE POLICY bulkhead_floor ON accounts AS RESTRICTIVE USING (org_id = (SELECT bulkhead.org_id()));
CREATE POLICY anything ON accounts USING (true);
`

// keyFile writes a signing key to a new file.
func keyFile(t testing.TB, id int, fill byte) string {
	t.Helper()
	k, err := tenant.NewKey(id, bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "signing.key")
	if err := os.WriteFile(file, tenant.FormatKey(k), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// contextSQL returns what installs the context for the roles, with key 1.
func contextSQL(t testing.TB, pg *pgtest.Server, mode dbcontext.Mode, roles ...string) string {
	t.Helper()
	c := pg.Connect(t, "postgres")
	defer c.Close(context.Background())
	o := dbcontext.Options{Mode: mode, KeyType: "uuid", Superuser: true, Roles: roles, Version: 10000 * pg.Bin.Version}
	if err := c.QueryRow(context.Background(), "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", dbcontext.Owner).Scan(&o.OwnerExists); err != nil {
		t.Fatal(err)
	}
	steps, err := dbcontext.Install(o)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range steps {
		b.WriteString(s.SQL + ";\n")
	}
	fmt.Fprintf(&b, `SELECT bulkhead.add_key(1, '\x%s');`, strings.Repeat("a7", 32))
	return b.String()
}

// startSigned starts a proxy with a signed context before a database whose
// table accounts trusts nothing else.
func startSigned(t testing.TB, o options) (p *proxy, key string) {
	t.Helper()
	return startContext(t, o, dbcontext.Signed)
}

// startContext is startSigned for a mode, and a role that sessions take.
func startContext(t testing.TB, o options, mode dbcontext.Mode, role ...string) (p *proxy, key string) {
	t.Helper()
	key = keyFile(t, 1, 0xa7)
	o.sql = readFile(t, "testdata/careless.sql")
	o.extra += "\ntenant: {context: " + string(mode) + ", signing_key_file: " + key
	if len(role) > 0 {
		o.sql += tenantRole
		o.extra += ", role: " + role[0]
	}
	o.sql += contextSQL(t, pgtest.Shared(t, o.version), mode, append(role, "app")...) + floor
	o.extra += "}"
	return start(t, o), key
}

// whoAmI asks for everything that depends on the tenant. count(*) runs with
// the floor.
const whoAmI = "SELECT bulkhead.org_id(), bulkhead.claims()->>'sub', count(*) FROM accounts"

// TestSigned_EachOrgItsOwn: sessions of several users of two orgs, in both pool
// modes and both protocols, resets of all kinds among them.
func TestSigned_EachOrgItsOwn(t *testing.T) {
	for _, version := range versions(t) {
		for _, mode := range []string{"session", "transaction"} {
			p, _ := startSigned(t, options{version: version, mode: mode})
			want := map[string]string{orgA: "[[" + orgA + " tester 2]]", orgB: "[[" + orgB + " tester 1]]"}
			for _, reset := range []string{
				"SELECT 1", "RESET ALL", "DISCARD ALL", "RESET bulkhead.signature", "RESET request.jwt.claims", "RESET bulkhead.org_id",
				"SET bulkhead.signature TO DEFAULT", "BEGIN; RESET ALL; ROLLBACK", "SET SESSION AUTHORIZATION DEFAULT", "RESET ROLE",
			} {
				for org, want := range want {
					c := p.connect(t, org)
					for _, sql := range []string{whoAmI, reset, whoAmI} {
						msgs := c.Query(sql)
						if e, failed := wiretest.Error(msgs); failed {
							t.Fatalf("PostgreSQL %d, %s mode, %s: %s: %s", version, mode, reset, sql, e)
						}
						if got := fmt.Sprint(wiretest.Rows(msgs)); sql == whoAmI && got != want {
							t.Errorf("PostgreSQL %d, %s mode, around %s: got %s, want %s", version, mode, reset, got, want)
						}
					}
					// The same in one pipeline of the extended protocol.
					if !strings.Contains(reset, ";") {
						c.Send(parse("", reset), bind("", ""), execute("", 0), parse("", whoAmI), bind("", ""), execute("", 0), synced)
						if got := fmt.Sprint(lastRows(c.Until(1))); got != want {
							t.Errorf("PostgreSQL %d, %s mode, pipelined behind %s: got %s, want %s", version, mode, reset, got, want)
						}
					}
					c.Send(wiretest.Terminate)
				}
			}
		}
	}
}

// lastRows returns the last row, as Rows does.
func lastRows(msgs []wiretest.Message) [][]string {
	rows := wiretest.Rows(msgs)
	return rows[max(0, len(rows)-1):]
}

// TestSigned_ResetInsideAMessage: what stands behind a reset in one Query would
// run without the signature, so it is refused with a reason.
func TestSigned_ResetInsideAMessage(t *testing.T) {
	p, _ := startSigned(t, options{})
	c := p.connect(t, orgA)
	e, failed := wiretest.Error(c.Query("RESET ALL; " + whoAmI))
	if !failed || e.Field('C') != "0A000" {
		t.Errorf("got %v, want 0A000", e)
	}
	if got := fmt.Sprint(wiretest.Rows(c.Query(whoAmI))); got != "[["+orgA+" tester 2]]" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestSigned_Guard: the proxy refuses what would touch the context, and records
// it.
func TestSigned_Guard(t *testing.T) {
	p, _ := startSigned(t, options{})
	c := p.connect(t, orgA)
	attacks := map[string]string{
		"SET bulkhead.org_id = '" + orgB + "'":                         "G201",
		"SET bulkhead.signature = ''":                                  "G201",
		"SET LOCAL bulkhead.anything = 'x'":                            "G201",
		"SELECT set_config('BULKHEAD.Signature', 'x', false)":          "G201",
		"SELECT bulkhead.backend()":                                    "G413",
		"SELECT bulkhead.add_key(2, '\\x00')":                          "G413",
		"SET search_path = bulkhead":                                   "G206",
		"ALTER FUNCTION bulkhead.org_id() IMMUTABLE":                   "G6",
		"DO $$ BEGIN PERFORM bulkhead.retire_key(1, '1 hour'); END $$": "G6",
	}
	for sql, rule := range attacks {
		e, failed := wiretest.Error(c.Query(sql))
		if !failed || e.Field('C') != "42501" || !strings.Contains(e.Field('D'), "rule="+rule) {
			t.Errorf("%s: got %v, want a refusal by %s", sql, e, rule)
		}
	}
	if got := len(p.blocked(t, len(attacks))); got != len(attacks) {
		t.Errorf("%d records for %d attacks", got, len(attacks))
	}
	s := p.startup(t, orgA)
	s.Params = map[string]string{"bulkhead.signature": "x"}
	_, msgs, err := wiretest.Dial(t, s)
	if e, failed := wiretest.Error(msgs); err != nil || !failed || e.Field('C') != "42501" {
		t.Errorf("as a startup parameter: %v %s", err, wiretest.Transcript(msgs))
	}
	if got := fmt.Sprint(wiretest.Rows(c.Query(whoAmI))); got != "[["+orgA+" tester 2]]" {
		t.Errorf("afterwards: %s", got)
	}
}

// TestSigned_SecondWall: with the guard only observing, SQL in the session
// becomes no other tenant, and the session finds back.
func TestSigned_SecondWall(t *testing.T) {
	for _, version := range versions(t) {
		p, _ := startSigned(t, options{version: version, extra: "policy: {mode: observe}"})
		for _, attack := range []string{
			"DO $$ BEGIN SET bulkhead.org_id = '" + orgB + "'; END $$",
			"DO $$ BEGIN PERFORM set_config('bulkhead.' || 'org_id', '" + orgB + "', false); END $$",
			"SELECT set_config('request.jwt.claims', '{\"sub\":\"admin\"}', false)",
			"SET bulkhead.signature = '0001.9999999999." + strings.Repeat("0", 64) + "'",
			"SET bulkhead.signature = ''",
		} {
			c := p.connect(t, orgA)
			if e, failed := wiretest.Error(c.Query(attack)); failed {
				t.Fatalf("%s: the guard does not observe: %s", attack, e)
			}
			msgs := c.Query("SELECT name FROM accounts")
			if e, failed := wiretest.Error(msgs); !failed || e.Field('C') != "42501" {
				t.Errorf("PostgreSQL %d, after %s: got %v, %v, want 42501", version, attack, wiretest.Rows(msgs), e)
			}
			c.Query("RESET ALL")
			if got := fmt.Sprint(wiretest.Rows(c.Query(whoAmI))); got != "[["+orgA+" tester 2]]" {
				t.Errorf("PostgreSQL %d, after %s and RESET ALL: %s", version, attack, got)
			}
			c.Send(wiretest.Terminate)
		}
	}
}

// TestSigned_Expiry: a signature lives no longer than its server connection.
func TestSigned_Expiry(t *testing.T) {
	p, _ := startSigned(t, options{pool: "max_server_connections: 5, max_per_org: 5, max_lifetime: 2m"})
	c := p.connect(t, orgA)
	rows := wiretest.Rows(c.Query("SELECT split_part(current_setting('bulkhead.signature'), '.', 2)::bigint - extract(epoch FROM now())::bigint BETWEEN 100 AND 120"))
	if fmt.Sprint(rows) != "[[t]]" {
		t.Errorf("the signature does not end within two minutes: %v", rows)
	}
}

// TestSigned_Rotation: the key is replaced under load, by the command, and the
// old one ends, without an error.
func TestSigned_Rotation(t *testing.T) {
	for mode, kind := range map[string]dbcontext.Mode{"session": dbcontext.Signed, "transaction": dbcontext.Signed, "shared": dbcontext.Sealed} {
		p, key := startContext(t, options{mode: mode}, kind)
		ctx, stop := context.WithCancel(t.Context())
		var done atomic.Int64
		var clients sync.WaitGroup
		for i := range 8 {
			c, err := pgx.Connect(ctx, p.dsn(t, []string{orgA, orgB}[i%2]))
			if err != nil {
				t.Fatal(err)
			}
			clients.Go(func() {
				defer c.Close(context.WithoutCancel(ctx))
				for ctx.Err() == nil {
					var n int
					if err := c.QueryRow(context.WithoutCancel(ctx), "SELECT count(*) FROM accounts").Scan(&n); err != nil || n != 2-i%2 {
						t.Errorf("%s mode: %d rows, %v", mode, n, err)
						return
					}
					done.Add(1)
				}
			})
		}
		cmd := exec.Command(program, "key", "rotate", "--file", key, "--dsn", p.pg.SocketDSN(p.db), "--grace", "3s")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("rotate: %v\n%s", err, out)
		}
		p.awaitSQL(t, "SELECT not_after < clock_timestamp() FROM bulkhead.signing_key WHERE kid = 1")
		for before := done.Load(); done.Load() < before+100 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		stop()
		clients.Wait()
		if _, ok := p.stderr.await(`"msg":"signing key changed"`); !ok {
			t.Error("the proxy has not noticed the new key")
		}
		c := p.connect(t, orgA)
		if kind == dbcontext.Sealed {
			expectRows(t, mode, c, whoAmI, "[["+orgA+" tester 2]]")
			continue
		}
		expectRows(t, mode, c, "SELECT left(current_setting('bulkhead.signature'), 5)", "[[0002.]]")
	}
}

// dsn returns the connection string of a client of the org.
func (p *proxy) dsn(t testing.TB, org string) string {
	t.Helper()
	return "postgres://anyone:" + token(t, org, nil) + "@" + p.addr + "/" + p.db + "?sslmode=disable"
}

// awaitSQL waits until a query of the superuser's returns true.
func (p *proxy) awaitSQL(t *testing.T, sql string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	c := p.pg.Connect(t, p.db)
	defer c.Close(context.Background())
	for {
		var yes bool
		if err := c.QueryRow(ctx, sql).Scan(&yes); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if yes {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestSigned_KeyOfNobody: a key that the database does not know signs nothing,
// and the error is the database's own.
func TestSigned_KeyOfNobody(t *testing.T) {
	p, key := startSigned(t, options{})
	k, err := tenant.NewKey(77, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, tenant.FormatKey(k), 0o600); err != nil {
		t.Fatal(err)
	}
	p.stderr.await(`"msg":"signing key changed"`)
	c := p.connect(t, orgA)
	if e, failed := wiretest.Error(c.Query("SELECT name FROM accounts")); !failed || e.Field('C') != "42501" {
		t.Errorf("got %v, want 42501", e)
	}
	if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT count(*) FROM countries"))); got != "[[2]]" {
		t.Errorf("what needs no tenant: %s", got)
	}
}

// TestSigned_OnStandby: the proxy reads from a hot standby with the same keys.
func TestSigned_OnStandby(t *testing.T) {
	primary := withStandby(t)
	key := keyFile(t, 1, 0xa7)
	sql := readFile(t, "testdata/careless.sql") + contextSQL(t, primary, dbcontext.Signed, "app") + floor
	p := start(t, options{
		version: primary.Bin.Version, sql: sql, extra: "tenant: {signing_key_file: " + key + "}",
		standby: true,
	})
	c := p.connect(t, orgA)
	if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT pg_is_in_recovery()"))); got != "[[t]]" {
		t.Fatalf("not a standby: %s", got)
	}
	for range 2 {
		if got := fmt.Sprint(wiretest.Rows(c.Query(whoAmI))); got != "[["+orgA+" tester 2]]" {
			t.Errorf("got %s", got)
		}
		c.Query("DISCARD ALL")
	}
}

func withStandby(t *testing.T) *pgtest.Server {
	t.Helper()
	for _, b := range pgtest.All() {
		if b.HasStandby() {
			return pgtest.Shared(t, b.Version)
		}
	}
	t.Skip("no version of PostgreSQL here has pg_basebackup")
	return nil
}

// TestSigned_NotInstalled: a database that would not believe the proxy is told
// of at start, with what to do.
func TestSigned_NotInstalled(t *testing.T) {
	p, key := startSigned(t, options{})
	p.stop(t)
	for _, c := range []struct{ sql, want string }{
		{"SELECT bulkhead.retire_key(1, '0')", "does not accept what key 1 signs"},
		{"REVOKE EXECUTE ON FUNCTION bulkhead.backend() FROM app", "run bulkhead harden"},
		{"DROP POLICY bulkhead_floor ON accounts; DROP SCHEMA bulkhead CASCADE", "run bulkhead harden"},
		{"SELECT 1", "run bulkhead harden"},
	} {
		p.pg.Exec(t, p.db, c.sql)
		cmd := exec.Command(program, "serve", "--config", filepath.Join(p.dir, "bulkhead.yaml"))
		out, err := cmd.CombinedOutput()
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), c.want) {
			t.Errorf("after %s: %v, want exit code 1 and %q:\n%s", c.sql, err, c.want, tail(string(out)))
		}
	}
	if err := os.WriteFile(key, []byte("kid: x"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "serve", "--config", filepath.Join(p.dir, "bulkhead.yaml")).CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "kid is not a number") {
		t.Errorf("no key file: %v:\n%s", err, tail(string(out)))
	}
}
