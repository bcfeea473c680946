package harden

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/schematest"
)

// seeds is how many random states are tried: -seeds 1000 for a night.
var seeds = flag.Uint64("seeds", 3, "random states for each version of TestHarden_RandomGrants")

// TestHarden_RandomGrants: whatever was granted to whom by whom, in whatever
// order, apply closes the same, a second plan is empty, and rollback leaves
// equal fingerprints and an equal pg_dump, which writes grants in their stored
// order.
func TestHarden_RandomGrants(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		roles := []string{"rnd_app", "rnd_group", "rnd_owner", "rnd_other", "rnd_third"}
		s.Exec(t, "postgres", "drop role if exists "+strings.Join(roles, ", "))
		for _, r := range roles {
			s.Exec(t, "postgres", "create role "+r+" login")
		}
		for seed := range *seeds {
			t.Run(fmt.Sprint(seed), func(t *testing.T) { randomGrants(t, s, roles, rand.New(rand.NewPCG(seed, uint64(s.Bin.Version)))) })
		}
	})
}

func randomGrants(t *testing.T, s *pgtest.Server, roles []string, r *rand.Rand) {
	d := &schematest.Database{
		Schema: &schematest.Schema{App: []string{"rnd_app"}, Root: "public.orgs", Global: []string{"public.rates"}},
		Server: s, Name: s.CreateDatabase(t),
	}
	d.Admin = s.Connect(t, d.Name)
	t.Cleanup(func() { d.Admin.Close(context.Background()) })
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	owner := pick("rnd_owner", "rnd_app", "postgres")
	run(t, d.Admin, "grant all on schema public to "+owner+"; set role "+owner+`;
		create table orgs (id int primary key, name text); create table docs (id serial primary key, org_id int references orgs, title text);
		create table rates (id int); create view v as select * from docs; create function f() returns int language sql security definer as 'select 1';
		reset role; create materialized view m as select * from docs`)
	var statements []string
	for range 40 { // some are refused, and that is fine
		sql := randomStatement(r, pick, roles, owner)
		if _, err := d.Admin.Exec(t.Context(), sql); err != nil {
			run(t, d.Admin, "rollback; reset role")
			continue
		}
		statements = append(statements, sql)
	}
	before, rolesBefore := state(t, d)
	dumped := dump(t, d)
	m, err := Apply(t.Context(), d.Admin, build(t, d), quick)
	if err != nil {
		t.Fatalf("apply: %v\n%s\nafter\n%s", err, failed(err), strings.Join(statements, ";\n"))
	}
	if again := build(t, d); len(again.Steps) != 0 {
		t.Errorf("second plan: %s\nafter\n%s", again.Steps[0].SQL, strings.Join(statements, ";\n"))
	}
	for _, privilege := range []string{"truncate", "trigger", "references"} {
		if got := value(t, d.Admin, "select has_table_privilege('rnd_app', 'docs', '"+privilege+"')"); got != "false" {
			t.Errorf("the application keeps %s", privilege)
		}
	}
	if err := Rollback(t.Context(), d.Admin, m, RollbackOptions{ApplyOptions: quick}); err != nil {
		t.Fatalf("rollback: %v\n%s\nafter\n%s", err, failed(err), strings.Join(statements, ";\n"))
	}
	same(t, d, "rollback left", before, rolesBefore)
	if got := dump(t, d); got != dumped {
		t.Errorf("pg_dump differs:\n%s\nafter\n%s", firstDifference(dumped, got), strings.Join(statements, ";\n"))
	}
}

// randomStatement is a grant or revoke of some sort.
func randomStatement(r *rand.Rand, pick func(...string) string, roles []string, owner string) string {
	to := pick(append(roles, "public")...)
	option := ""
	if to != "public" && r.IntN(3) == 0 {
		option = " with grant option"
	}
	privilege := pick("select", "insert", "update", "delete", "truncate", "trigger", "references", "all", "select, truncate")
	var sql string
	switch r.IntN(10) {
	case 0:
		sql = "grant " + pick("usage", "create", "all") + " on schema public to " + to + option
	case 1:
		sql = "grant " + pick("select", "update", "references") + " (" + pick("id", "title") + ") on docs to " + to + option
	case 2:
		sql = "alter default privileges for role " + pick(roles...) + pick("", " in schema public") + " grant " + pick("all", "select", "truncate") + " on tables to " + to + option
	case 3:
		sql = "grant execute on function f() to " + to + option
	case 4:
		sql = "revoke " + privilege + " on " + pick("docs", "rates", "v") + " from " + pick(roles...) + pick("", " cascade")
	case 5:
		sql = "grant " + pick(roles...) + " to " + pick(roles...) + pick("", " with admin option")
	default:
		sql = "grant " + privilege + " on " + pick("docs", "docs", "orgs", "rates", "v", "m") + " to " + to + option
	}
	return "set role " + pick("postgres", owner, pick(roles...)) + "; " + sql + "; reset role"
}
