package parser

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var testOptions = Options{TenantColumns: []string{"org_id"}}

func mustParse(t testing.TB, text string) *Batch {
	t.Helper()
	b, err := Parse(text, testOptions)
	if err != nil {
		t.Fatalf("parse %q: %v", text, err)
	}
	return b
}

// spellFacts writes the facts of a text that matter to a test, each as a word.
func spellFacts(b *Batch) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for i := range b.Statements {
		s := &b.Statements[i]
		add("kind:%s", strings.ReplaceAll(s.Kind.String(), " ", "_"))
		for _, k := range s.Nested {
			add("nested:%s", strings.ReplaceAll(k.String(), " ", "_"))
		}
		for _, r := range s.Relations {
			add("%s:%s", spellAccess(r), spellName(r.Name))
		}
		for _, f := range s.Functions {
			add("call:%s", spellName(f.Name))
		}
		for _, v := range s.Settings {
			add("%s", spellSetting(&v))
		}
		for _, v := range s.TenantTerms {
			add("%s:%s=%s", map[bool]string{true: "write", false: "term"}[v.Write], v.Column, spellValue(v.Value))
		}
		for _, a := range s.Attributes {
			add("attribute:%s", a)
		}
		for _, r := range s.Roles {
			add("role:%s", r)
		}
		for _, n := range s.ObjectNames {
			add("object:%s", spellName(n))
		}
		for _, u := range s.Unclassified {
			add("unclassified:%s", u)
		}
	}
	return out
}

func spellName(n Name) string {
	return strings.TrimLeft(strings.Join([]string{n.Catalog, n.Schema, n.Name}, "."), ".")
}

func spellAccess(r Relation) string {
	names := []string{"read", "insert", "update", "delete", "truncate", "lock", "create", "alter"}
	var set []string
	for i, n := range names {
		if r.Access&(1<<i) != 0 {
			set = append(set, n)
		}
	}
	if r.Temp {
		set = append(set, "temp")
	}
	return strings.Join(set, "+")
}

func spellSetting(s *Setting) string {
	action := []string{"", "set", "reset", "resetall", "fromcurrent", "transaction", "show"}[s.Action]
	name := s.Name
	if name == "" && s.NameValue.Kind != ValueNone {
		name = "?"
	}
	var values []string
	for _, v := range s.Values {
		values = append(values, spellValue(v))
	}
	text := action + ":" + name
	if len(values) > 0 {
		text += "=" + strings.Join(values, ",")
	}
	for _, f := range []struct {
		is   bool
		name string
	}{{s.Local, "local"}, {s.LocalUnknown, "localunknown"}, {s.Stored, "stored"}, {s.Characteristics, "characteristics"}} {
		if f.is {
			text += ":" + f.name
		}
	}
	return text
}

func spellValue(v Value) string {
	switch v.Kind {
	case ValueConstant:
		return v.text
	case ValueParam:
		return fmt.Sprintf("$%d", v.Param)
	}
	return "?"
}

// TestFacts: what each text must give. Each line of want is a fact, "!" before
// one says that it must not be there.
func TestFacts(t *testing.T) {
	for text, want := range factCases() {
		got := spellFacts(mustParse(t, text))
		for _, fact := range strings.Fields(want) {
			name, not := strings.CutPrefix(fact, "!")
			if slices.Contains(got, name) == not {
				t.Errorf("%s\n got %v\nwant %s", text, got, fact)
			}
		}
		if i := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "unclassified") }); i >= 0 {
			t.Errorf("%s: %s", text, got[i])
		}
	}
}

func factCases() map[string]string {
	cases := make(map[string]string)
	for _, more := range []map[string]string{attackFacts(), sessionFacts(), queryFacts(), tenantFacts(), definitionFacts()} {
		for text, want := range more {
			cases[text] = want
		}
	}
	return cases
}

// attackFacts are the costumes of the starting set of attacks.
func attackFacts() map[string]string {
	const set = "call:set_config set:app.org_id=B"
	return map[string]string{
		"SET app.org_id = 'B'": "kind:SET set:app.org_id=B",
		"BEGIN; SET LOCAL app.org_id = 'B'; SELECT * FROM accounts; COMMIT": "kind:BEGIN set:app.org_id=B:local read:accounts kind:COMMIT",
		"RESET ALL":               "kind:RESET resetall:",
		"DISCARD ALL":             "kind:DISCARD",
		`SET "App"."Org_Id" TO B`: "set:app.org_id=b",
		"SELECT pg_catalog.set_config('app.org_id', 'B', false)":                                                                  "call:pg_catalog.set_config set:app.org_id=B",
		"SELECT db.pg_catalog.set_config('app.org_id', 'B', false)":                                                               "call:db.pg_catalog.set_config set:app.org_id=B",
		"SELECT 1 FROM accounts ORDER BY set_config('app.org_id', 'B', false)":                                                    set,
		"SELECT set_config($1,$2,$3)":                                                                                             "set:?=$2:localunknown",
		"SELECT set_config('app.' || 'org_id', 'B', true)":                                                                        "set:?=B:local",
		"SELECT set_config('app.org_idx'::varchar(10), 'B', true)":                                                                "set:?=B:local",
		"SELECT set_config('app.org_id  '::char(12), 'B', true)":                                                                  "set:?=B:local",
		"SELECT set_config('app.org_id'::text::varchar, 'B', false)":                                                              set,
		"SELECT set_config(U&'app\\002eorg_id', E'\\x42', false)":                                                                 set,
		"SELECT set_config($$App.Org_Id$$, 'B', false)":                                                                           set,
		"SELECT set_config(setting_name => 'app.org_id', is_local => true, new_value => 'B')":                                     "set:app.org_id=B:local",
		"SELECT set_config(VARIADIC ARRAY['app.org_id','B','f'])":                                                                 "set:?=?:localunknown",
		"PREPARE p AS SELECT set_config('app.org_id', 'B', false); EXECUTE p":                                                     "nested:SELECT kind:EXECUTE " + set,
		"EXECUTE p(set_config('app.org_id', 'B', false))":                                                                         set,
		"EXPLAIN ANALYZE SELECT set_config('app.org_id', 'B', false)":                                                             "nested:SELECT " + set,
		"COPY (SELECT set_config('app.org_id', 'B', false)) TO STDOUT":                                                            "kind:COPY nested:SELECT " + set,
		"CREATE TABLE t AS SELECT set_config('app.org_id', 'B', false)":                                                           "kind:CREATE_TABLE_AS create:t " + set,
		"DECLARE c CURSOR FOR SELECT set_config('app.org_id', 'B', false)":                                                        set,
		"CREATE VIEW v AS SELECT set_config('app.org_id', 'B', false)":                                                            "create:v " + set,
		"CREATE TABLE t (a text DEFAULT set_config('app.org_id', 'B', false))":                                                    set,
		"CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW WHEN (set_config('app.org_id', 'B', false) = '') EXECUTE FUNCTION f()":  set,
		"CREATE INDEX ON t (set_config('app.org_id', 'B', false))":                                                                set,
		"CREATE FUNCTION f() RETURNS text RETURN set_config('app.org_id', 'B', false)":                                            set,
		"CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT set_config('app.org_id', 'B', false); END":                          set,
		"CREATE RULE r AS ON INSERT TO t DO ALSO SELECT set_config('app.org_id', 'B', false)":                                     set,
		"MERGE INTO t USING s ON set_config('app.org_id', 'B', false) = '' WHEN MATCHED THEN DO NOTHING":                          set,
		"INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = set_config('app.org_id', 'B', false)":                        set,
		"SELECT * FROM t TABLESAMPLE system (set_config('app.org_id', 'B', false)::int)":                                          set,
		"SELECT * FROM ROWS FROM (set_config('app.org_id', 'B', false)) AS x":                                                     set,
		"SELECT count(*) FILTER (WHERE set_config('app.org_id', 'B', false) = '') OVER (PARTITION BY set_config('a', 'b', true))": set,
		"SELECT 1 LIMIT set_config('app.org_id', 'B', false)::int":                                                                set,
		"SELECT xmlelement(name a, set_config('app.org_id', 'B', false))":                                                         set,
		"SELECT json_object('a' VALUE set_config('app.org_id', 'B', false))":                                                      set,
		"SELECT GROUPING(a) FROM t GROUP BY CUBE (a, set_config('app.org_id', 'B', false))":                                       set,
		"VALUES (set_config('app.org_id', 'B', false))":                                                                           "kind:SELECT " + set,
		"CALL p(set_config('app.org_id', 'B', false))":                                                                            "call:p " + set,
		"SELECT query_to_xml('SELECT 1', true, false, '')":                                                                        "call:query_to_xml",
		"SET ROLE admin_bypass":                            "set:role=admin_bypass",
		"SELECT set_config('Role', 'admin_bypass', false)": "set:role=admin_bypass",
		"SET SESSION AUTHORIZATION admin":                  "set:session_authorization=admin",
		"ALTER ROLE app SET statement_timeout = 1":         "kind:ALTER_ROLE set:statement_timeout=1:stored role:app",
		"TRUNCATE messages, ONLY b":                        "kind:TRUNCATE truncate:messages truncate:b",
		"ALTER TABLE accounts DISABLE ROW LEVEL SECURITY":  "kind:ALTER_TABLE alter:accounts",
		"LISTEN orders":                                    "kind:LISTEN",
		"SELECT setval('accounts_id_seq', 1, false)":       "call:setval",
		"CREATE TEMP TABLE accounts (id int)":              "create+temp:accounts",
		"CREATE TABLE pg_temp.accounts (id int)":           "create+temp:pg_temp.accounts",
		"SET client_encoding = 'SJIS'":                     "set:client_encoding=SJIS",
		"SET NAMES 'SJIS'":                                 "set:client_encoding=SJIS",
		"COPY t TO PROGRAM 'x'":                            "kind:COPY read:t",
		"LOCK TABLE accounts":                              "kind:LOCK lock:accounts",
		"SELECT * FROM accounts WHERE org_id = 'B'":        "term:org_id=B",
	}
}

// sessionFacts are statements that clients send besides queries.
func sessionFacts() map[string]string {
	return map[string]string{
		"SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;":      "call:pg_advisory_unlock_all kind:CLOSE kind:UNLISTEN kind:RESET",
		"SET SESSION timezone TO 'UTC'":                                           "set:timezone=UTC",
		"SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE":                          "set:timezone=+00:00",
		"SET TIME ZONE LOCAL":                                                     "reset:timezone",
		"SET search_path TO shop,public":                                          "set:search_path=shop,public",
		"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE": "transaction:transaction_isolation=serializable:characteristics",
		"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY":              "kind:SET transaction:transaction_read_only=1:local",
		"SET TRANSACTION SNAPSHOT '00000003-000026CE0-1'":                         "transaction:transaction_snapshot=00000003-000026CE0-1:local",
		"SET work_mem TO DEFAULT":                                                 "reset:work_mem",
		"SET extra_float_digits = -3":                                             "set:extra_float_digits=-3",
		"SET random_page_cost = 1.1":                                              "set:random_page_cost=1.1",
		"show transaction_isolation":                                              "show:transaction_isolation",
		"SHOW ALL":                                                                "show:all",
		"SELECT current_setting('App.org_id', true)":                              "show:app.org_id",
		"SET LOCAL sort_mem = 1":                                                  "set:work_mem=1:local",
		"begin isolation level serializable read only deferrable":                 "kind:BEGIN",
		"START TRANSACTION READ WRITE":                                            "kind:START_TRANSACTION",
		`SAVEPOINT "s1"; ROLLBACK TO SAVEPOINT "s1"; RELEASE "s1"`:                "kind:SAVEPOINT kind:ROLLBACK_TO kind:RELEASE",
		"PREPARE TRANSACTION 'x'; COMMIT PREPARED 'x'; ROLLBACK PREPARED 'x'":     "kind:PREPARE_TRANSACTION kind:COMMIT_PREPARED kind:ROLLBACK_PREPARED",
		"declare c1 no scroll cursor for select id from shop.events":              "kind:DECLARE_CURSOR read:shop.events",
		"fetch forward 5 from c1; move next in c1; close c1":                      "kind:FETCH kind:MOVE kind:CLOSE",
		"DEALLOCATE ALL; DEALLOCATE p":                                            "kind:DEALLOCATE",
		"SET CONSTRAINTS fk DEFERRED":                                             "kind:SET_CONSTRAINTS !alter:fk",
		"SET CONSTRAINTS ALL DEFERRED":                                            "kind:SET_CONSTRAINTS",
		"SELECT set_config('search_path', '', false)":                             "set:search_path=",
		"SET SESSION AUTHORIZATION DEFAULT":                                       "reset:session_authorization",
		"RESET ROLE":                                                              "reset:role",
		"SET ROLE NONE":                                                           "set:role=none",
	}
}

// A call in attribute notation takes any value, not only rows.
func TestAttributes(t *testing.T) {
	for _, c := range []struct {
		text, attributes, selected string
		function                   bool
	}{
		{"SELECT a.b FROM a", "b", "", false},
		{"SELECT (1).b", "b", "b", false},
		{"SELECT (a.b).c, (ARRAY[1])[1].d FROM a", "b c d", "c d", false},
		{"SELECT x.b FROM abs(1) x", "b", "", true},
		{"SELECT 1 WHERE EXISTS (SELECT FROM a, LATERAL (SELECT x.b FROM CAST(1 AS oid) x) y)", "b", "", true},
	} {
		b, err := Parse(c.text, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := &b.Statements[0]
		attributes, selected := strings.Join(s.Attributes, " "), strings.Join(s.Selected, " ")
		if attributes != c.attributes || selected != c.selected || (s.Flags&FlagFromFunction != 0) != c.function {
			t.Errorf("%s: attributes %q, selected %q, flags %b", c.text, attributes, selected, s.Flags)
		}
	}
}

// What a tenant column meets is found behind what does not change it.
func TestTenantTerms_Costumes(t *testing.T) {
	for _, condition := range []string{
		"org_id BETWEEN 'B' AND 'z'", "org_id >= 'B'", "'B' > org_id", "org_id = (SELECT 'B'::uuid)", "org_id = (VALUES ('B'))",
		"org_id IN (SELECT 'B')", "org_id IN (VALUES ('a'), ('B'))", "org_id IN (SELECT x UNION SELECT 'B')", "org_id = ANY (SELECT 'B')",
		"org_id = ANY (ARRAY(SELECT 'B'))", "org_id = coalesce('B'::uuid)", "org_id = coalesce(NULL, 'B')::uuid",
		"org_id = CASE WHEN true THEN 'B'::uuid END", "org_id = CASE WHEN true THEN x ELSE 'B' END", "org_id = greatest('B')",
		"org_id <> 'B'", "org_id LIKE 'B'", "lower(org_id) = 'B'", "org_id = upper('b')", "org_id = (SELECT x FROM (VALUES ('B')) v(x))",
	} {
		b, err := Parse("SELECT FROM accounts WHERE "+condition, Options{TenantColumns: []string{"org_id"}})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, term := range b.Statements[0].TenantTerms {
			text, ok := b.Constant(term.Value)
			found = found || ok && text == "B"
		}
		if !found {
			t.Errorf("%s: not found", condition)
		}
	}
	for _, condition := range []string{"id IN (SELECT 'B')", "org_id IN (SELECT x FROM y WHERE z = 'B')", "org_id = f('B')", "f(org_id, 'B')", "lower(id) = 'B'"} {
		b, err := Parse("SELECT FROM accounts WHERE "+condition, Options{TenantColumns: []string{"org_id"}})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(b.Statements[0].TenantTerms); n > 0 {
			t.Errorf("%s: %d found", condition, n)
		}
	}
}
