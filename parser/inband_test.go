package parser

import (
	"strings"
	"testing"
)

func TestParseIdentity(t *testing.T) {
	token, org := IdentityToken, IdentityOrg
	for text, want := range map[string]Identity{
		"SET bulkhead.token = 'a.b.c'":                                   {Name: token, Value: "a.b.c"},
		"set session BulkHead . Token to 'x';":                           {Name: token, Value: "x"},
		"SET LOCAL bulkhead.org_id = 'it''s'":                            {Name: org, Local: true, Value: "it's"},
		" /* a /* b */ */ RESET -- c\n bulkhead.token ; ":                {Name: token, Reset: true},
		"RESET bulkhead.org_id":                                          {Name: org, Reset: true},
		"SELECT set_config('bulkhead.token', $1, false)":                 {Name: token, Select: true, Param: true},
		"select pg_catalog.SET_CONFIG ( 'Bulkhead.Token' ,'x', TRUE ) ;": {Name: token, Select: true, Local: true, Value: "x"},
		"SELECT set_config('bulkhead.org_id', '', false)":                {Name: org, Select: true},
	} {
		if got, ok := ParseIdentity([]byte(text)); !ok || got != want {
			t.Errorf("%s: got %+v %v, want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "SELECT 1", "SET bulkhead.token", "SET bulkhead.token = x", "SET bulkhead.token = DEFAULT", "SET bulkhead.token TO DEFAULT",
		"SET bulkhead.token = 'a', 'b'", "SET bulkhead.token = 'a'; SELECT 1", "SET bulkhead.token = 'a';;", "SET bulkhead.token = 'a' 'b'",
		"SET bulkhead.token = 'a'\n'b'", "SET bulkhead.token = E'a'", "SET bulkhead.token = U&'a'", "SET bulkhead.token = $$a$$", "SET bulkhead.token = B'1'",
		`SET "bulkhead".token = 'a'`, `SET bulkhead."token" = 'a'`, "SET bulkhead.tokens = 'a'", "SET bulkhead.token.x = 'a'", "SET x.bulkhead.token = 'a'",
		"SET bul\u212ahead.token = 'a'", "SET LOCAL SESSION bulkhead.token = 'a'", "SET bulkhead.token == 'a'", "SET bulkhead.token := 'a'",
		"SELECT set_config('bulkhead.token', $2, false)", "SELECT set_config('bulkhead.token', $1, $2)", "SELECT set_config('bulkhead.token', $1::text, false)",
		"SELECT set_config('bulkhead.token', $1, false) AS x", "SELECT set_config('bulkhead.token', $1, false), 1", "SELECT 1, set_config('bulkhead.token', $1, false)",
		"SELECT set_config('bulkhead.token', $1, false) FROM t", "SELECT set_config('bulkhead.token', $1, false) WHERE true", "SELECT (set_config('bulkhead.token', $1, false))",
		"SELECT public.set_config('bulkhead.token', $1, false)", "SELECT set_config[ 'bulkhead.token', $1, false)", "SELECT set_config('bulkhead.token', $1, false]",
		"SELECT set_config('bulkhead.token', 'a')", "SELECT set_config($1, 'bulkhead.token', false)", "SELECT set_config('bulkhead.token' || '', $1, false)",
		"SELECT set_config('bulkhead.token', '', 'f')", "SELECT DISTINCT set_config('bulkhead.token', $1, false)", "SELECT ALL set_config('bulkhead.token', $1, false)",
		"RESET bulkhead.token, x", "RESET bulkhead", "RESET ALL -- bulkhead.token", "SHOW bulkhead.token", "EXPLAIN SELECT set_config('bulkhead.token', $1, false)",
		"SET bulkhead.token = 'a' /* open", "SET bulkhead.token = 'a", "SET bulkhead.token = 'a' -- x\n, 'b'", "BEGIN; SET LOCAL bulkhead.token = 'a'",
	} {
		if got, ok := ParseIdentity([]byte(text)); ok {
			t.Errorf("%s: taken for %+v", text, got)
		}
	}
}

// What is recognised is for PostgreSQL's grammar the one statement that it is
// taken for, and nothing else.
func FuzzParseIdentity(f *testing.F) {
	f.Add("SET LOCAL bulkhead.token = 'it''s' ; -- x")
	f.Add("SELECT pg_catalog.set_config('bulkhead.org_id', $1, true)")
	f.Add("/* */ RESET bulkhead.token")
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := ParseIdentity([]byte(text))
		if !ok || strings.ContainsRune(text, 0) {
			return
		}
		batch, err := Parse(text, Options{})
		if err != nil {
			return // what the parser cannot take, the server refuses too
		}
		if len(batch.Statements) != 1 {
			t.Fatalf("%q: %d statements", text, len(batch.Statements))
		}
		s := &batch.Statements[0]
		if len(s.Settings) != 1 || len(s.Relations)+len(s.Nested) > 0 {
			t.Fatalf("%q: %+v", text, s)
		}
		v := s.Settings[0]
		if v.Name != id.Name || v.Local != id.Local || (v.Action == SettingReset) != id.Reset || v.Function != id.Select {
			t.Fatalf("%q: %+v taken for %+v", text, v, id)
		}
		if !id.Reset && !id.Param {
			if value, known := batch.Constant(v.Values[0]); !known || value != id.Value || len(v.Values) != 1 {
				t.Fatalf("%q: value %q taken for %q", text, value, id.Value)
			}
		}
	})
}
