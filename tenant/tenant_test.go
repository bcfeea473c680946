package tenant

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.StopShared()
	os.Exit(code)
}

func resolve(t testing.TB, o Options, c Claims) *Context {
	t.Helper()
	r, err := NewResolver(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := r.Resolve(c)
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

var defaults = Options{Settings: map[string]string{"app.org_id": "${org}", "request.jwt.claims": "${claims}"}}

func TestResolver_Layers(t *testing.T) {
	a := resolve(t, defaults, Claims{Org: "o", Subject: "u1", JSON: []byte(`{"sub":"u1"}`)})
	b := resolve(t, defaults, Claims{Org: "o", Subject: "u2", JSON: []byte(`{"sub":"u2"}`)})
	other := resolve(t, defaults, Claims{Org: "p", Subject: "u1", JSON: []byte(`{"sub":"u1"}`)})
	if got, want := fmt.Sprint(a.Fixed, a.PerUser), "[{app.org_id o} {bulkhead.org_id o}] [{request.jwt.claims {\"sub\":\"u1\"}}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if a.Key != b.Key || a.Label == b.Label {
		t.Error("two users of one org must share the key and differ in the label")
	}
	if a.Key == other.Key {
		t.Error("two orgs share a key")
	}
	role := defaults
	role.Role = "tenant_role"
	if got := resolve(t, role, Claims{Org: "o"}); got.Key == a.Key || got.Fixed[len(got.Fixed)-1] != (Setting{"role", "tenant_role"}) {
		t.Errorf("role: %v", got.Fixed)
	}
	big := Options{Settings: map[string]string{"a.a": strings.Repeat("x", 5000), "b.b": strings.Repeat("y", 5000)}}
	if got := resolve(t, big, Claims{Org: "o"}); len(got.Fixed) != 2 || len(got.PerUser) != 1 {
		t.Errorf("too large for a startup packet: %d fixed, %d per user", len(got.Fixed), len(got.PerUser))
	}
	signed := defaults
	signed.Signed = true
	got := resolve(t, signed, Claims{Org: "o"})
	if last := got.PerUser[len(got.PerUser)-1]; last != (Setting{SignatureSetting, ""}) || got.Label == "" || len(got.LabelSQL()) != 1 {
		t.Errorf("signed: %v, SQL %q; want a place for the signature and no statement that sets it", got.PerUser, got.LabelSQL())
	}
	none := resolve(t, Options{Settings: map[string]string{"app.org_id": "${org}"}}, Claims{Org: "o"})
	if none.Label != "" || none.LabelSQL() != nil {
		t.Errorf("nothing per user: label %q, SQL %q", none.Label, none.LabelSQL())
	}
}

// Where server connections are shared nothing is fixed to them: all settings
// and the role are a label, of which no two orgs' are alike; and nobody's takes
// them away.
func TestResolver_Shared(t *testing.T) {
	for role, want := range map[string]string{"": "none", "tenant_role": "tenant_role"} {
		o := defaults
		o.Shared, o.Role = true, role
		a, b := resolve(t, o, Claims{Org: "o", JSON: []byte("{}")}), resolve(t, o, Claims{Org: "p", JSON: []byte("{}")})
		if len(a.Fixed) > 0 || a.Key != b.Key || a.Label == b.Label {
			t.Errorf("fixed %v, keys %q %q, labels %q %q", a.Fixed, a.Key, b.Key, a.Label, b.Label)
		}
		sql := strings.Join(a.LabelSQL(), "; ")
		for _, part := range []string{`"app"."org_id" = 'o'`, `"request"."jwt"."claims" = '{}'`, `"role" = '` + want + `'`} {
			if !strings.Contains(sql, part) {
				t.Errorf("the label lacks %s: %s", part, sql)
			}
		}
		r, err := NewResolver(o)
		if err != nil {
			t.Fatal(err)
		}
		nobody := r.Nobody()
		if got := strings.Join(nobody.LabelSQL(), "; "); got != `SET SESSION "role" = 'none'` || nobody.Org != "" || nobody.Label == a.Label || nobody.Key != a.Key {
			t.Errorf("nobody: %+v, %s", nobody, got)
		}
	}
	r, err := NewResolver(defaults)
	if err != nil {
		t.Fatal(err)
	}
	if nobody := r.Nobody(); len(nobody.Fixed)+len(nobody.PerUser) > 0 || nobody.Key == resolve(t, defaults, Claims{Org: "o"}).Key {
		t.Errorf("nobody on dedicated connections: %+v", nobody)
	}
}

func TestResolver_Roles(t *testing.T) {
	r, err := NewResolver(Options{Roles: map[string]string{"admin": "db_admin"}})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := r.Resolve(Claims{Org: "o", Role: "admin"}); err != nil || c.Role != "db_admin" {
		t.Errorf("got %v, %v", c, err)
	}
	for _, c := range []Claims{{Org: "o", Role: "other"}, {Org: "o"}, {Role: "admin"}} {
		if got, err := r.Resolve(c); err == nil {
			t.Errorf("%+v: resolved to role %s", c, got.Role)
		}
	}
}

func TestNewResolver_ReportsEveryProblem(t *testing.T) {
	_, err := NewResolver(Options{
		Settings: map[string]string{"search_path": "x", "App.Org": "x", "a.b": "${nobody} ${org", "bulkhead.token": "x"},
		Role:     "NONE", Roles: map[string]string{"x": "y"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"search_path", "App.Org", "${nobody}", "NONE", "cannot both", "bulkhead.token is how a client"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

// Whatever a claim holds, the server gets exactly that value, and nothing else
// happens.
func FuzzContext_LabelSQL(f *testing.F) {
	s := pgtest.Shared(f, 0)
	conn := s.Connect(f, "postgres")
	f.Cleanup(func() { conn.Close(f.Context()) })
	for _, v := range []string{"", "x", "it's", `back\slash`, `\'; SET app.org_id = 'x'; --`, "$$", "a\nb", "é", `E'\x27'`} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r, err := NewResolver(defaults)
		if err != nil {
			t.Fatal(err)
		}
		ctx, err := r.Resolve(Claims{Org: "o", JSON: []byte(value)})
		if err != nil {
			if !strings.ContainsRune(value, 0) {
				t.Fatal(err)
			}
			return
		}
		if strings.ToValidUTF8(value, "") != value {
			return // JSON is UTF-8; the verifier sees to that
		}
		if _, err := conn.PgConn().Exec(t.Context(), strings.Join(ctx.LabelSQL(), "; ")).ReadAll(); err != nil {
			t.Fatalf("%q: %v", ctx.LabelSQL(), err)
		}
		var got, org string
		if err := conn.QueryRow(t.Context(), "SELECT current_setting('request.jwt.claims'), coalesce(current_setting('app.org_id', true), '')").Scan(&got, &org); err != nil {
			t.Fatal(err)
		}
		if got != value || org != "" {
			t.Errorf("the server has %q and org %q, want %q", got, org, value)
		}
	})
}
