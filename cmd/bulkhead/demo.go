package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/pgbulkhead/bulkhead/blocklog"
	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

//go:embed demo_schema.sql
var demoSchema string

// The two orgs of the demo.
const (
	demoOrgA = "11111111-1111-4111-8111-111111111111"
	demoOrgB = "22222222-2222-4222-8222-222222222222"
)

// demoAttack is something that works on the sample database without Bulkhead.
type demoAttack struct{ what, sql string }

var demoAttacks = []demoAttack{
	{"change the tenant", "SET app.org_id = '" + demoOrgB + "'"},
	{"the same as a function, inside a query", "SELECT customer FROM invoices ORDER BY set_config('app.org_id', '" + demoOrgB + "', false)"},
	{"the same, hidden in a DO block", "DO $$ BEGIN PERFORM set_config('app.org_id', '" + demoOrgB + "', false); END $$"},
	{"become a role that bypasses row security", "SET ROLE reporting"},
	{"run SQL text through an XML function", "SELECT query_to_xml('SELECT * FROM audit_events', true, false, '')"},
	{"read a view that runs as its owner", "SELECT customer FROM all_invoices"},
	{"read a table without row security", "SELECT event FROM audit_events"},
	{"delete everybody's rows, past row security", "TRUNCATE invoices"},
}

func newDemoCommand() *cobra.Command {
	var stay, journey bool
	var reports string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what Bulkhead does, on a throw-away PostgreSQL",
		Long: `Start a throw-away PostgreSQL with a sample database of two orgs, put the proxy
in front of it, and walk through what is allowed and what is refused. Everything
is removed at the end. With --tour it is the whole journey of an application of
59 tables instead: audit, plan, apply, proxy, verify, report, rollback. PostgreSQL 13 or newer must be installed; PG_BIN names
its folder of programs if it is not found.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if journey {
				t := &tour{out: cmd.OutOrStdout(), keep: reports}
				return t.run(cmd.Context())
			}
			d := &demo{out: cmd.OutOrStdout(), stay: stay}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&stay, "stay", false, "keep running afterwards, and print lines to connect with")
	cmd.Flags().BoolVar(&journey, "tour", false, "walk the whole way of an application: audit, harden, proxy, verify, report, rollback")
	cmd.Flags().StringVar(&reports, "reports", "", "with --tour: `FOLDER` that keeps the reports")
	return cmd
}

type demo struct {
	out  io.Writer
	stay bool

	dir    string
	server *pgtest.Server
	cfg    *config.Config
	tokens map[string]string // by org
	log    bytes.Buffer
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) run(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "bulkhead-demo-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(d.dir)
	d.say("Starting a throw-away PostgreSQL ...")
	if d.server, err = pgtest.Start(ctx, pgtest.Options{}); err != nil {
		return &exitError{code: exitUnreachable, err: err}
	}
	defer func() { err = errors.Join(err, d.server.Stop()) }()
	if err := d.prepare(ctx); err != nil {
		return err
	}
	proxying, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- serve(proxying, d.cfg, noFile, &d.log) }()
	if err := d.await(ctx, done); err != nil {
		return err
	}
	if err := d.story(ctx); err != nil {
		return err
	}
	if d.stay {
		d.invite()
		<-ctx.Done()
	}
	stop()
	return <-done
}

// prepare makes the sample database, the keys and the configuration.
func (d *demo) prepare(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, d.server.DSN("postgres", "postgres"))
	if err != nil {
		return fmt.Errorf("connect to the throw-away server: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, demoSchema); err != nil {
		return fmt.Errorf("make the sample database: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	secret := []byte(rand32())
	secretFile := filepath.Join(d.dir, "secret")
	if err := os.WriteFile(secretFile, secret, 0o600); err != nil {
		return fmt.Errorf("write the demo's secret: %w", err)
	}
	d.tokens = make(map[string]string)
	for _, org := range []string{demoOrgA, demoOrgB} {
		if d.tokens[org], err = mintDemoToken(secretFile, org); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(demoConfig, port, d.server.DSN("app", "postgres"), secretFile, filepath.Join(d.dir, "blocked.jsonl"))
	d.cfg, err = config.Parse("demo.yaml", []byte(text), d.dir, nil)
	return err
}

const demoConfig = `listen: ["127.0.0.1:%d"]
server:
  dsn: %q
  allow_unsafe_login: true   # the sample's role is careless on purpose
auth:
  issuers:
    - issuer: demo
      audience: bulkhead
      algorithms: [HS256]
      secret_file: %s
pool: {mode: session}
blocked_log: {file: %s}
admin: {listen: "127.0.0.1:0"}
`

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// await waits until the proxy accepts.
func (d *demo) await(ctx context.Context, done <-chan error) error {
	for {
		c, err := d.connect(ctx, demoOrgA)
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case err := <-done:
			return fmt.Errorf("the proxy did not start: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (d *demo) address() string { return d.cfg.Listen[0] }

func (d *demo) connect(ctx context.Context, org string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig("postgres://anyone@" + d.address() + "/postgres?sslmode=disable")
	if err != nil {
		return nil, err
	}
	cfg.Password = d.tokens[org]
	return pgx.ConnectConfig(ctx, cfg)
}

// story walks through what is allowed and what is refused.
func (d *demo) story(ctx context.Context) error {
	a, err := d.connect(ctx, demoOrgA)
	if err != nil {
		return fmt.Errorf("connect as org A: %w", err)
	}
	defer a.Close(ctx)
	b, err := d.connect(ctx, demoOrgB)
	if err != nil {
		return fmt.Errorf("connect as org B: %w", err)
	}
	defer b.Close(ctx)
	const query = "SELECT customer, amount FROM invoices ORDER BY id"
	d.say("\nOne table, two orgs, one statement without any WHERE:\n  %s", query)
	for _, org := range []struct {
		name string
		conn *pgx.Conn
	}{{"A", a}, {"B", b}} {
		if err := d.rows(ctx, org.name, org.conn, query); err != nil {
			return err
		}
	}
	d.say("\nThe app's role may do far too much in this database. Org A now tries to get at org B:")
	for i, attack := range demoAttacks {
		if err := d.attack(ctx, a, i+1, attack); err != nil {
			return err
		}
	}
	d.say("\nThe session goes on as if nothing had been:")
	if err := d.rows(ctx, "A", a, query); err != nil {
		return err
	}
	return d.showLog()
}

func (d *demo) rows(ctx context.Context, org string, conn *pgx.Conn, query string) error {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return fmt.Errorf("query as org %s: %w", org, err)
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var customer, amount string
		if err := rows.Scan(&customer, &amount); err != nil {
			return fmt.Errorf("read a row as org %s: %w", org, err)
		}
		found = append(found, customer+" "+amount)
	}
	d.say("  org %s sees: %s", org, strings.Join(found, ", "))
	return rows.Err()
}

func (d *demo) attack(ctx context.Context, conn *pgx.Conn, n int, a demoAttack) error {
	_, err := conn.Exec(ctx, a.sql)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || !strings.HasPrefix(pg.Detail, "rule=") {
		return &exitError{code: exitFindings, err: fmt.Errorf("attack %d was not refused by a rule: %q: %v", n, a.sql, err)}
	}
	d.say("\n  %d. %s\n     %s\n     %s", n, a.what, a.sql, pg.Message)
	return nil
}

// showLog prints what a security reviewer gets.
func (d *demo) showLog() error {
	d.say("\nWhat the security reviewer reads (bulkhead blocked list):")
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	for {
		records, err := blocklog.Read(string(d.cfg.BlockedLog.File), blocklog.Filter{})
		if err == nil && len(records) >= len(demoAttacks) {
			for _, r := range records {
				d.say("  %s  org %.8s  %s  %s", r.Time.Format(time.TimeOnly), r.Org, r.Rule, r.Statement)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the blocked-query log has %d records, want %d: %w", len(records), len(demoAttacks), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// invite prints lines to connect with.
func (d *demo) invite() {
	host, port, _ := net.SplitHostPort(d.address())
	d.say("\nThe proxy keeps running; end it with Ctrl-C. To try for yourself:")
	for _, org := range []struct{ name, id string }{{"A", demoOrgA}, {"B", demoOrgB}} {
		d.say("\n  # as org %s\n  PGPASSWORD=%s \\\n    psql -h %s -p %s -U anyone -d postgres", org.name, d.tokens[org.id], host, port)
	}
	d.say("\n  # the log\n  bulkhead blocked tail %s", d.cfg.BlockedLog.File)
}
