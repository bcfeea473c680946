package policy

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/parser"
)

// FuzzInspect hunts for panics, and for a text that one parse allows and
// another does not.
func FuzzInspect(f *testing.F) {
	for _, r := range Rules() {
		f.Add(r.Blocked)
		f.Add(r.Allowed)
	}
	for _, file := range []string{"org_attacks.txt", "org_benign.txt"} {
		for i, sql := range orgLines(f, file) {
			f.Add(orgIDsOf[i%len(orgIDsOf)].fill(sql))
		}
	}
	e := orgEngine(f, "uuid")
	f.Fuzz(func(t *testing.T, text string) {
		first := e.Inspect(t.Context(), text, Simple)
		if cached, ok := e.Cached([]byte(text), Simple); ok && cached.Decision != first.Decision && cached.source != text {
			t.Errorf("cached %+v, inspected %+v", cached.Decision, first.Decision)
		}
		if again := e.Inspect(t.Context(), text, Extended); again.Decision != first.Decision {
			t.Errorf("decided %+v, then %+v", first.Decision, again.Decision)
		}
		if d := first.Decision; d.Action == Block && (d.Rule == "" || d.SQLState == "" || d.Message == "" || d.Reason == "") {
			t.Errorf("a refusal without rule, state, message or reason: %+v", d)
		}
		first.ForOrg(e, orgA)
		sameForAllConstants(t, e, text, first)
	})
}

// sameForAllConstants checks that a decision that is kept by the shape of its
// text holds for other texts of that shape.
func sameForAllConstants(t *testing.T, e *Engine, text string, first *Inspection) {
	t.Helper()
	shape, ok := parser.AppendShape(nil, []byte(text))
	if !ok || !first.anyConstant {
		return
	}
	for _, constant := range []string{"app.org_id", "role", "pg_authid", "off", orgB, "{" + orgB + "}", "", "1 day", "t", "/etc/passwd", "SELECT 1"} {
		var b strings.Builder
		for _, c := range shape {
			switch c {
			case 1:
				b.WriteString("7")
			case 2:
				b.WriteString("9999999999")
			case 3:
				b.WriteString("'" + constant + "'")
			case 4:
				b.WriteString("/* " + constant + " */")
			default:
				b.WriteByte(c)
			}
		}
		other := e.inspect(b.String())
		if other.Decision.Rule == "G701" { // a number that the grammar does not take there
			continue
		}
		if other.Decision != first.Decision || !reflect.DeepEqual(other.Effects, first.Effects) ||
			!slices.Equal(other.orgParams, first.orgParams) || len(other.orgConstants) > 0 || other.Text() != first.Text() {
			t.Errorf("%q and %q have one shape, but not the same facts:\n%+v\n%+v", text, b.String(), first, other)
		}
	}
}

// FuzzStartupParameter hunts for panics and for a spelling of a name that
// must be refused but is not.
func FuzzStartupParameter(f *testing.F) {
	f.Add("client_encoding", "'utf-8'")
	f.Add("APP.org_id", "x")
	f.Add("role", "none")
	f.Add("replication", "database")
	f.Add("search_path", `"pg_temp"`)
	e, err := New(Options{TenantSettings: []string{"app.org_id"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		d := e.StartupParameter(name, value)
		switch strings.ToLower(name) {
		case "app.org_id", "role", "session_authorization", "session_replication_role":
			if d.Action != Block {
				t.Errorf("%s=%s was allowed", name, value)
			}
		}
		if value != "" && (strings.Contains(d.Reason, value) && len(value) > 8 && !strings.Contains(d.Reason, name)) {
			t.Errorf("the value %q is in the reason %q", value, d.Reason)
		}
	})
}
