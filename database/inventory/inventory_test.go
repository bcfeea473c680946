package inventory

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

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

// load makes the schema in a database of its own and takes a snapshot as role.
// All roles of the test end with it.
func load(t *testing.T, s *pgtest.Server, role, sql string) *Snapshot {
	t.Helper()
	database := s.CreateDatabase(t)
	t.Cleanup(func() { dropRoles(t, s, database) })
	s.Exec(t, database, strings.ReplaceAll(sql, "DATABASE_NAME", database))
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.DSN(role, database))
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(ctx)
	snapshot, err := Load(ctx, conn)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return snapshot
}

func dropRoles(t *testing.T, s *pgtest.Server, database string) {
	t.Helper()
	s.Exec(t, database, `DO $$ DECLARE r text; BEGIN
		FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'inv\_%' LOOP
			EXECUTE format('REASSIGN OWNED BY %I TO postgres', r); EXECUTE format('DROP OWNED BY %I', r);
		END LOOP;
		FOR r IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'inv\_%' LOOP EXECUTE format('DROP ROLE %I', r); END LOOP; END $$`)
}

func resolve(t *testing.T, s *Snapshot, sel Selection) *Model {
	t.Helper()
	m, err := Resolve(s, sel)
	if err != nil {
		t.Fatalf("resolve: %v", err)
	}
	return m
}

func relation(t *testing.T, s *Snapshot, object string) *Relation {
	t.Helper()
	for _, r := range s.Relations {
		if r.Object() == object {
			return r
		}
	}
	t.Fatalf("no relation %s in the snapshot", object)
	return nil
}

// equal compares what a test got with what it wants, by their print.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// everything has one of each kind of object.
const everything = `
CREATE ROLE inv_owner; CREATE ROLE inv_app LOGIN; CREATE ROLE inv_rw; CREATE ROLE inv_reader NOINHERIT LOGIN;
GRANT inv_rw TO inv_app; GRANT inv_rw TO inv_reader WITH ADMIN OPTION;
ALTER ROLE inv_app SET statement_timeout = '5s';
ALTER DATABASE DATABASE_NAME SET app.mode = 'x=y';
CREATE SCHEMA "Sales Dept" AUTHORIZATION inv_owner;
CREATE SCHEMA shut;
GRANT USAGE ON SCHEMA "Sales Dept" TO inv_rw;
SET ROLE inv_owner;
CREATE TABLE "Sales Dept"."Order" (
	"Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, org_id uuid NOT NULL, note varchar(20) DEFAULT 'x',
	total numeric(10,2), twice numeric GENERATED ALWAYS AS (total * 2) STORED, parent bigint,
	CONSTRAINT positive CHECK (total > 0), CONSTRAINT "One Note" UNIQUE (org_id, note),
	EXCLUDE USING hash (note WITH =));
ALTER TABLE "Sales Dept"."Order" ADD CONSTRAINT parent_fk FOREIGN KEY (parent) REFERENCES "Sales Dept"."Order" ON DELETE SET NULL ON UPDATE CASCADE NOT VALID;
CREATE INDEX by_lower ON "Sales Dept"."Order" (lower(note), org_id) INCLUDE (total) WHERE total > 5;
CREATE INDEX by_words ON "Sales Dept"."Order" USING gin (to_tsvector('english', note));
RESET ROLE;
CREATE FUNCTION "Sales Dept".ctx() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT nullif(current_setting(''app.org_id'', true), '''')::uuid';
CREATE FUNCTION "Sales Dept".ctx(a int, b text) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS 'BEGIN RETURN NULL; END';
REVOKE ALL ON FUNCTION "Sales Dept".ctx(int, text) FROM PUBLIC;
CREATE PROCEDURE "Sales Dept".work() LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION "Sales Dept".trg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
ALTER TABLE "Sales Dept"."Order" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "Sales Dept"."Order" FORCE ROW LEVEL SECURITY;
CREATE TABLE "Sales Dept".members (org_id uuid, usr text);
CREATE POLICY "own rows" ON "Sales Dept"."Order" AS RESTRICTIVE FOR UPDATE TO inv_rw, inv_reader
	USING (org_id = "Sales Dept".ctx() AND EXISTS (SELECT 1 FROM "Sales Dept".members m WHERE m.org_id = "Order".org_id)) WITH CHECK (total > 1);
CREATE POLICY all_of_it ON "Sales Dept"."Order" USING (true);
CREATE TRIGGER on_write BEFORE INSERT ON "Sales Dept"."Order" FOR EACH ROW EXECUTE FUNCTION "Sales Dept".trg();
CREATE RULE keep AS ON DELETE TO "Sales Dept".members DO INSTEAD NOTHING;
CREATE VIEW "Sales Dept".v WITH (security_barrier = true) AS SELECT "Id", note, "Sales Dept".ctx() FROM "Sales Dept"."Order";
CREATE MATERIALIZED VIEW shut.mv AS SELECT * FROM "Sales Dept".v WITH NO DATA;
CREATE TABLE shut.events (id int, org_id uuid) PARTITION BY LIST (id);
CREATE TABLE shut.events_1 PARTITION OF shut.events FOR VALUES IN (1);
CREATE TABLE shut.more (extra int) INHERITS ("Sales Dept".members);
CREATE SEQUENCE shut.seq;
GRANT SELECT, UPDATE ON "Sales Dept"."Order" TO inv_rw WITH GRANT OPTION;
GRANT SELECT (note) ON "Sales Dept".v TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE inv_owner IN SCHEMA "Sales Dept" GRANT SELECT ON TABLES TO inv_rw;
ALTER DEFAULT PRIVILEGES FOR ROLE inv_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE STATISTICS "Sales Dept".st (dependencies) ON note, total FROM "Sales Dept"."Order";
CREATE PUBLICATION pub FOR TABLE ONLY "Sales Dept".members;
CREATE PUBLICATION pub_all FOR ALL TABLES;
CREATE FOREIGN DATA WRAPPER fdw; CREATE SERVER far FOREIGN DATA WRAPPER fdw;
CREATE FOREIGN TABLE shut.away (a int) SERVER far;
CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (password 'secret');
CREATE USER MAPPING FOR inv_app SERVER far;
GRANT USAGE ON FOREIGN SERVER far TO inv_rw;
SELECT lo_create(0), lo_create(0);
CREATE TEMP TABLE gone (a int);
`

// TestLoad_Everything takes a snapshot as a role without any privilege and
// looks at each kind of object in it.
func TestLoad_Everything(t *testing.T) {
	onEach(t, func(t *testing.T, server *pgtest.Server) {
		s := load(t, server, "inv_reader", everything)
		equal(t, "major", s.Server.Major(), server.Bin.Version)
		equal(t, "login", s.Login, Login{Role: "inv_reader", Current: "inv_reader"})
		equal(t, "owner", s.DatabaseOwner, "postgres")
		var names []string
		for _, r := range s.Relations {
			names = append(names, string(r.Kind)+" "+r.Object())
		}
		want := []string{
			`r "Sales Dept"."Order"`, `S "Sales Dept"."Order_Id_seq"`, `r "Sales Dept".members`, `v "Sales Dept".v`,
			`f shut.away`, `p shut.events`, `r shut.events_1`, `r shut.more`, `m shut.mv`, `S shut.seq`,
		}
		equal(t, "relations", names, want)
		testTable(t, relation(t, s, `"Sales Dept"."Order"`))
		testConstraints(t, relation(t, s, `"Sales Dept"."Order"`))
		testCode(t, s)
		testRest(t, s)
	})
}

func testTable(t *testing.T, r *Relation) {
	t.Helper()
	equal(t, "flags", []any{r.Owner, r.RowSecurity, r.Force, r.DefaultGrants, r.Schema, string(r.Persistence)}, []any{"inv_owner", true, true, false, "Sales Dept", "p"})
	var columns []string
	for _, c := range r.Columns {
		columns = append(columns, fmt.Sprintf("%s %s %t %s %c%c", c.Object(), c.Type, c.NotNull, c.Default, c.Identity+'0', c.Generated+'0'))
	}
	equal(t, "columns", strings.Join(columns, "\n"), strings.Join([]string{
		`"Sales Dept"."Order"."Id" bigint true  ` + string(rune('a'+'0')) + `0`,
		`"Sales Dept"."Order".org_id uuid true  00`,
		`"Sales Dept"."Order".note character varying(20) false 'x'::character varying 00`,
		`"Sales Dept"."Order".total numeric(10,2) false  00`,
		`"Sales Dept"."Order".twice numeric false (total * (2)::numeric) 0` + string(rune('s'+'0')),
		`"Sales Dept"."Order".parent bigint false  00`,
	}, "\n"))
	equal(t, "grants", slices.DeleteFunc(slices.Clone(r.Grants), func(g Grant) bool { return g.Grantee == "inv_owner" }),
		[]Grant{{"inv_rw", "SELECT", true, "inv_owner"}, {"inv_rw", "UPDATE", true, "inv_owner"}})
}

func testConstraints(t *testing.T, r *Relation) {
	t.Helper()
	var list []string
	for _, k := range r.Constraints {
		if k.Kind != NotNull {
			list = append(list, fmt.Sprintf("%s %c %d %t", k.Object(), k.Kind, len(k.Columns), k.Validated))
		}
		if k.Name == "parent_fk" {
			equal(t, "foreign key", []any{k.References == r, k.ReferencedColumns[0].Name, k.OnDelete.SQL(), k.OnUpdate.SQL()}, []any{true, "Id", "SET NULL", "CASCADE"})
		}
	}
	const o = `"Sales Dept"."Order":`
	equal(t, "constraints", strings.Join(list, "\n"), strings.Join([]string{
		o + "One Note u 2 true", o + "Order_note_excl x 1 true", o + "Order_pkey p 1 true", o + "parent_fk f 1 false", o + "positive c 1 true",
	}, "\n"))
	list = nil
	for _, i := range r.Indexes {
		s := fmt.Sprintf("%s %s %t %t %t %s", i.Object(), i.Method, i.Unique, i.Valid, i.Constraint != nil, i.Predicate)
		for _, k := range i.Keys {
			s += fmt.Sprintf(" [%s %t %s %t]", k.Expression, k.Column != nil, k.Class, k.Leakproof)
		}
		list = append(list, s+fmt.Sprint(len(i.Included)))
	}
	equal(t, "indexes", strings.Join(list, "\n"), strings.Join([]string{
		o + `One Note btree true true true  [org_id true uuid_ops true] [note true text_ops true]0`,
		o + `Order_note_excl hash false true true  [note true text_ops true]0`,
		o + `Order_pkey btree true true true  ["Id" true int8_ops true]0`,
		o + `by_lower btree false true false (total > (5)::numeric) [lower((note)::text) false text_ops true] [org_id true uuid_ops true]1`,
		o + `by_words gin false true false  [to_tsvector('english'::regconfig, (note)::text) false tsvector_ops false]0`,
	}, "\n"))
}

func testCode(t *testing.T, s *Snapshot) {
	t.Helper()
	order, members := relation(t, s, `"Sales Dept"."Order"`), relation(t, s, `"Sales Dept".members`)
	all, own := order.Policies[0], order.Policies[1]
	equal(t, "policy", []any{all.Object(), all.CommandName(), all.Permissive, all.Roles, all.Using, all.Check}, []any{`"Sales Dept"."Order":all_of_it`, "ALL", true, []string{"public"}, "true", ""})
	equal(t, "policy", []any{own.Name, own.CommandName(), own.Permissive, own.Roles, own.Check}, []any{"own rows", "UPDATE", false, []string{"inv_reader", "inv_rw"}, "(total > (1)::numeric)"})
	equal(t, "policy's relations", own.Uses.Relations[0].Object(), members.Object())
	equal(t, "policy's functions", own.Uses.Functions[0].Object(), `"Sales Dept".ctx()`)
	var columns []string
	for _, c := range own.Uses.Columns {
		columns = append(columns, c.Object())
	}
	slices.Sort(columns)
	equal(t, "policy's columns", columns, []string{`"Sales Dept"."Order".org_id`, `"Sales Dept"."Order".total`, `"Sales Dept".members.org_id`})
	view := relation(t, s, `"Sales Dept".v`)
	equal(t, "view", []any{view.Uses.Relations[0].Object(), view.Uses.Functions[0].Name, view.SecurityInvoker(), strings.Contains(view.Definition, `"Sales Dept".ctx()`)}, []any{order.Object(), "ctx", false, true})
	equal(t, "materialized view", relation(t, s, "shut.mv").Populated, false)
	equal(t, "trigger", []any{order.Triggers[0].Object(), order.Triggers[0].Function.Object()}, []any{order.Object() + ":on_write", `"Sales Dept".trg()`})
	equal(t, "rule", []any{members.Rules[0].Object(), members.Rules[0].Instead, string(members.Rules[0].Event)}, []any{members.Object() + ":keep", true, "4"})
	var functions []string
	for _, f := range s.Functions {
		functions = append(functions, fmt.Sprintf("%s %s %c %t %v %t %d %d", f.SQL(), f.Language, f.Volatility, f.SecurityDefiner, f.Settings, f.DefaultGrants, len(f.Grants), len(f.UsedByPolicies)+len(f.UsedByTriggers)+len(f.UsedByViews)))
	}
	equal(t, "functions", strings.Join(functions, "\n"), strings.Join([]string{
		`FUNCTION "Sales Dept".ctx() sql s false [] true 2 2`,
		`FUNCTION "Sales Dept".ctx(a integer, b text) plpgsql v true [search_path=pg_catalog] false 1 0`,
		`FUNCTION "Sales Dept".trg() plpgsql v false [] true 2 1`,
		`PROCEDURE "Sales Dept".work() sql v false [] true 2 0`,
	}, "\n"))
}

func testRest(t *testing.T, s *Snapshot) {
	t.Helper()
	part, more := relation(t, s, "shut.events_1"), relation(t, s, "shut.more")
	equal(t, "partition", []any{part.IsPartition, part.Parents[0].Object(), part.PartitionBound, part.Parents[0].PartitionKey}, []any{true, "shut.events", "FOR VALUES IN (1)", "LIST (id)"})
	equal(t, "inheritance", []any{more.IsPartition, more.Parents[0].Object(), more.Column("org_id").Inherited, more.Column("extra").Inherited}, []any{false, `"Sales Dept".members`, true, false})
	equal(t, "sequence", relation(t, s, `"Sales Dept"."Order_Id_seq"`).OwnedBy.Object(), `"Sales Dept"."Order"."Id"`)
	equal(t, "column grants", relation(t, s, `"Sales Dept".v`).Column("note").Grants, []Grant{{Public, "SELECT", false, "postgres"}})
	equal(t, "schema", []any{s.Schema("Sales Dept").Owner, slices.Contains(s.Schema("Sales Dept").Grants, Grant{"inv_rw", "USAGE", false, "inv_owner"})}, []any{"inv_owner", true})
	var defaults []string
	for _, d := range s.DefaultPrivileges {
		defaults = append(defaults, fmt.Sprintf("%s %c %v", d.Object(), d.Kind, d.Grants))
	}
	equal(t, "default privileges", defaults, []string{
		"default:inv_owner@* f [{inv_owner EXECUTE false inv_owner}]", "default:inv_owner@Sales Dept r [{inv_rw SELECT false inv_owner}]",
	})
	var settings []string
	for _, r := range s.RoleSettings {
		settings = append(settings, strings.TrimSuffix(r.Object(), s.Database)+" "+r.Name+"="+r.Value)
	}
	equal(t, "settings", settings, []string{"setting:*@ app.mode=x=y", "setting:inv_app@* statement_timeout=5s"})
	equal(t, "publications", fmt.Sprint(s.Publications), "[{pub postgres false [] [{{Sales Dept members} }]} {pub_all postgres true [] []}]")
	equal(t, "servers", []any{s.ForeignServers[0].Object(), s.ForeignServers[0].Wrapper, s.ForeignServers[0].Grants[0].Grantee, s.UserMappings}, []any{"server:far", "fdw", "inv_rw", []UserMapping{{"far", "inv_app"}, {"far", "public"}}})
	equal(t, "large objects", s.LargeObjects, []LargeObjects{{"postgres", 2}})
	equal(t, "statistics", []any{s.Statistics[0].Name, s.Statistics[0].Relation.Name, s.Statistics[0].Kinds}, []any{Name{"Sales Dept", "st"}, "Order", "f"})
	equal(t, "extension", s.Extensions[0].Object(), "extension:plpgsql")
	if len(s.CoreFunctions) < len(coreFunctionNames) {
		t.Errorf("functions of the server: got %d, want at least %d", len(s.CoreFunctions), len(coreFunctionNames))
	}
}

// TestLoad_WritesNothing takes a snapshot on a connection whose transactions
// are read only, and leaves search_path as it was.
func TestLoad_WritesNothing(t *testing.T) {
	server := pgtest.Shared(t, pgtest.All()[0].Version)
	conn := server.Connect(t, "postgres")
	ctx := context.Background()
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET default_transaction_read_only = on; SET search_path = public"); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(ctx, conn); err != nil {
		t.Fatal(err)
	}
	var path string
	if err := conn.QueryRow(ctx, "SHOW search_path").Scan(&path); err != nil || path != "public" {
		t.Errorf("search_path: got %q, %v, want public", path, err)
	}
}

// TestQuote compares Quote with the server's own function. What only a newer
// version reserves is quoted on all.
func TestQuote(t *testing.T) {
	onEach(t, func(t *testing.T, server *pgtest.Server) {
		conn := server.Connect(t, "postgres")
		ctx := context.Background()
		defer conn.Close(ctx)
		rows, err := conn.Query(ctx, `SELECT w, quote_ident(w) FROM (SELECT word FROM pg_get_keywords()
			UNION ALL SELECT unnest(ARRAY['a', 'A', '1a', 'a1', '_', 'a b', 'a"b', 'ä', 'a$b', 'a-b', '"'])) AS x(w)`)
		if err != nil {
			t.Fatal(err)
		}
		var word, want string
		_, err = pgx.ForEachRow(rows, []any{&word, &want}, func() error {
			newer := server.Bin.Version < 18 && quotedKeywords[word]
			if got := Quote(word); got != want && !(newer && got == `"`+word+`"`) {
				t.Errorf("Quote(%q): got %s, want %s", word, got, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"a", "it's", `back\slash`, `'\`} {
			var got string
			if err := conn.QueryRow(ctx, "SELECT "+QuoteLiteral(s)).Scan(&got); err != nil || got != s {
				t.Errorf("QuoteLiteral(%q) means %q, %v", s, got, err)
			}
		}
	})
}
