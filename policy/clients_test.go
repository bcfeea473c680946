package policy

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.StopShared()
	os.Exit(code)
}

// newClientEngine is an engine for statements of real clients: names that the
// sample does not have count as missing.
func newClientEngine(t testing.TB) *Engine {
	t.Helper()
	e, err := New(Options{
		TenantColumns:  []string{"org_id"},
		TenantSettings: []string{"app.org_id"},
		Lookup: func(context.Context) (*Catalog, error) {
			return &Catalog{TakenAt: time.Now()}, nil
		},
	})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return e
}

// TestClientStatements holds what drivers, ORMs and pools send besides the
// application's own statements. None may be refused.
func TestClientStatements(t *testing.T) {
	data, err := os.ReadFile("testdata/clients.sql")
	if err != nil {
		t.Fatal(err)
	}
	e := newClientEngine(t)
	for line := range strings.Lines(string(data)) {
		text := strings.TrimSuffix(line, "\n")
		if text == "" || strings.HasPrefix(text, "--") {
			continue
		}
		if d := e.Inspect(t.Context(), text, Simple).Decision; d.Action != Allow {
			t.Errorf("%s\n got %s %q, want allowed", text, d.Rule, d.Reason)
		}
	}
}

// TestClientCatalog holds what clients use of the catalogue. None may be
// refused.
func TestClientCatalog(t *testing.T) {
	data, err := os.ReadFile("testdata/clients_catalog.txt")
	if err != nil {
		t.Fatal(err)
	}
	e := newClientEngine(t)
	for line := range strings.Lines(string(data)) {
		kind, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		text := ""
		switch kind {
		case "#":
			continue
		case "function":
			text = "SELECT " + name + "(a) FROM pg_catalog.pg_class"
		case "relation":
			text = "SELECT * FROM " + name
		default:
			t.Fatalf("testdata: %q", line)
		}
		if d := e.Inspect(t.Context(), text, Simple).Decision; d.Action != Allow {
			t.Errorf("%s: got %s %q, want allowed", text, d.Rule, d.Reason)
		}
	}
}

// psqlCommands are the commands of psql that describe the schema.
const psqlCommands = `\d
\d+
\dt
\dt+
\dtvms *.*
\d pg_class
\d+ pg_class
\d sample
\d+ sample
\d sample_view
\d sample_id_seq
\da
\dA
\db
\dc
\dC
\dd
\dD
\ddp
\de
\des
\deu
\dew
\df
\df+
\dF
\dFd
\dFp
\dFt
\dg
\di
\di+
\dl
\dL
\dm
\dn
\dn+
\do
\dO
\dp
\dP
\drds
\dRp
\dRs
\ds
\dT
\dT+
\du
\dv
\dv+
\dx
\dX
\dy
\l
\sf sample_function
\sv sample_view
\z
`

// Queries that psql shows before it sends them, in the form of version 15 and
// of later ones.
var psqlQuery = regexp.MustCompile(`(?s)(?:\*{9} QUERY \*{10}|/\*{8} QUERY \*{9}/)\n(.*?)\n(?:\*{26}|/\*{24}/)`)

// TestPsqlDescribe asks psql which statements its \d commands send. None may
// be refused, save \deu: user mappings hold passwords.
func TestPsqlDescribe(t *testing.T) {
	server := pgtest.Shared(t, 0)
	psql := findPsql(t, server)
	database := server.CreateDatabase(t)
	server.Exec(t, database, `CREATE TABLE sample_org (id uuid PRIMARY KEY);
		CREATE TABLE sample (id serial PRIMARY KEY, name text DEFAULT 'x' CHECK (name <> ''), org_id uuid REFERENCES sample_org);
		ALTER TABLE sample ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON sample USING (true);
		CREATE VIEW sample_view AS SELECT * FROM sample;
		CREATE FUNCTION sample_function() RETURNS int LANGUAGE sql AS 'SELECT 1';`)
	cmd := exec.CommandContext(t.Context(), psql, "-X", "-E", "-d", server.DSN(pgtest.Superuser, database))
	cmd.Stdin = strings.NewReader(psqlCommands)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	queries := psqlQuery.FindAllStringSubmatch(string(out), -1)
	if len(queries) < 50 {
		t.Fatalf("psql showed %d queries, want at least 50", len(queries))
	}
	e := newClientEngine(t)
	for _, q := range queries {
		if d := e.Inspect(t.Context(), q[1], Simple).Decision; d.Action != Allow && !strings.Contains(q[1], "pg_user_mappings") {
			t.Errorf("%s\n got %s %q, want allowed", q[1], d.Rule, d.Reason)
		}
	}
}

// findPsql returns psql of the server's folder or of PATH.
func findPsql(t *testing.T, server *pgtest.Server) string {
	t.Helper()
	beside := filepath.Join(server.Bin.Dir, "psql")
	if _, err := os.Stat(beside); err == nil {
		return beside
	}
	path, err := exec.LookPath("psql")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("psql is not installed")
	}
	return path
}
