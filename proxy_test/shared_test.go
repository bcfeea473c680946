package proxytest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// oneShared is a pool with a single server connection for all orgs: whoever
// comes next gets what the last one left.
const oneShared = "max_server_connections: 1, max_per_org: 1"

// After every kind of session state of org A, org B on the same server
// connection finds nothing of it, and its own context.
func TestShared_Leftovers(t *testing.T) {
	for _, version := range versions(t) {
		p := start(t, options{
			version: version, mode: "shared", pool: oneShared,
			extra: "policy: {allow: {functions: [pg_advisory_lock, leave_state], statements: [LISTEN]}}",
		})
		p.pg.Exec(t, p.db, `CREATE FUNCTION leave_state() RETURNS text LANGUAGE plpgsql AS $$
			BEGIN PERFORM pg_advisory_lock(4242); CREATE TEMP TABLE accounts (id int, name text); LISTEN hidden; RETURN nextval('accounts_id_seq'); END $$;
			GRANT EXECUTE ON FUNCTION leave_state() TO app`)
		pid := "SELECT pg_backend_pid()"
		for _, leave := range []string{
			"SET search_path = 'evil'", "SET my.setting = 'left'", "SET statement_timeout = 12345", "SET TIME ZONE 'Asia/Tokyo'",
			"PREPARE x AS SELECT 1", "CREATE TEMP TABLE scratch (id int, name text)",
			"BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT 1; COMMIT", "BEGIN", "BEGIN; SELECT 1/0",
			"SELECT nextval('accounts_id_seq')", "SELECT pg_advisory_lock(4242)", "LISTEN hidden",
			"INSERT INTO accounts (name) VALUES ('own, with a number of the sequence')", "SELECT leave_state()",
			"RESET ALL", "DISCARD ALL", "BEGIN; RESET ALL", "SET LOCAL my.setting = 'left'",
		} {
			a, b := p.connect(t, orgA), p.connect(t, orgB)
			before := fmt.Sprint(wiretest.Rows(a.Query(pid)))
			a.Send(parse("named", "SELECT 'of org A'"), synced)
			a.Until(1)
			if e, failed := wiretest.Error(a.Query(leave)); failed && !strings.Contains(leave, "1/0") {
				t.Fatalf("%s: %s", leave, e)
			}
			a.Send(wiretest.Terminate)
			findNothing(t, fmt.Sprintf("PostgreSQL %d, after %s", version, leave), b)
			if got := p.advisoryLocks(t); got != 0 {
				t.Errorf("after %s: %d advisory locks are left", leave, got)
			}
			// Cleaning in full closes nothing either: it is the same connection.
			if after := fmt.Sprint(wiretest.Rows(b.Query(pid))); after != before && leave != "SELECT leave_state()" {
				t.Errorf("after %s: server process %s, before %s", leave, after, before)
			}
			b.Send(wiretest.Terminate)
		}
	}
}

// advisoryLocks counts those in the database.
func (p *proxy) advisoryLocks(t *testing.T) (n int) {
	t.Helper()
	c := p.pg.Connect(t, p.db)
	defer c.Close(t.Context())
	if err := c.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database()").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func findNothing(t *testing.T, what string, b *wiretest.Client) {
	t.Helper()
	for q, want := range map[string]string{
		"SHOW search_path": `[["$user", public]]`, "SHOW timezone": "[[" + b.Params["TimeZone"] + "]]",
		"SELECT coalesce(current_setting('my.setting', true), '')":                                                   "[[]]",
		"SHOW statement_timeout":                                                                                     "[[0]]",
		"SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%org A%'":                                 "[[0]]",
		"SELECT count(*) FROM pg_cursors WHERE is_holdable":                                                          "[[0]]",
		"SELECT count(*) FROM pg_listening_channels()":                                                               "[[0]]",
		"SELECT name FROM accounts":                                                                                  "[[CANARY-B account]]",
		"SELECT current_setting('request.jwt.claims')::json->>'org_id', current_setting('app.org_id'), current_user": "[[" + orgB + " " + orgB + " app]]",
	} {
		if got := fmt.Sprint(wiretest.Rows(b.Query(q))); got != want {
			t.Errorf("%s: %s is %s, want %s", what, q, got, want)
		}
	}
	for _, q := range []string{"SELECT currval('accounts_id_seq')", "SELECT lastval()"} {
		if e, failed := wiretest.Error(b.Query(q)); !failed || e.Field('C') != "55000" {
			t.Errorf("%s: %s tells another org's number (%v)", what, q, e)
		}
	}
}

// Whatever resets the session, and however it is sent: no statement runs
// without the org's context.
func TestShared_Resets(t *testing.T) {
	const look = "SELECT current_setting('app.org_id', true), current_user, count(*) FROM accounts"
	for _, version := range versions(t) {
		p := start(t, options{
			version: version, mode: "shared", pool: oneShared, extra: "tenant: {role: tenant_role}",
			sql: readFile(t, "testdata/careless.sql") + tenantRole,
		})
		want := "[[" + orgA + " tenant_role 2]]"
		check := func(what string, msgs []wiretest.Message) {
			t.Helper()
			for _, row := range wiretest.Rows(msgs) {
				if fmt.Sprint([][]string{row}) != want {
					t.Errorf("PostgreSQL %d, %s: %v", version, what, row)
				}
			}
		}
		for _, reset := range []string{
			"RESET ALL", "DISCARD ALL", "RESET ROLE", "RESET app.org_id", "SET app.org_id TO DEFAULT", "SET SESSION AUTHORIZATION DEFAULT",
			"RESET SESSION AUTHORIZATION", "SET role TO DEFAULT", "RESET request.jwt.claims",
		} {
			a, b := p.connect(t, orgA), p.connect(t, orgB)
			b.Query(look) // its label is on the connection now
			msgs := a.Query(reset + "; " + look)
			check(reset+" in one text", msgs)
			if e, _ := wiretest.Error(msgs); e.Field('C') != "0A000" {
				t.Errorf("%s in one text: %v, want 0A000", reset, e)
			}
			run := func(sql string) []byte {
				return bytes.Join([][]byte{parse("", sql), bind("", ""), execute("", 0)}, nil)
			}
			for what, send := range map[string][][]byte{
				"queries":                  {wiretest.Query(reset), wiretest.Query(look), wiretest.Query(look)},
				"one pipeline":             {run(reset), run(look), run(look), synced, wiretest.Query(look), synced},
				"failing pipeline":         {run(reset), run(look), run("SELECT 1/0"), run(look), synced, wiretest.Query(look), run(look), synced},
				"transaction":              {wiretest.Query("BEGIN"), wiretest.Query(reset), wiretest.Query(look), wiretest.Query("ROLLBACK"), wiretest.Query(look)},
				"committed":                {wiretest.Query("BEGIN"), run(reset), run(look), synced, wiretest.Query("COMMIT"), wiretest.Query(look)},
				"savepoint":                {wiretest.Query("BEGIN; SAVEPOINT s"), wiretest.Query(reset), wiretest.Query("ROLLBACK TO s"), wiretest.Query(look), wiretest.Query("COMMIT"), run(look), synced},
				"rolled back in one text":  {wiretest.Query("BEGIN"), wiretest.Query(reset + "; ROLLBACK"), wiretest.Query("ROLLBACK"), wiretest.Query(look)},
				"prepared":                 {parse("r", reset), parse("l", look), synced, bind("", "r"), execute("", 0), bind("", "l"), execute("", 0), synced, bind("", "l"), execute("", 0), synced, closes('S', "r"), closes('S', "l"), synced},
				"the unnamed is untouched": {parse("", look), run2(reset), bind("p", ""), execute("p", 0), synced},
			} {
				b.Query(look)
				n := 0
				for _, m := range send {
					if m[0] == 'Q' || m[0] == 'S' {
						n++
					}
				}
				a.Send(send...)
				got := a.Until(n)
				check(reset+", "+what, got)
				if len(got) == 0 || got[len(got)-1].Type != 'Z' {
					t.Fatalf("%s, %s: the session has ended: %v", reset, what, got)
				}
				check(reset+", "+what+", afterwards", a.Query(look))
				if got := wiretest.Rows(a.Query(look)); len(got) != 1 {
					t.Fatalf("%s, %s, afterwards: %v", reset, what, got)
				}
			}
			a.Conn.Close()
			b.Conn.Close()
		}
	}
}

// run2 runs a statement under names of its own.
func run2(sql string) []byte {
	return bytes.Join([][]byte{parse("other", sql), bind("other", "other"), execute("other", 0), closes('S', "other")}, nil)
}

const tenantRole = `;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenant_role') THEN CREATE ROLE tenant_role; END IF; END $$;
GRANT tenant_role TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO tenant_role;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tenant_role;`

// A label that cannot be put on ends the session, and nothing that the client
// sent behind it has run, under whatever label the connection had before.
func TestShared_LabelFails(t *testing.T) {
	for _, version := range versions(t) {
		role := fmt.Sprintf("fleeting_%d", version)
		p := start(t, options{
			version: version, mode: "shared", pool: oneShared,
			extra: "tenant: {roles: {stays: app, goes: " + role + "}}",
			sql:   readFile(t, "testdata/careless.sql"),
		})
		p.pg.Exec(t, p.db, "CREATE ROLE "+role+"; GRANT SELECT, INSERT ON audit_events, countries TO "+role+", app")
		t.Cleanup(func() { p.pg.Exec(t, p.db, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
		insert := "INSERT INTO countries VALUES ('xx', 'ran')"
		one := func(sql string) []byte {
			return bytes.Join([][]byte{parse("", sql), bind("", ""), execute("", 0)}, nil)
		}
		for what, send := range map[string][][]byte{
			"simple":              {wiretest.Query(insert)},
			"several":             {wiretest.Query("SELECT 1"), wiretest.Query(insert), wiretest.Query("COMMIT; " + insert), synced, wiretest.Query(insert)},
			"ends a transaction":  {wiretest.Query("ROLLBACK; " + insert)},
			"extended":            {one(insert), synced},
			"extended, commits":   {one("COMMIT"), one(insert), synced, one(insert), synced},
			"two batches":         {one("SELECT 1"), synced, one(insert), synced, wiretest.Query(insert), synced},
			"rolls back later":    {one("SELECT 1"), synced, one("ROLLBACK"), one(insert), synced, wiretest.Query(insert)},
			"Sync first":          {synced, one(insert), synced, synced, wiretest.Query(insert)},
			"prepared":            {parse("s", insert), synced, bind("", "s"), execute("", 0), synced},
			"refused one between": {wiretest.Query("SET ROLE x"), wiretest.Query(insert), one("SET ROLE x"), synced, wiretest.Query(insert)},
			"names":               {parse("s", "SELECT 1"), synced, wiretest.Query("EXECUTE s; " + insert), wiretest.Query(insert)},
			"flush":               {one("SELECT 1"), wiretest.Flush, synced, one(insert), synced},
			"begin":               {wiretest.Query("BEGIN"), wiretest.Query(insert), wiretest.Query("COMMIT")},
		} {
			p.pg.Exec(t, p.db, "GRANT "+role+" TO app")
			s := p.startup(t, orgB)
			s.Password = token(t, orgB, map[string]any{"role": "stays"})
			stays := wiretest.Connect(t, s)
			s.Password = token(t, orgA, map[string]any{"role": "goes"})
			goes := wiretest.Connect(t, s)
			if e, failed := wiretest.Error(goes.Query("SELECT 1")); failed {
				t.Fatalf("%s: %s", what, e)
			}
			stays.Query("SELECT 1")
			p.pg.Exec(t, p.db, "REVOKE "+role+" FROM app")
			goes.Send(send...)
			last, answers := drain(goes)
			if last.Type != 'E' || last.Field('S') != "FATAL" || last.Field('C') != "08006" {
				t.Errorf("PostgreSQL %d, %s: the session ends with %v, want FATAL 08006", version, what, last)
			}
			if answers > strings.Count(what, "Sync first") && what != "refused one between" {
				t.Errorf("PostgreSQL %d, %s: %d replies of the server came through", version, what, answers)
			}
			if got := fmt.Sprint(wiretest.Rows(stays.Query("SELECT count(*) FROM countries WHERE code = 'xx'"))); got != "[[0]]" {
				t.Errorf("PostgreSQL %d, %s: the client's statement has run: %s\n", version, what, got)
			}
			stays.Conn.Close()
		}
	}
}

// drain reads to the end of the connection. It returns the last message, and
// how many CommandComplete and ReadyForQuery there were.
func drain(c *wiretest.Client) (last wiretest.Message, answers int) {
	for {
		m, err := c.Receive()
		if err != nil {
			return last, answers
		}
		if m.Type == 'C' || m.Type == 'Z' {
			answers++
		}
		last = m
	}
}

// One org cannot have all server connections, however many clients it has, and
// each org is served in turn.
func TestShared_FairBetweenOrgs(t *testing.T) {
	for _, mode := range []string{"shared", "transaction"} {
		p := start(t, options{mode: mode, pool: "max_server_connections: 4, max_per_org: 3, queue_timeout: 20s"})
		var greedy []*wiretest.Client
		for range 12 {
			c := p.connect(t, orgA)
			c.Send(wiretest.Query("SELECT pg_sleep(0.3)")) // more of them wait than there are places
			greedy = append(greedy, c)
		}
		b := p.connect(t, orgB)
		began := time.Now()
		if got := fmt.Sprint(wiretest.Rows(b.Query("SELECT name FROM accounts"))); got != "[[CANARY-B account]]" {
			t.Errorf("%s: org B gets %s", mode, got)
		}
		held := wiretest.Rows(p.direct(t).Query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = current_database() AND query LIKE '%pg_sleep(0.3)' AND state = 'active'"))
		if n := fmt.Sprint(held); n > "[[3]]" {
			t.Errorf("%s: org A runs %s statements at a time, want at most 3", mode, n)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: org B waited %v", mode, took)
		}
		for _, c := range greedy {
			if msgs := c.Until(1); wiretest.Status(msgs) != 'I' {
				t.Errorf("%s: %v", mode, msgs)
			}
		}
	}
}

// 2,000 orgs on 20 server connections, with traffic of all kinds, clients that
// vanish and server connections that are killed: every reply belongs to the
// org that asked.
func TestShared_ManyOrgs(t *testing.T) {
	const orgs, clients = 2000, 40
	p := start(t, options{mode: "shared", pool: "max_server_connections: 20, max_per_org: 2, queue_timeout: 60s", sql: manyOrgs, extra: "limits: {max_clients: 1000}"})
	stop := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() { killSome(t, p, stop) })
	var next, killed atomic.Int64
	var wg sync.WaitGroup
	for seed := range uint64(clients) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 7))
			for {
				n := int(next.Add(1)) - 1
				if n >= orgs {
					return
				}
				u := &orgUser{t: t, p: p, org: n * 7919 % orgs, r: r}
				if err := u.visit(); errors.Is(err, errKilled) {
					killed.Add(1)
				} else if err != nil {
					t.Errorf("org %d: %v", u.org, err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	killer.Wait()
	if n := killed.Load(); n == 0 || n > orgs/4 {
		t.Errorf("%d of %d sessions were killed: too few to prove anything, or too many", n, orgs)
	}
	check := p.pg.Connect(t, p.db)
	defer check.Close(t.Context())
	var wrong int
	if err := check.QueryRow(t.Context(), "SELECT count(*) FROM notes WHERE note NOT LIKE 'of ' || org_id || '%'").Scan(&wrong); err != nil || wrong > 0 {
		t.Errorf("%d rows were written for another org (%v)", wrong, err)
	}
}

const manyOrgs = `
CREATE ROLE app LOGIN PASSWORD 'app';
GRANT TEMP ON DATABASE current_database_placeholder TO app;
CREATE TABLE notes (id serial, org_id uuid NOT NULL DEFAULT nullif(current_setting('app.org_id', true), '')::uuid, note text NOT NULL);
INSERT INTO notes (org_id, note) SELECT o, 'of ' || o FROM (SELECT lpad(to_hex(i), 8, '0') || '-0000-4000-8000-000000000000' FROM generate_series(0, 1999) i) AS x(t), LATERAL (SELECT t::uuid) AS y(o);
CREATE INDEX ON notes (org_id);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notes USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON notes TO app;
GRANT USAGE ON SEQUENCE notes_id_seq TO app;`

// killSome ends server connections of sessions at random until stop is closed.
// That with which the proxy reads the catalogue is not among them.
func killSome(t *testing.T, p *proxy, stop chan struct{}) {
	c := p.pg.Connect(t, p.db)
	defer c.Close(t.Context())
	for {
		select {
		case <-stop:
			return
		case <-time.After(100 * time.Millisecond):
		}
		if _, err := c.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'bulkhead' AND datname = current_database() ORDER BY random() LIMIT 1"); err != nil {
			t.Errorf("kill: %v", err)
			return
		}
	}
}

// orgUser is one client of one org.
type orgUser struct {
	t   *testing.T
	p   *proxy
	c   *wiretest.Client
	org int
	r   *rand.Rand
}

// errKilled: the session's server connection was killed.
var errKilled = errors.New("killed")

func (u *orgUser) id() string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", u.org) }

// visit connects, does some things and leaves.
func (u *orgUser) visit() error {
	s := u.p.startup(u.t, u.id())
	c, msgs, err := wiretest.Dial(u.t, s)
	if err != nil {
		return err
	}
	defer c.Conn.Close()
	if e, failed := wiretest.Error(msgs); failed {
		return ended(e)
	}
	u.c = c
	for range 3 {
		things := u.things()
		x := things[u.r.IntN(len(things))]
		u.c.Send(x.send...)
		if u.r.IntN(20) == 0 {
			return nil // vanishes without a word
		}
		if err := u.expect(x); err != nil {
			return err
		}
	}
	return nil
}

// thing is what a client does, and the text of all rows that come back.
type thing struct {
	send  [][]byte
	ready int
	want  string
}

func (u *orgUser) things() []thing {
	mine := "of " + u.id()
	const look, wait = "SELECT DISTINCT note FROM notes WHERE note NOT LIKE '%new'", "SELECT DISTINCT note FROM notes, pg_sleep(0.002) WHERE note NOT LIKE '%new'"
	q := wiretest.Query
	run := func(sql string, params ...any) []byte {
		return bytes.Join([][]byte{parse("", sql), bind("", "", params...), execute("", 0)}, nil)
	}
	return []thing{
		{[][]byte{q(look)}, 1, mine},
		{[][]byte{q(wait)}, 1, mine},
		{[][]byte{run(look), synced}, 1, mine},
		{[][]byte{parse("n", look), synced, bind("", "n"), execute("", 0), synced, closes('S', "n"), synced}, 3, mine},
		{[][]byte{q("BEGIN"), q("INSERT INTO notes (note) VALUES ('" + mine + " new')"), q("ROLLBACK"), q(look)}, 4, mine},
		{[][]byte{q("INSERT INTO notes (note) VALUES ('" + mine + " new') RETURNING org_id")}, 1, u.id()},
		{[][]byte{run("INSERT INTO notes (note) VALUES ($1) RETURNING org_id", mine+" new"), run(look), synced}, 1, u.id() + " " + mine},
		{[][]byte{q("RESET ALL"), q(look)}, 2, mine},
		{[][]byte{run("DISCARD ALL"), run(look), synced, q(look)}, 2, mine + " " + mine},
		{[][]byte{q("CREATE TEMP TABLE scratch (note text)"), q("INSERT INTO scratch VALUES ('temp of mine')"), q("SELECT note FROM scratch"), q("DROP TABLE scratch"), q(look)}, 5, "temp of mine " + mine},
		{[][]byte{q("SET my.own = '" + mine + "'"), q("SELECT current_setting('my.own')"), q(look)}, 3, mine + " " + mine},
		{[][]byte{q("SELECT current_setting('my.own', true) IS NULL OR current_setting('my.own', true) IN ('', '" + mine + "')")}, 1, "t"},
		{[][]byte{q("COPY (SELECT DISTINCT note FROM notes WHERE note NOT LIKE '%new') TO STDOUT"), q(look)}, 2, mine},
		{[][]byte{q("COPY notes (note) FROM STDIN"), wiretest.Frame('d', mine+" new\n"), wiretest.Frame('c', ""), q(look)}, 2, mine},
		{[][]byte{q("SELECT 1/0"), run("SELECT 1/0"), run(look), synced, q(look)}, 3, mine},
		{[][]byte{q("SET app.org_id = '00000000-0000-4000-8000-000000000000'"), q(look)}, 2, mine},
		{[][]byte{q("BEGIN; SET LOCAL work_mem = '5MB'; DECLARE c CURSOR FOR " + look), q("FETCH ALL c"), q("COMMIT")}, 3, mine},
	}
}

// expect reads the reply: nothing in it is another org's.
func (u *orgUser) expect(x thing) error {
	var got, failed []string
	killed := false
	for n := x.ready; n > 0; {
		m, err := u.c.Receive()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("%q: %w", x.send, err)
			}
			return err
		}
		switch m.Type {
		case 'D':
			got = append(got, wiretest.Rows([]wiretest.Message{m})[0][0])
		case 'd':
			if line := strings.TrimSuffix(string(m.Body), "\n"); line != "of "+u.id() {
				return fmt.Errorf("COPY gives %q", line)
			}
		case 'E':
			if m.Field('S') == "FATAL" {
				return ended(m)
			}
			failed = append(failed, m.String())
			killed = killed || m.Field('C') == "08006" // a login was killed: the session goes on
		case 'Z':
			n--
		}
	}
	if killed {
		for _, row := range got {
			if !strings.Contains(x.want, row) {
				return fmt.Errorf("%q: got %q behind a killed login", x.send, row)
			}
		}
		return errKilled
	}
	if all := strings.Join(got, " "); all != x.want {
		return fmt.Errorf("%q: got %q, want %q; errors: %q", x.send, all, x.want, failed)
	}
	return nil
}

// ended is the error of a session that ended, errKilled if by killSome.
func ended(m wiretest.Message) error {
	switch m.Field('C') {
	case "57P01", "08006":
		return errKilled
	}
	return fmt.Errorf("the session ended: %s", m)
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
