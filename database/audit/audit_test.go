package audit

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
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

// subject is one database under audit.
type subject struct {
	t        *testing.T
	server   *pgtest.Server
	database string
	options  Options
	conn     *pgx.Conn // of the superuser
}

// newSubject makes a database with a schema. Roles named aud_... end with the
// test.
func newSubject(t *testing.T, server *pgtest.Server, schema string, o Options) *subject {
	t.Helper()
	s := &subject{t: t, server: server, database: server.CreateDatabase(t), options: o}
	s.conn = server.Connect(t, s.database)
	t.Cleanup(func() {
		s.exec(`DO $$ DECLARE r text; BEGIN
			FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'aud\_%' LOOP
				EXECUTE format('REASSIGN OWNED BY %I TO postgres', r); EXECUTE format('DROP OWNED BY %I', r);
			END LOOP;
			FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'aud\_%' LOOP EXECUTE format('DROP ROLE %I', r); END LOOP; END $$`)
		s.conn.Close(context.Background())
	})
	s.exec(schema)
	return s
}

// exec runs SQL as the superuser; DATABASE_NAME stands for the database.
func (s *subject) exec(sql string) {
	s.t.Helper()
	if _, err := s.conn.Exec(context.Background(), strings.ReplaceAll(sql, "DATABASE_NAME", s.database)); err != nil {
		s.t.Fatalf("as superuser: %v\n%s", err, sql)
	}
}

func (s *subject) audit() []Finding {
	s.t.Helper()
	report, err := Run(s.t.Context(), s.conn, s.options)
	if err != nil {
		s.t.Fatalf("audit: %v", err)
	}
	seen := make(map[string]bool)
	for _, f := range report.Findings {
		if seen[f.Fingerprint] {
			s.t.Errorf("%s %s is reported twice", f.Check, f.Object)
		}
		seen[f.Fingerprint] = true
	}
	// Which faults the server has is a matter of the machine (TestServerChecks).
	return slices.DeleteFunc(report.Findings, func(f Finding) bool { return f.Check == "A808" })
}

// lines writes findings as "A101 public.notes", with the database's name
// masked.
func (s *subject) lines(findings []Finding) []string {
	list := []string{}
	for _, f := range findings {
		list = append(list, strings.ReplaceAll(f.Check+" "+f.Object, s.database, "DATABASE_NAME"))
	}
	slices.Sort(list)
	return list
}

// more returns the findings that are not in before.
func more(findings, before []Finding) []Finding {
	known := make(map[string]bool)
	for _, f := range before {
		known[f.Fingerprint] = true
	}
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return known[f.Fingerprint] })
}

func correctSchema(t *testing.T) string {
	t.Helper()
	sql, err := os.ReadFile("testdata/correct.sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(sql)
}

func correctOptions() Options {
	return Options{Selection: inventory.Selection{AppRoles: []string{"aud_app"}, RootTable: "app.orgs", GlobalTables: []string{"ref.countries"}}}
}

// TestRun_CorrectSchema audits a schema that has everything that looks like a
// fault and is none, with rows counted: nothing above info may be reported,
// and of that only what is listed.
func TestRun_CorrectSchema(t *testing.T) {
	want := []string{
		"A208 app.org()", "A318 role:aud_app", "A414 role:aud_app", "A509 app.comments", "A509 app.reactions", "A509 app.tasks", "A805 role:aud_app",
	}
	onEach(t, func(t *testing.T, server *pgtest.Server) {
		o := correctOptions()
		o.Data = true
		s := newSubject(t, server, correctSchema(t), o)
		findings := s.audit()
		for _, f := range findings {
			if f.Severity > Info {
				t.Errorf("%s %s %s: %s", f.Severity, f.Check, f.Object, f.Detail)
			}
		}
		if got := s.lines(findings); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestRun_Guesses audits the same schema without being told anything: the
// roles, the root table and the classes come out the same but for the global
// table, which nobody but the operator knows.
func TestRun_Guesses(t *testing.T) {
	s := newSubject(t, pgtest.Shared(t, 15), correctSchema(t), Options{})
	var got []string
	for _, f := range s.audit() {
		if f.Severity > Info {
			got = append(got, f.Check+" "+f.Object)
		}
	}
	if want := []string{"A110 ref.countries"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPropose reads a proposal from a database with a setting of each kind.
func TestPropose(t *testing.T) {
	s := newSubject(t, pgtest.Shared(t, 15), correctSchema(t), Options{})
	s.exec(`CREATE POLICY more ON app.files AS RESTRICTIVE USING (name <> current_setting('app.user_id', true) AND name <> current_setting('request.jwt.claims', true)
		AND name <> current_setting('app.what', true) AND name <> current_setting('TimeZone')); CREATE TABLE app.log (line text); GRANT INSERT ON app.log TO aud_rw`)
	p := Propose(s.facts().Model)
	want := Proposal{
		AppRoles: []string{"aud_app"}, RootTable: "app.orgs", OrgType: "uuid", TenantColumns: []string{"org_id"},
		Settings:      []ProposedSetting{{"app.org_id", "${org}"}, {"app.user_id", "${subject}"}, {"request.jwt.claims", "${claims}"}},
		OtherSettings: []string{"app.what"}, GlobalTables: []string{"ref.countries"}, Undecided: []string{"app.log"},
	}
	if got := fmt.Sprintf("%+v", p); got != fmt.Sprintf("%+v", want) {
		t.Errorf("got %s, want %+v", got, want)
	}
}

// TestFaults plants each fault into the correct schema, expects exactly its
// findings, repairs it (by the finding's own fix, where that is SQL), and
// expects the schema to be correct again.
func TestFaults(t *testing.T) {
	onEach(t, func(t *testing.T, server *pgtest.Server) {
		s := newSubject(t, server, correctSchema(t), correctOptions())
		before := s.audit()
		for i, fault := range faults {
			if server.Bin.Version < fault.since {
				continue
			}
			t.Run(fmt.Sprintf("%d %s", i, fault.check), func(t *testing.T) { s.plant(t, fault, before) })
			if t.Failed() {
				return // the schema may be broken for the next one
			}
		}
	})
}

func (s *subject) plant(t *testing.T, fault fault, before []Finding) {
	t.Helper()
	s.t = t
	s.exec(fault.plant)
	found := more(s.audit(), before)
	if got, want := s.lines(found), fault.lines(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, f := range found {
		if f.Detail == "" || f.Fix == "" || f.Title == "" {
			t.Errorf("%s %s lacks a text: %+v", f.Check, f.Object, f)
		}
		if f.FixIsSQL && fault.repair == "" {
			s.exec(f.Fix)
		}
	}
	if fault.repair != "" {
		s.exec(fault.repair)
	}
	s.exec(fault.cleanUp)
	if got := s.lines(more(s.audit(), before)); len(got) > 0 {
		t.Errorf("after the repair: got %q, want nothing", got)
	}
}

// fault is one thing that can be wrong.
type fault struct {
	check string
	plant string
	want  []string // objects of check; or "A102 object" for another one's
	// repair is SQL that ends the fault; "" takes the findings' own fixes.
	repair string
	// cleanUp removes what is left of the plant after the repair.
	cleanUp string
	since   int // major version, 0 for all
}

func (f *fault) lines() []string {
	list := []string{}
	for _, w := range f.want {
		if len(w) < 5 || w[0] != 'A' || w[4] != ' ' {
			w = f.check + " " + w
		}
		list = append(list, w)
	}
	slices.Sort(list)
	return list
}

// TestFaults_Complete keeps the list of faults complete: every check of the
// catalogue is in one, or is tested by a test of its own.
func TestFaults_Complete(t *testing.T) {
	elsewhere := []string{
		"A318", "A805", "A509", // in the correct schema, which TestRun_CorrectSchema wants to see
		"A808", "A818", "A820", // TestServerChecks
		"A601", "A602", "A603", "A604", // TestData
		"A901", "A904", // TestOwnChecks
	}
	for _, c := range Checks() {
		planted := slices.ContainsFunc(faults, func(f fault) bool { return f.check == c.ID })
		if !planted && !plantedInPolicies(c.ID) && !slices.Contains(elsewhere, c.ID) {
			t.Errorf("%s (%s): no fault is planted for it", c.ID, c.Name)
		}
	}
}
