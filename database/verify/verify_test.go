package verify

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.StopShared()
	os.Exit(code)
}

// appRole is the role of the tests' application. Roles belong to the server,
// which tests share.
const appRole = "verify_app"

var makeRole sync.Mutex

// versions are those that have been found, of 13, 15 and 18.
func versions(t testing.TB) []int {
	t.Helper()
	var out []int
	for _, b := range pgtest.All() {
		out = append(out, b.Version)
	}
	if len(out) == 0 {
		t.Fatal(pgtest.ErrNotFound)
	}
	return out
}

func sharedServer(t testing.TB, version int) *pgtest.Server {
	t.Helper()
	return pgtest.Shared(t, version)
}

func readSchema(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("../testdata/schemas/" + name + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func newest(t testing.TB) int {
	t.Helper()
	all := versions(t)
	return all[len(all)-1]
}

// place is a database of a test.
type place struct {
	pg *pgtest.Server
	db string
}

// newPlace makes a database with the correct schema, and SQL on top of it.
func newPlace(t testing.TB, version int, more string) place {
	t.Helper()
	p := place{pg: pgtest.Shared(t, version)}
	p.db = p.pg.CreateDatabase(t)
	b, err := os.ReadFile("testdata/correct.sql")
	if err != nil {
		t.Fatal(err)
	}
	makeRole.Lock() // tests run side by side
	p.exec(t, "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '"+appRole+"') THEN CREATE ROLE "+appRole+" LOGIN PASSWORD '"+appRole+"'; END IF; END $$")
	makeRole.Unlock()
	invoker := "ALTER VIEW my_users SET (security_invoker = true);"
	if version < 15 {
		invoker = "DROP VIEW my_users; CREATE VIEW my_users AS SELECT code FROM countries;"
	}
	p.exec(t, strings.NewReplacer("%app%", appRole, "%invoker%", invoker).Replace(string(b)))
	if more != "" {
		p.exec(t, strings.NewReplacer("%app%", appRole, "current_database_here", p.db).Replace(more))
	}
	return p
}

func (p place) exec(t testing.TB, sql string) {
	t.Helper()
	p.pg.Exec(t, p.db, sql)
}

func (p place) options(mode Mode) Options {
	return Options{
		Mode: mode, AdminDSN: p.pg.SocketDSN(p.db), AppDSN: p.pg.DSN(appRole, p.db),
		Selection: inventory.Selection{AppRoles: []string{appRole}, GlobalTables: []string{"public.countries"}},
	}
}

func run(t testing.TB, o Options) *Report {
	t.Helper()
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// leaks are the relations and commands of leaks, once each.
func leaks(r *Report) []string {
	var out []string
	for i := range r.Matrix {
		if c := &r.Matrix[i]; c.Status == Leak {
			out = append(out, c.Relation+" "+c.Command)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func describeFindings(r *Report) string {
	var b strings.Builder
	for i, f := range r.Findings() {
		if i == 40 {
			b.WriteString("...\n")
			break
		}
		b.WriteString(string(f.Status) + " " + f.ID + ": " + f.Got + "; " + f.Note + "\n")
	}
	return b.String()
}

func TestCanary_CorrectSchema(t *testing.T) {
	for _, version := range versions(t) {
		p := newPlace(t, version, "")
		o := p.options(Canary)
		if version != newest(t) {
			o.Paths = []Path{Simple, Prepared}
		}
		r := run(t, o)
		if r.Result.Status != Isolated {
			t.Errorf("PostgreSQL %d: %s\n%s", version, r.Result.Summary, describeFindings(r))
		}
		if r.Result.Coverage.Percent != 100 || r.Database.FingerprintAfter != r.Database.Fingerprint {
			t.Errorf("PostgreSQL %d: coverage %v, database %+v", version, r.Result.Coverage, r.Database)
		}
	}
}
