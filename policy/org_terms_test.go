package policy

import (
	"encoding/binary"
	"os"
	"regexp"
	"strings"
	"testing"
)

// orgIDs are ids of one type: the own org's, another's, and one of something
// else.
type orgIDs struct{ form, sqlType, own, other, thing string }

var orgIDsOf = []orgIDs{
	{"uuid", "uuid", orgA, orgB, "deadbeef-0000-4000-8000-00000000beef"},
	{"integer", "bigint", "41", "52", "7"},
	{"text", "text", "acme", "Globex-2", "thing"},
}

func (ids orgIDs) fill(sql string) string {
	for _, r := range [][2]string{
		{"U&'B'", "U&'" + ids.other + "'"},
		{"E'B'", "E'" + ids.other + "'"},
		{"'A'", "'" + ids.own + "'"},
		{"'B'", "'" + ids.other + "'"},
		{"'X'", "'" + ids.thing + "'"},
		{"::T", "::" + ids.sqlType},
		{"(T)", "(" + ids.sqlType + ")"},
		{"(T,", "(" + ids.sqlType + ","},
		{"o T", "o " + ids.sqlType},
		{"i T", "i " + ids.sqlType},
		{"AS T)", "AS " + ids.sqlType + ")"},
		{"= T ", "= " + ids.sqlType + " "},
		{`"A"`, `"` + ids.own + `"`},
		{`"B"`, `"` + ids.other + `"`},
		{`"X"`, `"` + ids.thing + `"`},
		{"{B}", "{" + ids.other + "}"},
		{"{A}", "{" + ids.own + "}"},
		{"A,B", ids.own + "," + ids.other},
		{"'B%'", "'" + ids.other + "%'"},
		{"'A%'", "'" + ids.own + "%'"},
		{"'%B%'", "'%" + ids.other + "%'"},
		{"%X%", "%" + ids.thing + "%"},
		{"A|B", ids.own + "|" + ids.other},
		{"^B$", "^" + ids.other + "$"},
		{"'xB'", "'x" + ids.other + "'"},
		{"' B '", "' " + ids.other + " '"},
		{"$$B$$", "$$" + ids.other + "$$"},
		{"$x$B$x$", "$x$" + ids.other + "$x$"},
		{"'A:X'", "'" + ids.own + ":" + ids.thing + "'"},
		{"(1,B,x)", "(1," + ids.other + ",x)"},
	} {
		sql = strings.ReplaceAll(sql, r[0], r[1])
	}
	return sql
}

func orgLines(t testing.TB, file string) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(string(b), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// orgEngine knows the tables of org_attacks.txt.
func orgEngine(t testing.TB, form string) *Engine {
	t.Helper()
	relation := func(name string, change func(*CatalogRelation), columns ...string) CatalogRelation {
		r := table(name, change)
		r.Columns = columns
		return r
	}
	e, err := New(Options{
		TenantColumns: []string{"org_id"}, OrgType: form, TenantSettings: []string{"app.org_id"},
		AllowFunctions: []string{"my_function", "can_access"},
		Catalog: &Catalog{
			SessionRoles: []string{"app"}, Roles: []CatalogRole{{Name: "app", Inherits: []string{"app"}}},
			Relations: []CatalogRelation{
				relation("accounts", protected, "id", "org_id", "name", "parent", "path"),
				relation("invoices", protected, "id", "org_id", "note", "amount"),
				relation("others", nil, "thing", "name"),
				relation("w", nil, "id", "org_id", "name"),
				relation("Odd", func(r *CatalogRelation) { protected(r); r.TenantColumn = "OrgId" }, "OrgId", "name"),
				relation("orgs", func(r *CatalogRelation) { protected(r); r.TenantColumn, r.OrgKey = "", "id" }, "id", "name"),
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Every statement that names another org is refused by G801, on whatever way
// the name gets to the column; and none that does not.
func TestNamesAnotherOrg(t *testing.T) {
	for _, ids := range orgIDsOf {
		e := orgEngine(t, ids.form)
		judge := func(sql string) (rule string) {
			sql = ids.fill(sql)
			return e.Inspect(t.Context(), sql, Simple).ForOrg(e, ids.own).Rule
		}
		for _, sql := range orgLines(t, "org_attacks.txt") {
			if got := judge(sql); got != "G801" {
				t.Errorf("%s: got %q: %s", ids.form, got, ids.fill(sql))
			}
		}
		for _, sql := range orgLines(t, "org_benign.txt") {
			if got := judge(sql); got != "" {
				t.Errorf("%s: got %q, want none: %s", ids.form, got, ids.fill(sql))
			}
		}
	}
}

// The same with the ids bound to parameters, as text and in binary form.
func TestBindsAnotherOrg(t *testing.T) {
	for _, ids := range orgIDsOf {
		e := orgEngine(t, ids.form)
		// bind is the rule that refuses value in the place of the constant mark.
		bind := func(sql, mark, value string) (rules []string) {
			sql, mark = ids.fill(sql), ids.fill(mark)
			i := e.Inspect(t.Context(), strings.ReplaceAll(sql, mark, "$1"), Extended)
			if i.Decision.Rule != "" {
				t.Fatalf("%s refused: %s", i.Decision.Rule, sql)
			}
			for format, raw := range binaryForms(ids, value) {
				rules = append(rules, e.CheckParam(i, 1, format, raw, ids.own).Rule)
			}
			return rules
		}
		each := func(file, mark string, check func(sql string)) {
			for _, sql := range orgLines(t, file) {
				if strings.Contains(sql, mark) && !strings.HasPrefix(sql, "PREPARE") && !regexp.MustCompile(`[EUT&] ?'[AB]'|'[AB]'[^,);: =|']`).MatchString(sql+" ") {
					check(sql)
				}
			}
		}
		each("org_attacks.txt", "'B'", func(sql string) {
			for _, rule := range bind(sql, "'B'", ids.other) {
				if rule != "G802" {
					t.Errorf("%s: got %q: %s", ids.form, rule, sql)
				}
			}
		})
		for mark, value := range map[string]string{"'X'": ids.thing, "'A'": ids.own} {
			each("org_benign.txt", mark, func(sql string) {
				for _, rule := range bind(sql, mark, value) {
					if rule != "" {
						t.Errorf("%s: %s: got %q, want none: %s", ids.form, mark, rule, sql)
					}
				}
			})
		}
	}
}

// binaryForms are the forms in which a client may send an id, by format.
func binaryForms(ids orgIDs, value string) map[int16][]byte {
	forms := map[int16][]byte{0: []byte(value), 1: []byte(value)}
	switch ids.form {
	case "uuid":
		raw, _ := parseUUID(value)
		forms[1] = raw[:]
	case "integer":
		n, _ := parseInteger(value)
		forms[1] = binary.BigEndian.AppendUint64(nil, uint64(n))
	}
	return forms
}

// What is particular to a type of ids: spellings, arithmetic, parts.
func TestNamesAnotherOrg_Forms(t *testing.T) {
	attacks := map[string][]string{
		"integer": {
			"org_id = 52", "52 = org_id", "org_id = 51 + 1", "org_id = 104 / 2", "org_id = 26 * 2", "org_id = 2 * (20 + 6)", "org_id = - -52", "org_id = +52",
			"org_id = 52.0", "org_id = 5.2e1", "org_id = '052'", "org_id = '+52'", "org_id = ' 52 '", "org_id = '52'::text::int", "org_id = 52::numeric", "org_id = int8 '52'",
			"org_id + 0 = 52", "org_id - 52 = 0", "org_id * 1 = 52", "-org_id = -52", "abs(org_id) = 52", "org_id / 1 = 52", "org_id::text = '52'", "org_id::numeric = 52.0",
			"to_char(org_id, 'FM99') = '52'", "org_id IN (SELECT generate_series(50, 60))", "org_id IN (SELECT g FROM generate_series(41, 52) g)", "org_id BETWEEN 50 AND 60",
			"org_id = ascii('4')", "org_id = length(repeat('x', 52))", "org_id = x'34'::int", "org_id = B'110100'::int", "org_id = sqrt(2704)", "greatest(org_id, 52) = 52",
			"least(org_id, 52) = 52", "org_id > 51", "org_id < 53", "org_id IN (41, 52)", "NOT org_id <> 52", "org_id = ANY ('{41,52}')", "org_id = ANY (ARRAY[52])",
			"int8eq(org_id, 52)", "org_id = 1.6::int", "org_id = true::int", "int4pl(org_id, 0) = 52", "org_id::text LIKE '5_'", "org_id::text ~ '^5'", "(org_id, 1) = (52, 1)",
		},
		"uuid": {
			"org_id = '22222222222242228222222222222222'", "org_id = '{22222222-2222-4222-8222-222222222222}'", "org_id = '2222-2222-2222-4222-8222-2222-2222-2222'",
			"left(org_id::text, 8) = '22222222'", "split_part(org_id::text, '-', 1) = '22222222'", "replace(org_id::text, '-', '') = '22222222222242228222222222222222'",
			"substring(org_id::text from 1 for 4) = '2222'", "right(org_id::text, 12) = '222222222222'", "uuid_send(org_id) = '\\x22222222222242228222222222222222'",
			"encode(uuid_send(org_id), 'hex') LIKE '2222%'", "org_id::text LIKE '2%'", "org_id::text LIKE '2222' || '%'", "org_id::text LIKE concat('2222', '%')",
			"org_id::text LIKE '________-2222-%'", "org_id::text ~ '^2{8}-'", "org_id::text ~ '[2]{8}'", "org_id::text >= '2222'", "org_id::text SIMILAR TO '2{8}%'",
			"org_id > '11111111-1111-4111-8111-111111111112'", "starts_with(org_id::text, '2222')", "org_id::text ^@ '2222'", "org_id = upper('22222222-2222-4222-8222-22222222222a')::uuid",
			"decode(replace(org_id::text, '-', ''), 'hex') = '\\x22222222222242228222222222222222'",
		},
		"text": {
			"org_id = 'globex-2'", "org_id LIKE 'Glob%'", "org_id ILIKE '%lobex%'", "org_id ~* '^globex'", "lower(org_id) = 'globex-2'", "org_id <> 'Globex-2'", "initcap(org_id) = 'Globex-2'",
			"left(org_id, 6) = 'Globex'", "org_id = 'acmex'::varchar(3)", "org_id > 'b'", "org_id = 'a' || 'c'", "org_id COLLATE \"C\" = 'Globex-2'", "org_id = 'Globex-2'::name",
			"org_id || 'x' = 'Globex-2x'", "concat(org_id, '-') LIKE 'Globex%'", "org_id = ANY (string_to_array('acme Globex-2', ' '))", "org_id SIMILAR TO 'acme|Globex-2'",
		},
	}
	benign := map[string][]string{
		"integer": {
			"org_id = 41", "org_id = '41'", "org_id = 41.0", "org_id = 40 + 1", "org_id % 4 = 3", "mod(org_id, 4) = 3", "org_id IS NOT NULL AND id = 52", "id + 1 = 52 AND org_id = 41",
			"coalesce(org_id, 0) IN (0, 41)", "org_id <> 0", "org_id <> -1 AND org_id IN (41)", "org_id = ANY ('{41}')", "hashtext(org_id::text) % 16 = 5", "amount * 2 > 52 AND org_id = 41",
			"org_id::text = '41'", "to_char(org_id, 'FM99') = '41'", "abs(org_id) = 41", "id IN (SELECT generate_series(50, 60))", "(SELECT count(org_id) FROM invoices) > 52",
		},
		"uuid": {
			"org_id = upper('" + orgA + "')::uuid", "org_id = '{" + orgA + "}'", "left(org_id::text, 8) = '11111111'", "replace(org_id::text, '-', '') = replace('" + orgA + "', '-', '')",
			"org_id <> '00000000-0000-0000-0000-000000000000'", "coalesce(org_id, '00000000-0000-0000-0000-000000000000') IN ('00000000-0000-0000-0000-000000000000', '" + orgA + "')",
			"org_id::text LIKE '1111%-4111-%'", "org_id::text ~ '^[0-9a-f-]{36}$'", "get_byte(uuid_send(org_id), 0) % 2 = 1", "id = '" + orgB + "'",
		},
		"text": {
			"org_id = 'acme'", "lower(org_id) = 'acme'", "org_id LIKE 'ac%'", "org_id ILIKE 'ACME'", "org_id ~ '^acme$'", "coalesce(org_id, '') IN ('', 'acme')", "org_id <> ''",
			"org_id || ':' || name = 'acme:x'", "org_id = 'ac' || 'me'", "org_id NOT LIKE 'test%'",
		},
	}
	for _, ids := range orgIDsOf {
		e := orgEngine(t, ids.form)
		check := func(condition, want string) {
			i := e.Inspect(t.Context(), "SELECT * FROM accounts WHERE "+condition, Simple)
			if got := i.ForOrg(e, ids.own).Rule; got != want {
				t.Errorf("%s: %s: got %q, want %q", ids.form, condition, got, want)
			}
		}
		for _, condition := range attacks[ids.form] {
			check(condition, "G801")
		}
		for _, condition := range benign[ids.form] {
			check(condition, "")
		}
	}
}
