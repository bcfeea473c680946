package proxytest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

const orgC = "33333333-3333-4333-8333-333333333333"

// anyToken lets tokens be those of services and workers.
const anyToken = ", allow_service_tokens: true, allow_org_lists: true, allow_all_orgs: true"

var poolModes = []string{"session", "transaction", "shared"}

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
		p := start(t, options{mode: mode, issuer: anyToken})
		a, b := claim(t, orgA, time.Hour), claim(t, orgB, time.Hour)
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

// A transaction with an identity of its own.
func TestIdentity_Local(t *testing.T) {
	for _, mode := range poolModes {
		p := start(t, options{mode: mode, issuer: anyToken})
		a, b := claim(t, orgA, time.Hour), claim(t, orgB, time.Hour)
		for who, own := range map[string]struct{ token, rows string }{"service": {claim(t, nil, time.Hour), "42501 G803"}, "org B": {b, rowsB}, "org A": {a, rowsA}} {
			what := mode + ", " + who
			c := p.connectAs(t, own.token)
			for _, begin := range []string{"BEGIN", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ", "begin isolation level serializable read only"} {
				for _, set := range []string{"SET LOCAL bulkhead.token = '" + a + "'", "SELECT set_config('bulkhead.token', '" + a + "', true)"} {
					c.Query(begin)
					if msgs := c.Query(set); code(msgs) != "" || wiretest.Status(msgs) != 'T' {
						t.Fatalf("%s: %v", what, msgs)
					}
					expectRows(t, what, c, names, rowsA)
					level, want := "SHOW transaction_isolation", "[[read committed]]"
					if begin != "BEGIN" {
						want = "[[" + strings.ToLower(strings.TrimSuffix(begin[strings.LastIndex(strings.ToUpper(begin), "LEVEL ")+6:], " read only")) + "]]"
					}
					expectRows(t, what, c, level, want)
					// What follows the end is the session's own again, pipelined or not.
					c.Send(wiretest.Query("COMMIT"), wiretest.Query(names))
					msgs := c.Until(2)
					if got := code(msgs) + fmt.Sprint(wiretest.Rows(msgs)); !strings.Contains(got, own.rows) {
						t.Errorf("%s, after %s: got %s, want %s", what, begin, got, own.rows)
					}
				}
			}
			localWrites(t, what, p, c, a)
			localPipelines(t, what, c, a, own.rows)
			localMisplaced(t, what, c, a, own.rows)
			c.Send(wiretest.Terminate)
		}
	}
}

// localWrites: what the transaction writes is committed, or not, for its org.
func localWrites(t *testing.T, what string, p *proxy, c *wiretest.Client, a string) {
	t.Helper()
	admin := p.pg.Connect(t, p.db)
	defer admin.Close(t.Context())
	count := func() (n int) {
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM accounts WHERE name = 'local' AND org_id = $1", orgA).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for end, want := range map[string]int{"COMMIT": 1, "ROLLBACK": 0} {
		before := count()
		for _, q := range []string{"BEGIN", "SET LOCAL bulkhead.token = '" + a + "'", "INSERT INTO accounts (name) VALUES ('local')", end} {
			if e := code(c.Query(q)); e != "" {
				t.Errorf("%s: %s: %s", what, q[:6], e)
			}
		}
		if got := count() - before; got != want {
			t.Errorf("%s: %s leaves %d rows, want %d", what, end, got, want)
		}
	}
	if _, err := admin.Exec(t.Context(), "DELETE FROM accounts WHERE name = 'local'"); err != nil {
		t.Fatal(err)
	}
}

// localPipelines: all of a transaction in one batch of the extended protocol,
// as JDBC sends it, and in several.
func localPipelines(t *testing.T, what string, c *wiretest.Client, a, own string) {
	t.Helper()
	run := func(sql string, params ...any) []byte {
		return bytes.Join([][]byte{parse("", sql), bind("", "", params...), execute("", 0)}, nil)
	}
	set := run("SELECT set_config('bulkhead.token', $1, true)", a)
	for name, send := range map[string][][]byte{
		"one batch":        {run("BEGIN"), set, run(names), synced, run("COMMIT"), synced},
		"batches":          {run("BEGIN"), synced, set, synced, run(names), synced, run("COMMIT"), synced},
		"all in one":       {run("BEGIN"), set, run(names), run("COMMIT"), synced},
		"simple, extended": {wiretest.Query("BEGIN"), set, synced, run(names), synced, wiretest.Query("ROLLBACK")},
		"an error":         {run("BEGIN"), set, run(names), run("SELECT 1/0"), run(names), synced, wiretest.Query("ROLLBACK")},
	} {
		n := 0
		for _, m := range send {
			if m[0] == 'Q' || m[0] == 'S' {
				n++
			}
		}
		c.Send(append(send, wiretest.Query(names))...)
		msgs := c.Until(n + 1)
		rows := wiretest.Rows(msgs)
		var got []string
		for _, r := range rows {
			if r[0] != "[redacted]" {
				got = append(got, r[0])
			}
		}
		want := "own one own two"
		if own != "42501 G803" {
			want += " " + strings.NewReplacer("[", "", "]", "").Replace(own)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s, %s: got %q, want %q\n%s", what, name, strings.Join(got, " "), want, wiretest.Transcript(msgs))
		}
		if wiretest.Status(msgs) != 'I' {
			t.Fatalf("%s, %s: the session is not idle: %v", what, name, msgs[len(msgs)-1])
		}
	}
}

// localMisplaced: everywhere else the statement is refused, and a transaction
// that it stands in has failed.
func localMisplaced(t *testing.T, what string, c *wiretest.Client, a, own string) {
	t.Helper()
	set, local := "SET bulkhead.token = '"+a+"'", "SET LOCAL bulkhead.token = '"+a+"'"
	for _, x := range []struct {
		before      []string
		query, want string
		status      byte
	}{
		{nil, local, "25P01", 'I'},
		{nil, "SELECT set_config('bulkhead.token', '" + a + "', true)", "25P01", 'I'},
		{[]string{"BEGIN"}, set, "25001", 'E'},
		{[]string{"BEGIN"}, "RESET bulkhead.token", "25001", 'E'},
		{[]string{"BEGIN", "SELECT 1"}, local, "25001", 'E'},
		{[]string{"BEGIN", "SAVEPOINT x"}, local, "25001", 'E'},
		{[]string{"BEGIN; SELECT 1"}, local, "25001", 'E'},
		{[]string{"BEGIN", "SELECT 1/0"}, local, "25P02", 'E'},
		{[]string{"BEGIN"}, "SET LOCAL bulkhead.token = 'nonsense'", "28000", 'E'},
		{[]string{"BEGIN", local}, set, "25001", 'E'},
		{[]string{"BEGIN", local, "SELECT 1"}, local, "25001", 'E'},
		{[]string{"BEGIN", local}, "SET LOCAL bulkhead.token = 'nonsense'", "28000", 'E'},
		{[]string{"BEGIN", local}, "COMMIT; " + names, "0A000", 'E'},
		{[]string{"BEGIN", local}, "COMMIT AND CHAIN", "0A000", 'E'},
		{[]string{"BEGIN", local}, "ROLLBACK; BEGIN", "0A000", 'E'},
		{[]string{"BEGIN", local}, "SET ROLE admin_bypass", "42501 G301", 'E'},
		{nil, set + "; SELECT 1", "42501 G201", 'I'},
		{nil, "BEGIN; " + local, "42501 G201", 'I'},
		{nil, "SET bulkhead.token = DEFAULT; SELECT 1", "", 'I'},
		{nil, "SELECT set_config('bulkhead.token', 'x', false), 1", "42501 G201", 'I'},
		{nil, "WITH x AS (SELECT set_config('bulkhead.token', 'x', false)) SELECT 1", "42501 G201", 'I'},
		{nil, "DO $$ BEGIN PERFORM set_config('bulkhead.token', 'x', false); END $$", "42501 G602", 'I'},
	} {
		for _, q := range x.before {
			c.Query(q)
		}
		msgs := c.Query(x.query)
		if got := code(msgs); got != x.want && !(x.want == "42501 G201" && got == "42501 G803") || wiretest.Status(msgs) != x.status {
			shown := strings.ReplaceAll(x.query, a, "...")
			t.Errorf("%s: %s after %d statements: got %s, status %c, want %s, status %c", what, shown, len(x.before), got, wiretest.Status(msgs), x.want, x.status)
		}
		c.Query("ROLLBACK")
		expectRows(t, what+", afterwards", c, names, own)
	}
}

// Workers over several orgs pick one; every pick is one that the token grants.
func TestIdentity_Workers(t *testing.T) {
	for _, mode := range poolModes {
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
		single := p.connect(t, orgA)
		for _, org := range []string{orgA, orgB} {
			if got := code(single.Query("SET bulkhead.org_id = '" + org + "'")); got != "42501 G804" {
				t.Errorf("%s: a token of one org picks: %s", mode, got)
			}
		}
		expectRows(t, mode, single, names, rowsA)
		if records := p.blocked(t, 1); records[0].Rule != "G803" && records[0].Rule != "G804" {
			t.Errorf("recorded as %s", records[0].Rule)
		}
	}
	// An issuer that may not say so cannot.
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
	for _, mode := range poolModes {
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
			if _, msgs, err := wiretest.Dial(t, wiretest.Startup{Address: p.addr, User: "u", Database: p.db, Password: short}); err != nil || code(msgs) == "28P01" {
				break
			}
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

// What the client has SET and prepared follows it; what it has on the server
// does not, since that is the org's.
func TestIdentity_StateFollows(t *testing.T) {
	for _, mode := range poolModes {
		p := start(t, options{mode: mode, issuer: anyToken})
		a, b := claim(t, orgA, time.Hour), claim(t, orgB, time.Hour)
		c := p.connectAs(t, a)
		c.Query("SET work_mem = '5MB'")
		c.Query("CREATE TEMP TABLE scratch AS SELECT 'of org A' AS x")
		c.Send(parse("n", names), parse("w", "SHOW work_mem"), parse("lit", "SELECT name FROM accounts WHERE org_id = '"+orgA+"'"), synced)
		c.Until(1)
		for _, x := range []struct{ token, rows, literal string }{{b, rowsB, "42501 G801"}, {a, rowsA, rowsA}, {b, rowsB, "42501 G801"}} {
			expectRows(t, mode, c, "SET bulkhead.token = '"+x.token+"'", "[]")
			c.Send(bind("", "n"), execute("", 0), bind("", "w"), execute("", 0), synced)
			if got := fmt.Sprint(wiretest.Rows(c.Until(1))); got != strings.TrimSuffix(x.rows, "]")+" [5MB]]" {
				t.Errorf("%s: prepared: got %s", mode, got)
			}
			c.Send(bind("", "lit"), execute("", 0), synced)
			msgs := c.Until(1)
			if got := code(msgs); got != x.literal && fmt.Sprint(wiretest.Rows(msgs)) != x.literal {
				t.Errorf("%s: a statement with org A's id: %v, want %s", mode, msgs, x.literal)
			}
			if got := code(c.Query("SELECT x FROM pg_temp.scratch")); got == "" {
				t.Errorf("%s: the temporary table has followed", mode)
			}
			expectRows(t, mode, c, "SELECT coalesce(to_regclass('pg_temp.scratch')::text, 'none')", "[[none]]")
		}
	}
}

// Many sessions change hands on few server connections, at random; each reply
// belongs to the identity of the moment.
func TestIdentity_Interleaved(t *testing.T) {
	for _, mode := range []string{"transaction", "shared"} {
		p := start(t, options{mode: mode, issuer: anyToken, pool: "max_server_connections: 4, max_per_org: 2, queue_timeout: 60s"})
		a, b, service := claim(t, orgA, time.Hour), claim(t, orgB, time.Hour), claim(t, []string{orgA, orgB}, time.Hour)
		var wg sync.WaitGroup
		for seed := range uint64(12) {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 3))
				c := p.connectAs(t, service)
				own := "42501 G803"
				for range 40 {
					x := []struct{ token, org, rows string }{{a, orgA, rowsA}, {b, orgB, rowsB}}[r.IntN(2)]
					switch r.IntN(5) {
					case 0:
						c.Query("SET bulkhead.token = '" + x.token + "'")
						own = x.rows
					case 1:
						c.Query("RESET bulkhead.token")
						own = "42501 G803"
					case 2:
						c.Query("RESET bulkhead.token")
						c.Query("SET bulkhead.org_id = '" + x.org + "'")
						own = x.rows
					case 3:
						c.Query("BEGIN")
						c.Query("SET LOCAL bulkhead.token = '" + x.token + "'")
						expectRows(t, mode, c, names, x.rows)
						c.Query([]string{"COMMIT", "ROLLBACK"}[r.IntN(2)])
					case 4:
						c.Send(parse("", "SELECT set_config('bulkhead.token', $1, false)"), bind("", "", x.token), execute("", 0), parse("", names), bind("", ""), execute("", 0), synced)
						if got := fmt.Sprint(wiretest.Rows(c.Until(1))[1:]); got != x.rows {
							t.Errorf("%s: got %s, want %s", mode, got, x.rows)
						}
						own = x.rows
					}
					expectRows(t, mode, c, names, own)
				}
			})
		}
		wg.Wait()
	}
}

// No token reaches a log, a trace, the blocked-query log or the server.
func TestIdentity_TokensStaySecret(t *testing.T) {
	spans := filepath.Join(t.TempDir(), "spans")
	f, err := os.Create(spans)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	stdoutOfProxy = f
	defer func() { stdoutOfProxy = nil }()
	p := start(t, options{mode: "transaction", issuer: anyToken, extra: "telemetry: {slow_query: 1ns}\npolicy: {mode: observe}"})
	p.pg.Exec(t, p.db, "ALTER DATABASE "+p.db+" SET log_statement = 'all'")
	worker := claim(t, []string{orgA, orgB}, time.Hour)
	bad := claim(t, orgA, -time.Hour)
	c := p.connectAs(t, claim(t, nil, time.Hour))
	for _, send := range identityForms {
		for _, tok := range []string{worker, bad} {
			send(c, "bulkhead.token", tok)
			c.Query("BEGIN")
			c.Query("SET LOCAL bulkhead.token = '" + tok + "'")
			c.Query("ROLLBACK")
		}
	}
	c.Query("SET bulkhead.token = '" + worker + "'")
	c.Query("SET bulkhead.org_id = '" + orgA + "'")
	for _, wrong := range []string{
		"SET bulkhead.token = '%s'; SELECT 1", "SELECT set_config('bulkhead.token', '%s', false), 1", "SET bulkhead.token = E'%s'", "SET BULKHEAD.TOKEN TO $$%s$$",
	} {
		if got := code(c.Query(fmt.Sprintf(wrong, worker))); got != "42501 G201" {
			t.Errorf("%s: %s, want it refused in observe mode too", wrong, got)
		}
	}
	s := p.startup(t, orgA)
	s.Params = map[string]string{"options": "-c bulkhead.token=" + worker}
	if _, msgs, err := wiretest.Dial(t, s); err != nil || code(msgs) != "42501 G201" {
		t.Errorf("as a startup parameter: %v %v", msgs, err)
	}
	c.Query("SELECT name FROM accounts")
	p.blocked(t, 5)
	p.stop(t)
	blocked, traces := readFile(t, p.log), readFile(t, spans)
	for where, text := range map[string]string{"the proxy's log": p.stderr.String(), "the blocked-query log": blocked, "traces": traces, "the server's log": p.pg.Log()} {
		for _, tok := range []string{worker, bad} {
			for _, part := range strings.Split(tok, ".")[1:] {
				if strings.Contains(text, part) {
					t.Errorf("a token is in %s", where)
				}
			}
		}
	}
	for _, want := range []string{"SET bulkhead.org_id", "bulkhead.token_id", orgA} {
		if !strings.Contains(traces, want) {
			t.Errorf("the traces lack %s", want)
		}
	}
}

// Drivers and psql use it as they use any setting.
func TestIdentity_Drivers(t *testing.T) {
	ctx := context.Background()
	for _, mode := range poolModes {
		p := start(t, options{mode: mode, issuer: anyToken})
		tokens := map[string]string{rowsA: claim(t, orgA, time.Hour), rowsB: claim(t, orgB, time.Hour)}
		dsn := "postgres://anyone@" + p.addr + "/" + p.db + "?sslmode=disable"
		for _, exec := range []pgx.QueryExecMode{
			pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
		} {
			cfg, err := pgxpool.ParseConfig(dsn + "&pool_max_conns=2")
			if err != nil {
				t.Fatal(err)
			}
			cfg.ConnConfig.Password, cfg.ConnConfig.DefaultQueryExecMode = claim(t, nil, time.Hour), exec
			pool, err := pgxpool.NewWithConfig(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				for rows, tok := range tokens {
					usePgxAs(t, fmt.Sprintf("%s, pgx %v", mode, exec), pool, tok, rows)
				}
			}
			pool.Close()
		}
		db, err := sql.Open("postgres", dsn+"&password="+claim(t, nil, time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for rows, tok := range tokens {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(ctx, "SELECT set_config('bulkhead.token', $1, true)", tok); err != nil {
				t.Fatalf("%s, lib/pq: %v", mode, err)
			}
			var got string
			if err := tx.QueryRowContext(ctx, "SELECT '[[' || string_agg(name, '] [' ORDER BY id) || ']] ' || current_setting('transaction_isolation') FROM accounts").Scan(&got); err != nil || got != rows+" serializable" {
				t.Errorf("%s, lib/pq: %q %v, want %s", mode, got, err, rows)
			}
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
		}
		db.Close()
		script := "SET bulkhead.token = :'a';\n" + names + ";\nBEGIN;\nSET LOCAL bulkhead.token = :'b';\n" + names + ";\nCOMMIT;\n" + names + ";\n"
		file := filepath.Join(t.TempDir(), "s.sql")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := p.run(t, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "a="+tokens[rowsA], "-v", "b="+tokens[rowsB], "-f", file)
		if want := "own one\nown two\nCANARY-B account\nown one\nown two\n"; err != nil || out != want {
			t.Errorf("%s, psql: %v\n%s", mode, err, out)
		}
	}
}

// usePgxAs takes a connection of the pool, acts for the token's org on it and
// gives it back.
func usePgxAs(t *testing.T, what string, pool *pgxpool.Pool, tok, want string) {
	t.Helper()
	ctx := context.Background()
	c, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	list := func(q interface {
		Query(context.Context, string, ...any) (pgx.Rows, error)
	}) string {
		rows, err := q.Query(ctx, names)
		if err != nil {
			return err.Error()
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err.Error()
		}
		return "[[" + strings.Join(got, "] [") + "]]"
	}
	if got := list(c); !strings.Contains(got, "G803") && !strings.Contains(got, "42501") {
		t.Errorf("%s: without an org: %s", what, got)
	}
	var value string
	if err := c.QueryRow(ctx, "SELECT set_config('bulkhead.token', $1, false)", tok).Scan(&value); err != nil || value != "[redacted]" {
		t.Errorf("%s: %q %v", what, value, err)
	}
	if got := list(c); got != want {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
	if _, err := c.Exec(ctx, "RESET bulkhead.token"); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	err = pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('bulkhead.token', $1, true)", tok); err != nil {
			return err
		}
		if got := list(tx); got != want {
			t.Errorf("%s: in a transaction: got %s, want %s", what, got, want)
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: transaction: %v", what, err)
	}
}
