package proxytest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

const orgC = "33333333-3333-4333-8333-333333333333"

// anyToken lets tokens be those of services and workers.
const anyToken = ", allow_service_tokens: true, allow_org_lists: true, allow_all_orgs: true"

var (
	poolModes = []string{"session", "transaction", "shared", "session, shared"}
	// Where the way of pooling matters less, two of them do.
	twoModes = []string{"session", "shared"}
)

// claim returns a token whose org claim is whatever is given; nil for none.
func claim(t testing.TB, org any, ttl time.Duration) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	tok, err := auth.Mint(auth.MintOptions{KeyFile: file, Issuer: "test", Audience: "bulkhead", Org: org, Subject: "worker", TTL: ttl, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func (p *proxy) connectAs(t testing.TB, tok string) *wiretest.Client {
	t.Helper()
	return wiretest.Connect(t, wiretest.Startup{Address: p.addr, User: "anyone", Database: p.db, Password: tok})
}

const names = "SELECT name FROM accounts ORDER BY id"

const (
	rowsA = "[[own one] [own two]]"
	rowsB = "[[CANARY-B account]]"
)

// code returns the SQLSTATE of the first error, with the rule if there is one.
func code(msgs []wiretest.Message) string {
	e, failed := wiretest.Error(msgs)
	if !failed {
		return ""
	}
	if rule, ok := strings.CutPrefix(e.Field('D'), "rule="); ok {
		return e.Field('C') + " " + rule[:4]
	}
	return e.Field('C')
}

// expectRows runs a query and compares its rows, or its error.
func expectRows(t *testing.T, what string, c *wiretest.Client, query, want string) {
	t.Helper()
	msgs := c.Query(query)
	got := fmt.Sprint(wiretest.Rows(msgs))
	if e := code(msgs); e != "" {
		got = e
	}
	if got != want {
		t.Errorf("%s: %s: got %s, want %s", what, query, got, want)
	}
}

// The ways to send a token or an org, each in its own words.
var identityForms = map[string]func(c *wiretest.Client, name, value string) []wiretest.Message{
	"SET": func(c *wiretest.Client, name, value string) []wiretest.Message {
		return c.Query("SET " + name + " = '" + value + "'")
	},
	"SET SESSION TO": func(c *wiretest.Client, name, value string) []wiretest.Message {
		return c.Query("/* x */ set session " + strings.ToUpper(name) + " to '" + value + "';")
	},
	"set_config": func(c *wiretest.Client, name, value string) []wiretest.Message {
		return c.Query("SELECT set_config('" + name + "', '" + value + "', false)")
	},
	"unnamed parameter": func(c *wiretest.Client, name, value string) []wiretest.Message {
		c.Send(parse("", "SELECT pg_catalog.set_config('"+name+"', $1, false)"), bind("", "", value), describe('P', ""), execute("", 0), synced)
		return c.Until(1)
	},
	"described first": func(c *wiretest.Client, name, value string) []wiretest.Message {
		c.Send(parse("i", "SELECT set_config('"+name+"', $1, false)"), describe('S', "i"), synced)
		msgs := c.Until(1)
		c.Send(bind("", "i", value), execute("", 0), synced, closes('S', "i"), synced)
		return append(msgs, c.Until(2)...)
	},
	"extended literal": func(c *wiretest.Client, name, value string) []wiretest.Message {
		c.Send(parse("", "SET "+name+" = '"+value+"'"), bind("", ""), describe('P', ""), execute("", 0), synced)
		return c.Until(1)
	},
}

// The pool of a service: connections without an org, that take the identity of
// whoever they work for.
func TestIdentity_ServiceToken(t *testing.T) {
	for _, mode := range poolModes {
		p := start(t, options{mode: mode, issuer: anyToken, pool: "max_server_connections: 20, max_per_org: 2"})
		a, b := claim(t, orgA, time.Hour), claim(t, orgB, time.Hour)
		// Waiting service connections take no place in the pool.
		for range 6 {
			p.connectAs(t, claim(t, nil, time.Hour))
		}
		for form, send := range identityForms {
			what := mode + ", " + form
			c := p.connectAs(t, claim(t, nil, time.Hour))
			expectRows(t, what, c, names, "42501 G803")
			expectRows(t, what, c, "SELECT 1", "[[1]]")
			expectRows(t, what, c, "SELECT current_setting('app.org_id', true)", "42501 G803")
			for _, x := range []struct{ token, rows string }{{a, rowsA}, {b, rowsB}, {a, rowsA}} {
				if msgs := send(c, "bulkhead.token", x.token); code(msgs) != "" || wiretest.Status(msgs) != 'I' {
					t.Errorf("%s: %v", what, msgs)
				}
				expectRows(t, what, c, names, x.rows)
				c.Send(parse("", names), bind("", ""), execute("", 0), synced)
				if got := fmt.Sprint(wiretest.Rows(c.Until(1))); got != x.rows {
					t.Errorf("%s, extended: got %s, want %s", what, got, x.rows)
				}
			}
			if got := fmt.Sprint(c.Query("RESET bulkhead.token")); !strings.Contains(got, "RESET") {
				t.Errorf("%s: RESET: %s", what, got)
			}
			expectRows(t, what, c, names, "42501 G803")
			c.Send(wiretest.Terminate)
		}
	}
}

// What the client reads is what PostgreSQL says to any other setting.
func TestIdentity_RepliesAreExact(t *testing.T) {
	for _, version := range versions(t) {
		p := start(t, options{mode: "transaction", version: version, issuer: anyToken})
		tok := claim(t, orgA, time.Hour)
		proxied, direct := p.connectAs(t, tok), p.direct(t)
		for form, send := range identityForms {
			got := wiretest.Transcript(send(proxied, "bulkhead.token", tok))
			want := wiretest.Transcript(send(direct, "my_bulkhead.token", tok))
			// A token is not sent back.
			want = strings.ReplaceAll(want, fmt.Sprintf("%q", "\x00\x01"+string([]byte{0, 0, byte(len(tok) >> 8), byte(len(tok))})+tok), `"\x00\x01\x00\x00\x00\n[redacted]"`)
			if got != want {
				t.Errorf("%s:\ngot\n%s\nwant\n%s", form, got, want)
			}
		}
		for i, x := range exactTurns(tok) {
			got, want := x("bulkhead").play(t, proxied), x("my_bulkhead").play(t, direct)
			want = strings.ReplaceAll(want, quotedRow(tok), quotedRow("[redacted]"))
			if got != want {
				t.Errorf("turn %d:\ngot\n%s\nwant\n%s", i, got, want)
			}
		}
	}
}

// quotedRow is a DataRow of one text, as a transcript shows it.
func quotedRow(text string) string {
	return fmt.Sprintf("%q", append([]byte{0, 1, 0, 0, byte(len(text) >> 8), byte(len(text))}, text...))
}

// exactTurns are exchanges that PostgreSQL answers alike for a setting of any
// prefix.
func exactTurns(tok string) []func(prefix string) turn {
	call := func(prefix string) string { return "SELECT set_config('" + prefix + ".token', $1, false)" }
	return []func(prefix string) turn{
		func(n string) turn { return query("RESET " + n + ".token") },
		func(n string) turn {
			return extended(parse("", "RESET "+n+".token"), describe('S', ""), bind("", ""), describe('P', ""), execute("", 0), synced)
		},
		func(n string) turn {
			return extended(parse("", "SELECT 1"), bind("", ""), execute("", 0), synced, parse("q", call(n)), bind("p", "q", tok), describe('P', "p"),
				closes('P', "p"), closes('S', "q"), synced, parse("", "SELECT 2"), bind("", ""), execute("", 0), synced)
		},
		func(n string) turn {
			return extended(parse("q", call(n)), parse("q", call(n)), parse("z", call(n)), synced)
		},
		func(string) turn { return extended(bind("", "z", tok), execute("", 0), synced) },
		func(n string) turn { return flushed('t', parse("", call(n)), describe('S', "")) },
		func(string) turn { return extended(bind("", "", tok), execute("", 0), execute("", 0), synced) },
		func(n string) turn {
			return extended(parse("", "SET "+n+".token = '"+tok+"'"), bind("", ""), execute("", 0), execute("", 0), synced)
		},
		func(string) turn { return extended(bind("", "q", tok), execute("", 0), synced) },
		func(string) turn { return query("BEGIN") },
		func(string) turn { return query("SELECT 1/0") },
		func(n string) turn { return extended(parse("", call(n)), synced) },
		func(string) turn { return extended(bind("", "q", tok), synced) },
		func(string) turn { return query("ROLLBACK") },
		func(n string) turn {
			return extended(parse("", "SELECT 1/0"), bind("", ""), execute("", 0), parse("", call(n)), bind("", "", tok), execute("", 0), synced)
		},
	}
}

// Workers over several orgs pick one; every pick is one that the token grants.
func TestIdentity_Workers(t *testing.T) {
	for _, mode := range twoModes {
		p := start(t, options{mode: mode, issuer: anyToken})
		for who, c := range map[string]*wiretest.Client{
			"list":    p.connectAs(t, claim(t, []string{orgA, orgB}, time.Hour)),
			"any":     p.connectAs(t, claim(t, "*", time.Hour)),
			"in band": p.connectAs(t, claim(t, orgA, time.Hour)),
		} {
			what := mode + ", " + who
			if who == "in band" {
				expectRows(t, what, c, names, rowsA)
				expectRows(t, what, c, "SET bulkhead.token = '"+claim(t, []string{orgA, orgB}, time.Hour)+"'", "[]")
			}
			expectRows(t, what, c, names, "42501 G803")
			claims := "SELECT current_setting('request.jwt.claims')::json->>'org_id', current_setting('request.jwt.claims')::json->>'sub'"
			for form, send := range identityForms {
				for _, x := range []struct{ org, rows string }{{orgA, rowsA}, {strings.ToUpper(orgB), rowsB}} {
					if e := code(send(c, "bulkhead.org_id", x.org)); e != "" {
						t.Errorf("%s, %s: %s", what, form, e)
					}
					expectRows(t, what+", "+form, c, names, x.rows)
					expectRows(t, what+", "+form, c, claims, "[["+strings.ToLower(x.org)+" worker]]")
				}
			}
			for _, not := range []string{orgC, "nonsense", "", "*"} {
				want := "42501 G804"
				if who == "any" && not == orgC {
					want = ""
				}
				if got := code(c.Query("SET bulkhead.org_id = '" + not + "'")); got != want {
					t.Errorf("%s, org %q: got %q, want %q", what, not, got, want)
				}
				// A client that ignores the error acts for nobody.
				if want != "" {
					expectRows(t, what, c, names, "42501 G803")
				}
				c.Query("SET bulkhead.org_id = '" + orgA + "'")
			}
			c.Query("BEGIN")
			c.Query("SET LOCAL bulkhead.org_id = '" + orgB + "'")
			expectRows(t, what, c, names, rowsB)
			c.Query("COMMIT")
			expectRows(t, what, c, names, rowsA)
			c.Query("RESET bulkhead.org_id")
			expectRows(t, what, c, names, "42501 G803")
			c.Query("BEGIN")
			c.Query("SET LOCAL bulkhead.token = '" + claim(t, []string{orgB, orgC}, time.Hour) + "'")
			c.Query("SET LOCAL bulkhead.org_id = '" + orgB + "'")
			expectRows(t, what, c, names, rowsB)
			c.Query("ROLLBACK")
			expectRows(t, what, c, names, "42501 G803")
			c.Send(wiretest.Terminate)
		}
		singleOrgPicksNothing(t, mode, p)
	}
}

// singleOrgPicksNothing: neither its own org nor another.
func singleOrgPicksNothing(t *testing.T, mode string, p *proxy) {
	t.Helper()
	single := p.connect(t, orgA)
	for _, org := range []string{orgA, orgB} {
		if got := code(single.Query("SET bulkhead.org_id = '" + org + "'")); got != "42501 G201" {
			t.Errorf("%s: a token of one org picks: %s", mode, got)
		}
	}
	expectRows(t, mode, single, names, rowsA)
	if records := p.blocked(t, 1); records[0].Rule != "G803" {
		t.Errorf("recorded as %s", records[0].Rule)
	}
}

// An issuer that may not speak of services and workers cannot.
func TestIdentity_IssuerMay(t *testing.T) {
	p := start(t, options{})
	for _, org := range []any{nil, "*", []string{orgA}, []string{}} {
		_, msgs, err := wiretest.Dial(t, wiretest.Startup{Address: p.addr, User: "u", Database: p.db, Password: claim(t, org, time.Hour)})
		if err != nil || code(msgs) != "28P01" {
			t.Errorf("org claim %v: %v %v, want 28P01", org, msgs, err)
		}
		c := p.connect(t, orgB)
		if got := code(c.Query("SET bulkhead.token = '" + claim(t, org, time.Hour) + "'")); got != "28000" {
			t.Errorf("org claim %v in band: %s, want 28000", org, got)
		}
	}
}

// A token that is refused or expires leaves nobody's identity behind.
func TestIdentity_RefusedAndExpired(t *testing.T) {
	for _, mode := range twoModes {
		p := start(t, options{mode: mode, issuer: anyToken})
		c := p.connectAs(t, claim(t, orgB, time.Hour))
		set := func(tok string) string { return "SET bulkhead.token = '" + tok + "'" }
		for _, bad := range []string{"nonsense", "", claim(t, orgA, -time.Hour), claim(t, orgA, time.Hour) + "x"} {
			expectRows(t, mode, c, set(claim(t, orgA, time.Hour)), "[]")
			expectRows(t, mode, c, names, rowsA)
			// Pipelined: whoever ignores the error must not act for the one before.
			c.Send(wiretest.Query(set(bad)), wiretest.Query(names))
			msgs := c.Until(2)
			if got := code(msgs) + " " + fmt.Sprint(wiretest.Rows(msgs)); got != "28000 "+rowsB {
				t.Errorf("%s: after a token that is refused: %s", mode, got)
			}
			c.Send(parse("", set(bad)), bind("", ""), execute("", 0), parse("", names), bind("", ""), execute("", 0), synced)
			if msgs := c.Until(1); code(msgs) != "28000" || len(wiretest.Rows(msgs)) > 0 || wiretest.Status(msgs) != 'I' {
				t.Errorf("%s: in a batch: %v", mode, msgs)
			}
		}
		// The leeway is 30 seconds: this one holds for about two more.
		short := claim(t, orgA, -28*time.Second)
		expectRows(t, mode, c, set(short), "[]")
		expectRows(t, mode, c, "BEGIN", "[]")
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			c, msgs, err := wiretest.Dial(t, wiretest.Startup{Address: p.addr, User: "u", Database: p.db, Password: short})
			if err != nil || code(msgs) == "28P01" {
				break
			}
			c.Conn.Close()
			time.Sleep(50 * time.Millisecond)
		}
		expectRows(t, mode+", in the transaction", c, names, rowsA)
		expectRows(t, mode, c, "COMMIT", "[]")
		// It can be replaced, and nothing else can be done with it.
		expectRows(t, mode, c, set(claim(t, orgB, time.Hour)), "[]")
		expectRows(t, mode, c, names, rowsB)
		if got := code(c.Query(set(short))); got != "28000" {
			t.Errorf("%s: the expired token: %s, want 28000", mode, got)
		}
		e := p.connectAs(t, claim(t, orgB, time.Hour))
		expectRows(t, mode, e, set(claim(t, orgA, -29*time.Second)), "[]")
		for msgs := e.Query(names); ; msgs = e.Query(names) {
			if x, failed := wiretest.Error(msgs); failed {
				if x.Field('S') != "FATAL" || x.Field('C') != "28000" {
					t.Errorf("%s: expired in band: %s, want FATAL 28000", mode, x)
				}
				break
			}
		}
	}
}
