package main

import (
	"context"
	"slices"
	"testing"

	"github.com/pgbulkhead/bulkhead/database/audit"
	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// TestInstallChanges compares an installed context with what was shipped,
// before and after somebody has changed it. The server is one of its own: the
// role that owns the context belongs to the cluster.
func TestInstallChanges(t *testing.T) {
	server := pgtest.New(t, pgtest.Options{Version: 15})
	conn := server.Connect(t, "postgres")
	defer conn.Close(context.Background())
	look := func() []string {
		t.Helper()
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(context.Background())
		changes, err := installChanges(t.Context(), tx)
		if err != nil {
			t.Fatal(err)
		}
		var objects []string
		for _, c := range changes {
			objects = append(objects, c.Object)
		}
		return objects
	}
	do := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	do("create schema bulkhead; create table bulkhead.migration (id int)")
	if got := look(); len(got) > 0 {
		t.Errorf("without a context: got %q, want nothing", got)
	}
	do("drop schema bulkhead cascade")
	install, err := dbcontext.Install(dbcontext.Options{Mode: dbcontext.Signed, KeyType: "bigint", Version: 150000, Superuser: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range install {
		do(s.SQL)
	}
	if got := look(); len(got) > 0 {
		t.Errorf("as installed: got %q, want nothing", got)
	}
	do("alter function bulkhead.claims() volatile")
	if got, want := look(), []string{"bulkhead.claims()"}; !slices.Equal(got, want) {
		t.Errorf("changed claims(): got %q, want %q", got, want)
	}
	do("create or replace function bulkhead.org_id() returns bigint language sql stable as 'select 1::bigint'")
	if got, want := look(), []string{"bulkhead.org_id()"}; !slices.Equal(got, want) {
		t.Errorf("changed org_id(): got %q, want %q", got, want)
	}
	report, err := audit.Run(t.Context(), conn, audit.Options{Installed: installChanges})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(report.Findings, func(f audit.Finding) bool { return f.Check == "A901" && f.Object == "bulkhead.org_id()" }) {
		t.Errorf("got %+v, want A901 on bulkhead.org_id()", report.Findings)
	}
	do("drop function bulkhead.org_id() cascade")
	if got, want := look(), []string{"bulkhead.org_id()"}; !slices.Equal(got, want) {
		t.Errorf("without org_id(): got %q, want %q", got, want)
	}
}
