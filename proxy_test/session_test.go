package proxytest

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

func TestSession_SeesItsOrgOnly(t *testing.T) {
	p := start(t, options{})
	for org, want := range map[string]string{orgA: "[[own one] [own two]]", orgB: "[[CANARY-B account]]"} {
		c := p.connect(t, org)
		if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT name FROM accounts ORDER BY id"))); got != want {
			t.Errorf("org %s sees %s, want %s", org, got, want)
		}
	}
}

func TestSession_BackendPIDInSessionPooling(t *testing.T) {
	p := start(t, options{})
	c := p.connect(t, orgA)
	if got, want := wiretest.Rows(c.Query("SELECT pg_backend_pid()"))[0][0], fmt.Sprint(c.PID); got != want {
		t.Errorf("BackendKeyData says %s, the server %s", want, got)
	}
	if c.Params["client_encoding"] != "UTF8" || c.Params["server_version"] == "" {
		t.Errorf("parameter statuses: %v", c.Params)
	}
}

// A driver's resets must lead back to the tenant, and be harmless.
func TestSession_Resets(t *testing.T) {
	for _, mode := range []string{"session", "transaction", "shared", "session, shared"} {
		p := start(t, options{mode: mode})
		for _, reset := range []string{
			"RESET ALL", "DISCARD ALL", "RESET ROLE", "SET SESSION AUTHORIZATION DEFAULT", "RESET app.org_id", "SET app.org_id TO DEFAULT",
			"SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;", "RESET SESSION AUTHORIZATION",
			"SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;SELECT pg_advisory_unlock_all();DISCARD SEQUENCES;DISCARD TEMP",
		} {
			c := p.connect(t, orgA)
			if e, failed := wiretest.Error(c.Query(reset)); failed {
				t.Errorf("%s: %s", reset, e)
			}
			got := wiretest.Rows(c.Query("SELECT count(*), current_setting('request.jwt.claims')::json->>'org_id', current_user FROM accounts"))
			if fmt.Sprint(got) != "[[2 "+orgA+" app]]" {
				t.Errorf("%s mode, after %s: %v", mode, reset, got)
			}
		}
	}
}

// The floor of a hardened database reads bulkhead.org_id: it is the session's org
// with any configuration, no client changes it, and RESET leads back to it.
func TestSession_FloorSetting(t *testing.T) {
	p := start(t, options{mode: "transaction"})
	c := p.connect(t, orgA)
	const read = "SELECT current_setting('bulkhead.org_id', true)"
	for _, first := range []string{read, "RESET ALL", "DISCARD ALL", "SET bulkhead.org_id = '" + orgB + "'", "SELECT set_config('bulkhead.org_id', '" + orgB + "', false)"} {
		c.Query(first)
		if got := fmt.Sprint(wiretest.Rows(c.Query(read))); got != "[["+orgA+"]]" {
			t.Errorf("after %s: bulkhead.org_id is %s, want %s", first, got, orgA)
		}
	}
}

// A RESET of the claims must not leave the next session of the same user, on
// the same server connection, without any.
func TestPool_ResetClaims(t *testing.T) {
	p := start(t, options{mode: "transaction"})
	claims := "SELECT coalesce(current_setting('request.jwt.claims', true), '')::json->>'sub'"
	for _, reset := range []string{"RESET request.jwt.claims", "SET request.jwt.claims TO DEFAULT", "BEGIN; RESET ALL; COMMIT", "BEGIN; RESET ALL; ROLLBACK"} {
		c := p.connect(t, orgA)
		c.Query(reset)
		for _, who := range []*wiretest.Client{c, p.connect(t, orgA)} {
			if got := fmt.Sprint(wiretest.Rows(who.Query(claims))); got != "[[tester]]" {
				t.Errorf("after %s: claims of %s", reset, got)
			}
		}
		c.Send(wiretest.Parse("", reset), wiretest.Bind("", ""), wiretest.Execute("", 0), wiretest.Sync)
		if !strings.Contains(reset, ";") {
			c.Until(1)
			if got := fmt.Sprint(wiretest.Rows(c.Query(claims))); got != "[[tester]]" {
				t.Errorf("after extended %s: claims of %s", reset, got)
			}
		}
		c.Conn.Close()
	}
}

func TestSession_StartupParameters(t *testing.T) {
	p := start(t, options{})
	s := p.startup(t, orgA)
	s.Params = map[string]string{"TimeZone": "Asia/Tokyo", "application_name": "my app", "options": "-c statement_timeout=4321 -c search_path=public"}
	c := wiretest.Connect(t, s)
	query := "SELECT current_setting('timezone'), current_setting('application_name'), current_setting('statement_timeout'), current_setting('search_path')"
	want := "[[Asia/Tokyo my app 4321ms public]]"
	if got := fmt.Sprint(wiretest.Rows(c.Query(query))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c.Query("SET timezone = 'UTC'")
	c.Query("RESET ALL")
	if got := fmt.Sprint(wiretest.Rows(c.Query(query))); got != want {
		t.Errorf("after RESET ALL: got %s, want %s", got, want)
	}
	for name, params := range map[string]map[string]string{
		"context":     {"app.org_id": orgB},
		"options":     {"options": "-c app.org_id=" + orgB},
		"dashes":      {"options": "--app.org-id=" + orgB},
		"capitals":    {"APP.ORG_ID": orgB},
		"own setting": {"options": "-c my.tenant_id=" + orgB},
		"role":        {"role": "admin_bypass"},
		"role option": {"options": "-crole=admin_bypass"},
		"replication": {"replication": "database"},
		"encoding":    {"client_encoding": "SJIS"},
		"strings":     {"standard_conforming_strings": "off"},
		"row secur.":  {"row_security": "off"},
		"session":     {"session_authorization": "postgres"},
		"claims":      {"request.jwt.claims": "{}"},
	} {
		s := p.startup(t, orgA)
		s.Params = params
		_, msgs, err := wiretest.Dial(t, s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		e, failed := wiretest.Error(msgs)
		if !failed || e.Field('S') != "FATAL" || !strings.HasPrefix(e.Field('D'), "rule=G") {
			t.Errorf("%s: %s", name, wiretest.Transcript(msgs))
		}
	}
	p.blocked(t, 12)
	s = p.startup(t, orgA)
	s.Params = map[string]string{"TimeZone": "Nowhere/Land"}
	_, msgs, err := wiretest.Dial(t, s)
	if e, failed := wiretest.Error(msgs); err != nil || !failed || e.Field('C') != "22023" {
		t.Errorf("invalid value: %v %s", err, wiretest.Transcript(msgs))
	}
}

func TestSession_Refused(t *testing.T) {
	p := start(t, options{})
	for name, change := range map[string]func(*wiretest.Startup){
		"no token":       func(s *wiretest.Startup) { s.Password = "" },
		"garbage":        func(s *wiretest.Startup) { s.Password = "x.y.z" },
		"expired":        func(s *wiretest.Startup) { s.Password = token(t, orgA, nil) + "x" },
		"other database": func(s *wiretest.Startup) { s.Database = "postgres" },
		"org is a list":  func(s *wiretest.Startup) { s.Password = token(t, "*", nil) },
	} {
		s := p.startup(t, orgA)
		change(&s)
		_, msgs, _ := wiretest.Dial(t, s)
		e, failed := wiretest.Error(msgs)
		if !failed || e.Field('S') != "FATAL" {
			t.Errorf("%s: %s", name, wiretest.Transcript(msgs))
		}
	}
}

func TestSession_BindNamesAnotherOrg(t *testing.T) {
	p := start(t, options{})
	c := p.connect(t, orgA)
	bind := func(org string) []wiretest.Message {
		c.Send(wiretest.Parse("", "SELECT name FROM accounts WHERE org_id = $1"), wiretest.Bind("", "", org), wiretest.Execute("", 0), wiretest.Sync)
		return c.Until(1)
	}
	if got := len(wiretest.Rows(bind(orgA))); got != 2 {
		t.Errorf("own org: %d rows, want 2", got)
	}
	if e, failed := wiretest.Error(bind(orgB)); !failed || !strings.HasPrefix(e.Field('D'), "rule=G802") {
		t.Errorf("other org: %s", e)
	}
	if got := wiretest.Status(c.Query("SELECT 1")); got != 'I' {
		t.Errorf("status %c afterwards", got)
	}
	p.blocked(t, 1)
}

func TestSession_FunctionCall(t *testing.T) {
	p := start(t, options{})
	c := p.connect(t, orgA)
	body := binary.BigEndian.AppendUint32(nil, 2077) // set_config
	body = append(body, 0, 0, 0, 0, 0, 0)
	c.Send(wiretest.Frame('F', string(body)))
	e, failed := wiretest.Error(c.Until(1))
	if !failed || !strings.HasPrefix(e.Field('D'), "rule=G1") {
		t.Errorf("got %s", e)
	}
}

func TestSession_Cancel(t *testing.T) {
	for _, mode := range []string{"session", "transaction"} {
		p := start(t, options{mode: mode})
		for _, version := range []uint32{3 << 16, 3<<16 | 2} {
			s := p.startup(t, orgA)
			s.Version = version
			c := wiretest.Connect(t, s)
			if long := len(c.Secret) > 4; long != (version != 3<<16) {
				t.Errorf("protocol %#x: cancel key of %d bytes", version, len(c.Secret))
			}
			c.Send(wiretest.Query("SELECT pg_sleep(60)"))
			// A wrong key must do nothing; the right one cancels.
			cancel(t, p.addr, c.PID, []byte("wrong key"))
			stop, done := make(chan struct{}), make(chan struct{})
			go func() { // again and again: the query may not have begun at the first
				defer close(done)
				for {
					cancel(t, p.addr, c.PID, c.Secret)
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
					}
				}
			}()
			e, failed := wiretest.Error(c.Until(1))
			close(stop)
			<-done
			if !failed || e.Field('C') != "57014" {
				t.Errorf("%s mode: got %s, want 57014", mode, e)
			}
			c.Conn.Close()
		}
	}
}

func cancel(t testing.TB, addr string, pid uint32, secret []byte) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer nc.Close()
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(secret)))
	b = binary.BigEndian.AppendUint32(b, 80877102)
	b = binary.BigEndian.AppendUint32(b, pid)
	nc.Write(append(b, secret...))
	nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	nc.Read(make([]byte, 1)) // until the proxy closes
}

// What one client leaves behind must not reach the next of the same org, and
// no connection ever serves two orgs.
func TestPool_Leftovers(t *testing.T) {
	p := start(t, options{extra: ""})
	leave := []string{
		"SET search_path = 'evil'", "PREPARE x AS SELECT 1", "CREATE TEMP TABLE left_behind AS SELECT 1",
		"BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT 1; COMMIT", "BEGIN", "BEGIN; SELECT 1/0",
		"SET my.setting = 'left'", "SET statement_timeout = 12345", "SELECT nextval('accounts_id_seq')",
	}
	find := map[string]string{
		"SHOW search_path": `[["$user", public]]`,
		"SELECT count(*) FROM pg_prepared_statements":                           "[[0]]",
		"SELECT to_regclass('pg_temp.left_behind') IS NULL":                     "[[t]]",
		"SELECT count(*) FROM pg_cursors":                                       "[[0]]",
		"SELECT coalesce(current_setting('my.setting', true), '')":              "[[]]",
		"SHOW statement_timeout":                                                "[[0]]",
		"SELECT count(*) FROM accounts":                                         "[[2]]",
		"SELECT current_setting('request.jwt.claims')::json->>'sub' = 'tester'": "[[t]]",
	}
	pids := map[string]string{}
	for _, l := range leave {
		c := p.connect(t, orgA)
		c.Query(l)
		c.Send(wiretest.Terminate)
		c.Conn.Close()
		for range 3 {
			n := p.connect(t, orgA)
			pids[fmt.Sprint(n.PID)] = orgA
			for q, want := range find {
				if got := fmt.Sprint(wiretest.Rows(n.Query(q))); got != want {
					t.Errorf("after %q: %s is %s, want %s", l, q, got, want)
				}
			}
			n.Send(wiretest.Terminate)
			n.Conn.Close()
		}
		o := p.connect(t, orgB)
		if pids[fmt.Sprint(o.PID)] == orgA {
			t.Errorf("server connection %d has served both orgs", o.PID)
		}
		o.Conn.Close()
	}
}

func TestDrivers_Pgx(t *testing.T) {
	for _, mode := range []string{"session", "transaction", "shared"} {
		p := start(t, options{mode: mode})
		for _, exec := range []pgx.QueryExecMode{
			pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
			pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
		} {
			cfg, err := pgxpool.ParseConfig("postgres://anyone@" + p.addr + "/" + p.db + "?sslmode=disable&pool_max_conns=4")
			if err != nil {
				t.Fatal(err)
			}
			cfg.ConnConfig.Password = token(t, orgA, nil)
			cfg.ConnConfig.DefaultQueryExecMode = exec
			pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			usePool(t, fmt.Sprintf("%s/%v", mode, exec), pool)
			pool.Close()
		}
	}
}

func usePool(t *testing.T, what string, pool *pgxpool.Pool) {
	t.Helper()
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			ctx := context.Background()
			for i := range 20 {
				var n int
				if err := pool.QueryRow(ctx, "SELECT count(*) + $1 FROM accounts WHERE name LIKE 'own%'", i).Scan(&n); err != nil || n != 2+i {
					t.Errorf("%s: got %d, %v", what, n, err)
					return
				}
				err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					_, err := tx.Exec(ctx, "INSERT INTO accounts (name) VALUES ($1)", "tx")
					if err != nil {
						return err
					}
					_, err = tx.Exec(ctx, "DELETE FROM accounts WHERE name = $1", "tx")
					return err
				})
				if err != nil {
					t.Errorf("%s: transaction: %v", what, err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

// A million rows and a COPY both ways go through without being held.
func TestBulk(t *testing.T) {
	p := start(t, options{})
	c := p.connect(t, orgA)
	before := p.resident(t)
	defer func() {
		// 130 MB of rows and 10 MB of COPY have gone through.
		if grown := p.resident(t) - before; grown > 32<<20 {
			t.Errorf("the proxy grew by %d MiB", grown>>20)
		}
	}()
	c.Send(wiretest.Query("SELECT g, repeat('x', 100) FROM generate_series(1, 1000000) g"))
	rows := 0
	for {
		m, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if m.Type == 'D' {
			rows++
		}
		if m.Type == 'Z' {
			break
		}
	}
	if rows != 1000000 {
		t.Errorf("%d rows, want 1000000", rows)
	}
	c.Query("CREATE TEMP TABLE sink (a int, b text)")
	c.Send(wiretest.Query("COPY sink FROM STDIN"))
	if m, err := c.Receive(); err != nil || m.Type != 'G' {
		t.Fatalf("COPY answered %v, %v", m, err)
	}
	for i := range 50000 {
		c.Send(wiretest.Frame('d', fmt.Sprintf("%d\t%s\n", i, strings.Repeat("y", 200))))
	}
	c.Send(wiretest.Frame('c', ""))
	if e, failed := wiretest.Error(c.Until(1)); failed {
		t.Fatal(e)
	}
	if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT count(*) FROM sink"))); got != "[[50000]]" {
		t.Errorf("sink holds %s", got)
	}
	// One that fails, by the client and by the server.
	c.Send(wiretest.Query("COPY sink FROM STDIN"))
	c.Receive()
	c.Send(wiretest.Frame('f', "no more\x00"))
	if e, failed := wiretest.Error(c.Until(1)); !failed || e.Field('C') != "57014" {
		t.Errorf("CopyFail: %s", e)
	}
	c.Send(wiretest.Query("COPY sink FROM STDIN"), wiretest.Frame('d', "not a number\n"), wiretest.Frame('c', ""))
	if e, failed := wiretest.Error(c.Until(1)); !failed || e.Field('C') != "22P02" {
		t.Errorf("bad data: %s", e)
	}
	if got := wiretest.Status(c.Query("SELECT 1")); got != 'I' {
		t.Errorf("status %c afterwards", got)
	}
}

// 5,000 messages before a Sync, while the client does not read.
func TestPipeline_Deep(t *testing.T) {
	p := start(t, options{})
	c := p.connect(t, orgA)
	var all [][]byte
	for range 5000 {
		all = append(all, wiretest.Parse("", "SELECT repeat('x', 300)"), wiretest.Bind("", ""), wiretest.Execute("", 0))
	}
	go c.Send(append(all, wiretest.Sync)...)
	done := 0
	for _, m := range c.Until(1) {
		if m.Type == 'C' {
			done++
		}
	}
	if done != 5000 {
		t.Errorf("%d statements done, want 5000", done)
	}
}

func TestServer_KilledInTransaction(t *testing.T) {
	p := start(t, options{})
	c := p.connect(t, orgA)
	c.Query("BEGIN")
	p.pg.Exec(t, p.db, fmt.Sprintf("SELECT pg_terminate_backend(%d)", c.PID))
	c.Send(wiretest.Query("SELECT 1"))
	var last wiretest.Message
	for {
		m, err := c.Receive()
		if err != nil {
			break
		}
		last = m
	}
	if last.Type != 'E' || last.Field('C') != "57P01" {
		t.Errorf("the client's last message is %v, want the server's own 57P01", last)
	}
	n := p.connect(t, orgA)
	if got := fmt.Sprint(wiretest.Rows(n.Query("SELECT count(*) FROM accounts"))); got != "[[2]]" {
		t.Errorf("a new session sees %s", got)
	}
}

func TestProtocol_EarlyBytesEndTheSession(t *testing.T) {
	p := start(t, options{})
	for _, code := range []uint32{80877103, 80877104} {
		nc, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		b := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, code)
		nc.Write(append(b, wiretest.StartupPacket(p.startup(t, orgA))...))
		nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 1000)
		n, _ := nc.Read(buf)
		if n == 0 || buf[0] != 'E' {
			t.Errorf("code %d: got %q, want an error", code, buf[:n])
		}
		nc.Close()
	}
}
