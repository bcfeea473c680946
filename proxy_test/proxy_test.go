package proxytest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/blocklog"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// The two orgs of the tests. Everything of org B holds canary.
const (
	orgA   = "11111111-1111-4111-8111-111111111111"
	orgB   = "22222222-2222-4222-8222-222222222222"
	canary = "CANARY-B"
	secret = "0123456789abcdef0123456789abcdef-test-secret"
)

var program string

// stdoutOfProxy, if set by a test, gets the standard output of the proxies
// that it starts.
var stdoutOfProxy *os.File

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bulkhead-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	defer pgtest.StopShared()
	program = filepath.Join(dir, "bulkhead")
	args := []string{"build", "-o", program}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../cmd/bulkhead")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build bulkhead: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// versions of PostgreSQL to test on: the oldest and the newest that are found.
func versions(t testing.TB) []int {
	t.Helper()
	all := pgtest.All()
	if len(all) == 0 {
		t.Fatal(pgtest.ErrNotFound)
	}
	if len(all) == 1 {
		return []int{all[0].Version}
	}
	return []int{all[0].Version, all[len(all)-1].Version}
}

// proxy is a running `bulkhead serve`.
type proxy struct {
	addr    string
	dir     string
	log     string // the blocked-query log
	cmd     *exec.Cmd
	stderr  *logBuffer
	db      string
	pg      *pgtest.Server
	stopped chan struct{}
}

// logBuffer collects log lines; wait wakes those who wait for one.
type logBuffer struct {
	mu    sync.Mutex
	cond  sync.Cond
	lines []string
	ended bool
}

func (l *logBuffer) read(f *os.File) {
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		l.mu.Lock()
		l.lines = append(l.lines, s.Text())
		l.cond.Broadcast()
		l.mu.Unlock()
	}
	l.mu.Lock()
	l.ended = true
	l.cond.Broadcast()
	l.mu.Unlock()
}

// await returns the first line that holds the text.
func (l *logBuffer) await(text string) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 0; ; {
		for ; i < len(l.lines); i++ {
			if strings.Contains(l.lines[i], text) {
				return l.lines[i], true
			}
		}
		if l.ended {
			return "", false
		}
		l.cond.Wait()
	}
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// options of a proxy under test.
type options struct {
	role    string // login role; "" is app
	extra   string // YAML that is added to the configuration
	mode    string // pool mode; "" is session, "shared" is transaction with sharing: shared
	pool    string // further keys of pool; "" is many server connections
	issuer  string // further keys of the issuer, with a comma in front
	sql     string // schema; "" is careless.sql
	version int
	standby bool // the proxy serves a hot standby of the database
	// server, if set, is not shared with other tests: what belongs to the
	// cluster may be changed.
	server *pgtest.Server
	// prepare, if set, changes the database before the proxy starts, and
	// configure adds YAML that depends on it.
	prepare   func(p *proxy)
	configure func(p *proxy) string
}

// start makes a database and a proxy in front of it.
func start(t testing.TB, o options) *proxy {
	t.Helper()
	pg := o.server
	if pg == nil {
		pg = pgtest.Shared(t, o.version)
	}
	p := &proxy{pg: pg, db: pg.CreateDatabase(t), dir: t.TempDir(), stopped: make(chan struct{})}
	p.schema(t, o.sql)
	if o.role == "" {
		o.role = "app"
	}
	if o.mode == "" {
		o.mode = "session"
	}
	if o.pool == "" {
		o.pool = "max_server_connections: 100, max_per_org: 50"
	}
	switch o.mode {
	case "shared":
		o.mode, o.pool = "transaction", o.pool+", sharing: shared"
	case "session, shared":
		o.mode, o.pool = "session", o.pool+", sharing: shared"
	}
	if o.prepare != nil {
		o.prepare(p)
	}
	if o.configure != nil {
		o.extra += o.configure(p)
	}
	server := pg
	if o.standby {
		server = pg.NewStandby(t)
		pg.CatchUp(t, server)
	}
	p.log = filepath.Join(p.dir, "blocked.jsonl")
	secretFile := filepath.Join(p.dir, "secret")
	if err := os.WriteFile(secretFile, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf(`listen: ["127.0.0.1:0"]
server:
  dsn: %q
  allow_unsafe_login: true
auth:
  issuers:
    - {issuer: test, audience: bulkhead, algorithms: [HS256], secret_file: %s%s}
blocked_log: {file: %s}
admin: {listen: "127.0.0.1:0"}
pool: {mode: %s, %s}
log: {level: debug}
%s`, server.DSN(o.role, p.db), secretFile, o.issuer, p.log, o.mode, o.pool, o.extra)
	file := filepath.Join(p.dir, "bulkhead.yaml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	p.launch(t, file)
	return p
}

func (p *proxy) schema(t testing.TB, sql string) {
	t.Helper()
	if sql == "" {
		b, err := os.ReadFile("testdata/careless.sql")
		if err != nil {
			t.Fatal(err)
		}
		sql = string(b)
	}
	// Roles belong to the server, which tests share.
	for _, create := range []string{"CREATE ROLE admin_bypass BYPASSRLS;", "CREATE ROLE app LOGIN PASSWORD 'app';"} {
		role := strings.Fields(create)[2]
		quoted := strings.ReplaceAll(strings.TrimSuffix(create, ";"), "'", "''")
		sql = strings.Replace(sql, create, "DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '"+role+"') THEN EXECUTE '"+quoted+"'; END IF; END $do$;", 1)
	}
	sql = strings.ReplaceAll(sql, "current_database_placeholder", p.db)
	p.pg.Exec(t, p.db, sql)
}

func (p *proxy) launch(t testing.TB, file string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stderr = &logBuffer{}
	p.stderr.cond.L = &p.stderr.mu
	p.cmd = exec.Command(program, "serve", "--config", file)
	p.cmd.Stderr = w
	if stdoutOfProxy != nil {
		p.cmd.Stdout = stdoutOfProxy
	}
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=0 exitcode=66")
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go p.stderr.read(r)
	t.Cleanup(func() { p.stop(t) })
	line, ok := p.stderr.await(`"msg":"listening"`)
	if !ok {
		t.Fatalf("the proxy did not start:\n%s", p.stderr)
	}
	var entry struct{ Address string }
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatal(err)
	}
	p.addr = entry.Address
}

// stop ends the proxy in order and fails the test if it does not end well.
func (p *proxy) stop(t testing.TB) {
	select {
	case <-p.stopped:
		return
	default:
		close(p.stopped)
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("the proxy ended with %v:\n%s", err, tail(p.stderr.String()))
		}
	case <-time.After(40 * time.Second):
		p.cmd.Process.Kill()
		t.Errorf("the proxy did not end:\n%s", tail(p.stderr.String()))
	}
	if log := p.stderr.String(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic") {
		t.Errorf("the proxy's log:\n%s", log)
	}
}

func tail(s string) string {
	if len(s) > 8000 {
		return "..." + s[len(s)-8000:]
	}
	return s
}

// token returns a token for an org, changed by more claims.
func token(t testing.TB, org string, more map[string]any) string {
	t.Helper()
	return mint(t, org, time.Hour, more)
}

// expiring returns a token of org A that expires after ttl.
func expiring(t testing.TB, ttl time.Duration) string {
	t.Helper()
	return mint(t, orgA, ttl, nil)
}

func mint(t testing.TB, org string, ttl time.Duration, more map[string]any) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	tok, err := auth.Mint(auth.MintOptions{
		KeyFile: file, Issuer: "test", Audience: "bulkhead", Org: org, Subject: "tester", TTL: ttl, Claims: more, Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// startup returns what a client of the org says first.
func (p *proxy) startup(t testing.TB, org string) wiretest.Startup {
	t.Helper()
	return wiretest.Startup{Address: p.addr, User: "anyone", Database: p.db, Password: token(t, org, nil)}
}

func (p *proxy) connect(t testing.TB, org string) *wiretest.Client {
	t.Helper()
	return wiretest.Connect(t, p.startup(t, org))
}

// direct connects to the server itself as the login role, with org A's
// context in the startup packet: what the proxy is compared with.
func (p *proxy) direct(t testing.TB) *wiretest.Client {
	t.Helper()
	return wiretest.Connect(t, wiretest.Startup{
		Address: fmt.Sprintf("127.0.0.1:%d", p.pg.Port), User: "app", Password: "app", Database: p.db,
		Params: map[string]string{"app.org_id": orgA, "client_encoding": "UTF8"},
	})
}

// blocked waits until the log has n records and returns them.
func (p *proxy) blocked(t testing.TB, n int) []blocklog.Record {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	for {
		records, err := blocklog.Read(p.log, blocklog.Filter{})
		if err == nil && len(records) >= n {
			return records
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the blocked-query log has %d records, want %d (%v)", len(records), n, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// fingerprintB is a digest of all that belongs to org B.
func (p *proxy) fingerprintB(t testing.TB) string {
	t.Helper()
	c := p.pg.Connect(t, p.db)
	defer c.Close(context.Background())
	var out bytes.Buffer
	for _, table := range []string{"accounts", "documents", "messages", "invoices", "events", "base_notes", "audit_events"} {
		var text *string
		if err := c.QueryRow(context.Background(),
			"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM "+table+" t WHERE org_id = $1", orgB).Scan(&text); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		fmt.Fprintf(&out, "%s=%v ", table, deref(text))
	}
	return out.String()
}

func deref(s *string) string {
	if s == nil {
		return "none"
	}
	return *s
}

// resident returns the resident memory of the proxy in bytes; 0 where the
// system does not tell.
func (p *proxy) resident(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var size, pages int
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
