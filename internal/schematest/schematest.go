// Package schematest loads the schemas of database/testdata/schemas into
// throw-away databases, and tries whether the application of one org reaches
// the rows of the other. Tests of the schema half share it.
package schematest

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// Schema is one file, with what its head says.
type Schema struct {
	Name   string
	App    []string // roles of the application; the first logs in
	As     string   // the role that it then becomes, "" for none
	Root   string
	Global []string
	Denied []string // tables that the application's own policies close
	A, B   string   // the two orgs

	sql string
}

// All returns every schema, by name.
func All(t testing.TB) []*Schema {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder(t), "*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no schemas in %s: %v", folder(t), err)
	}
	var list []*Schema
	for _, f := range files {
		list = append(list, Get(t, strings.TrimSuffix(filepath.Base(f), ".sql")))
	}
	return list
}

// folder finds the files from whichever package is tested.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "database", "testdata", "schemas")
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not inside the module")
		}
		dir = filepath.Dir(dir)
	}
}

var headLine = regexp.MustCompile(`(?m)^-- (app|as|root|global|denied|a|b): (.*)$`)

// Get returns the schema of that name.
func Get(t testing.TB, name string) *Schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder(t), name+".sql"))
	if err != nil {
		t.Fatal(err)
	}
	return Parse(name, string(text))
}

// Parse reads a schema from its text.
func Parse(name, text string) *Schema {
	s := &Schema{Name: name, sql: text}
	for _, m := range headLine.FindAllStringSubmatch(s.sql, -1) {
		switch m[1] {
		case "app":
			for _, role := range strings.Split(m[2], ", ") {
				s.App = append(s.App, strings.Trim(role, `"`))
			}
		case "as":
			s.As = m[2]
		case "root":
			s.Root = m[2]
		case "global":
			s.Global = strings.Split(m[2], ", ")
		case "denied":
			s.Denied = strings.Split(m[2], ", ")
		case "a":
			s.A = m[2]
		case "b":
			s.B = m[2]
		}
	}
	return s
}

// Database is a schema in a database.
type Database struct {
	*Schema
	Server *pgtest.Server
	Name   string
	Admin  *pgx.Conn // superuser

	counts map[string]int // rows of A, before anything is hardened
}

// Install makes a database with the schema, for the length of the test.
func (s *Schema) Install(t testing.TB, server *pgtest.Server) *Database {
	t.Helper()
	return s.InstallAs(t, server, "")
}

// InstallAs is Install with a role that makes the schema, and so owns it. It
// must be able to make roles.
func (s *Schema) InstallAs(t testing.TB, server *pgtest.Server, owner string) *Database {
	t.Helper()
	d := &Database{Schema: s, Server: server, Name: server.CreateDatabase(t), counts: make(map[string]int)}
	if owner == "" {
		server.Exec(t, d.Name, s.sql)
	} else {
		server.Exec(t, d.Name, "alter database "+d.Name+" owner to "+owner+"; alter schema public owner to "+owner+"; set role "+owner+";\n"+s.sql)
	}
	d.Admin = server.Connect(t, d.Name)
	t.Cleanup(func() { d.Admin.Close(context.Background()) })
	for _, x := range d.tables(t) {
		var n int
		if err := d.Admin.QueryRow(t.Context(), "select count(*) from "+x.sql+" where marker = 'A'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		d.counts[x.sql] = n
	}
	return d
}

// Connect connects as the application for an org, "" for none.
func (d *Database) Connect(t testing.TB, org string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(d.Server.DSN("x", d.Name))
	if err != nil {
		t.Fatal(err)
	}
	cfg.User, cfg.Password = d.App[0], d.App[0]
	if org != "" {
		cfg.RuntimeParams["app.org_id"] = org
		cfg.RuntimeParams["bulkhead.org_id"] = org
		cfg.RuntimeParams["request.jwt.claims"] = `{"sub": "` + strings.ReplaceAll(org, `"`, `\"`) + `"}`
	}
	if d.As != "" {
		cfg.RuntimeParams["role"] = d.As
	}
	c, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatalf("connect as %s: %v", d.App[0], err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}
