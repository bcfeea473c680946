package proxytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// With tenant.role every reset leads back to that role, never to the login
// role, on every version.
func TestRole_Resets(t *testing.T) {
	for _, version := range versions(t) {
		for _, mode := range []string{"session", "transaction", "shared", "session, shared"} {
			p := start(t, options{version: version, mode: mode, extra: "tenant: {role: admin_bypass}"})
			for _, reset := range []string{
				"RESET ROLE", "RESET ALL", "SET SESSION AUTHORIZATION DEFAULT", "RESET SESSION AUTHORIZATION", "DISCARD ALL",
				"SET ROLE admin_bypass", "BEGIN; RESET ROLE; ROLLBACK", "BEGIN; SET SESSION AUTHORIZATION DEFAULT; COMMIT", "SET role TO DEFAULT",
			} {
				c := p.connect(t, orgA)
				if e, failed := wiretest.Error(c.Query(reset)); failed && !strings.HasPrefix(e.Field('D'), "rule=") {
					t.Errorf("%s: %s", reset, e)
				}
				c.Query("ROLLBACK")
				if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT current_user, current_setting('role')"))); got != "[[admin_bypass admin_bypass]]" {
					t.Errorf("PostgreSQL %d, %s pooling, after %s: %s", version, mode, reset, got)
				}
				c.Send(wiretest.Terminate)
			}
		}
	}
}
