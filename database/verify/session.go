package verify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// Wall is a way to the database: past the proxy, or through it.
type Wall string

// The ways in.
const (
	Direct Wall = "direct"
	Proxy  Wall = "proxy"
)

// Path is a way to send one statement.
type Path string

// The paths.
const (
	Simple    Path = "simple"    // one Query
	Extended  Path = "extended"  // Parse, Bind, Execute
	Pipelined Path = "pipelined" // between two other statements, before any answer is read
	Prepared  Path = "prepared"  // prepared first; executed after the context changed, or another org had the connection
	Multi     Path = "multi"     // in one Query with two other statements
	Login     Path = "login"     // the login itself
)

// Paths are all ways to send a statement, in the order of the report.
var Paths = []Path{Simple, Extended, Pipelined, Prepared, Multi}

// Side is one of the two orgs.
type Side int

// The two orgs of a run.
const (
	A Side = iota
	B
	neither // of rows that belong to no org, in marks only
)

// Other is the other org.
func (s Side) Other() Side { return 1 - s }

func (s Side) String() string { return [...]string{"A", "B", "G"}[s] }

// request is what is sent: a statement, and what follows it where it is COPY
// FROM STDIN.
type request struct {
	// before is sent ahead, as part of the same transaction; readOnly makes that
	// one read-only first.
	before   string
	readOnly bool
	sql      string
	then     string // sent by the same path afterwards, if the first did not fail
	data     string
	copy     copyKind
}

type copyKind uint8

const (
	noCopy copyKind = iota
	copyOut
	copyIn
)

// outcome is everything that came back.
type outcome struct {
	rows     [][]string
	affected int64 // rows by the command tag of the statement itself
	copied   []byte
	heard    []string // notices and notifications
	err      *pgconn.PgError
	broken   error // the connection ended, or the driver gave up
}

// rule is the rule of the proxy that refused, "" if it was not the proxy.
func (o *outcome) rule() string {
	if o.err == nil {
		return ""
	}
	id, ok := strings.CutPrefix(o.err.Detail, "rule=")
	if !ok {
		return ""
	}
	id, _, _ = strings.Cut(id, " ")
	return id
}

func (o *outcome) code() string {
	if o.err == nil {
		return ""
	}
	return o.err.Code
}

// holds reports whether a text is anywhere in what came back.
func (o *outcome) holds(text string) bool {
	if text == "" {
		return false
	}
	for _, row := range o.rows {
		for _, v := range row {
			if strings.Contains(v, text) {
				return true
			}
		}
	}
	if bytes.Contains(o.copied, []byte(text)) {
		return true
	}
	for _, h := range o.heard {
		if strings.Contains(h, text) {
			return true
		}
	}
	if e := o.err; e != nil {
		return strings.Contains(strings.Join([]string{e.Message, e.Detail, e.Hint, e.Where, e.InternalQuery}, "\n"), text)
	}
	return false
}

// got says in a few words what came back, without values.
func (o *outcome) got() string {
	switch {
	case o.rule() != "":
		return "refused by rule " + o.rule()
	case o.err != nil:
		return "error " + o.err.Code
	case o.broken != nil:
		return "the connection ended"
	case len(o.copied) > 0:
		return fmt.Sprintf("%d lines", bytes.Count(o.copied, []byte("\n")))
	case len(o.rows) > 0:
		return fmt.Sprintf("%d rows", len(o.rows))
	}
	return fmt.Sprintf("done, %d rows", o.affected)
}

// session is one connection as a client.
type session struct {
	conn *pgconn.PgConn
	wall Wall
	// backend is what a signature is bound to; "" where none is made.
	backend string

	mu    sync.Mutex
	heard []string
}

// openSession connects. A refusal by the other side is an outcome, not an
// error: see loginOutcome.
func openSession(ctx context.Context, cfg *pgconn.Config, wall Wall) (*session, error) {
	s := &session{wall: wall}
	s.listen(cfg)
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s.conn = conn
	return s, nil
}

// listen gathers what the server says unasked.
func (s *session) listen(cfg *pgconn.Config) {
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		s.hear(strings.Join([]string{n.Message, n.Detail, n.Hint, n.Where}, "\n"))
	}
	cfg.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { s.hear(n.Channel + " " + n.Payload) }
}

func (s *session) hear(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, text)
}

func (s *session) takeHeard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.heard
	s.heard = nil
	return h
}

func (s *session) close(ctx context.Context) {
	if s != nil && s.conn != nil {
		s.conn.Close(ctx)
	}
}

// loginOutcome turns the error of a login into an outcome.
func loginOutcome(err error) outcome {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return outcome{err: pg}
	}
	return outcome{broken: err}
}

// exec runs statements of our own as a simple Query.
func (s *session) exec(ctx context.Context, sql string) error {
	_, err := s.conn.Exec(ctx, sql).ReadAll()
	return err
}

// send sends a request by a path and gathers all that comes back.
func (s *session) send(ctx context.Context, path Path, r request) outcome {
	var o outcome
	if err := s.ahead(ctx, r); err != nil {
		o.broken = err
		return o
	}
	var err error
	if r.copy != noCopy {
		s.copyBy(ctx, path, r, &o)
	} else {
		err = s.query(ctx, path, r.sql, &o)
	}
	o.note(err)
	if r.then != "" && o.err == nil && o.broken == nil {
		o.note(s.query(ctx, path, r.then, &o))
	}
	o.heard = s.takeHeard()
	return o
}

// ahead sends what goes before a request. Whatever hinders it hinders the
// request: it proves nothing then.
func (s *session) ahead(ctx context.Context, r request) error {
	if r.readOnly {
		results, err := s.conn.Exec(ctx, "SET TRANSACTION READ ONLY; SHOW transaction_read_only").ReadAll()
		if err != nil || len(results) != 2 || len(results[1].Rows) != 1 || string(results[1].Rows[0][0]) != "on" {
			return fmt.Errorf("make the transaction read-only: %w", cmp.Or(err, errNotReadOnly))
		}
	}
	if r.before == "" {
		return nil
	}
	return s.exec(ctx, r.before)
}

var errNotReadOnly = errors.New("it is not")

// copyBy sends a COPY, prepared before where the path asks for it.
func (s *session) copyBy(ctx context.Context, path Path, r request, o *outcome) {
	if path == Prepared {
		if err := s.prepare(ctx, r.sql); err != nil {
			o.note(err)
			return
		}
		defer s.forget(ctx)
	}
	s.copy(ctx, path, r, o)
}

// note keeps the first error.
func (o *outcome) note(err error) {
	if err == nil || o.err != nil || o.broken != nil {
		return
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		o.err = pg
		return
	}
	o.broken = err
}

// neighbour stands beside a statement on paths that send several.
const neighbour = "SELECT 1"

func (s *session) query(ctx context.Context, path Path, sql string, o *outcome) error {
	switch path {
	case Extended:
		return o.take(s.conn.ExecParams(ctx, sql, nil, nil, nil, nil))
	case Prepared:
		if err := s.prepare(ctx, sql); err != nil {
			return err
		}
		defer s.forget(ctx)
		return s.runPrepared(ctx, request{sql: sql}, o)
	case Pipelined:
		return s.pipeline(ctx, sql, o)
	case Multi:
		sql = neighbour + "; " + sql + "; " + neighbour
	}
	m := s.conn.Exec(ctx, sql)
	n := 0
	for m.NextResult() {
		n++
		if path == Multi && n != 2 {
			m.ResultReader().Read()
			continue
		}
		o.note(o.take(m.ResultReader()))
	}
	return m.Close()
}

// take reads one result.
func (o *outcome) take(r *pgconn.ResultReader) error {
	for r.NextRow() {
		values := r.Values()
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = string(v)
		}
		o.rows = append(o.rows, row)
	}
	tag, err := r.Close()
	o.affected += tag.RowsAffected()
	return err
}

func (s *session) pipeline(ctx context.Context, sql string, o *outcome) error {
	p := s.conn.StartPipeline(ctx)
	p.SendQueryParams(neighbour, nil, nil, nil, nil)
	p.SendQueryParams(sql, nil, nil, nil, nil)
	p.SendQueryParams(neighbour, nil, nil, nil, nil)
	if err := p.Sync(); err != nil {
		return errors.Join(err, p.Close())
	}
	for n := 0; ; n++ {
		result, err := p.GetResults()
		if err != nil {
			o.note(err)
			break
		}
		reader, ok := result.(*pgconn.ResultReader)
		if !ok {
			break // the Sync
		}
		if n != 1 {
			reader.Read()
			continue
		}
		o.note(o.take(reader))
	}
	return p.Close()
}

// preparedName is the name of the one prepared statement of a session.
const preparedName = "bulkhead_verify"

func (s *session) prepare(ctx context.Context, sql string) error {
	_, err := s.conn.Prepare(ctx, preparedName, sql, nil)
	return err
}

// runPrepared executes the prepared statement of a request.
func (s *session) runPrepared(ctx context.Context, r request, o *outcome) error {
	if r.copy != noCopy {
		s.copy(ctx, Prepared, r, o)
		return nil // noted in the outcome
	}
	return o.take(s.conn.ExecPrepared(ctx, preparedName, nil, nil, nil))
}

// plan prepares a statement and runs it once, taken back, so that the server
// keeps a plan of it: what a plan has worked out in advance must not serve the
// next context.
func (s *session) plan(ctx context.Context, r request) error {
	if err := errors.Join(s.ahead(ctx, r), s.prepare(ctx, r.sql)); err != nil {
		return err
	}
	const savepoint = "bulkhead_plan"
	if err := s.exec(ctx, "SAVEPOINT "+savepoint); err != nil {
		return err
	}
	var ignored outcome // the row of the context's own org may be refused for many reasons
	ignored.note(s.runPrepared(ctx, r, &ignored))
	s.takeHeard()
	return s.exec(ctx, "ROLLBACK TO SAVEPOINT "+savepoint+"; RELEASE SAVEPOINT "+savepoint)
}

// forget closes the prepared statement. A connection that is broken shows at
// the next send.
func (s *session) forget(ctx context.Context) { _ = s.conn.Deallocate(ctx, preparedName) }
