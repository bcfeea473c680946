package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pgbulkhead/bulkhead/blocklog"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// TestMain lets the scripts run this test binary as the command bulkhead.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bulkhead": main})
}

// TestScripts runs testdata/*.txtar, each a session at the command line.
// Beside testscript's own commands there are `status N command...`, for a
// command that must end with exit code N, and `samplelog FILE`, which writes
// a blocked-query log, and `databasefrom NAME FILE`, which makes a database with the
// SQL of a file on a server that all scripts share, and sets DSN and APP_DSN to
// connect as its superuser and as role NAME_app. Further ones are in
// script_schema_test.go.
func TestScripts(t *testing.T) {
	t.Cleanup(pgtest.StopShared)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=10") // a second for each command else
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":       scriptStatus,
			"samplelog":    scriptSampleLog,
			"signeddb":     scriptSignedDB,
			"become":       scriptBecome,
			"databasefrom": func(ts *testscript.TestScript, neg bool, args []string) { scriptDatabaseFrom(t, ts, neg, args) },
			"schema":       func(ts *testscript.TestScript, neg bool, args []string) { scriptSchema(t, ts, neg, args) },
			"sql":          scriptSQL,
		},
	})
}

// scriptStatus implements the script command status.
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code: got %d, want %d", got, want)
	}
}

// scriptDatabaseFrom implements the script command databasefrom.
func scriptDatabaseFrom(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: databasefrom NAME FILE")
	}
	name := args[0]
	server := pgtest.Shared(t, 15)
	server.Exec(t, "postgres", "CREATE DATABASE "+name)
	server.Exec(t, name, ts.ReadFile(args[1]))
	ts.Setenv("DSN", server.DSN(pgtest.Superuser, name))
	ts.Setenv("APP_DSN", server.DSN(name+"_app", name))
}

// scriptSampleLog implements the script command samplelog: six records of two
// orgs, a minute apart, the last of which carries what an attacker would put
// into fields of his choice.
func scriptSampleLog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: samplelog FILE")
	}
	w, err := blocklog.Open(blocklog.Options{File: ts.MkAbs(filepath.FromSlash(args[0]))})
	ts.Check(err)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, r := range []blocklog.Record{
		{Rule: "G201", Title: "tenant setting", Org: "acme", Subject: "alice", Statement: "SET app.org_id = $1", Fingerprint: "a1"},
		{Rule: "G201", Title: "tenant setting", Org: "acme", Subject: "bob", Statement: "SET app.org_id = $1", Fingerprint: "a1"},
		{Rule: "G301", Title: "role", Org: "globex", Subject: "carol", Statement: "SET ROLE $1", Fingerprint: "b2"},
		{Rule: "G402", Title: "file access", Org: "globex", Subject: "carol", Statement: "SELECT pg_read_file($1)", Fingerprint: "c3", Decision: blocklog.Observed},
		{Rule: "G701", Title: "not understood", Org: "acme", Subject: "alice", Reason: "syntax error"},
		{Rule: "G201", Title: "tenant setting", Org: "<script>alert(1)</script>", Subject: "\x1b[2Jmallory|x", Statement: "SELECT \"a\u202eb\"", Fingerprint: "d4"},
	} {
		if r.Decision == "" {
			r.Decision = blocklog.Blocked
		}
		r.Time = at.Add(time.Duration(i) * time.Minute)
		w.Append(r)
	}
	ts.Check(w.Close(context.Background()))
}
