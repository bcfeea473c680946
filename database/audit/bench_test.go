package audit

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// BenchmarkRun audits a database of 200 tenant tables, each with policies, a
// few indexes and foreign keys, and as many functions.
func BenchmarkRun(b *testing.B) {
	const tables = 200
	server := pgtest.Shared(b, 15)
	database := server.CreateDatabase(b)
	var sql strings.Builder
	sql.WriteString("DROP ROLE IF EXISTS aud_app; CREATE ROLE aud_app LOGIN; CREATE TABLE orgs (id uuid PRIMARY KEY);\n")
	for i := range tables {
		fmt.Fprintf(&sql, `CREATE TABLE t%[1]d (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, a text, b text, c numeric, d timestamptz,
			parent bigint REFERENCES t%[2]d, UNIQUE (org_id, a)); CREATE INDEX ON t%[1]d (parent); GRANT SELECT, INSERT, UPDATE, DELETE ON t%[1]d TO aud_app;
			ALTER TABLE t%[1]d ENABLE ROW LEVEL SECURITY; CREATE POLICY tenant ON t%[1]d USING (org_id = (SELECT nullif(current_setting('app.org_id', true), '')::uuid));
			CREATE FUNCTION f%[1]d() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM t%[1]d';`+"\n", i, max(i-1, 0))
	}
	server.Exec(b, database, sql.String())
	conn := server.Connect(b, database)
	b.Cleanup(func() {
		conn.Close(context.Background())
		server.Exec(b, database, "DROP OWNED BY aud_app; DROP ROLE aud_app")
	})
	for b.Loop() {
		report, err := Run(b.Context(), conn, Options{Selection: inventory.Selection{AppRoles: []string{"aud_app"}}})
		if err != nil || len(report.Findings) < tables {
			b.Fatalf("got %v, want %d findings or more", err, tables)
		}
	}
}
