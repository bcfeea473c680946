package proxytest

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/lib/pq"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// tool finds a client program of PostgreSQL.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, b := range pgtest.All() {
		if path := filepath.Join(b.Dir, name); fileExists(path) {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (p *proxy) run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool(t, name), args...)
	cmd.Env = append(os.Environ(), "PGHOST="+host, "PGPORT="+port, "PGUSER=anyone", "PGDATABASE="+p.db, "PGPASSWORD="+token(t, orgA, nil), "PGSSLMODE=prefer")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestPrograms_Psql(t *testing.T) {
	// psql's own queries fit servers up to its own version.
	p := start(t, options{version: versions(t)[0]})
	script := filepath.Join(t.TempDir(), "script.sql")
	text := "SELECT name FROM accounts ORDER BY id;\n\\d accounts\n\\dt\n\\dv\n\\dn\n\\du\n\\df own_sum\n\\l\n" +
		"SELECT 1 AS a, 'x' AS b \\gdesc\n\\copy (SELECT name FROM accounts) TO STDOUT\nSELECT 1;\n"
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := p.run(t, "psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", script)
	if err != nil || strings.Contains(out, canary) || !strings.Contains(out, "own one") {
		t.Errorf("psql: %v\n%s", err, out)
	}
	out, err = p.run(t, "psql", "-X", "-v", "ON_ERROR_STOP=1", "-c", "SET ROLE admin_bypass")
	if err == nil || !strings.Contains(out, "rule=G3") || !strings.Contains(out, "HINT") {
		t.Errorf("psql sees of a refusal: %v\n%s", err, out)
	}
}

func TestPrograms_Pgbench(t *testing.T) {
	for _, mode := range []string{"session", "transaction"} {
		p := start(t, options{mode: mode})
		script := filepath.Join(t.TempDir(), "script.sql")
		body := "\\set id random(1, 3)\nBEGIN;\nSELECT name FROM accounts WHERE id = :id;\nUPDATE countries SET name = name WHERE code = 'de';\nEND;\n"
		pipeline := "\\startpipeline\nSELECT name FROM accounts WHERE id = 1;\nSELECT 2;\nSELECT count(*) FROM countries;\n\\endpipeline\n"
		for _, protocol := range []string{"simple", "extended", "prepared", "pipeline"} {
			text, m := body, protocol
			if protocol == "pipeline" {
				text, m = pipeline, "prepared"
			}
			if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := p.run(t, "pgbench", "-n", "-M", m, "-c", "4", "-t", "50", "-f", script)
			if err != nil || !strings.Contains(out, "actually processed: 200/200") {
				t.Errorf("%s mode, pgbench %s: %v\n%s", mode, protocol, err, out)
			}
		}
	}
}

func TestDrivers_LibPQ(t *testing.T) {
	p := start(t, options{mode: "transaction"})
	host, port, _ := net.SplitHostPort(p.addr)
	db, err := sql.Open("postgres", fmt.Sprintf("host=%s port=%s user=anyone dbname=%s password=%s sslmode=disable", host, port, p.db, token(t, orgA, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	stmt, err := db.Prepare("SELECT name FROM accounts WHERE name = $1")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"own one", "own two"} {
		var got string
		if err := stmt.QueryRow(name).Scan(&got); err != nil || got != name {
			t.Errorf("got %q, %v; want %q", got, err, name)
		}
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SET LOCAL app.org_id = '" + orgB + "'"); err == nil {
		t.Error("SET LOCAL of the tenant is accepted")
	}
	if err := tx.Rollback(); err != nil {
		t.Errorf("rollback: %v", err)
	}
}
