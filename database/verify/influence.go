package verify

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// influence proves what a mark cannot: that what one org sees through a view,
// counts and sums included, does not change when rows of the other org come.
// Own rows must change it, or the view tells nothing.
//
// change inserts rows of an org and refreshes materialized views; undo, if not
// nil, takes that back.
type influence struct {
	x      *matrix
	change func(ctx context.Context, s Side) error
	undo   func(ctx context.Context) error
}

// cmdInfluence is the name of this proof among the commands of the matrix.
const cmdInfluence = "INFLUENCE"

// measure is what an org sees of a view: rows and a digest that knows no
// order.
func (f *influence) measure(ctx context.Context, m *member, s Side) (string, *outcome) {
	r := request{sql: "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM " + m.rel.SQL() + " t"}
	o := f.x.stage.try(ctx, try{actor: s, aim: s, context: Same, path: Simple, request: r})
	if o.err != nil || o.broken != nil || len(o.rows) == 0 {
		return "", &o
	}
	return fmt.Sprint(o.rows[0]), &o
}

// run measures all views of an org before and after a change.
func (f *influence) run(ctx context.Context) error {
	for _, d := range [4][2]Side{{A, A}, {A, B}, {B, B}, {B, A}} {
		if err := f.one(ctx, d[0], d[1]); err != nil {
			return err
		}
	}
	return nil
}

// one tells whether rows of the org of changed show to actor.
func (f *influence) one(ctx context.Context, actor, changed Side) error {
	type reading struct {
		m      *member
		before string
		stable bool
	}
	var readings []reading
	for _, m := range f.x.pop.members {
		if m.class != classDerived || !m.reachable || m.denied {
			continue
		}
		first, o := f.measure(ctx, m, actor)
		if o.err != nil || o.broken != nil {
			continue
		}
		again, _ := f.measure(ctx, m, actor)
		readings = append(readings, reading{m, first, first == again})
	}
	if len(readings) == 0 {
		return nil
	}
	if err := f.change(ctx, changed); err != nil {
		return err
	}
	for _, r := range readings {
		after, o := f.measure(ctx, r.m, actor)
		f.judge(r.m, actor, changed, r.stable, r.before != after, o)
	}
	if f.undo != nil {
		return f.undo(ctx)
	}
	return nil
}

func (f *influence) judge(m *member, actor, changed Side, stable, differs bool, o *outcome) {
	context := Other
	if actor == changed {
		context = Same
	}
	cell := f.x.cell(m, &command{name: cmdInfluence}, context, Simple, actor, changed)
	cell.Statement, cell.Got = "the view before and after rows of org "+changed.String()+" came", o.got()
	cell.Expected, cell.Status = "no change", Pass
	switch {
	case !stable:
		cell.Status, cell.Note = Skipped, "it changes by itself"
	case o.err != nil || o.broken != nil:
		cell.Status, cell.Note = NotProven, "no answer"
	case context == Same:
		cell.Expected = "a change"
		if differs {
			m.visible[actor] = true
		} else {
			cell.Status, cell.Note = Skipped, "own rows do not show"
		}
	case differs:
		cell.Status, cell.Note, m.leaked = Leak, "rows of the other org change what is seen", true
	}
	f.x.report.Matrix = append(f.x.report.Matrix, *cell)
}

// influence runs the proof inside the transaction of the canaries.
func (r *runner) influence(ctx context.Context, x *matrix, p *planter) error {
	f := &influence{x: x}
	const savepoint = "bulkhead_influence"
	f.change = func(ctx context.Context, s Side) error {
		if _, err := p.conn.Exec(ctx, "SAVEPOINT "+savepoint); err != nil {
			return fmt.Errorf("savepoint: %w", err)
		}
		return p.more(ctx, s)
	}
	f.undo = func(ctx context.Context) error {
		_, err := p.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT "+savepoint+"; RELEASE SAVEPOINT "+savepoint, pgx.QueryExecModeSimpleProtocol)
		return err
	}
	return f.run(ctx)
}

// more adds one more row of an org to each table that takes one, and brings
// materialized views up to date.
func (p *planter) more(ctx context.Context, s Side) error {
	for _, m := range p.pop.inOrder() {
		if !m.tenantOwned() || m.class == classRoot {
			continue
		}
		r := p.fresh(m, s)
		if r == nil {
			continue
		}
		if err := p.try(ctx, insertSQL(m.rel, r, "")); err != nil {
			return err
		}
	}
	return p.refresh(ctx)
}

// refresh brings the materialized views that the application may read up to
// date. One that cannot be is not proven.
func (p *planter) refresh(ctx context.Context) error {
	for _, m := range p.pop.members {
		if m.rel.Kind != inventory.MaterializedView || !m.reachable || m.class != classDerived {
			continue
		}
		if err := p.try(ctx, "REFRESH MATERIALIZED VIEW "+m.rel.SQL()); err != nil {
			return err
		}
	}
	return nil
}

// try runs a statement under a savepoint. Its failure changes nothing; only a
// lost connection is an error.
func (p *planter) try(ctx context.Context, sql string) error {
	if _, err := p.conn.Exec(ctx, "SAVEPOINT bulkhead_try"); err != nil {
		return fmt.Errorf("savepoint: %w", err)
	}
	end := "RELEASE SAVEPOINT bulkhead_try"
	if _, err := p.conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		end = "ROLLBACK TO SAVEPOINT bulkhead_try"
	}
	_, err := p.conn.Exec(ctx, end)
	return err
}
