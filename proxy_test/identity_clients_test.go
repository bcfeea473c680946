package proxytest

import (
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

	dbcontext "github.com/pgbulkhead/bulkhead/database/context"
	"github.com/pgbulkhead/bulkhead/internal/wiretest"
)

// What the client has SET and prepared follows it; what it has on the server
// does not, since that is the org's.
func TestIdentity_StateFollows(t *testing.T) {
	for _, mode := range poolModes[:3] {
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
	for _, mode := range twoModes {
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
	},
	) string {
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

// The identity changes in band where the database believes signed contexts
// only, too.
func TestIdentity_SignedContext(t *testing.T) {
	for _, kind := range []dbcontext.Mode{dbcontext.Signed, dbcontext.Sealed} {
		for _, mode := range poolModes {
			if kind == dbcontext.Signed && strings.Contains(mode, "shared") {
				continue // refused by the configuration
			}
			what := fmt.Sprintf("%v, %s", kind, mode)
			p, _ := startContext(t, options{mode: mode, issuer: anyToken, pool: "max_server_connections: 2, max_per_org: 1"}, kind)
			a, b := claim(t, orgA, time.Hour), claim(t, orgB, time.Hour)
			c := p.connectAs(t, claim(t, nil, time.Hour))
			expectRows(t, what, c, "SELECT 1", "[[1]]")
			expectRows(t, what, c, names, "42501 G803")
			for _, x := range []struct{ token, rows string }{{a, rowsA}, {b, rowsB}, {a, rowsA}} {
				expectRows(t, what, c, "SET bulkhead.token = '"+x.token+"'", "[]")
				expectRows(t, what, c, names, x.rows)
				for _, q := range []string{"BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", "SET LOCAL bulkhead.token = '" + b + "'"} {
					if e := code(c.Query(q)); e != "" {
						t.Fatalf("%s: %s", what, e)
					}
				}
				expectRows(t, what, c, names, rowsB)
				expectRows(t, what, c, "COMMIT", "[]")
				expectRows(t, what, c, names, x.rows)
			}
			expectRows(t, what, c, "SET bulkhead.token = '"+claim(t, []string{orgA, orgB}, time.Hour)+"'", "[]")
			expectRows(t, what, c, "BEGIN; SAVEPOINT x; COMMIT", "[]")
			expectRows(t, what, c, "SET bulkhead.org_id = '"+orgB+"'", "[]")
			expectRows(t, what, c, names, rowsB)
			c.Send(wiretest.Terminate)
		}
	}
}
