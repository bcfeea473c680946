package harden

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/schematest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.StopShared()
	os.Exit(code)
}

// onEach runs a test on each version of PostgreSQL that is found here.
func onEach(t *testing.T, test func(t *testing.T, s *pgtest.Server)) {
	t.Helper()
	all := pgtest.All()
	if len(all) == 0 {
		t.Fatal(pgtest.ErrNotFound)
	}
	for _, bin := range all {
		t.Run(strconv.Itoa(bin.Version), func(t *testing.T) { test(t, pgtest.Shared(t, bin.Version)) })
	}
}

// selection is what the head of the schema's file says.
func selection(s *schematest.Schema) inventory.Selection {
	return inventory.Selection{AppRoles: s.App, RootTable: s.Root, GlobalTables: s.Global}
}

func build(t *testing.T, d *schematest.Database, phases ...Phase) *Plan {
	t.Helper()
	plan, err := Build(t.Context(), d.Admin, Options{Selection: selection(d.Schema), Phases: phases})
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return plan
}

var quick = ApplyOptions{LockTimeout: time.Second, Tries: 1, Pause: time.Millisecond, Version: "test"}

func apply(t *testing.T, d *schematest.Database, plan *Plan, o ApplyOptions) *Migration {
	t.Helper()
	m, err := Apply(t.Context(), d.Admin, plan, o)
	if err != nil {
		t.Fatalf("apply: %v\n%s", err, failed(err))
	}
	return m
}

func state(t *testing.T, d *schematest.Database) (database, roles State) {
	t.Helper()
	tx, err := d.Admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	if _, err := tx.Exec(t.Context(), statePath); err != nil {
		t.Fatal(err)
	}
	if database, err = DatabaseState(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if roles, err = RolesState(t.Context(), tx, d.App); err != nil {
		t.Fatal(err)
	}
	return database, roles
}

// TestHarden_WholeWay: on every schema the attacks of schematest succeed before,
// fail after, own rows stay, a second plan is empty, and the way back is exact.
func TestHarden_WholeWay(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		for _, schema := range schematest.All(t) {
			t.Run(schema.Name, func(t *testing.T) { wholeWay(t, schema.Install(t, s)) })
		}
	})
}

func wholeWay(t *testing.T, d *schematest.Database) {
	if open := d.Isolation(t); (len(open) == 0) != (d.Schema.Name == "correct") {
		t.Errorf("before: %d problems: %v", len(open), open)
	}
	before, rolesBefore := state(t, d)
	dumpBefore := dump(t, d)
	plan := build(t, d)
	for _, s := range plan.Steps {
		if s.SQL == "" || s.Inverse == "" || s.Reason == "" || s.Lock == "" || s.Object == "" || s.Phase == "" {
			t.Errorf("a step that does not say all: %+v", s)
		}
	}
	m := apply(t, d, plan, quick)
	for _, problem := range d.Isolation(t) {
		t.Errorf("after apply: %s", problem)
	}
	if again := build(t, d); len(again.Steps) != 0 {
		for _, s := range again.Steps {
			t.Errorf("second plan: %s (%s)", s.SQL, s.Reason)
		}
	}
	if err := Rollback(t.Context(), d.Admin, m, RollbackOptions{ApplyOptions: quick}); err != nil {
		t.Fatalf("rollback: %v\n%s", err, failed(err))
	}
	after, rolesAfter := state(t, d)
	if diff := append(Difference(before, after), Difference(rolesBefore, rolesAfter)...); len(diff) > 0 {
		t.Errorf("rollback left\n%s", strings.Join(diff, "\n"))
	}
	if got := dump(t, d); got != dumpBefore {
		t.Errorf("pg_dump differs after the rollback:\n%s", firstDifference(dumpBefore, got))
	}
}
