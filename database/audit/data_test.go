package audit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// mixed has rows of two tenants that are mixed up in every way.
const mixed = `
INSERT INTO app.orgs VALUES ('00000000-0000-0000-0000-00000000000a', 'a'), ('00000000-0000-0000-0000-00000000000b', 'b');
INSERT INTO app.projects (org_id, id, name) OVERRIDING SYSTEM VALUE VALUES
	('00000000-0000-0000-0000-00000000000a', 1, 'of a'), ('00000000-0000-0000-0000-00000000000b', 2, 'of b');
INSERT INTO app.tasks VALUES (1, 1, 'of a'), (2, 2, 'of b');
`

// TestData counts rows of every kind of mixture, then repairs them.
func TestData(t *testing.T) {
	onEach(t, func(t *testing.T, server *pgtest.Server) {
		o := correctOptions()
		o.Data = true
		s := newSubject(t, server, correctSchema(t), o)
		s.exec(mixed)
		if got := more(s.audit(), nil); slices.ContainsFunc(got, func(f Finding) bool { return f.Count != nil }) {
			t.Fatalf("rows that are right: got %q, want no counts", s.lines(got))
		}
		for _, test := range []struct {
			name, plant, repair string
			want                []string
		}{
			{
				"null", `ALTER TABLE app.files ALTER org_id DROP NOT NULL; INSERT INTO app.files VALUES (NULL, 'x'), (NULL, 'y'), ('00000000-0000-0000-0000-00000000000a', 'z')`,
				`DELETE FROM app.files`,
				[]string{"A601 app.files.org_id 2"},
			},
			{
				"orphans", `ALTER TABLE app.files DROP CONSTRAINT files_org_id_fkey; INSERT INTO app.files VALUES ('00000000-0000-0000-0000-00000000000c', 'x')`,
				`DELETE FROM app.files`,
				[]string{"A602 app.files.org_id 1"},
			},
			{
				"orphans as text", `CREATE TABLE app.typed (tenant_id text NOT NULL); GRANT SELECT ON app.typed TO aud_rw;
				INSERT INTO app.typed VALUES ('00000000-0000-0000-0000-00000000000a'), ('no such'), ('')`,
				`DROP TABLE app.typed`,
				[]string{"A602 app.typed.tenant_id 2"},
			},
			{
				"cross", `ALTER TABLE app.addresses ADD p bigint CONSTRAINT of_project REFERENCES app.projects, ADD t bigint CONSTRAINT of_task REFERENCES app.tasks;
				INSERT INTO app.addresses VALUES ('00000000-0000-0000-0000-00000000000a', 1, NULL, 2, 2), ('00000000-0000-0000-0000-00000000000a', 2, NULL, 1, 1),
				('00000000-0000-0000-0000-00000000000b', 3, NULL, NULL, 1)`,
				`ALTER TABLE app.addresses DROP p, DROP t`,
				[]string{"A603 app.addresses:of_project 1", "A603 app.addresses:of_task 2"},
			},
			{
				"cross between two parents", `CREATE TABLE app.links (a bigint NOT NULL CONSTRAINT l_a REFERENCES app.tasks, b bigint NOT NULL CONSTRAINT l_b REFERENCES app.projects);
				GRANT SELECT ON app.links TO aud_rw; INSERT INTO app.links VALUES (1, 1), (1, 2), (2, 1)`,
				`DROP TABLE app.links`,
				[]string{"A603 app.links:l_a 2"},
			},
			{
				"dangling", `CREATE TABLE app.notes (id int PRIMARY KEY, task_id bigint, project bigint, org_id uuid); GRANT SELECT ON app.notes TO aud_rw;
				INSERT INTO app.notes VALUES (1, 1, 7), (2, 8, 1), (3, 9, 1), (4, NULL, NULL);
				ALTER TABLE app.notes ADD CONSTRAINT n_p FOREIGN KEY (project) REFERENCES app.projects NOT VALID`,
				`DROP TABLE app.notes`,
				[]string{"A601 app.notes.org_id 4", "A604 app.notes.task_id 2", "A604 app.notes:n_p 1"},
			},
		} {
			t.Run(test.name, func(t *testing.T) {
				s.t = t
				s.exec(test.plant)
				if got := s.counts(); !slices.Equal(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
				s.exec(test.repair)
				if got := s.counts(); len(got) > 0 {
					t.Errorf("after the repair: got %q, want nothing", got)
				}
			})
		}
	})
}

// counts writes the findings with a count; the query that shows the rows must
// return as many.
func (s *subject) counts() []string {
	s.t.Helper()
	list := []string{}
	for _, f := range s.audit() {
		if f.Count == nil {
			continue
		}
		var rows int64
		if err := s.conn.QueryRow(context.Background(), "SELECT count(*) FROM ("+strings.TrimSuffix(f.Evidence[0], ";")+") AS x").Scan(&rows); err != nil || rows != *f.Count {
			s.t.Errorf("%s: %s returns %d rows (%v), want %d", f.Check, f.Evidence[0], rows, err, *f.Count)
		}
		list = append(list, f.Check+" "+f.Object+" "+plural(int(*f.Count), "row", "rows"))
	}
	slices.Sort(list)
	for i := range list {
		list[i] = strings.TrimSuffix(strings.TrimSuffix(list[i], " rows"), " row")
	}
	return list
}

// TestData_Refused connects as roles that do not see all rows: a count would
// be wrong, and must not look like 0.
func TestData_Refused(t *testing.T) {
	server := pgtest.Shared(t, 15)
	s := newSubject(t, server, correctSchema(t), correctOptions())
	s.exec(mixed + `CREATE ROLE aud_reader LOGIN; GRANT aud_owner TO aud_reader;`)
	run := func(role string) error {
		conn, err := pgx.Connect(t.Context(), server.DSN(role, s.database))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		o := correctOptions()
		o.Data = true
		_, err = Run(t.Context(), conn, o)
		return err
	}
	err := run("aud_app")
	if !errors.Is(err, ErrDataRefused) || !strings.Contains(err.Error(), "role aud_app does not see all rows of app.addresses, app.comments, ") {
		t.Errorf("application: got %v, want a refusal that names the tables", err)
	}
	if err := run("aud_reader"); !errors.Is(err, ErrDataRefused) {
		t.Errorf("owner of forced tables: got %v, want a refusal", err)
	}
	if err := run("aud_backup"); !errors.Is(err, ErrDataRefused) || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("BYPASSRLS without privileges: got %v, want a refusal", err)
	}
	s.exec(`GRANT USAGE ON SCHEMA app, ref TO aud_backup; GRANT SELECT ON ALL TABLES IN SCHEMA app, ref TO aud_backup`)
	if err := run("aud_backup"); err != nil {
		t.Errorf("BYPASSRLS with privileges: got %v", err)
	}
	s.exec(`DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relforcerowsecurity LOOP EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', t); END LOOP; END $$`)
	if err := run("aud_reader"); err != nil {
		t.Errorf("owner of tables that are not forced: got %v", err)
	}
}

// TestData_Timeout counts rows while a table is locked: that count is reported
// as unfinished, and the audit goes on.
func TestData_Timeout(t *testing.T) {
	server := pgtest.Shared(t, 15)
	s := newSubject(t, server, correctSchema(t), correctOptions())
	s.exec(mixed + `ALTER TABLE app.files ALTER org_id DROP NOT NULL; ALTER TABLE app.users ALTER org_id DROP NOT NULL;
		INSERT INTO app.users (org_id, email) VALUES (NULL, 'x')`)
	f := s.facts()
	lock := server.Connect(t, s.database)
	defer lock.Close(context.Background())
	if _, err := lock.Exec(t.Context(), "BEGIN; LOCK TABLE ONLY app.files IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	tx, err := s.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	const timeout = time.Second // of the one that waits; the others find a few rows
	counts, err := countRows(t.Context(), tx, f, countLimits{timeout, DefaultDataRows}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(counts.Unfinished) != 1 || counts.Unfinished[0].Object != "app.files.org_id" {
		t.Errorf("unfinished: got %v, want app.files.org_id", counts.Unfinished)
	}
	if len(counts.Counted) != 1 || counts.Counted[0].Object != "app.users.org_id" || counts.Counted[0].Rows != 1 {
		t.Errorf("counted: got %v, want 1 row of app.users.org_id", counts.Counted)
	}
}

// TestData_Rows leaves out tables that the server takes for larger than the
// limit, and says so: unknown is not 0.
func TestData_Rows(t *testing.T) {
	o := correctOptions()
	o.Data, o.DataRows = true, 4
	s := newSubject(t, pgtest.Shared(t, 15), correctSchema(t), o)
	s.exec(mixed + `ALTER TABLE app.users ALTER org_id DROP NOT NULL; INSERT INTO app.users (org_id, email) SELECT NULL, 'x' || n FROM generate_series(1, 5) n; ANALYZE`)
	for _, test := range []struct {
		limit int64
		left  bool
	}{{4, true}, {-1, false}, {0, false}} {
		s.options.DataRows = test.limit
		report, err := Run(t.Context(), s.conn, s.options)
		if err != nil {
			t.Fatal(err)
		}
		counted := slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Check == "A601" && f.Object == "app.users.org_id" })
		left := slices.ContainsFunc(report.Unfinished, func(u Unfinished) bool { return u.Check == "A601" && u.Object == "app.users.org_id" })
		if left != test.left || counted == test.left {
			t.Errorf("limit %d: left out %t, counted %t", test.limit, left, counted)
		}
	}
}
