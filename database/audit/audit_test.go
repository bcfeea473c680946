package audit

import (
	"context"
	"os"
	"testing"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.StopShared()
	os.Exit(code)
}

// runAudit audits as the superuser.
func runAudit(t *testing.T, server *pgtest.Server, database string, o Options) *Report {
	t.Helper()
	conn := server.Connect(t, database)
	defer conn.Close(context.Background())
	report, err := Run(t.Context(), conn, o)
	if err != nil {
		t.Fatalf("audit: %v", err)
	}
	return report
}

func TestRun_FindsAndForgets(t *testing.T) {
	server := pgtest.Shared(t, 15)
	database := server.CreateDatabase(t)
	server.Exec(t, database, `DROP ROLE IF EXISTS aud_app; CREATE ROLE aud_app LOGIN;
		CREATE TABLE orgs (id uuid PRIMARY KEY); CREATE TABLE notes (id int PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs);
		GRANT SELECT ON notes TO aud_app;`)
	o := Options{Selection: inventory.Selection{AppRoles: []string{"aud_app"}}}
	got := runAudit(t, server, database, o).Findings
	if len(got) != 1 || got[0].Check != "A101" || got[0].Object != "public.notes" || got[0].Severity != Critical || got[0].Fingerprint != Fingerprint("A101", "public.notes") {
		t.Errorf("got %+v, want A101 on public.notes", got)
	}
	server.Exec(t, database, "ALTER TABLE notes ENABLE ROW LEVEL SECURITY; DROP OWNED BY aud_app; DROP ROLE aud_app")
	if got := runAudit(t, server, database, Options{}).Findings; len(got) != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
}
