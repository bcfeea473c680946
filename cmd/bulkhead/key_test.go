package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rogpeppe/go-internal/testscript"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// scriptSignedDB implements the script command signeddb. It sets ADMIN and APP
// to connection strings, and BACKEND and PID to what names the session.
func scriptSignedDB(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: signeddb")
	}
	ctx := context.Background()
	s, err := pgtest.Start(ctx, pgtest.Options{})
	ts.Check(err)
	ts.Defer(func() { s.Stop() })
	admin, err := pgx.Connect(ctx, s.SocketDSN("postgres"))
	ts.Check(err)
	defer admin.Close(ctx)
	_, err = admin.Exec(ctx, "create role app login")
	ts.Check(err)
	steps, err := dbcontext.Install(dbcontext.Options{
		Mode: dbcontext.Signed, KeyType: "bigint", Version: 10000 * s.Bin.Version, Superuser: true, Roles: []string{"app"},
	})
	ts.Check(err)
	for _, step := range steps {
		_, err := admin.Exec(ctx, step.SQL)
		ts.Check(err)
	}
	session, err := pgx.Connect(ctx, s.DSN("app", "postgres"))
	ts.Check(err)
	ts.Defer(func() { session.Close(ctx) })
	var backend string
	ts.Check(session.QueryRow(ctx, "select bulkhead.backend()").Scan(&backend))
	ts.Setenv("BACKEND", backend)
	ts.Setenv("PID", strconv.FormatUint(uint64(session.PgConn().PID()), 10))
	ts.Setenv("ADMIN", s.DSN(pgtest.Superuser, "postgres"))
	ts.Setenv("APP", s.DSN("app", "postgres"))
	scriptSessions.Store(ts.Getenv("WORK"), session)
}

// scriptSessions are the sessions of the scripts that run, by their folder.
var scriptSessions sync.Map

// scriptBecome implements the script command become: it sends the session a
// file and compares its org, or the SQLSTATE that it gets, with what is wanted.
func scriptBecome(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: become FILE ORG|SQLSTATE")
	}
	ctx := context.Background()
	kept, ok := scriptSessions.Load(ts.Getenv("WORK"))
	if !ok {
		ts.Fatalf("become: signeddb comes first")
	}
	session := kept.(*pgx.Conn)
	sql, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = session.Exec(ctx, string(sql))
	ts.Check(err)
	var got string
	err = session.QueryRow(ctx, "select bulkhead.org_id()::text", pgx.QueryExecModeExec).Scan(&got)
	if pg := new(pgconn.PgError); errors.As(err, &pg) {
		got, err = pg.Code, nil
	}
	ts.Check(err)
	if got != args[1] {
		ts.Fatalf("got %s, want %s", got, args[1])
	}
}
