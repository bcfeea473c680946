package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// scriptServer is the PostgreSQL server of all scripts.
var scriptServer struct {
	sync.Mutex
	*pgtest.Server
}

// stopScriptServer ends it.
func stopScriptServer() {
	scriptServer.Lock()
	defer scriptServer.Unlock()
	if scriptServer.Server != nil {
		_ = scriptServer.Stop()
		scriptServer.Server = nil
	}
}

// scriptDatabase implements the script command `database SCHEMA`: a database
// with the schema of that name in database/testdata/schemas, whose superuser's
// DSN is in $DSN.
func scriptDatabase(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: database SCHEMA")
	}
	scriptServer.Lock()
	defer scriptServer.Unlock()
	if scriptServer.Server == nil {
		s, err := pgtest.Start(context.Background(), pgtest.Options{})
		ts.Check(err)
		scriptServer.Server = s
	}
	schema, err := os.ReadFile(filepath.Join("..", "..", "database", "testdata", "schemas", args[0]+".sql"))
	ts.Check(err)
	name := "s_" + strings.ToLower(rand.Text()[:12])
	execute := func(database, sql string) {
		conn, err := pgx.Connect(context.Background(), scriptServer.SocketDSN(database))
		ts.Check(err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), sql)
		ts.Check(err)
	}
	execute("postgres", "create database "+name)
	execute(name, string(schema))
	ts.Setenv("DSN", scriptServer.SocketDSN(name))
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
