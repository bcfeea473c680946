package proxytest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// unprotected is an application without row security, whose tenants have
// numbers.
const unprotected = `
CREATE ROLE app LOGIN PASSWORD 'app';
CREATE TABLE organizations (id bigint PRIMARY KEY, name text);
CREATE TABLE calls (id bigint PRIMARY KEY, organization_id bigint NOT NULL REFERENCES organizations, note text);
CREATE TABLE recordings (id bigint PRIMARY KEY, call_id bigint NOT NULL REFERENCES calls, note text);
INSERT INTO organizations VALUES (1, 'one'), (2, 'two');
INSERT INTO calls VALUES (10, 1, 'own'), (20, 2, 'CANARY-B');
INSERT INTO recordings VALUES (100, 10, 'own'), (200, 20, 'CANARY-B');
GRANT SELECT, INSERT, UPDATE, DELETE ON organizations, calls, recordings TO app;
`

// TestContext_WholeWay: from an application without any row security to a
// context that its SQL cannot forge, by the commands that a user types: harden,
// key, serve, and harden again for another mode.
func TestContext_WholeWay(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []dbcontext.Mode{dbcontext.Signed, dbcontext.Sealed} {
		key := filepath.Join(dir, string(mode)+".key")
		p := start(t, options{
			sql: unprotected, mode: "transaction", extra: "policy: {mode: observe}\ntenant: {org_type: integer, context: " + string(mode) + ", signing_key_file: " + key + "}",
			prepare: func(p *proxy) {
				dsn := p.pg.SocketDSN(p.db)
				p.command(t, "harden", "apply", "--yes", "--context", string(mode), "--dsn", dsn, "--app-role", "app", "--root-table", "public.organizations", "--tenant-column", "organization_id")
				p.command(t, "key", "new", "--file", key, "--dsn", dsn)
			},
		})
		for org, want := range map[string]string{"1": "[[10 100 1]]", "2": "[[20 200 1]]"} {
			c := p.connect(t, org)
			expectRows(t, string(mode), c, "SELECT c.id, r.id, count(*) OVER () FROM calls c JOIN recordings r ON r.call_id = c.id", want)
			for _, attack := range []string{
				"DO $$ BEGIN SET bulkhead.org_id = '2'; END $$", "DO $$ BEGIN PERFORM set_config('bulkhead.' || 'org_id', '1', false); END $$",
			} {
				for _, row := range wiretest.Rows(c.Query("BEGIN; " + attack + "; SELECT id FROM calls")) {
					if fmt.Sprint(row) != "["+want[2:4]+"]" {
						t.Errorf("%s: org %s reads call %s by %s", mode, org, row, attack)
					}
				}
				c.Query("ROLLBACK")
			}
			if e, failed := wiretest.Error(c.Query("INSERT INTO recordings VALUES (300 + " + org + ", CASE " + org + " WHEN 1 THEN 20 ELSE 10 END, 'x')")); !failed || e.Field('C') != "42501" {
				t.Errorf("%s: org %s writes below another's call: %v", mode, org, e)
			}
			c.Send(wiretest.Terminate)
		}
		p.stop(t)
		p.command(t, "harden", "rollback", "--yes", "--dsn", p.pg.SocketDSN(p.db))
	}
}

// command runs the program and fails the test unless it ends with 0.
func (p *proxy) command(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("bulkhead %v: %v\n%s", args, err, tail(string(out)))
	}
}
