package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// minimal is the least that a configuration must say.
const minimal = `server:
  dsn: postgres://app@127.0.0.1/app
auth:
  issuers:
    - issuer: https://idp.example.com/
      audience: bulkhead
      jwks_url: https://idp.example.com/jwks.json
`

func parse(t *testing.T, text string, env ...string) *Config {
	t.Helper()
	c, err := Parse("b.yaml", []byte(text), "/etc/bulkhead", env)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c
}

// problemsOf returns the lines of the problems of a configuration.
func problemsOf(t *testing.T, text string, env ...string) []string {
	t.Helper()
	_, err := Parse("b.yaml", []byte(text), "/etc/bulkhead", env)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("Parse: got error %v, want an *Error", err)
	}
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	return lines
}

func TestParse_MinimalHasDefaults(t *testing.T) {
	got := parse(t, minimal)
	want := Default()
	want.Server.DSN = NewSecret("postgres://app@127.0.0.1/app")
	want.Auth.Issuers = []Issuer{{
		Issuer: "https://idp.example.com/", Audience: "bulkhead", JWKSURL: "https://idp.example.com/jwks.json",
		Algorithms: []Algorithm{"RS256", "ES256", "EdDSA"}, Claims: Claims{"org_id", "sub", "role"},
	}}
	want.BlockedLog.File = "/etc/bulkhead/blocked.jsonl"
	got.origins = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestParse_Contract(t *testing.T) {
	data, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, string(data))
	if got, want := c.Listen[1], "unix:/run/bulkhead/.s.PGSQL.6432"; got != want {
		t.Errorf("listen: got %q, want %q", got, want)
	}
	if got, want := c.ClientTLS.CertFile, Path("/etc/bulkhead/server.crt"); got != want {
		t.Errorf("cert_file: got %q, want %q", got, want)
	}
	if got, want := c.Limits.MaxStatementBytes, Size(1<<20); got != want {
		t.Errorf("max_statement_bytes: got %d, want %d", got, want)
	}
}

func TestLoad_ExampleFileHoldsEveryDefault(t *testing.T) {
	c, err := Load("../../docs/bulkhead.example.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if !c.Given(k.Path) {
			t.Errorf("the example file does not show %s", k.Path)
		}
	}
	want := Default()
	c.Server.DSN, c.Auth.Issuers = Secret{}, []Issuer{}
	c.BlockedLog.File, c.Verify.DSN = want.BlockedLog.File, want.Verify.DSN
	c.origins = nil
	if !reflect.DeepEqual(c, want) {
		t.Errorf("the example file differs from the defaults:\ngot  %+v\nwant %+v", c, want)
	}
}

func TestParse_Problems(t *testing.T) {
	tests := []struct {
		name, text string
		env        []string
		want       []string // parts of the problems, in order; all of them
	}{
		{"empty", "", nil, []string{"b.yaml: server.dsn: is missing; name the server", "b.yaml: auth.issuers: no issuer"}},
		{"unknown key", minimal + "pool:\n  mod: session\n", nil, []string{"b.yaml:9: pool.mod: unknown key; did you mean pool.mode?"}},
		{"key of another section", minimal + "queue_timeout: 1s\n", nil, []string{"b.yaml:8: queue_timeout: unknown key; did you mean pool.queue_timeout?"}},
		{"duplicate", minimal + "pool: {mode: session}\npool: {}\n", nil, []string{"b.yaml:9: pool: set twice, first in line 8"}},
		{"wrong types", minimal + "pool:\n  max_per_org: many\n  min_idle: 1.5\n  idle_timeout: 30\n  mode: [a]\n", nil, []string{
			`b.yaml:9: pool.max_per_org: "many" is not a whole number`, `:10: pool.min_idle: "1.5"`,
			`:11: pool.idle_timeout: "30" is not a duration; write a number with its unit`, ":12: pool.mode: must be one value, is a list",
		}},
		{"bool", minimal + "client_tls: {allow_plaintext_password: yes}\n", nil, []string{`"yes" is not true or false`}},
		{"choice", minimal + "policy: {mode: enforced}\n", nil, []string{`policy.mode: unknown value "enforced"; did you mean enforce?`}},
		{"null", minimal + "admin:\n  listen:\n", nil, []string{"b.yaml:9: admin.listen: has no value"}},
		{"number for text", minimal + "tenant: {role: 12}\n", nil, []string{"tenant.role: must be text, is a number; put the value in quotes"}},
		{"alias", "x: &a 1\n" + minimal + "loops: *a\n", nil, []string{":1: x: unknown key", ":9: loops: is an alias"}},
		{"merge", minimal + "pool:\n  <<: {mode: session}\n", nil, []string{":9: pool: a key that is not a plain name"}},
		{"second document", minimal + "---\nloops: 1\n", nil, []string{"a second YAML document"}},
		{"address", minimal + "listen: [localhost, '1.2.3:5', '127.0.0.1:70000', 'unix:rel']\n", nil, []string{
			`listen.0: "localhost" is not an address`, "listen.1", "listen.2", "listen.3: the path of a unix socket is not absolute",
		}},
		{"plain text off loopback", minimal + "listen: ['0.0.0.0:6432']\n", nil, []string{"b.yaml: client_tls: TLS is off while 0.0.0.0:6432"}},
		{"disabled off loopback", minimal + "listen: [':6432']\nclient_tls: {mode: disable, cert_file: a, key_file: b}\n", nil, []string{"client_tls.mode: TLS is off"}},
		{"half a pair", minimal + "client_tls: {cert_file: a}\n", nil, []string{"cert_file and key_file belong together"}},
		{"verify-client", minimal + "client_tls: {mode: verify-client, cert_file: a, key_file: b}\n", nil, []string{"set client_tls.client_ca_file"}},
		{
			"sidecar for all", minimal + "listen: ['[::]:1']\nclient_tls: {cert_file: a, key_file: b}\n",
			[]string{"BULKHEAD_AUTH_TOKEN_FILE=t"},
			[]string{"BULKHEAD_AUTH_TOKEN_FILE: auth.token_file: gives its identity to everyone who can reach [::]:1"},
		},
		{"HS256 with jwks", minimal + "      algorithms: [HS256]\n", nil, []string{":8: auth.issuers.0.algorithms.0: HS256 without secret_file"}},
		{"no algorithm", minimal + "      algorithms: [none]\n", nil, []string{`auth.issuers.0.algorithms.0: unknown value "none"`}},
		{"two sources", minimal + "      secret_file: s\n", nil, []string{":8: auth.issuers.0.secret_file: the issuer has several places for its keys: jwks_url, secret_file"}},
		{"plain jwks", minimal, []string{"BULKHEAD_AUTH_ISSUERS_0_JWKS_URL=http://idp.example.com/"}, []string{"keys are taken over https only"}},
		{"admin", minimal + "admin: {listen: '0.0.0.0:80'}\n", nil, []string{"admin.listen: 0.0.0.0:80 can be reached from other hosts"}},
		{"canary", minimal + "verify: {interval: 1h, orgs: [a]}\n", []string{"BULKHEAD_AUTH_TOKEN_FILE=t"}, []string{
			"verify.dsn: is missing", "verify.orgs: has not two entries", "verify.interval: needs clients to log in with a token",
		}},
		{"roles", minimal + "tenant: {role: a, roles: {x: y}}\n", nil, []string{"tenant.roles: tenant.role is set as well"}},
		{"role none", minimal + "tenant: {role: None}\n", nil, []string{"NONE would go back"}},
		{"template", minimal + "tenant: {settings: {app.x: '${orgs}', role: a}}\n", nil, []string{`tenant.settings.app.x: unknown placeholder "${orgs}"`, "tenant.settings.role: is not a setting"}},
		{"no context", minimal + "tenant: {settings: {}}\n", nil, []string{"nothing would tell PostgreSQL the tenant"}},
		{"rules", minimal + "policy: {rules: {g203: off, G203: audit}}\n", nil, []string{`policy.rules.G203: unknown value "audit"`, "policy.rules.g203: not a rule id"}},
		{
			"ranges", minimal + "pool: {max_per_org: 0, min_idle: 41, queue_timeout: -1s}\nlimits: {auth_timeout: 0, max_statement_bytes: 2GB}\n", nil,
			[]string{"max_per_org: 0 is too small", "min_idle: 41 is more than", "queue_timeout: -1s is negative", "max_statement_bytes: 2147483648 bytes", "auth_timeout: must be more than 0"},
		},
		{"plain with a key", minimal + "tenant: {context: plain, signing_key_file: k}\n", nil, []string{"tenant.signing_key_file: tenant.context is plain: nothing would be signed"}},
		{"signed without a key", minimal + "tenant: {context: signed}\n", nil, []string{"tenant.signing_key_file: is missing: tenant.context is signed; name the file that bulkhead key new makes"}},
		{"sealed without a key", minimal + "tenant: {context: sealed}\n", nil, []string{"is missing: tenant.context is sealed"}},
		{"signed and shared", minimal + "tenant: {signing_key_file: k}\npool: {sharing: shared}\n", nil, []string{"pool.sharing: shared and a signed tenant context"}},
		{"unknown context", minimal + "tenant: {context: sign, signing_key_file: k}\n", nil, []string{`tenant.context: unknown value "sign"; did you mean signed?`}},
		{
			"settings of the context", minimal + "tenant: {signing_key_file: k, settings: {bulkhead.org_id: '${subject}', bulkhead.signature: x}}\n", nil,
			[]string{"tenant.settings.bulkhead.signature: is made by the proxy", "tenant.settings.bulkhead.org_id: is signed"},
		},
		{"environment", minimal, []string{"BULKHEAD_POOL_MODE=sesion", "BULKHEAD_POLICY_MOED=observe", "BULKHEAD_LIMITS_AUTH_TIMEOUT=5"}, []string{
			`BULKHEAD_POOL_MODE: pool.mode: unknown value "sesion"; did you mean session?`, "BULKHEAD_LIMITS_AUTH_TIMEOUT: ",
			"BULKHEAD_POLICY_MOED: no key of the configuration has this variable; did you mean BULKHEAD_POLICY_MODE?",
		}},
		{"syntax", "server: [\n", nil, []string{"not valid YAML"}},
		{"not a mapping", "- a\n", nil, []string{"must be a mapping, is a list", "server.dsn", "auth.issuers"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := problemsOf(t, tt.text, tt.env...)
			if len(got) != len(tt.want) {
				t.Fatalf("got %d problems, want %d:\n%s", len(got), len(tt.want), strings.Join(got, "\n"))
			}
			for i, want := range tt.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("problem %d: got %q, want it to contain %q", i, got[i], want)
				}
			}
		})
	}
}

func TestParse_Environment(t *testing.T) {
	c := parse(t, "",
		"BULKHEAD_SERVER_DSN=host=db user=app password='x y'",
		"BULKHEAD_AUTH_ISSUERS_0_ISSUER=dev", "BULKHEAD_AUTH_ISSUERS_0_AUDIENCE=123",
		"BULKHEAD_AUTH_ISSUERS_0_SECRET_FILE=secret",
		"BULKHEAD_LISTEN=127.0.0.1:1, unix:/run/s",
		"BULKHEAD_TENANT_ROLES={member: app_member}",
		"BULKHEAD_TENANT_SETTINGS={app.x: '${org}'}",
		"BULKHEAD_LOOPS=3", "BULKHEAD_POOL_IDLE_TIMEOUT=7s", "BULKHEAD_ADMIN_LISTEN=",
		"BULKHEAD_SERVER_ALLOW_UNSAFE_LOGIN=true",
		// What a Kubernetes service named bulkhead puts beside them:
		"BULKHEAD_SERVICE_HOST=10.0.0.1", "BULKHEAD_SERVICE_PORT_PG=6432", "BULKHEAD_PORT=tcp://10.0.0.1:6432", "BULKHEAD_PORT_6432_TCP_ADDR=10.0.0.1",
	)
	is := c.Auth.Issuers[0]
	if is.Audience != "123" || is.SecretFile != "/etc/bulkhead/secret" || !slices.Equal(is.Algorithms, []Algorithm{"HS256"}) {
		t.Errorf("issuer: got %+v", is)
	}
	if want := []string{"127.0.0.1:1", "unix:/run/s"}; !slices.Equal(c.Listen, want) {
		t.Errorf("listen: got %q, want %q", c.Listen, want)
	}
	if c.Tenant.Roles["member"] != "app_member" || len(c.Tenant.Settings) != 1 {
		t.Errorf("tenant: got %+v", c.Tenant)
	}
	if c.Loops != 3 || c.Pool.IdleTimeout != 7*time.Second || c.Admin.Listen != "" || !c.Server.AllowUnsafeLogin {
		t.Errorf("got %+v", c)
	}
	if got, want := c.Origin("loops"), "BULKHEAD_LOOPS"; got != want {
		t.Errorf("Origin: got %q, want %q", got, want)
	}
}

func TestKeys_VariablesAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, k := range Keys() {
		if seen[k.Env] != "" {
			t.Errorf("%s belongs to %s and %s", k.Env, seen[k.Env], k.Path)
		}
		seen[k.Env] = k.Path
	}
}

func TestParse_ErrorsHideTheDSN(t *testing.T) {
	const secret = "hunter2"
	for _, text := range []string{
		"server:\n  dsn: postgres//app:hunter2@h/db\n",
		"server:\n  dsn: [postgres://app:hunter2@h/db]\n",
		"server:\n  dsn postgres://app:hunter2@h/db: 1\n",
		"server:\n  dsn=postgres://app:hunter2@h/db: 1\n",
		"server:\n  dsn: *hunter2\n",
		"server:\n  dsn: 'hunter2\n",
		"server:\n  dsn: \"\\hunter2\"\n",
		"server:\n  dsn: password = hunter2 x\n",
		"server:\n  dsn: !hunter2 x\n",
		"server:\n  password: hunter2\n",
		"dsn: postgres://app:hunter2@h/db\n",
	} {
		for _, line := range problemsOf(t, text) {
			if strings.Contains(line, secret) {
				t.Errorf("%q: the problem shows the secret: %s", text, line)
			}
		}
	}
	for _, line := range problemsOf(t, "", "BULKHEAD_SERVER_DSN=app:hunter2@h") {
		if strings.Contains(line, secret) {
			t.Errorf("the problem shows the secret: %s", line)
		}
	}
}

func TestValidDSN(t *testing.T) {
	for dsn, want := range map[string]bool{
		"postgres://app@127.0.0.1:5432/app?sslmode=verify-full":             true,
		"postgresql://a:b@h1:5432,h2:5433/app?target_session_attrs=primary": true,
		"postgres:///app?host=/run/postgresql":                              true,
		"host=a,b port=1 user = app password='it\\'s' dbname=''":            true,
		"mysql://x":          false,
		"app":                false,
		"host=a b":           false,
		"password='x":        false,
		"postgres://%zz@h/d": false,
	} {
		if got := validDSN(dsn); got != want {
			t.Errorf("validDSN(%q): got %v, want %v", dsn, got, want)
		}
	}
}

func TestCheckFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "there"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Parse("b.yaml", []byte(minimal+"auth_: 1\n"), dir, nil)
	if err == nil {
		t.Fatalf("got %v, want an error", c)
	}
	text := minimal + "client_tls:\n  cert_file: there\n  key_file: gone\nadmin:\n  token_file: .\n"
	if c, err = Parse("b.yaml", []byte(text), dir, nil); err != nil {
		t.Fatal(err)
	}
	err = c.CheckFiles()
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 2 {
		t.Fatalf("got %v, want two problems", err)
	}
	if got := e.Problems[0].String(); !strings.HasPrefix(got, "b.yaml:10: client_tls.key_file: ") {
		t.Errorf("got %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(minimal, "BULKHEAD_POOL_MODE=session")
	f.Add("a: &a [*a]\n", "BULKHEAD_LISTEN=[")
	f.Add("server: {dsn: !!binary aGk=}\n? [x]\n: y\n", "BULKHEAD_TENANT_ROLES={a: {b: c}}")
	f.Add("auth: {issuers: [null, {}, 1]}\n", "BULKHEAD_AUTH_ISSUERS_9_ISSUER=x")
	f.Fuzz(func(t *testing.T, text, env string) {
		c, err := Parse("f", []byte(text), "/", []string{env})
		if (c == nil) == (err == nil) {
			t.Fatalf("got %v and %v", c, err)
		}
	})
}
