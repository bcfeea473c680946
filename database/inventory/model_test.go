package inventory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

// shapes are schemas of several kinds with the classes that they must get,
// one line a table.
var shapes = []struct {
	name, sql string
	sel       Selection
	want      []string
}{
	{
		name: "uuid, chains, several schemas",
		sql: `
CREATE SCHEMA crm; CREATE SCHEMA ref;
CREATE TABLE orgs (id uuid PRIMARY KEY);
CREATE TABLE accounts (id int PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs);
CREATE TABLE crm.deals (id int PRIMARY KEY, account int NOT NULL REFERENCES accounts, country text);
CREATE TABLE crm.lines (id int PRIMARY KEY, deal int REFERENCES crm.deals, account_note int REFERENCES accounts);
CREATE TABLE crm.parts (id int PRIMARY KEY, line int NOT NULL REFERENCES crm.lines);
CREATE TABLE crm.bits (id int PRIMARY KEY, part int NOT NULL REFERENCES crm.parts);
CREATE TABLE ref.countries (code text PRIMARY KEY, best int REFERENCES accounts);
CREATE TABLE ref.cities (name text, country text REFERENCES ref.countries);
CREATE TABLE by_name ("OrgID" uuid, n int);
CREATE TABLE loop_a (id int PRIMARY KEY, b int); CREATE TABLE loop_b (id int PRIMARY KEY, a int REFERENCES loop_a);
ALTER TABLE loop_a ADD FOREIGN KEY (b) REFERENCES loop_b;`,
		sel: Selection{GlobalTables: []string{"ref.countries"}},
		want: []string{
			"crm.bits indirect bits_part_fkey parts_line_fkey lines_account_note_fkey", "crm.deals indirect deals_account_fkey",
			"crm.lines indirect lines_account_note_fkey", "crm.parts indirect parts_line_fkey lines_account_note_fkey",
			"public.accounts direct org_id accounts_org_id_fkey", `public.by_name direct OrgID`, "public.loop_a unknown", "public.loop_b unknown",
			"public.orgs root id", "ref.cities unknown", "ref.countries global",
		},
	},
	{
		name: "bigint, mixed case, partitions and inheritance",
		sql: `
CREATE TABLE "Tenants" ("Id" bigint PRIMARY KEY);
CREATE TABLE "User" (id bigint PRIMARY KEY, "WorkspaceId" bigint NOT NULL REFERENCES "Tenants");
CREATE TABLE "Event" (id bigint, "workspace_id" bigint REFERENCES "Tenants") PARTITION BY HASH (id);
CREATE TABLE "Event_0" PARTITION OF "Event" FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE notes (id bigint, "user" bigint REFERENCES "User");
CREATE TABLE old_notes (gone date) INHERITS (notes);
CREATE TABLE stray (id int, workspaceid bigint);`,
		want: []string{
			`public."Event" direct workspace_id Event_workspace_id_fkey`, `public."Event_0" direct workspace_id Event_workspace_id_fkey`,
			`public."Tenants" root Id`, `public."User" direct WorkspaceId User_WorkspaceId_fkey`, "public.notes indirect notes_user_fkey",
			"public.old_notes indirect notes_user_fkey", "public.stray direct workspaceid",
		},
	},
	{
		name: "text slug, composite keys, no root by foreign key to its primary key",
		sql: `
CREATE TABLE customers (id int PRIMARY KEY, slug text UNIQUE NOT NULL);
CREATE TABLE projects (id int, customer_slug text REFERENCES customers (slug), PRIMARY KEY (customer_slug, id));
CREATE TABLE tasks (id int, customer_slug text, project int, other int, FOREIGN KEY (customer_slug, project) REFERENCES projects (customer_slug, id));
CREATE TABLE two (a text REFERENCES customers (slug), b text NOT NULL REFERENCES customers (slug));`,
		sel: Selection{RootTable: "Customers"},
		want: []string{
			"public.customers root id", "public.projects direct customer_slug projects_customer_slug_fkey",
			"public.tasks direct customer_slug tasks_customer_slug_project_fkey", "public.two direct b two_b_fkey",
		},
	},
	{
		name: "names only",
		sql: `
CREATE TABLE organizations (id uuid PRIMARY KEY);
CREATE TABLE users (id int PRIMARY KEY, tenant_id uuid);
CREATE TABLE logins (user_id int REFERENCES users);
CREATE TABLE posts (user_id int REFERENCES users, tenant_id uuid);`,
		want: []string{
			"public.logins indirect logins_user_id_fkey", "public.organizations root id", "public.posts direct tenant_id", "public.users direct tenant_id",
		},
	},
	{
		name: "a chain longer than the limit",
		sql: `
CREATE TABLE orgs (id int PRIMARY KEY); CREATE TABLE t0 (id int PRIMARY KEY, org_id int REFERENCES orgs);
CREATE TABLE t1 (id int PRIMARY KEY REFERENCES t0); CREATE TABLE t2 (id int PRIMARY KEY REFERENCES t1); CREATE TABLE t3 (id int PRIMARY KEY REFERENCES t2);
CREATE TABLE t4 (id int PRIMARY KEY REFERENCES t3); CREATE TABLE t5 (id int PRIMARY KEY REFERENCES t4); CREATE TABLE t6 (id int PRIMARY KEY REFERENCES t5);
CREATE TABLE t7 (id int PRIMARY KEY REFERENCES t6);`,
		want: []string{
			"public.orgs root id", "public.t0 direct org_id t0_org_id_fkey", "public.t1 indirect t1_id_fkey", "public.t2 indirect t2_id_fkey t1_id_fkey",
			"public.t3 indirect t3_id_fkey t2_id_fkey t1_id_fkey", "public.t4 indirect t4_id_fkey t3_id_fkey t2_id_fkey t1_id_fkey",
			"public.t5 indirect t5_id_fkey t4_id_fkey t3_id_fkey t2_id_fkey t1_id_fkey",
			"public.t6 indirect t6_id_fkey t5_id_fkey t4_id_fkey t3_id_fkey t2_id_fkey t1_id_fkey", "public.t7 unknown",
		},
	},
}

func TestResolve_Classes(t *testing.T) {
	onEach(t, func(t *testing.T, server *pgtest.Server) {
		for _, shape := range shapes {
			t.Run(shape.name, func(t *testing.T) {
				m := resolve(t, load(t, server, "postgres", shape.sql), shape.sel)
				equal(t, "classes", strings.Join(classes(m), "\n"), strings.Join(shape.want, "\n"))
			})
		}
	})
}

// classes writes each table with its class and the names that lead to it.
func classes(m *Model) []string {
	var got []string
	for _, c := range m.Tenancies() {
		s := c.Relation.Object() + " " + string(c.Class)
		if c.Column != nil {
			s += " " + c.Column.Name
		}
		if c.Reference != nil {
			// A partition's constraint may have a name of its own.
			s += " " + strings.Replace(c.Reference.Name, "Event_0_", "Event_", 1)
		}
		for _, k := range c.Chain {
			s += " " + k.Name
		}
		got = append(got, s)
	}
	return got
}

func TestResolve_UnknownNames(t *testing.T) {
	s := load(t, pgtest.Shared(t, 0), "postgres", `
CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t (x int); CREATE TABLE b.t (x int); CREATE TABLE "Mixed.Dot" (x int); CREATE VIEW v AS SELECT 1;`)
	_, err := Resolve(s, Selection{AppRoles: []string{"inv_nobody"}, RootTable: "nowhere", GlobalTables: []string{"t", "v", `"mixed.dot"`}})
	var problems *SelectionError
	if !errors.As(err, &problems) {
		t.Fatalf("got %v, want a SelectionError", err)
	}
	equal(t, "problems", strings.Join(problems.Problems, "\n"), strings.Join([]string{
		`there is no role "inv_nobody"`, "global table: t is ambiguous: write a.t or b.t", "global table: there is no table v",
		`global table: there is no table "mixed.dot"`, "root table: there is no table nowhere",
	}, "\n"))
	for _, name := range []string{`"Mixed.Dot"`, `public."Mixed.Dot"`, `PUBLIC."Mixed.Dot"`} {
		if r, err := s.FindTable(name); err != nil || r.Name != "Mixed.Dot" {
			t.Errorf("FindTable(%s): got %v, %v", name, r, err)
		}
	}
}

// graph is a database whose objects the application reaches in many ways, or
// just not.
const graph = `
CREATE ROLE inv_app LOGIN; CREATE ROLE inv_anon; CREATE ROLE inv_gate LOGIN NOINHERIT; CREATE ROLE inv_rw; CREATE ROLE inv_owner;
CREATE ROLE inv_boss; CREATE ROLE inv_lone LOGIN; CREATE ROLE inv_backup LOGIN BYPASSRLS;
GRANT inv_rw TO inv_app; GRANT inv_owner TO inv_rw; GRANT inv_anon TO inv_gate; GRANT inv_rw TO inv_backup;
GRANT inv_boss TO inv_gate WITH ADMIN OPTION;
CREATE SCHEMA s; CREATE SCHEMA shut; CREATE SCHEMA gate;
GRANT USAGE ON SCHEMA s TO PUBLIC; GRANT USAGE ON SCHEMA gate TO inv_gate;
CREATE TABLE s.owned (org_id int); ALTER TABLE s.owned OWNER TO inv_owner;
CREATE TABLE s.granted (org_id int); GRANT SELECT ON s.granted TO inv_anon;
CREATE TABLE s.open (org_id int); GRANT INSERT ON s.open TO PUBLIC;
CREATE TABLE s.parts (org_id int, secret text); GRANT UPDATE (secret) ON s.parts TO inv_rw;
CREATE TABLE s.none (org_id int);
CREATE TABLE shut.granted (org_id int); GRANT ALL ON shut.granted TO PUBLIC;
CREATE TABLE gate.granted (org_id int); GRANT SELECT ON gate.granted TO inv_anon;
CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION shut.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION s.g() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE ALL ON FUNCTION s.g() FROM PUBLIC;
`

func TestModel_Reaches(t *testing.T) {
	onEach(t, func(t *testing.T, server *pgtest.Server) {
		s := load(t, server, "inv_lone", graph)
		for _, test := range []struct{ role, want string }{
			{"inv_app", "s.open PUBLIC; s.owned inv_app -> inv_rw -> inv_owner; s.parts inv_app -> inv_rw; s.f() PUBLIC"},
			{"inv_gate", "s.granted inv_gate -> inv_anon; s.open PUBLIC; s.f() PUBLIC"},
			{"inv_lone", "s.open PUBLIC; s.f() PUBLIC"},
		} {
			m := resolve(t, s, Selection{AppRoles: []string{test.role}})
			var got []string
			for _, r := range s.Relations {
				if way := m.Reaches(r); way != nil {
					got = append(got, r.Object()+" "+way.String())
				}
			}
			for _, f := range s.Functions {
				if way := m.Calls(f); way != nil {
					got = append(got, f.Object()+" "+way.String())
				}
			}
			equal(t, test.role, strings.Join(got, "; "), test.want)
		}
		m := resolve(t, s, Selection{AppRoles: []string{"inv_app"}})
		parts := relation(t, s, "s.parts")
		equal(t, "column privilege", []bool{m.Can(parts, "UPDATE") != nil, m.Granted(parts, "UPDATE") != nil, m.Can(parts, "SELECT") != nil}, []bool{true, false, false})
	})
}

// TestRole_Options checks what 16 brought: memberships that only inherit, only
// allow SET ROLE, or neither. Before, all members may SET ROLE.
func TestRole_Options(t *testing.T) {
	onEach(t, func(t *testing.T, server *pgtest.Server) {
		sql := `CREATE ROLE inv_a LOGIN; CREATE ROLE inv_b; CREATE ROLE inv_c; CREATE ROLE inv_d; CREATE ROLE inv_e NOINHERIT; GRANT inv_e TO inv_a; GRANT inv_d TO inv_e WITH ADMIN OPTION;`
		want := "becomes inv_a inv_d inv_e; inherits inv_a inv_e; privileges inv_a inv_d inv_e"
		if server.Bin.Version >= 16 {
			sql += `GRANT inv_b TO inv_a WITH INHERIT TRUE, SET FALSE; GRANT inv_c TO inv_a WITH INHERIT FALSE, SET FALSE;`
			want = "becomes inv_a inv_d inv_e; inherits inv_a inv_b inv_e; privileges inv_a inv_b inv_d inv_e"
		}
		s := load(t, server, "postgres", sql)
		names := func(set map[*Role]Path) string {
			var list []string
			for _, r := range sortedRoles(set) {
				list = append(list, r.Name)
			}
			return strings.Join(list, " ")
		}
		a := s.Role("inv_a")
		equal(t, "inv_a", fmt.Sprintf("becomes %s; inherits %s; privileges %s", names(a.Becomes()), names(a.Inherits()), names(a.Privileges())), want)
		equal(t, "path", a.Privileges()[s.Role("inv_d")].String(), "inv_a -> inv_e -> inv_d")
	})
}

func TestResolve_GuessesAppRoles(t *testing.T) {
	server := pgtest.Shared(t, 0)
	names := func(m *Model) (list []string) {
		for _, r := range m.AppRoles {
			list = append(list, r.Name)
		}
		return list
	}
	t.Run("roles with DML", func(t *testing.T) {
		sql := strings.ReplaceAll(graph, "GRANT INSERT ON s.open TO PUBLIC", "GRANT INSERT ON s.open TO inv_gate")
		m := resolve(t, load(t, server, "postgres", sql), Selection{})
		equal(t, "roles", names(m), []string{"inv_gate"}) // inv_app and inv_backup own or bypass
		if !slices.Contains(m.Guessed, "app roles") {
			t.Errorf("guessed: got %v, want app roles among them", m.Guessed)
		}
	})
	t.Run("owner only", func(t *testing.T) {
		m := resolve(t, load(t, server, "postgres", `CREATE ROLE inv_app2 LOGIN; CREATE TABLE t (org_id int); ALTER TABLE t OWNER TO inv_app2;`), Selection{})
		equal(t, "roles", names(m), []string{"inv_app2"})
	})
}
