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
		{"U&'B'", "U&'" + ids.other + "'"}, {"E'B'", "E'" + ids.other + "'"},
		{"'A'", "'" + ids.own + "'"}, {"'B'", "'" + ids.other + "'"}, {"'X'", "'" + ids.thing + "'"},
		{"::T", "::" + ids.sqlType}, {"(T)", "(" + ids.sqlType + ")"}, {"(T,", "(" + ids.sqlType + ","}, {"o T", "o " + ids.sqlType}, {"i T", "i " + ids.sqlType},
		{"AS T)", "AS " + ids.sqlType + ")"}, {"= T ", "= " + ids.sqlType + " "},
		{`"A"`, `"` + ids.own + `"`}, {`"B"`, `"` + ids.other + `"`}, {`"X"`, `"` + ids.thing + `"`},
		{"{B}", "{" + ids.other + "}"}, {"{A}", "{" + ids.own + "}"}, {"A,B", ids.own + "," + ids.other}, {"'B%'", "'" + ids.other + "%'"}, {"'A%'", "'" + ids.own + "%'"},
		{"'%B%'", "'%" + ids.other + "%'"}, {"%X%", "%" + ids.thing + "%"}, {"A|B", ids.own + "|" + ids.other}, {"^B$", "^" + ids.other + "$"}, {"'xB'", "'x" + ids.other + "'"},
		{"' B '", "' " + ids.other + " '"}, {"$$B$$", "$$" + ids.other + "$$"}, {"$x$B$x$", "$x$" + ids.other + "$x$"}, {"'A:X'", "'" + ids.own + ":" + ids.thing + "'"},
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
