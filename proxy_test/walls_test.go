package proxytest

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/database/harden"
	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
	"github.com/pgbulkhead/bulkhead/tenant"
)

var update = flag.Bool("update", false, "rewrite the table of docs/threat-model.md")

// A wallClass is a line of the table: kinds of attacks.txt.
type wallClass struct {
	name  string
	kinds []int
}

var wallClasses = []wallClass{
	{"settings: `SET`, `set_config` in every costume", []int{1, 2, 3, 4, 5, 7}},
	{"statements and objects that run others: EXPLAIN, COPY, DO, functions, triggers, views", []int{8, 9, 10, 11}},
	{"functions that take SQL text or a table's name", []int{12, 13, 14}},
	{"role changes", []int{15, 16}},
	{"role and database defaults", []int{17}},
	{"TRUNCATE", []int{18}},
	{"definitions: policies, owners, grants, DROP", []int{19}},
	{"views as owner, partitions, materialized views, tables without row security", []int{20, 21, 22}},
	{"SECURITY DEFINER functions", []int{23}},
	{"system views and catalogues", []int{24}},
	{"LISTEN and NOTIFY", []int{25}},
	{"sequences", []int{26}},
	{"large objects", []int{27}},
	{"temporary objects that hide real ones", []int{28}},
	{"literals and encodings read differently", []int{31, 32}},
	{"what the guard cannot parse", []int{33, 41}},
	{"transaction control", []int{34}},
	{"disturbing others: locks, cancel, maintenance", []int{37}},
	{"the server's host, extensions, replication", []int{38}},
	{"naming the other org", []int{39}},
	{"the identity in band, without a grant or in disguise", []int{42}},
}

// A wall is one way to defend: with or without the guard, in front of a
// database that is careless, or hardened with a context.
type wall struct {
	name  string
	guard bool
	mode  dbcontext.Mode // "" is careless
}

var walls = []wall{
	{"guard alone, careless database", true, ""},
	{"hardened database alone, plain context", false, dbcontext.Plain},
	{"hardened database alone, signed context", false, dbcontext.Signed},
	{"both, plain context", true, dbcontext.Plain},
}

// build starts a server of its own and a proxy: hardening and attacks change
// what belongs to the cluster.
func (w wall) build(t *testing.T, version int) *proxy {
	t.Helper()
	o := options{version: version, server: pgtest.New(t, pgtest.Options{Version: version})}
	if w.mode == "" {
		return start(t, o)
	}
	if w.mode == dbcontext.Signed {
		o.extra = "tenant: {context: signed, signing_key_file: " + keyFile(t, 1, 0xa7) + "}\n"
	}
	o.prepare = func(p *proxy) { hardenAll(t, p, w.mode) }
	return start(t, o)
}

// hardenAll applies bulkhead harden to the database of a proxy.
func hardenAll(t *testing.T, p *proxy, mode dbcontext.Mode) {
	t.Helper()
	ctx := context.Background()
	conn := p.pg.Connect(t, p.db)
	defer conn.Close(ctx)
	plan, err := harden.Build(ctx, conn, harden.Options{
		Selection: inventory.Selection{AppRoles: []string{"app"}, GlobalTables: []string{"countries"}}, Context: mode,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := harden.Apply(ctx, conn, plan, harden.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if mode == dbcontext.Signed {
		p.pg.Exec(t, p.db, fmt.Sprintf(`SELECT bulkhead.add_key(1, '\x%s')`, strings.Repeat("a7", 32)))
	}
}

// session logs in: through the proxy, or past it as the application's role
// with the context that the proxy would give it. A proxy that only observes
// would not do: it answers statements about the identity itself.
func (p *proxy) session(t *testing.T, w wall, org string) *wiretest.Client {
	t.Helper()
	if w.guard {
		return p.connect(t, org)
	}
	const claims = `{"sub":"tester"}`
	params := map[string]string{"app.org_id": org, "client_encoding": "UTF8", "request.jwt.claims": claims}
	if w.mode == dbcontext.Plain {
		params["bulkhead.org_id"] = org
	}
	c := wiretest.Connect(t, wiretest.Startup{
		Address: fmt.Sprintf("127.0.0.1:%d", p.pg.Port), User: "app", Password: "app", Database: p.db, Params: params,
	})
	if w.mode != dbcontext.Signed {
		return c
	}
	key, err := tenant.NewKey(1, bytes.Repeat([]byte{0xa7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	backend := wiretest.Rows(c.Query("SELECT bulkhead.backend()"))
	if len(backend) != 1 {
		t.Fatal("bulkhead.backend() returned nothing")
	}
	signature := key.SignBackend(backend[0][0], org, claims, time.Now().Add(time.Hour))
	msgs := c.Query("SELECT set_config('bulkhead.org_id', '" + org + "', false), set_config('bulkhead.signature', '" + signature + "', false)")
	if e, failed := wiretest.Error(msgs); failed {
		t.Fatal(e)
	}
	if got := wiretest.Rows(c.Query("SELECT name FROM accounts")); org == orgA && len(got) != 2 {
		t.Fatalf("with a signed context org A sees %v", got)
	}
	return c
}

// effects are kinds in which the statement itself is the harm, if it runs.
var effects = []int{17, 18, 19, 25, 26, 28, 37, 38}

// harmless are statements of those kinds that do nothing although they run.
var harmless = []string{"SET row_security = off", "SELECT pg_terminate_backend(1)", "SELECT pg_cancel_backend(1)"}

// attempt sends one attack to a wall, and reports whether it got through.
func (p *proxy) attempt(t *testing.T, w wall, kind int, a attack) (through bool) {
	t.Helper()
	c := p.session(t, w, orgA)
	defer c.Conn.Close()
	sql := a.sql
	if !w.guard {
		// An attacker knows which settings the policies read: the attack is on
		// that of the floor, and the application's own follows.
		sql = strings.NewReplacer("app.org_id", "bulkhead.org_id", "APP.ORG_ID", "BULKHEAD.ORG_ID", `"APP"."ORG_ID"`, `"BULKHEAD"."ORG_ID"`,
			"app . org_id", "bulkhead . org_id", `app\x5forg_id`, `bulkhead\x5forg_id`, `app.org\x5fid`, `bulkhead.org\x5fid`,
			`app\002eorg_id`, `bulkhead\002eorg_id`, "'app.'", "'bulkhead.'").Replace(sql)
	}
	alone := !strings.HasPrefix(sql, "BEGIN")
	if alone {
		c.Query("BEGIN")
	}
	msgs := c.Query(sql)
	if e, failed := wiretest.Error(msgs); failed && e.Field('C') == "25001" {
		c.Query("ROLLBACK") // not in a transaction block: then outside of one
		msgs = c.Query(sql)
	}
	if harmed(kind, sql, msgs) {
		return true
	}
	if !w.guard && wiretest.Status(msgs) != 'E' {
		c.Query("SET app.org_id = '" + orgB + "'")
	}
	return leaked(c, msgs)
}

// leaked reports whether a canary of org B came back, or is visible now.
func leaked(c *wiretest.Client, msgs []wiretest.Message) bool {
	for _, table := range []string{"accounts", "documents"} {
		msgs = append(msgs, c.Query("SELECT * FROM "+table)...)
	}
	return slices.ContainsFunc(msgs, func(m wiretest.Message) bool {
		return m.Type != 'E' && bytes.Contains(m.Body, []byte(canary))
	})
}

// harmed reports whether a statement did what it must not.
func harmed(kind int, sql string, msgs []wiretest.Message) bool {
	for _, m := range msgs {
		// VACUUM and its like only warn about tables of others.
		if m.Type == 'E' || m.Type == 'N' && m.Field('C') == "42501" || m.Type == 'N' && strings.Contains(m.Field('M'), "no privileges were granted") ||
			m.Type == 'N' && strings.Contains(m.Field('M'), "permission denied to") || m.Type == 'N' && strings.Contains(m.Field('M'), "skipping") {
			return false
		}
	}
	if slices.Contains(harmless, sql) {
		return false
	}
	if kind == 27 && !strings.Contains(sql, "lo_get") {
		return true
	}
	if kind == 39 {
		// Rows of the other org: written, or read (which leaked sees).
		return slices.ContainsFunc(msgs, func(m wiretest.Message) bool {
			return m.Type == 'C' && (bytes.HasPrefix(m.Body, []byte("INSERT 0 1")) || bytes.HasPrefix(m.Body, []byte("UPDATE ")) && !bytes.HasPrefix(m.Body, []byte("UPDATE 0")))
		})
	}
	return slices.Contains(effects, kind)
}

// TestWalls measures what each wall holds alone and what both hold together,
// and compares it with the table in docs/threat-model.md.
func TestWalls(t *testing.T) {
	attacks := readAttacks(t)
	version := versions(t)[len(versions(t))-1]
	through := make(map[string]map[int][]string) // by wall and kind
	total := make(map[int]int)
	for i, w := range walls {
		p := w.build(t, version)
		through[w.name] = make(map[int][]string)
		// Something for pg_stat_activity to show.
		theirs := p.session(t, w, orgB)
		theirs.Query("SELECT '" + canary + "'")
		for _, a := range attacks {
			kind, err := strconv.Atoi(strings.Fields(a.name)[0])
			if err != nil {
				t.Fatalf("attack %q has no kind", a.name)
			}
			if i == 0 {
				total[kind]++
			}
			if p.attempt(t, w, kind, a) {
				through[w.name][kind] = append(through[w.name][kind], a.name)
			}
		}
		p.stop(t)
	}
	for _, w := range []wall{walls[0], walls[3]} {
		for kind, names := range through[w.name] {
			t.Errorf("%s: got through: kind %d: %v", w.name, kind, names)
		}
	}
	if version == wallsVersion {
		checkWalls(t, wallTable(total, through))
	}
}

// wallsVersion is the PostgreSQL of the table: other versions know other
// statements.
const wallsVersion = 18

// wallTable writes the table.
func wallTable(total map[int]int, through map[string]map[int][]string) string {
	var b strings.Builder
	b.WriteString("| class of attack | attacks ")
	for _, w := range walls {
		b.WriteString("| " + w.name + " ")
	}
	b.WriteString("|\n" + strings.Repeat("| --- ", len(walls)+2) + "|\n")
	covered := 0
	for _, c := range wallClasses {
		all := 0
		for _, kind := range c.kinds {
			all += total[kind]
		}
		covered += all
		fmt.Fprintf(&b, "| %s | %d ", c.name, all)
		for _, w := range walls {
			got := 0
			for _, kind := range c.kinds {
				got += len(through[w.name][kind])
			}
			switch got {
			case 0:
				b.WriteString("| holds ")
			case all:
				b.WriteString("| does not hold ")
			default:
				fmt.Fprintf(&b, "| holds %d of %d ", all-got, all)
			}
		}
		b.WriteString("|\n")
	}
	sum := 0
	for _, n := range total {
		sum += n
	}
	if sum != covered {
		fmt.Fprintf(&b, "%d attacks are in no class\n", sum-covered)
	}
	return b.String()
}

// The marks around the table in docs/threat-model.md.
const (
	wallsBegin = "<!-- walls: written by go test ./proxy_test -run TestWalls -update -->\n"
	wallsEnd   = "<!-- /walls -->\n"
)

func checkWalls(t *testing.T, table string) {
	t.Helper()
	const file = "../docs/threat-model.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), wallsBegin)
	old, after, ok2 := strings.Cut(rest, wallsEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table: want the lines %q and %q", file, wallsBegin, wallsEnd)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+wallsBegin+table+wallsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != table {
		t.Errorf("%s is not what was measured; run with -update if the change is meant\ngot\n%s\nwant\n%s", file, old, table)
	}
}
