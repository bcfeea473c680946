package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// scriptSchema implements the script command `schema NAME`: a database with the
// schema of that name in database/testdata/schemas, whose superuser's DSN is
// in $DSN, and that of the role NAME_app in $APP_DSN.
func scriptSchema(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: schema NAME")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "database", "testdata", "schemas", args[0]+".sql"))
	ts.Check(err)
	server := pgtest.Shared(t, 15)
	name := "s_" + strings.ToLower(rand.Text()[:12])
	server.Exec(t, "postgres", "create database "+name)
	server.Exec(t, name, string(text))
	ts.Setenv("DSN", server.SocketDSN(name))
	ts.Setenv("APP_DSN", server.DSN(args[0]+"_app", name))
}

// scriptSQL implements the script command `sql DSN TEXT`, whose rows go to
// stdout, a column after the other with | between.
func scriptSQL(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: sql DSN TEXT")
	}
	conn, err := pgx.Connect(context.Background(), args[0])
	ts.Check(err)
	defer conn.Close(context.Background())
	results, err := conn.PgConn().Exec(context.Background(), args[1]).ReadAll()
	if (err != nil) != neg {
		ts.Fatalf("%s: %v", args[1], err)
	}
	for _, r := range results {
		for _, row := range r.Rows {
			var cells []string
			for _, c := range row {
				cells = append(cells, string(c))
			}
			fmt.Fprintln(ts.Stdout(), strings.Join(cells, "|"))
		}
	}
}
