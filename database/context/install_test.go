package context

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

// installation is a database with the context installed.
type installation struct {
	s        *pgtest.Server
	database string
	admin    *pgx.Conn // superuser
}

// roles are the cluster's roles of these tests.
const roles = `
DROP ROLE IF EXISTS ctx_app, ctx_deployer, bulkhead_owner, ctx_reader;
CREATE ROLE ctx_app LOGIN;
CREATE ROLE ctx_reader LOGIN;
GRANT pg_read_all_data TO ctx_reader;
CREATE ROLE ctx_deployer LOGIN CREATEROLE;
`

// newDatabase makes a database and the roles, and drops them all at the end.
func newDatabase(t *testing.T, s *pgtest.Server) *installation {
	t.Helper()
	sql := roles
	if s.Bin.Version < 14 {
		sql = strings.Replace(sql, "GRANT pg_read_all_data TO ctx_reader;", "", 1)
	}
	s.Exec(t, "postgres", sql)
	// The database must be gone before the role that owns things in it is: clean-ups run last first.
	t.Cleanup(func() {
		s.Exec(t, "postgres", "DROP ROLE IF EXISTS ctx_app, ctx_deployer, ctx_reader, bulkhead_owner")
	})
	database := s.CreateDatabase(t)
	s.Exec(t, "postgres", "GRANT CREATE ON DATABASE "+database+" TO ctx_deployer")
	in := &installation{s: s, database: database, admin: s.Connect(t, database)}
	t.Cleanup(func() { in.admin.Close(context.Background()) })
	return in
}

// install makes a database with the context and an organisation's table.
func install(t *testing.T, s *pgtest.Server, o Options) *installation {
	t.Helper()
	in := newDatabase(t, s)
	o.Version, o.Superuser = version(t, in.admin), true
	if o.Roles == nil {
		o.Roles = []string{"ctx_app"}
	}
	run(t, in.admin, forward(mustInstall(t, o))...)
	return in
}

// as connects as a role.
func (in *installation) as(t *testing.T, role string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), in.s.DSN(role, in.database))
	if err != nil {
		t.Fatalf("connect as %s: %v", role, err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func version(t *testing.T, c *pgx.Conn) int {
	t.Helper()
	n, err := strconv.Atoi(value(t, c, "select current_setting('server_version_num')"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustInstall(t *testing.T, o Options) []Statement {
	t.Helper()
	out, err := Install(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func forward(s []Statement) (out []string) {
	for _, x := range s {
		out = append(out, x.SQL)
	}
	return out
}

func backward(s []Statement) (out []string) {
	for _, x := range slices.Backward(s) {
		out = append(out, x.Inverse)
	}
	return out
}

// run runs statements in one transaction, as a migration does.
func run(t *testing.T, c *pgx.Conn, statements ...string) {
	t.Helper()
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	for _, sql := range append([]string{"set local search_path = ''"}, statements...) {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%v\n%s", err, sql)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, c *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	var v *string
	if err := c.QueryRow(t.Context(), "select ("+sql+")::text", args...).Scan(&v); err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	if v == nil {
		return "NULL"
	}
	return *v
}

// fingerprint is everything that an installation may leave behind.
const fingerprint = `
with acl as (
  select 'schema ' || n.oid::regnamespace as what, n.nspowner as owner, coalesce(n.nspacl, acldefault('n', n.nspowner)) as acl from pg_namespace n where nspname !~ '^pg_'
  union all select 'relation ' || c.oid::regclass, c.relowner, coalesce(c.relacl, acldefault('r', c.relowner)) from pg_class c where c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
  union all select 'function ' || p.oid::regprocedure || md5(prosrc) || provolatile::text || proparallel::text || prosecdef::text || coalesce(proconfig::text, ''), p.proowner,
    coalesce(p.proacl, acldefault('f', p.proowner)) from pg_proc p where p.pronamespace::regnamespace::text !~ '^(pg_|information_schema)')
select string_agg(l, E'\n' order by l) from (
  select what || ' ' || pg_get_userbyid(owner) || ' ' || x.grantee || x.privilege_type || x.is_grantable as l from acl, aclexplode(acl) as x
  union all select 'role ' || to_jsonb(r)::text from pg_roles as r
  union all select 'member ' || to_jsonb(m)::text from pg_auth_members as m
  union all select 'setting ' || to_jsonb(s)::text from pg_db_role_setting as s
  union all select 'default ' || to_jsonb(d)::text from pg_default_acl as d) as z`

func TestInstall_InverseIsExact(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		for _, mode := range []Mode{Plain, Signed, Sealed} {
			for _, by := range []string{pgtest.Superuser, "ctx_deployer"} {
				t.Run(string(mode)+" by "+by, func(t *testing.T) { inverseIsExact(t, s, mode, by) })
			}
		}
	})
}

func inverseIsExact(t *testing.T, s *pgtest.Server, mode Mode, by string) {
	in := newDatabase(t, s)
	// Default privileges of the installer must not open what is made.
	run(t, in.admin, "alter default privileges for role "+by+" grant all on functions to ctx_app",
		"alter default privileges for role "+by+" grant all on tables to ctx_app")
	t.Cleanup(func() {
		s.Exec(t, in.database, "alter default privileges for role "+by+" revoke all on functions from ctx_app;"+
			"alter default privileges for role "+by+" revoke all on tables from ctx_app")
	})
	before := value(t, in.admin, fingerprint)
	steps := mustInstall(t, Options{
		Mode: mode, KeyType: "uuid", Version: version(t, in.admin), Superuser: by == pgtest.Superuser, Roles: []string{"ctx_app"},
	})
	c := in.as(t, by)
	run(t, c, forward(steps)...)
	if got := value(t, in.admin, "select string_agg(distinct pg_get_userbyid(proowner), ',') from pg_proc where pronamespace = 'bulkhead'::regnamespace"); got != Owner {
		t.Errorf("owner of the functions: got %s", got)
	}
	if mode != Plain {
		if got := value(t, in.admin, "select has_function_privilege('ctx_app', 'bulkhead.add_key(integer, bytea)', 'execute')::text || has_table_privilege('ctx_app', 'bulkhead.signing_key', 'truncate')"); got != "falsefalse" {
			t.Errorf("default privileges opened the keys: %s", got)
		}
	}
	members := value(t, in.admin, "select count(*) from pg_auth_members m where roleid = 'bulkhead_owner'::regrole and coalesce(to_jsonb(m)->>'set_option', 'true') = 'true'")
	if members != "0" {
		t.Errorf("%s roles can act as the owner after the installation", members)
	}
	run(t, c, backward(steps)...)
	if after := value(t, in.admin, fingerprint); after != before {
		t.Errorf("the inverses left a difference:\nbefore %s\nafter  %s", before, after)
	}
}

// TestInstall_OneStatementAtATime: migration tools send each statement by
// itself, some without a transaction.
func TestInstall_OneStatementAtATime(t *testing.T) {
	in := newDatabase(t, pgtest.Shared(t, 0))
	steps := mustInstall(t, Options{Mode: Sealed, KeyType: "bigint", Version: version(t, in.admin), Roles: []string{"ctx_app"}})
	c := in.as(t, "ctx_deployer")
	for _, sql := range slices.Concat(forward(steps), backward(steps)) {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%v\n%s", err, sql)
		}
	}
}

func TestInstall_KeyTypes(t *testing.T) {
	onEach(t, func(t *testing.T, s *pgtest.Server) {
		in := newDatabase(t, s)
		for given, want := range map[string]string{
			"uuid": "uuid", "bigint": "bigint", "int8": "bigint", "integer": "integer", "smallint": "smallint",
			"text": "text", "varchar": "character varying", "character varying(36)": "character varying",
		} {
			for _, mode := range []Mode{Plain, Signed, Sealed} {
				for _, missing := range []bool{false, true} {
					steps := mustInstall(t, Options{Mode: mode, KeyType: given, MissingError: missing, Version: version(t, in.admin), Superuser: true, Roles: []string{"ctx_app"}})
					run(t, in.admin, forward(steps)...)
					got := value(t, in.admin, "select pg_get_function_result('bulkhead.org_id()'::regprocedure)")
					if got != want {
						t.Errorf("%s, %s: org_id() returns %s, want %s", mode, given, got, want)
					}
					checkMissing(t, in, mode, missing)
					run(t, in.admin, backward(steps)...)
				}
			}
		}
	})
}

// checkMissing: without a tenant org_id() is NULL, or raises.
func checkMissing(t *testing.T, in *installation, mode Mode, missing bool) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), in.s.DSN("ctx_app", in.database))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	for _, empty := range []bool{false, true} {
		if empty {
			if _, err := c.Exec(t.Context(), "set bulkhead.org_id = ''; set request.jwt.claims = ''"); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range []string{"org_id", "claims"} {
			var v *string
			err := c.QueryRow(t.Context(), "select bulkhead."+f+"()::text").Scan(&v)
			switch {
			case missing && code(err) != "42501":
				t.Errorf("%s %s() without a tenant: got %v, want 42501", mode, f, err)
			case !missing && (err != nil || v != nil):
				t.Errorf("%s %s() without a tenant: got %v, %v, want NULL", mode, f, v, err)
			}
		}
	}
}

func code(err error) string {
	if pg, ok := asPgError(err); ok {
		return pg.Code
	}
	return fmt.Sprint(err)
}

func TestInstall_RefusesOptions(t *testing.T) {
	good := Options{Mode: Signed, KeyType: "uuid", Version: 150000}
	for name, change := range map[string]func(*Options){
		"mode":           func(o *Options) { o.Mode = "trust" },
		"type":           func(o *Options) { o.KeyType = "jsonb" },
		"array":          func(o *Options) { o.KeyType = "uuid[]" },
		"injection":      func(o *Options) { o.KeyType = "uuid; drop table x" },
		"length of uuid": func(o *Options) { o.KeyType = "uuid(3)" },
		"old":            func(o *Options) { o.Version = 120000 },
		"owner as role":  func(o *Options) { o.Roles = []string{Owner} },
		"empty role":     func(o *Options) { o.Roles = []string{""} },
	} {
		o := good
		change(&o)
		if _, err := Install(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := Install(good); err != nil {
		t.Error(err)
	}
}
