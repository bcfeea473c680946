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

	"github.com/pgbulkhead/bulkhead/blocklog"
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
	{"values that change while a statement runs", []int{43}},
	{"the identity in band, without a grant or in disguise", []int{42}},
}

// A wall is one way to defend: the guard, a database that is careless or
// hardened with a context, or both.
type wall struct {
	name  string
	guard bool           // refuses; else it records and forwards: policy.mode observe
	mode  dbcontext.Mode // "" is careless
	// past is the way around the proxy, to the same database, with the context
	// that the proxy would give it.
	past bool
}

var walls = []wall{
	{name: "guard alone, careless database", guard: true},
	{name: "hardened database alone, plain context", mode: dbcontext.Plain},
	{name: "the same past the proxy", mode: dbcontext.Plain, past: true},
	{name: "hardened database alone, signed context", mode: dbcontext.Signed},
	{name: "the same past the proxy ", mode: dbcontext.Signed, past: true},
	{name: "hardened database alone, sealed context", mode: dbcontext.Sealed},
	{name: "both, plain context", guard: true, mode: dbcontext.Plain},
}

// build starts a server of its own and a proxy: hardening and attacks change
// what belongs to the cluster.
func (w wall) build(t *testing.T, version int) *proxy {
	t.Helper()
	o := options{version: version, server: pgtest.New(t, pgtest.Options{Version: version})}
	if !w.guard {
		o.extra = "policy: {mode: observe}\n"
	}
	if w.mode == dbcontext.Signed || w.mode == dbcontext.Sealed {
		o.extra += "tenant: {context: " + string(w.mode) + ", signing_key_file: " + keyFile(t, 1, 0xa7) + "}\n"
	}
	if w.mode != "" {
		o.prepare = func(p *proxy) { hardenAll(t, p, w.mode) }
	}
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
	if mode == dbcontext.Signed || mode == dbcontext.Sealed {
		p.pg.Exec(t, p.db, fmt.Sprintf(`SELECT bulkhead.add_key(1, '\x%s')`, strings.Repeat("a7", 32)))
	}
}

// session logs in through the proxy, or past it as the application's role. The
// label is its application_name: records tell by it whose they are.
func (p *proxy) session(t *testing.T, w wall, org, label string) *wiretest.Client {
	t.Helper()
	if !w.past {
		s := p.startup(t, org)
		s.Params = map[string]string{"application_name": label}
		return wiretest.Connect(t, s)
	}
	const claims = `{"sub":"tester"}`
	params := map[string]string{"app.org_id": org, "client_encoding": "UTF8", "request.jwt.claims": claims}
	if w.mode == dbcontext.Plain {
		params["bulkhead.org_id"] = org
	}
	c := wiretest.Connect(t, wiretest.Startup{
		Address: fmt.Sprintf("127.0.0.1:%d", p.pg.Port), User: "app", Password: "app", Database: p.db, Params: params,
	})
	if w.mode == dbcontext.Signed {
		signedSession(t, c, org, claims)
	}
	return c
}

// signedSession gives a session past the proxy the signature that the proxy
// would give it.
func signedSession(t *testing.T, c *wiretest.Client, org, claims string) {
	t.Helper()
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
}

// effects are kinds in which the statement itself is the harm, if it runs.
var effects = []int{17, 18, 19, 25, 26, 28, 37, 38}

// hardened are kinds that ask for what harden takes away: a view as owner, a
// partition, a table without row security.
var hardened = []int{20, 21, 22}

// harmless are statements of those kinds that do nothing although they run.
var harmless = []string{"SET row_security = off", "SELECT pg_terminate_backend(1)", "SELECT pg_cancel_backend(1)"}

// onFloor writes an attack on the application's setting as one on the setting
// that the floor reads: an attacker knows it.
var onFloor = strings.NewReplacer("app.org_id", "bulkhead.org_id", "APP.ORG_ID", "BULKHEAD.ORG_ID", `"APP"."ORG_ID"`, `"BULKHEAD"."ORG_ID"`,
	"app . org_id", "bulkhead . org_id", `app\x5forg_id`, `bulkhead\x5forg_id`, `app.org\x5fid`, `bulkhead.org\x5fid`,
	`app\002eorg_id`, `bulkhead\002eorg_id`, "'app.'", "'bulkhead.'")

// attempt sends one attack to a wall, and reports whether it got through, and
// how many statements a guard that only observes must have recorded.
func (p *proxy) attempt(t *testing.T, w wall, kind int, a attack, label string) (through bool, observed int) {
	t.Helper()
	c := p.session(t, w, orgA, label)
	defer c.Conn.Close()
	defer c.Query("ROLLBACK") // locks are gone before the next attack
	sql := a.sql
	if !w.guard {
		sql = onFloor.Replace(sql)
	}
	if !strings.HasPrefix(sql, "BEGIN") {
		c.Query("BEGIN")
	}
	msgs := c.Query(sql)
	if e, failed := wiretest.Error(msgs); failed && e.Field('C') == "25001" {
		c.Query("ROLLBACK") // not in a transaction block: then outside of one
		msgs = c.Query(sql)
	}
	// What a signed context forbids in one message is not forwarded in any mode.
	if e, _ := wiretest.Error(msgs); (strings.HasPrefix(a.want, "G") || a.want == "any") && e.Field('C') != "0A000" {
		observed++
	}
	if harmed(kind, sql, msgs) {
		return true, observed
	}
	if status := wiretest.Status(msgs); !w.guard && status != 'E' && status != 0 {
		observed++
		c.Query("SET app.org_id = '" + orgB + "'") // and what the application's own policies read
	}
	return leaked(c, msgs), observed
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

// assault sends all attacks to a wall and returns those that got through, by
// kind.
func (p *proxy) assault(t *testing.T, w wall, attacks []attack) map[int][]string {
	t.Helper()
	through := make(map[int][]string)
	theirs := p.other(t, w)
	want := make(map[string]int)
	for i, a := range attacks {
		label := fmt.Sprintf("wall-%d", i)
		got, observed := p.attempt(t, w, a.kind(t), a, label)
		want[label] = observed
		if a.kind(t) == disturbing && wiretest.Status(theirs.Query("SELECT '"+canary+"'")) == 0 {
			got, theirs = true, p.other(t, w) // somebody ended it
		}
		if got {
			through[a.kind(t)] = append(through[a.kind(t)], a.name)
		}
	}
	theirs.Conn.Close()
	if !w.guard && !w.past {
		p.recorded(t, attacks, want)
	}
	return through
}

// identity is the kind of statements about the identity.
const identity = 42

// disturbing is the kind of attacks on other sessions.
const disturbing = 37

// other is a session of org B, something for pg_stat_activity to show.
func (p *proxy) other(t *testing.T, w wall) *wiretest.Client {
	t.Helper()
	c := p.session(t, w, orgB, "")
	c.Query("SELECT '" + canary + "'")
	return c
}

// recorded makes sure that what a guard in observe mode let through is in its
// log, and that it refused nothing but statements about the identity, which are
// the proxy's own in any mode.
func (p *proxy) recorded(t *testing.T, attacks []attack, want map[string]int) {
	t.Helper()
	const last = "wall-end" // records come in order
	end := p.session(t, wall{}, orgA, last)
	end.Query("SET app.org_id = ''")
	end.Conn.Close()
	got := make(map[string]int)
	for _, r := range p.recordsUntil(t, last) {
		got[r.ApplicationName]++
		n, err := strconv.Atoi(strings.TrimPrefix(r.ApplicationName, "wall-"))
		if r.Decision != blocklog.Observed && (err != nil || attacks[n].kind(t) != identity) {
			t.Errorf("observe mode: %s by %s: %s", r.Decision, r.Rule, r.Statement)
		}
	}
	for i, a := range attacks {
		// A hardened relation is no longer one that the guard refuses.
		if label := fmt.Sprintf("wall-%d", i); got[label] < want[label] && !slices.Contains(hardened, a.kind(t)) {
			t.Errorf("observe mode: %d records of %q, want %d", got[label], a.name, want[label])
		}
	}
}

// recordsUntil returns all records, once there is one of a label.
func (p *proxy) recordsUntil(t *testing.T, label string) []blocklog.Record {
	t.Helper()
	for n := 1; ; n++ {
		records := p.blocked(t, n)
		n = len(records)
		if slices.ContainsFunc(records, func(r blocklog.Record) bool { return r.ApplicationName == label }) {
			return records
		}
	}
}

// kind is the number at the beginning of an attack's name.
func (a attack) kind(t *testing.T) int {
	t.Helper()
	kind, err := strconv.Atoi(strings.Fields(a.name)[0])
	if err != nil {
		t.Fatalf("attack %q has no kind", a.name)
	}
	return kind
}

// TestWalls measures what each wall holds alone and what both hold together,
// and compares it with the table in docs/threat-model.md.
func TestWalls(t *testing.T) {
	attacks := readAttacks(t)
	version := versions(t)[len(versions(t))-1]
	through := make(map[string]map[int][]string) // by wall and kind
	total := make(map[int]int)
	for _, a := range attacks {
		total[a.kind(t)]++
	}
	var p *proxy
	for _, w := range walls {
		if !w.past {
			if p != nil {
				p.stop(t)
			}
			p = w.build(t, version)
		}
		through[w.name] = p.assault(t, w, attacks)
		for kind, names := range through[w.name] {
			if w.guard {
				t.Errorf("%s: got through: kind %d: %v", w.name, kind, names)
			} else {
				t.Logf("%s: kind %d: %s", w.name, kind, strings.Join(names, "; "))
			}
		}
	}
	p.stop(t)
	if version == wallsVersion {
		checkWalls(t, wallTable(total, through))
	}
	oldestWall(t, versions(t)[0], attacks, through)
}

// oldestWall makes sure that through a signed context on the oldest version
// nothing gets that it holds on the newest.
func oldestWall(t *testing.T, version int, attacks []attack, through map[string]map[int][]string) {
	t.Helper()
	w := walls[slices.IndexFunc(walls, func(w wall) bool { return w.mode == dbcontext.Signed && !w.past })]
	p := w.build(t, version)
	for kind, names := range p.assault(t, w, attacks) {
		for _, name := range names {
			if !slices.Contains(through[w.name][kind], name) {
				t.Errorf("PostgreSQL %d: %s: got through: %s", version, w.name, name)
			}
		}
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
		b.WriteString("| " + strings.TrimSpace(w.name) + " ")
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
