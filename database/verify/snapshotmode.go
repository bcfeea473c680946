package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// The commands of snapshot mode alone.
const (
	cmdCompare  = "COMPARE"        // what a session sees beside the truth, in one snapshot
	cmdContexts = "COMPARE no org" // the same without a valid org
)

// snapshot compares what sessions of two existing orgs see with the truth. It
// writes nothing: the administrator's transactions are read-only, and a write
// probe aims at rows of the other org alone, in a transaction that is rolled
// back.
func (r *runner) snapshot(ctx context.Context) error {
	stages := r.stages()
	if len(stages) == 0 {
		return ErrNoWay
	}
	r.report.NotTested = append(r.report.NotTested,
		"statements that touch own rows too: UPDATE and DELETE without WHERE, TRUNCATE, LOCK, COPY FROM (canary and scratch mode try them)",
		"writing own rows: positive controls are reads",
		"the list of attacks (scratch mode tries it)")
	tx, err := r.admin.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("begin the administrator's snapshot: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // read-only: nothing is lost
	pop, err := newPopulation(ctx, tx, r.model, r.o.AppRole)
	if err != nil {
		return err
	}
	if err := r.chooseOrgs(ctx, tx, pop); err != nil {
		return err
	}
	t := &truth{tx: tx, pop: pop}
	if err := t.read(ctx); err != nil {
		return err
	}
	for _, s := range stages {
		defer s.close(context.WithoutCancel(ctx))
		r.report.Run.Walls = append(r.report.Run.Walls, s.wall)
		x := &matrix{
			pop: pop, model: r.model, marks: r.marks, server: r.snap.Server.Major(), stage: s, report: r.report, inplace: true, paths: r.o.Paths, tick: r.o.Progress,
			own:   func(m *member, s Side) int64 { return t.count[m][s] },
			fresh: func(m *member, s Side) row { return t.bare(m, s) },
		}
		if err := r.logins(ctx, s); err != nil {
			return err
		}
		c := &comparison{x: x, s: s, t: t}
		if err := c.run(ctx); err != nil {
			return err
		}
		if err := x.run(ctx); err != nil {
			return err
		}
	}
	r.concludeSnapshot(pop)
	return nil
}

// chooseOrgs takes the orgs that were named, or two that exist.
func (r *runner) chooseOrgs(ctx context.Context, q querier, pop *population) (err error) {
	if r.o.Orgs == [2]string{} {
		if r.o.Orgs, err = pop.someOrgs(ctx, q); err != nil {
			return err
		}
	}
	if r.o.Orgs[A] == "" || r.o.Orgs[B] == "" || r.o.Orgs[A] == r.o.Orgs[B] {
		return ErrNoOrgs
	}
	pop.orgs = r.o.Orgs
	return nil
}

// concludeSnapshot writes the relations of the report. A view without an org
// in it may still be proven through its tables.
func (r *runner) concludeSnapshot(pop *population) {
	for _, m := range pop.members {
		rel := m.conclude()
		if m.class == classDerived && rel.Status == NotProven {
			rel.Note = "nothing in it tells an org: canary mode can prove it"
			if pop.throughTables(m.rel) {
				rel.Status, rel.Control, rel.Note = Pass, "through its tables", "it runs with the rights of whoever reads it, over tables that are proven"
			}
		}
		r.report.Relations = append(r.report.Relations, rel)
	}
}

// throughTables reports whether a view runs as its caller, and reads only what
// is proven.
func (p *population) throughTables(rel *inventory.Relation) bool {
	if rel.Kind != inventory.View || !rel.SecurityInvoker() || len(rel.Uses.Functions) > 0 {
		return false
	}
	for _, used := range rel.Uses.Relations {
		m := p.member(used)
		switch {
		case used == rel:
		case m == nil, m.rel.Kind == inventory.MaterializedView:
			return false
		case m.rel.Kind == inventory.View:
			if !p.throughTables(used) {
				return false
			}
		case m.conclude().Status != Pass:
			return false
		}
	}
	return true
}

// someOrgs takes the first two orgs of the root table, or of the first table
// that carries the org.
func (p *population) someOrgs(ctx context.Context, q querier) (orgs [2]string, err error) {
	of := p.root
	for _, m := range p.members {
		if of == nil && m.class == classDirect && m.takesRows() {
			of = m
		}
	}
	if of == nil || of.tenant == nil {
		return orgs, &NothingError{}
	}
	column := inventory.Quote(of.tenant.Name)
	rows, err := q.Query(ctx, "SELECT DISTINCT "+column+"::text FROM "+of.rel.SQL()+" WHERE "+column+" IS NOT NULL ORDER BY 1 LIMIT 2")
	if err != nil {
		return orgs, fmt.Errorf("look for two orgs: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	copy(orgs[:], found)
	return orgs, err
}

// stages are the ways in that were given.
func (r *runner) stages() []*sessions {
	var out []*sessions
	if r.o.AppDSN != "" {
		out = append(out, newSessions(&r.o, Direct))
	}
	if r.o.ProxyDSN != "" {
		out = append(out, newSessions(&r.o, Proxy))
	}
	return out
}

// logins makes sure that both orgs can log in, and that nobody can without a
// valid token.
func (r *runner) logins(ctx context.Context, s *sessions) error {
	for _, side := range []Side{A, B} {
		if _, err := s.session(ctx, side, Other); err != nil {
			return &UnreachableError{What: wallName(s.wall) + ", as org " + side.String() + ",", Err: err}
		}
	}
	if s.wall != Proxy {
		return nil
	}
	for _, c := range r.o.Logins {
		cell := Cell{
			ID: "*/*/" + string(c) + "/" + string(Login) + "/" + string(Proxy), Relation: "*", Command: "*", Context: string(c), Path: string(Login),
			Wall: Proxy, Direction: "A->B", Statement: "login", Expected: "no session", Status: Pass,
		}
		conn, err := s.connect(ctx, A, c, r.o.label)
		var tokenless *TokenError
		switch {
		case err == nil:
			conn.close(ctx)
			cell.Status, cell.Got, cell.Note = Leak, "a session", "a client without a valid token was let in"
		case errors.As(err, &tokenless):
			cell.Status, cell.Got, cell.Note = Skipped, "", err.Error()
		default:
			o := loginOutcome(err)
			cell.Got, cell.SQLState = o.got(), o.code()
			if !strings.HasPrefix(o.code(), "28") {
				cell.Status, cell.Note = NotProven, "the login failed for another reason"
			}
		}
		r.report.Matrix = append(r.report.Matrix, cell)
	}
	return nil
}

// TokenError says that a token for a context cannot be had.
type TokenError struct{ Why string }

func (e *TokenError) Error() string { return e.Why }

// truth is what the administrator sees.
type truth struct {
	tx       pgx.Tx
	pop      *population
	snapshot string
	count    map[*member][2]int64
	digest   map[*member][2]string
}

// read exports the snapshot and reads counts, digests and one row of each org.
func (t *truth) read(ctx context.Context) error {
	t.count, t.digest = make(map[*member][2]int64), make(map[*member][2]string)
	if err := t.tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&t.snapshot); err != nil {
		return fmt.Errorf("export the snapshot: %w", err)
	}
	for _, m := range t.pop.members {
		if !m.tenantOwned() || !m.reachable || m.foreign() {
			continue
		}
		var n [2]int64
		var d [2]string
		for _, s := range []Side{A, B} {
			where := " FROM " + m.rel.SQL() + " t WHERE " + t.pop.condition(m, "t", t.pop.orgs[s])
			if err := t.tx.QueryRow(ctx, "SELECT count(*), "+digestOf(m)+where).Scan(&n[s], &d[s]); err != nil {
				return fmt.Errorf("read the truth of %s: %w", m.rel.Object(), err)
			}
			r, err := readRow(ctx, t.tx.Conn(), m.rel, "SELECT "+textColumns(m.rel)+where+" LIMIT 1")
			if err != nil {
				return fmt.Errorf("read a row of %s: %w", m.rel.Object(), err)
			}
			if r != nil {
				m.canary[s], m.canaryFrom = r, "existing"
			}
		}
		t.count[m], t.digest[m] = n, d
		if m.canary[A] == nil || m.canary[B] == nil {
			m.noCanary = "one of the orgs has no row in it"
		}
	}
	return nil
}

// now asks about the present, not the snapshot.
func (t *truth) now(ctx context.Context, sql string, keys []string, n *int) error {
	conn, err := pgx.ConnectConfig(ctx, t.tx.Conn().Config())
	if err != nil {
		return fmt.Errorf("connect once more: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return conn.QueryRow(ctx, sql, keys).Scan(n)
}

// digestOf is an expression over all rows that knows no order: of the key, or
// of what the application may read.
func digestOf(m *member) string {
	columns := m.key()
	for _, c := range columns {
		if !m.may("SELECT", c) {
			columns = nil
			break
		}
	}
	if len(columns) == 0 {
		columns = m.seen()
	}
	if len(columns) == 0 {
		return "''"
	}
	var parts []string
	for _, c := range columns {
		parts = append(parts, "t."+inventory.Quote(c.Name)+"::text")
	}
	return "coalesce(sum(hashtextextended(concat_ws(',', " + strings.Join(parts, ", ") + "), 0)), 0)::text"
}

// bare is a row that claims to be of an org and has nothing else: row security
// judges it before any constraint does, so it never comes to exist. Values
// that a default would make, and a sequence lose, are named.
func (t *truth) bare(m *member, s Side) row {
	old := m.canary[s]
	if old == nil || !m.tenantOwned() {
		return nil
	}
	out := make(row)
	for _, c := range m.rel.Columns {
		onPath := false
		if m.path != nil {
			for _, p := range m.path.Columns {
				onPath = onPath || p == c
			}
		}
		switch {
		case c.Generated != 0:
		case m.tenant == c, onPath, m.unique(c), m.partitionKey(c):
			out[c.Name] = old[c.Name]
		case c.Default != "" || c.Identity != 0:
			out[c.Name] = value{null: true}
		}
	}
	return out
}

// comparison compares what sessions see with the truth.
type comparison struct {
	x *matrix
	s *sessions
	t *truth
}

func (c *comparison) run(ctx context.Context) error {
	for _, side := range []Side{A, B} {
		if err := c.of(ctx, side, Other, cmdCompare); err != nil {
			return err
		}
	}
	for _, kind := range c.s.contexts() {
		if kind == Same || kind == Other {
			continue
		}
		if err := c.of(ctx, A, kind, cmdContexts); err != nil {
			return err
		}
	}
	return nil
}

// of compares all relations as one session, in the administrator's snapshot.
func (c *comparison) of(ctx context.Context, side Side, kind Context, command string) error {
	conn, err := c.s.session(ctx, side, kind)
	if err != nil {
		return &UnreachableError{What: wallName(c.s.wall), Err: err}
	}
	shared := conn.exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT "+literal(c.t.snapshot)) == nil
	if !shared {
		if err := conn.exec(ctx, "ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
	}
	defer func() { _ = conn.exec(context.WithoutCancel(ctx), "ROLLBACK") }() // a lost connection shows at its next use
	for _, m := range c.t.pop.members {
		if !m.tenantOwned() || !m.reachable || len(m.seen()) == 0 || m.foreign() {
			continue
		}
		c.x.tick(m.rel.Object())
		if err := conn.exec(ctx, "SAVEPOINT bulkhead_compare"); err != nil {
			return fmt.Errorf("savepoint: %w", err)
		}
		c.one(ctx, conn, m, side, kind, command, shared)
		if err := conn.exec(ctx, "ROLLBACK TO SAVEPOINT bulkhead_compare"); err != nil {
			return fmt.Errorf("roll back to savepoint: %w", err)
		}
	}
	return nil
}

// one compares one relation.
func (c *comparison) one(ctx context.Context, conn *session, m *member, side Side, kind Context, name string, shared bool) {
	sql := "SELECT count(*), " + digestOf(m) + " FROM " + m.rel.SQL() + " t"
	o := conn.send(ctx, Simple, request{sql: sql})
	cell := c.x.cell(m, &command{name: name}, kind, Simple, side, side.Other())
	cell.fill(sql, &o)
	cell.Expected, cell.Status = fmt.Sprintf("the %d rows of org %s and no others", c.t.count[m][side], side), Pass
	if kind != Other {
		cell.Expected = "no rows"
	}
	switch {
	case o.err != nil && kind == Other && o.err.Code == "42501":
		cell.Note = "refused altogether"
	case o.err != nil && kind == Other || o.broken != nil:
		cell.Status, cell.Note = NotProven, "no answer"
	case o.err != nil:
	case kind != Other && o.rows[0][0] != "0":
		cell.Status, cell.Note, m.leaked = Leak, o.rows[0][0]+" rows are visible without a valid org", true
	case kind == Other:
		cell.Got = o.rows[0][0] + " rows"
		c.judge(ctx, conn, cell, m, side, &o, shared)
	}
	c.x.report.Matrix = append(c.x.report.Matrix, *cell)
}

// judge tells what it means that a session sees a number of rows.
func (c *comparison) judge(ctx context.Context, conn *session, cell *Cell, m *member, side Side, o *outcome, shared bool) {
	want := fmt.Sprint(c.t.count[m][side])
	if o.rows[0][0] == want && o.rows[0][1] == c.t.digest[m][side] {
		m.visible[side] = m.visible[side] || want != "0"
		return
	}
	foreign, seen, err := c.foreign(ctx, conn, m, side, shared)
	switch {
	case err != nil:
		cell.Status, cell.Note = NotProven, "the rows that are seen could not be told apart: "+err.Error()
	case foreign > 0:
		cell.Status, cell.Note, m.leaked = Leak, fmt.Sprintf("%d of the rows that are seen do not belong to org %s", foreign, side), true
	case !shared:
		cell.Note = "the snapshot was not shared; every row that is seen belongs to the org"
		m.visible[side] = m.visible[side] || seen > 0
	default:
		cell.Note = fmt.Sprintf("the session sees %d of the org's own rows: a narrower policy", seen)
		m.visible[side] = m.visible[side] || seen > 0
	}
}

// maxCompared is how many keys of one relation are compared one by one.
const maxCompared = 20_000

// foreign counts the rows that a session sees and that are not its org's.
func (c *comparison) foreign(ctx context.Context, conn *session, m *member, side Side, shared bool) (foreign, seen int, err error) {
	columns := m.key()
	if len(columns) == 0 {
		columns = m.seen()
	}
	var parts []string
	for _, k := range columns {
		if !m.may("SELECT", k) {
			return 0, 0, errors.New("the application may not read the key")
		}
		parts = append(parts, "t."+inventory.Quote(k.Name)+"::text")
	}
	key := "concat_ws(',', " + strings.Join(parts, ", ") + ")"
	o := conn.send(ctx, Simple, request{sql: fmt.Sprintf("SELECT %s FROM %s t LIMIT %d", key, m.rel.SQL(), maxCompared)})
	if o.err != nil || o.broken != nil {
		return 0, 0, errors.New(o.got())
	}
	keys := make([]string, len(o.rows))
	for i, r := range o.rows {
		keys[i] = r[0]
	}
	row := "SELECT 1 FROM " + m.rel.SQL() + " t WHERE " + key + " = k.v"
	theirs := "NOT EXISTS (" + row + " AND " + c.t.pop.condition(m, "t", c.t.pop.orgs[side]) + ")"
	if !shared {
		// The session sees another moment than the administrator: rows may have
		// come since. Those that are there now must be another org's.
		theirs += " AND EXISTS (" + row + ")"
	}
	sql := "SELECT count(*) FROM unnest($1::text[]) k(v) WHERE " + theirs
	if shared {
		err = c.t.tx.QueryRow(ctx, sql, keys).Scan(&foreign)
	} else {
		err = c.t.now(ctx, sql, keys, &foreign)
	}
	if err != nil {
		return 0, 0, err
	}
	return foreign, len(keys), nil
}
