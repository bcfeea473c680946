package audit

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// facts takes the facts of a subject, to be changed by a test.
func (s *subject) facts() *Facts {
	s.t.Helper()
	snapshot, err := inventory.Load(s.t.Context(), s.conn)
	if err != nil {
		s.t.Fatal(err)
	}
	model, err := inventory.Resolve(snapshot, s.options.Selection)
	if err != nil {
		s.t.Fatal(err)
	}
	return &Facts{Model: model}
}

// of writes the findings of one check.
func (s *subject) of(f *Facts, check string) []string {
	s.t.Helper()
	return slices.DeleteFunc(s.lines(Judge(f)), func(line string) bool { return line[:4] != check })
}

// TestServerChecks asks about versions and settings that no server here has.
func TestServerChecks(t *testing.T) {
	s := newSubject(t, pgtest.Shared(t, 15), correctSchema(t), correctOptions())
	s.exec(`CREATE STATISTICS app.st ON name, is_public FROM app.projects; CREATE STATISTICS ref.st ON code, name FROM ref.countries`)
	f := s.facts()
	for _, test := range []struct {
		version    int
		severity   Severity // of A808; 0 for none
		statistics bool
	}{
		{130010, High, false},
		{130022, Info, false},
		{140011, High, true},
		{150003, High, true},
		{150006, High, true},
		{150007, High, false},
		{150014, Info, false},
		{150020, 0, false},
		{170000, High, false},
		{170006, Info, false},
		{180000, Info, false},
		{180007, 0, false},
		{190000, 0, false},
	} {
		f.Snapshot.Server.VersionNum = test.version
		found := serverVersion(f)
		switch {
		case test.severity == 0 && len(found) > 0, test.severity != 0 && len(found) != 1:
			t.Errorf("%d: A808 got %v", test.version, found)
		case test.severity == 0:
		case test.severity == Info && found[0].Severity != Info, test.severity == High && found[0].Severity != 0:
			t.Errorf("%d: severity %s, want %s", test.version, found[0].Severity, test.severity)
		}
		want := []string{}
		if test.statistics {
			want = []string{"A818 app.st"}
		}
		if got := s.of(f, "A818"); !slices.Equal(got, want) {
			t.Errorf("%d: got %q, want %q", test.version, got, want)
		}
	}
	f.Snapshot.Server.Settings["max_prepared_transactions"] = "10"
	if got, want := s.of(f, "A820"), []string{"A820 setting:*@*"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestActivityVisible asks for A805 with each of its counter-measures.
func TestActivityVisible(t *testing.T) {
	onEach(t, func(t *testing.T, server *pgtest.Server) {
		s := newSubject(t, server, correctSchema(t), correctOptions())
		for _, step := range []struct {
			sql, undo string
			visible   bool
		}{
			{`SELECT 1`, `SELECT 1`, true},
			{`ALTER ROLE aud_app SET track_activities = off`, `ALTER ROLE aud_app RESET ALL`, false},
			{`REVOKE EXECUTE ON FUNCTION pg_stat_get_activity(int) FROM PUBLIC`, `GRANT EXECUTE ON FUNCTION pg_stat_get_activity(int) TO PUBLIC`, false},
			{`ALTER ROLE aud_backup SET track_activities = off`, `ALTER ROLE aud_backup RESET ALL`, true},
		} {
			s.exec(step.sql)
			if got := len(s.of(s.facts(), "A805")) == 1; got != step.visible {
				t.Errorf("after %s: visible %t, want %t", step.sql, got, step.visible)
			}
			s.exec(step.undo)
		}
	})
}

// TestOwnChecks looks at Bulkhead's own objects.
func TestOwnChecks(t *testing.T) {
	o := correctOptions()
	o.Now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	// What package context compares is its own; here a body.
	o.Installed = func(ctx context.Context, tx pgx.Tx) (changes []InstallChange, err error) {
		var source string
		if err := tx.QueryRow(ctx, "SELECT prosrc FROM pg_proc WHERE oid = 'bulkhead.org_id()'::regprocedure").Scan(&source); err != nil {
			return nil, err
		}
		if source != "SELECT 1" {
			changes = append(changes, InstallChange{"bulkhead.org_id()", "its definition differs"}, InstallChange{"bulkhead.org_id()", "it belongs to somebody else"})
		}
		return changes, nil
	}
	s := newSubject(t, pgtest.Shared(t, 15), correctSchema(t), o)
	s.exec(`CREATE SCHEMA bulkhead;
		CREATE TABLE bulkhead.signing_key (kid int PRIMARY KEY, created_at timestamptz, not_after timestamptz);
		CREATE FUNCTION bulkhead.org_id() RETURNS int LANGUAGE sql AS 'SELECT 1';
		REVOKE ALL ON ALL FUNCTIONS IN SCHEMA bulkhead FROM PUBLIC;
		INSERT INTO bulkhead.signing_key VALUES (1, '2025-01-01', '2026-01-01'), (2, '2026-05-01', NULL)`)
	own := func() []string {
		s.t.Helper()
		return slices.DeleteFunc(s.lines(s.audit()), func(line string) bool { return line[:2] != "A9" })
	}
	for _, step := range []struct {
		sql, undo string
		want      []string
	}{
		{`SELECT 1`, `SELECT 1`, nil},
		{
			`CREATE OR REPLACE FUNCTION bulkhead.org_id() RETURNS int LANGUAGE sql AS 'SELECT 7'`,
			`CREATE OR REPLACE FUNCTION bulkhead.org_id() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
			[]string{"A901 bulkhead.org_id()"},
		},
		{`DELETE FROM bulkhead.signing_key WHERE kid = 2`, `INSERT INTO bulkhead.signing_key VALUES (2, '2026-05-01', NULL)`, nil},
		{`UPDATE bulkhead.signing_key SET created_at = '2026-01-01' WHERE kid = 2`, `UPDATE bulkhead.signing_key SET created_at = '2026-05-01' WHERE kid = 2`, []string{"A904 bulkhead.signing_key"}},
		{`CREATE PUBLICATION pub FOR TABLE bulkhead.signing_key`, `DROP PUBLICATION pub`, []string{"A902 bulkhead.signing_key"}},
	} {
		s.exec(step.sql)
		if got := own(); !slices.Equal(got, step.want) {
			t.Errorf("after %s: got %q, want %q", step.sql, got, step.want)
		}
		s.exec(step.undo)
	}
}

func TestIsConstant(t *testing.T) {
	for expression, want := range map[string]bool{
		"1": true, "'00000000-0000-0000-0000-000000000001'::uuid": true, "'user'::text": true, "(5 + 1)": true, "''::text": true,
		"NULL::character varying": false, "NULL": false, "app.org()": false, "gen_random_uuid()": false, "CURRENT_USER": false,
		"(current_setting('app.org_id'::text, true))::uuid": false, "nextval('s'::regclass)": false, "CURRENT_DATE": false,
	} {
		if got := isConstant(expression); got != want {
			t.Errorf("isConstant(%s): got %t, want %t", expression, got, want)
		}
	}
}
