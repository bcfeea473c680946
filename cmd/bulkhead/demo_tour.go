package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/internal/config"
	"github.com/pgbulkhead/bulkhead/internal/pgtest"
)

//go:embed demo_tour.sql
var tourSchema string

// tour is the whole journey of an application, from the first audit to the
// evidence and back, on a throw-away PostgreSQL.
type tour struct {
	out  io.Writer
	keep string // folder for the reports; "" for none

	dir    string
	server *pgtest.Server
	cfg    *config.Config
	secret string
	log    lockedBuffer
	words  map[string]string // what $NAME stands for in a command
	counts []string          // findings of each audit
}

// tourCommand is one command of the journey. The text is what is printed and
// what docs/tour.md shows; its $WORDS are filled in when it runs.
type tourCommand struct {
	text string
	exit int
	show int // lines of its output, from the end if negative
	file string
}

var (
	tourAudit    = tourCommand{text: "bulkhead audit --dsn $ADMIN --app-role app --root-table organizations --global-table countries --fail-on high", exit: exitFindings, show: 18, file: "audit.txt"}
	tourPlan     = tourCommand{text: "bulkhead harden plan --dsn $ADMIN --app-role app --root-table organizations --global-table countries", show: 16, file: "plan.txt"}
	tourApply    = tourCommand{text: "bulkhead harden apply --yes --dsn $ADMIN --app-role app --root-table organizations --global-table countries", show: -1}
	tourVerify   = tourCommand{text: "bulkhead verify --dsn $ADMIN --proxy-dsn $PROXY --key $KEY --iss tour --app-role app --root-table organizations --global-table countries --org-a $A --org-b $B --path simple --path extended --format html --output $DIR/isolation.html", show: 3}
	tourBlocked  = tourCommand{text: "bulkhead blocked report $DIR/blocked.jsonl", show: 14, file: "blocked.txt"}
	tourRollback = tourCommand{text: "bulkhead harden rollback --yes --dsn $ADMIN", show: 3}
	tourStatus   = tourCommand{text: "bulkhead harden status --dsn $ADMIN", show: 4}
)

func (t *tour) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

func (t *tour) run(ctx context.Context) (err error) {
	if t.dir, err = os.MkdirTemp("", "bulkhead-tour-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(t.dir)
	t.say("Starting a throw-away PostgreSQL with an application of 59 tables ...")
	if t.server, err = pgtest.Start(ctx, pgtest.Options{}); err != nil {
		return &exitError{code: exitUnreachable, err: err}
	}
	defer func() { err = errors.Join(err, t.server.Stop()) }()
	if err := t.prepare(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{t.before, t.harden, t.behindProxy, t.back} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return t.keepReports()
}

// prepare makes the application's database, and the key of the tokens.
func (t *tour) prepare(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, t.server.DSN("postgres", "postgres"))
	if err != nil {
		return fmt.Errorf("connect to the throw-away server: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, tourSchema); err != nil {
		return fmt.Errorf("make the application's database: %w", err)
	}
	t.secret = filepath.Join(t.dir, "tour.key")
	if err := os.WriteFile(t.secret, []byte(rand32()), 0o600); err != nil {
		return fmt.Errorf("write the tour's secret: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	text := fmt.Sprintf(tourConfig, port, t.server.DSN("app", "postgres"), t.secret, filepath.Join(t.dir, "blocked.jsonl"))
	if t.cfg, err = config.Parse("bulkhead.yaml", []byte(text), t.dir, nil); err != nil {
		return err
	}
	t.words = map[string]string{
		"$ADMIN": t.server.DSN("postgres", "postgres"), "$PROXY": "postgres://any@" + t.cfg.Listen[0] + "/postgres?sslmode=disable",
		"$KEY": t.secret, "$DIR": t.dir, "$A": demoOrgA, "$B": demoOrgB,
	}
	return nil
}

const tourConfig = `listen: ["127.0.0.1:%d"]
server:
  dsn: %q
auth:
  issuers:
    - issuer: tour
      audience: bulkhead
      algorithms: [HS256]
      secret_file: %s
      allow_org_lists: true   # for the worker
blocked_log: {file: %s}
admin: {listen: "127.0.0.1:0"}
`

// before shows what is wrong, live and by audit.
func (t *tour) before(ctx context.Context) error {
	t.say("\n1. TODAY. The application takes the org from the frontend. A user of org A changes one value in the browser:")
	app, err := pgx.Connect(ctx, t.server.DSN("app", "postgres"))
	if err != nil {
		return fmt.Errorf("connect as the application: %w", err)
	}
	defer app.Close(ctx)
	if _, err := app.Exec(ctx, "SELECT set_config('app.org_id', $1, false)", demoOrgB); err != nil {
		return err
	}
	if err := t.query(ctx, app, "SELECT name FROM invoices", "SELECT name FROM invoices WHERE org_id = '"+demoOrgB+"' ORDER BY 1"); err != nil {
		return err
	}
	t.say("   The worker has no org at all, so row security was left off its queue, where everybody sees everything:")
	if err := t.query(ctx, app, "SELECT DISTINCT name FROM jobs", "SELECT DISTINCT name FROM jobs ORDER BY 1"); err != nil {
		return err
	}
	t.say("\n2. AUDIT. Reads the catalogue, writes nothing.")
	return t.command(ctx, tourAudit)
}

// harden plans and applies.
func (t *tour) harden(ctx context.Context) error {
	t.say("\n3. PLAN. Each statement with its reason, its lock and what undoes it.")
	if err := t.command(ctx, tourPlan); err != nil {
		return err
	}
	t.say("\n4. APPLY. One transaction; recorded, with the way back.")
	if err := t.command(ctx, tourApply); err != nil {
		return err
	}
	app, err := pgx.Connect(ctx, t.server.DSN("app", "postgres"))
	if err != nil {
		return fmt.Errorf("connect as the application: %w", err)
	}
	defer app.Close(ctx)
	t.say("   The trick of before, past the proxy:")
	if _, err := app.Exec(ctx, "SELECT set_config('app.org_id', $1, false)", demoOrgB); err != nil {
		return err
	}
	return t.query(ctx, app, "SELECT name FROM invoices", "SELECT name FROM invoices ORDER BY 1")
}

// behindProxy points the application at the proxy, and proves that it holds.
func (t *tour) behindProxy(ctx context.Context) error {
	t.say("\n5. THE PROXY. The application's DSN changes, its code does not: the token is the password.\n\n   DATABASE_URL=%s", t.words["$PROXY"])
	proxying, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- serve(proxying, t.cfg, noFile, &t.log) }()
	frontend, err := t.connect(ctx, done, demoOrgA)
	if err != nil {
		return err
	}
	defer frontend.Close(ctx)
	t.say("\n   The user of org A, honest:")
	if err := t.query(ctx, frontend, "SELECT name FROM invoices", "SELECT name FROM invoices ORDER BY 1"); err != nil {
		return err
	}
	t.say("   ... and with the changed value:")
	for _, sql := range []string{
		"SELECT set_config('app.org_id', '" + demoOrgB + "', false)", "SELECT name FROM invoices WHERE org_id = '" + demoOrgB + "'",
	} {
		if err := t.refused(ctx, frontend, sql); err != nil {
			return err
		}
	}
	if err := t.worker(ctx, done); err != nil {
		return err
	}
	t.say("\n6. VERIFY. Tries every command on every table, by sessions of both orgs, and compares with the truth.")
	if err := t.command(ctx, tourVerify); err != nil {
		return err
	}
	t.say("\n7. REPORT. What the reviewer gets: isolation.html, and what was refused.")
	if err := t.command(ctx, tourBlocked); err != nil {
		return err
	}
	stop()
	return <-done
}

// worker works for one org after the other.
func (t *tour) worker(ctx context.Context, done <-chan error) error {
	t.say("\n   The worker's token names the orgs that it may work for. Until it picks one, it sees nothing:")
	worker, err := t.connect(ctx, done, []string{demoOrgA, demoOrgB})
	if err != nil {
		return err
	}
	defer worker.Close(ctx)
	if err := t.refused(ctx, worker, "SELECT name FROM jobs"); err != nil {
		return err
	}
	for _, org := range []string{demoOrgA, demoOrgB} {
		pick := "SET bulkhead.org_id = '" + org + "'"
		t.say("   %s", pick)
		if _, err := worker.Exec(ctx, pick); err != nil {
			return fmt.Errorf("the worker picks an org: %w", err)
		}
		if err := t.query(ctx, worker, "SELECT DISTINCT name FROM jobs", "SELECT DISTINCT name FROM jobs ORDER BY 1"); err != nil {
			return err
		}
	}
	return nil
}

// back takes everything back, and shows that it is as it was.
func (t *tour) back(ctx context.Context) error {
	t.say("\n8. BACK. Exactly as before: the catalogue's fingerprint proves it.")
	for _, c := range []tourCommand{tourRollback, tourStatus} {
		if err := t.command(ctx, c); err != nil {
			return err
		}
	}
	t.say("\n   The audit finds again what it found at first:")
	if err := t.command(ctx, tourCommand{text: tourAudit.text, exit: exitFindings, show: 1}); err != nil {
		return err
	}
	if t.counts[0] != t.counts[1] {
		return &exitError{code: exitFindings, err: errors.New("the audit after the rollback differs from the first one")}
	}
	t.say("\nThat was the tour. docs/tour.md explains each step.")
	return nil
}

// query shows a statement and what it returns; printed is what the reader
// needs to see of it.
func (t *tour) query(ctx context.Context, conn *pgx.Conn, printed, sql string) error {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return fmt.Errorf("%s: %w", printed, err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		// Row security with a context that is missing is an answer, too.
		t.say("   %s\n     -> %s", printed, err)
		return nil
	}
	if len(names) == 0 {
		names = []string{"(no rows)"}
	}
	t.say("   %s\n     -> %s", printed, strings.Join(names, ", "))
	return nil
}

// refused runs what a rule must refuse.
func (t *tour) refused(ctx context.Context, conn *pgx.Conn, sql string) error {
	_, err := conn.Exec(ctx, sql)
	if err == nil {
		return &exitError{code: exitFindings, err: fmt.Errorf("not refused: %s", sql)}
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	t.say("   %s\n     -> %s", sql, message)
	return nil
}

// connect logs in through the proxy, and waits for it to start.
func (t *tour) connect(ctx context.Context, done <-chan error, org any) (*pgx.Conn, error) {
	token, err := auth.Mint(auth.MintOptions{
		KeyFile: t.secret, Issuer: "tour", Audience: "bulkhead", Org: org, Subject: "tour", TTL: time.Hour, Now: time.Now(),
	})
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(t.words["$PROXY"])
	if err != nil {
		return nil, err
	}
	cfg.Password = token
	// The simple protocol: what is refused shows as one statement.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	for {
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err == nil {
			return conn, nil
		}
		if strings.Contains(err.Error(), "SQLSTATE") {
			return nil, err
		}
		select {
		case err := <-done:
			return nil, fmt.Errorf("the proxy did not start: %w\n%s", err, t.log.String())
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// command runs one command of ours as a user would, and shows the beginning
// of what it says.
func (t *tour) command(ctx context.Context, c tourCommand) error {
	t.say("\n   $ %s", c.text)
	args := strings.Fields(c.text)[1:]
	for i, a := range args {
		for word, value := range t.words {
			if a == word || strings.HasPrefix(a, word+"/") {
				args[i] = strings.Replace(a, word, value, 1)
			}
		}
	}
	var out bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetIn(strings.NewReader(""))
	code := execute(ctx, root)
	if c.file != "" {
		if err := os.WriteFile(filepath.Join(t.dir, c.file), out.Bytes(), 0o644); err != nil {
			return fmt.Errorf("keep the output: %w", err)
		}
	}
	if strings.HasPrefix(c.text, "bulkhead audit") {
		t.counts = append(t.counts, out.String())
	}
	t.excerpt(out.String(), c.show)
	if code != c.exit {
		return &exitError{code: exitFindings, err: fmt.Errorf("%s ended with %d, want %d:\n%s", c.text, code, c.exit, out.String())}
	}
	return nil
}

// excerpt prints the beginning or the end of an output.
func (t *tour) excerpt(text string, show int) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if rest := len(lines) + show; show < 0 && rest > 0 {
		t.say("     ... %d lines before", rest)
		lines, show = lines[rest:], -show
	}
	for i, line := range lines {
		if i == max(show, -show) {
			t.say("     ... %d more lines", len(lines)-i)
			break
		}
		t.say("     %s", line)
	}
}

// keepReports copies what was written, if a folder was named.
func (t *tour) keepReports() error {
	if t.keep == "" {
		return nil
	}
	if err := os.MkdirAll(t.keep, 0o755); err != nil {
		return fmt.Errorf("make the folder for the reports: %w", err)
	}
	for _, name := range []string{"audit.txt", "plan.txt", "isolation.html", "blocked.txt", "blocked.jsonl"} {
		b, err := os.ReadFile(filepath.Join(t.dir, name))
		if err != nil {
			return fmt.Errorf("read a report: %w", err)
		}
		if err := os.WriteFile(filepath.Join(t.keep, name), b, 0o644); err != nil {
			return fmt.Errorf("keep a report: %w", err)
		}
	}
	t.say("\nThe reports are in %s.", t.keep)
	return nil
}
