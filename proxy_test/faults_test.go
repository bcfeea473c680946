package proxytest

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pgbulkhead/bulkhead/internal/pgtest"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// own starts a proxy in front of a server that no other test uses, so that it
// can be killed.
func own(t *testing.T) *proxy {
	t.Helper()
	pg := ownServer(t)
	return inFront(t, pg, pg.DSN("app", "postgres"), "")
}

const ownSchema = "CREATE ROLE app LOGIN; CREATE TABLE t (org_id uuid, n int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; " +
	"CREATE POLICY p ON t USING (org_id = current_setting('app.org_id')::uuid); GRANT ALL ON t TO app"

func ownServer(t *testing.T) *pgtest.Server {
	t.Helper()
	pg := pgtest.New(t, pgtest.Options{})
	pg.Exec(t, "postgres", ownSchema)
	return pg
}

// inFront starts a proxy with that server.dsn and more configuration.
func inFront(t *testing.T, pg *pgtest.Server, dsn, extra string) *proxy {
	t.Helper()
	p := &proxy{pg: pg, db: "postgres", dir: t.TempDir(), stopped: make(chan struct{})}
	p.log = filepath.Join(p.dir, "blocked.jsonl")
	p.launch(t, writeFile(t, "b.yaml", []byte(fmt.Sprintf(
		"listen: [\"127.0.0.1:0\"]\nserver: {dsn: %q}\nauth:\n  issuers:\n    - {issuer: test, audience: bulkhead, secret_file: %s}\nblocked_log: {file: %s}\nadmin: {listen: \"127.0.0.1:0\"}\nlog: {level: debug}\n%s\n",
		dsn, writeFile(t, "secret", []byte(secret)), p.log, extra))))
	return p
}

// A server that crashes in mid-transaction: the client gets an error, not
// silence; when the server is back, so are new sessions.
func TestFaults_ServerCrash(t *testing.T) {
	p := own(t)
	idle, busy := p.connect(t, orgA), p.connect(t, orgB)
	idle.Query("SELECT 1")
	busy.Query("BEGIN")
	busy.Query("INSERT INTO t VALUES ('" + orgB + "', 1)")
	p.pg.Exec(t, "postgres", "CHECKPOINT") // the test server does not wait for its disk
	p.pg.Kill()
	busy.Send(wiretest.Query("COMMIT"))
	var last wiretest.Message
	for {
		m, err := busy.Receive()
		if err != nil {
			break
		}
		last = m
	}
	if last.Type != 'E' || last.Field('S') != "FATAL" {
		t.Errorf("the client's last message is %v, want a FATAL error", last)
	}
	// In transaction pooling a session can start without the server.
	down := p.connect(t, orgB)
	if e, failed := wiretest.Error(down.Query("SELECT 1")); !failed || e.Field('C') != "08006" {
		t.Errorf("with the server down: %v, want 08006", e)
	}
	if err := p.pg.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := p.connect(t, orgB)
	if got := fmt.Sprint(wiretest.Rows(c.Query("SELECT count(*) FROM t"))); got != "[[0]]" {
		t.Errorf("after the restart: %s rows, want 0\n%s", got, p.stderr)
	}
	// The session that was idle has lost nothing, in transaction pooling.
	if got := fmt.Sprint(wiretest.Rows(idle.Query("SELECT current_setting('app.org_id')"))); got != "[["+orgA+"]]" {
		t.Errorf("the idle session: %s", got)
	}
}

// Clients of two orgs that vanish at every point of a conversation leave
// nothing behind: each survivor gets its own answers.
func TestFaults_ClientsVanish(t *testing.T) {
	p := own(t)
	var wg sync.WaitGroup
	for n, org := range []string{orgA, orgB, orgA, orgB} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			tok := token(t, org, nil)
			for i := range 40 {
				c, msgs, err := wiretest.Dial(t, wiretest.Startup{Address: p.addr, User: "u", Database: "postgres", Password: tok})
				if err != nil || msgs[len(msgs)-1].Type != 'Z' {
					t.Errorf("connect: %v %v", msgs, err)
					return
				}
				want := fmt.Sprintf("%s %d %d", org, n, i)
				messages := [][]byte{
					wiretest.Query("BEGIN"), wiretest.Query(fmt.Sprintf("INSERT INTO t VALUES ('%s', %d)", org, i)),
					wiretest.Parse("s", fmt.Sprintf("SELECT current_setting('app.org_id') || ' %d %d'", n, i)), wiretest.Bind("", "s"),
					wiretest.Execute("", 0), wiretest.Sync, wiretest.Query("ROLLBACK"),
				}
				if cut := i % (len(messages) + 2); cut < len(messages) {
					c.Send(messages[:cut]...)
					c.Conn.Close() // at a message boundary, without a word
					continue
				}
				c.Send(messages...)
				if got := fmt.Sprint(wiretest.Rows(c.Until(4))); got != "[["+want+"]]" {
					t.Errorf("got %s, want %s", got, want)
				}
				c.Conn.Close()
			}
		}()
	}
	wg.Wait()
	admin := p.pg.Connect(t, "postgres")
	defer admin.Close(t.Context())
	var n int
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows are left of transactions that were never committed (%v)", n, err)
	}
}
