package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// row is a row by its columns.
type row map[string]value

// planter makes canary rows as the administrator, parents before children.
type planter struct {
	conn  *pgx.Conn
	pop   *population
	marks marks
	maker maker
	orgs  [2]string
	// object are large objects with a mark in them, one of each org, that
	// belong to the application's role as everything that a session makes.
	object [2]uint32
}

// plantAll makes one row of each org in each table of the population, and
// notes in each member what came of it.
func (p *planter) plantAll(ctx context.Context) error {
	if _, err := p.conn.Exec(ctx, "SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return fmt.Errorf("defer constraints: %w", err)
	}
	for _, m := range p.pop.inOrder() {
		for _, side := range []Side{A, B} {
			if m.shared() && side == B {
				m.canary[B] = m.canary[A]
				continue
			}
			r, how, err := p.plant(ctx, m, side)
			if err != nil {
				return err
			}
			m.canary[side], m.canaryFrom = r, how
		}
	}
	return nil
}

// errNoCanary says why a table got no row.
type errNoCanary struct{ why string }

func (e *errNoCanary) Error() string { return e.why }

// plant makes one row. A table that takes none is no error: its member says
// why.
func (p *planter) plant(ctx context.Context, m *member, side Side) (row, string, error) {
	var why *errNoCanary
	r, err := p.generate(ctx, m, side)
	if err == nil {
		return r, "generated", nil
	}
	if !errors.As(err, &why) {
		return nil, "", err
	}
	r, err = p.copyRow(ctx, m, side)
	if err == nil {
		return r, "copied", nil
	}
	var second *errNoCanary
	if !errors.As(err, &second) {
		return nil, "", err
	}
	m.noCanary = why.why
	return nil, "none", nil
}

// maxGuesses bounds how often one row is tried.
const maxGuesses = 200

// generate makes a row by the types of its columns, and guesses what check
// constraints want.
func (p *planter) generate(ctx context.Context, m *member, side Side) (row, error) {
	r, err := p.draft(m, side, p.marks.long(m.marked(side)))
	if err != nil {
		return nil, err
	}
	return p.insertGuessing(ctx, m, side, r)
}

func (p *planter) insertGuessing(ctx context.Context, m *member, side Side, r row) (row, error) {
	tried := make(map[string]int) // by constraint: the next guess
	for range maxGuesses {
		full, err := p.insert(ctx, m, r)
		var pg *pgconn.PgError
		if err == nil || !errors.As(err, &pg) {
			return full, err
		}
		if !p.repair(m, side, r, pg, tried) {
			return nil, &errNoCanary{why: "no row could be made: " + describe(pg)}
		}
	}
	return nil, &errNoCanary{why: "no row could be made that satisfies the constraints"}
}

// repair changes a row after an error. It reports false if it knows nothing
// more to try.
func (p *planter) repair(m *member, side Side, r row, pg *pgconn.PgError, tried map[string]int) bool {
	switch pg.Code {
	case "23505": // unique_violation: a random value met another one
		tried[pg.ConstraintName]++
		if tried[pg.ConstraintName] > 3 {
			return false
		}
		again, err := p.draft(m, side, p.marks.long(m.marked(side)))
		if err != nil {
			return false
		}
		maps.Copy(r, again)
		return true
	case "23514": // check_violation
		column, definition := m.checkOf(pg, p.maker.types)
		if column == nil {
			return p.guessBound(m, side, r, tried)
		}
		mark := p.marks.mark(m.marked(side), m.rel.Name, 40)
		options := guesses(definition, mark)
		n := tried[pg.ConstraintName]
		tried[pg.ConstraintName]++
		if n >= len(options) {
			return false
		}
		r[column.Name] = value{text: options[n]}
		return true
	case "22P02", "22001", "22003", "22007", "22008": // a guess of the wrong form: the next one
		for name, n := range tried {
			if column, definition := m.checkNamed(name); column != nil {
				options := guesses(definition, p.marks.mark(m.marked(side), m.rel.Name, 40))
				if n < len(options) {
					tried[name]++
					r[column.Name] = value{text: options[n]}
					return true
				}
			}
		}
	}
	return false
}

// guessBound puts values of the partitions' bounds into the columns of the
// partition keys, and random ones where hashes decide: no partition takes the
// row as it is.
func (p *planter) guessBound(m *member, side Side, r row, tried map[string]int) bool {
	n := tried["partition"]
	tried["partition"]++
	bounds := m.bounds()
	if len(bounds) == 0 || n > maxGuesses/2 {
		return false
	}
	for _, b := range bounds {
		for i, name := range b.columns {
			c := m.rel.Column(name)
			if c == nil || m.carriesOrg(name) || m.references(c) {
				continue
			}
			if len(b.values) > 0 {
				if values := b.values[n%len(b.values)]; i < len(values) {
					r[name] = value{text: values[i]}
				}
				continue
			}
			if v, ok := p.maker.make(c.Type, true, func(width int) string { return p.marks.mark(m.marked(side), m.rel.Name, width) }); ok {
				r[name] = v
			}
		}
	}
	return true
}

// insert inserts a row under a savepoint and returns all of its columns.
func (p *planter) insert(ctx context.Context, m *member, r row) (row, error) {
	sql := insertSQL(m.rel, r, "") + " RETURNING " + textColumns(m.rel)
	if _, err := p.conn.Exec(ctx, "SAVEPOINT bulkhead_canary"); err != nil {
		return nil, fmt.Errorf("savepoint: %w", err)
	}
	full, err := readRow(ctx, p.conn, m.rel, sql)
	if err == nil && full == nil {
		err = &errNoCanary{why: "a trigger or rule took the row away"}
	}
	if err != nil {
		if _, undo := p.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT bulkhead_canary"); undo != nil {
			return nil, fmt.Errorf("roll back to savepoint: %w", undo)
		}
		return nil, err
	}
	_, err = p.conn.Exec(ctx, "RELEASE SAVEPOINT bulkhead_canary")
	return full, err
}

// copyRow takes an existing row, with new keys, the org of the side and marked
// texts.
func (p *planter) copyRow(ctx context.Context, m *member, side Side) (row, error) {
	old, err := readRow(ctx, p.conn, m.rel, "SELECT "+textColumns(m.rel)+" FROM "+m.rel.SQL()+" LIMIT 1")
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, &errNoCanary{why: "there is no row to copy"}
	}
	r, err := p.draft(m, side, p.marks.long(m.marked(side)))
	if err != nil {
		return nil, err
	}
	for _, c := range m.rel.Columns {
		if c.Generated != 0 || m.keyed(c) {
			delete(old, c.Name)
			continue
		}
		if _, _, text := m.textColumn(c); text && !m.checked(c) {
			delete(old, c.Name)
		}
	}
	for name, v := range r {
		if _, kept := old[name]; !kept {
			old[name] = v
		}
	}
	return p.insertGuessing(ctx, m, side, old)
}

// draft makes the values of a new row of a side. mark begins its texts.
func (p *planter) draft(m *member, side Side, mark string) (row, error) {
	r := make(row)
	for _, c := range m.rel.Columns {
		if c.Generated != 0 {
			continue
		}
		v, ok := p.column(m, c, side, mark)
		switch {
		case ok:
			r[c.Name] = v
		case c.NotNull && c.Default == "" && c.Identity == 0:
			return nil, &errNoCanary{why: "no value is known for column " + c.Name + " of type " + c.Type}
		}
	}
	if err := p.references(m, side, r); err != nil {
		return nil, err
	}
	if m.tenant != nil {
		r[m.tenant.Name] = value{text: p.pop.tenantValue(m, p.orgs[side], side)}
	}
	return r, nil
}

// column makes the value of a column that is no reference. ok is false where
// the default will do.
func (p *planter) column(m *member, c *inventory.Column, side Side, mark string) (value, bool) {
	unique := m.unique(c)
	if c.Default != "" && !unique && !m.partitionKey(c) {
		if _, _, text := m.textColumn(c); !text {
			return value{}, false
		}
		if m.checked(c) {
			return value{}, false
		}
	}
	return p.maker.make(c.Type, unique, func(width int) string {
		full := p.marks.mark(m.marked(side), m.rel.Name, width)
		if rest, ok := strings.CutPrefix(full, p.marks.long(m.marked(side))); ok {
			return mark + rest
		}
		return full
	})
}

// references fills in foreign keys with the canaries of the same side.
func (p *planter) references(m *member, side Side, r row) error {
	for _, fk := range m.foreignKeys() {
		parent := p.pop.member(fk.References)
		var from row
		if parent != nil {
			from = parent.canary[side]
		}
		if fk.References == m.rel {
			from = nil
		}
		for i, c := range fk.Columns {
			switch {
			case from != nil && !from[fk.ReferencedColumns[i].Name].null:
				r[c.Name] = from[fk.ReferencedColumns[i].Name]
			case m.tenant == c:
			case fk.References == m.rel && !c.NotNull:
				r[c.Name] = value{null: true}
			case fk.References == m.rel:
				r[c.Name] = r[fk.ReferencedColumns[i].Name]
			case !c.NotNull && !m.onPath(fk):
				r[c.Name] = value{null: true}
			default:
				return &errNoCanary{why: "its parent " + objectOf(fk.References) + " has no canary"}
			}
		}
	}
	return nil
}

func objectOf(r *inventory.Relation) string {
	if r == nil {
		return "in another schema"
	}
	return r.Object()
}

// insertSQL writes an INSERT. alias is put behind the table's name.
func insertSQL(rel *inventory.Relation, r row, alias string) string {
	var names, values []string
	overriding := ""
	for _, c := range rel.Columns {
		v, ok := r[c.Name]
		if !ok || c.Generated != 0 {
			continue
		}
		if c.Identity == 'a' {
			overriding = " OVERRIDING SYSTEM VALUE"
		}
		names, values = append(names, inventory.Quote(c.Name)), append(values, v.sql())
	}
	if len(names) == 0 {
		return "INSERT INTO " + rel.SQL() + alias + " DEFAULT VALUES"
	}
	return "INSERT INTO " + rel.SQL() + alias + " (" + strings.Join(names, ", ") + ")" + overriding + " VALUES (" + strings.Join(values, ", ") + ")"
}

// textColumns lists all columns of a relation as text.
func textColumns(rel *inventory.Relation) string {
	var out []string
	for _, c := range rel.Columns {
		out = append(out, inventory.Quote(c.Name)+"::text")
	}
	if len(out) == 0 {
		return "1"
	}
	return strings.Join(out, ", ")
}

// readRow runs a statement that returns textColumns, and takes the first row;
// nil if there is none.
func readRow(ctx context.Context, conn *pgx.Conn, rel *inventory.Relation, sql string) (row, error) {
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out row
	for rows.Next() {
		if out != nil {
			continue
		}
		out = make(row)
		for i, raw := range rows.RawValues() {
			if i < len(rel.Columns) {
				out[rel.Columns[i].Name] = value{text: string(raw), null: raw == nil}
			}
		}
	}
	return out, rows.Err()
}

// describe names an error without the values that its message may hold.
func describe(pg *pgconn.PgError) string {
	s := "error " + pg.Code
	if pg.ConstraintName != "" {
		s += " from constraint " + pg.ConstraintName
	}
	if pg.ColumnName != "" {
		s += " of column " + pg.ColumnName
	}
	return s
}

// marked is the side whose marks a row of the member carries.
func (m *member) marked(s Side) Side {
	if m.shared() {
		return neither
	}
	return s
}

// inOrder returns the tables that take rows of their own, parents before
// children. Where references run in a circle the order is by name.
func (p *population) inOrder() []*member {
	var out []*member
	state := make(map[*member]int)
	var visit func(m *member)
	visit = func(m *member) {
		if state[m] != 0 {
			return
		}
		state[m] = 1
		for _, fk := range m.foreignKeys() {
			if parent := p.member(fk.References); parent != nil && parent != m && (m.needs(fk) || !p.leadsTo(parent, m, make(map[*member]bool))) {
				visit(parent)
			}
		}
		out = append(out, m)
	}
	all := slices.Clone(p.members)
	slices.SortStableFunc(all, func(a, b *member) int { return cmp.Compare(rank(a), rank(b)) })
	for _, m := range all {
		if m.takesRows() {
			visit(m)
		}
	}
	return out
}

// needs reports whether a row cannot be without a reference.
func (m *member) needs(fk *inventory.Constraint) bool {
	return m.onPath(fk) || !optional(fk)
}

// leadsTo reports whether rows of one table cannot be without rows of another.
func (p *population) leadsTo(from, to *member, seen map[*member]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, fk := range from.foreignKeys() {
		if parent := p.member(fk.References); parent != nil && from.needs(fk) && p.leadsTo(parent, to, seen) {
			return true
		}
	}
	return false
}

// rank puts the root first, then what names the org itself.
func rank(m *member) int {
	switch m.class {
	case classRoot:
		return 0
	case classGlobal:
		return 1
	case classDirect:
		return 2
	}
	return 3
}
