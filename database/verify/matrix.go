package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
	"github.com/pgbulkhead/bulkhead/parser"
)

// Context is what a session says of its org, seen from the row aimed at.
type Context string

// The contexts of the matrix.
const (
	Same    Context = "same"    // the org of the row: the positive control
	Other   Context = "other"   // the other org
	None    Context = "none"    // never set, or no token
	Empty   Context = "empty"   // an empty text, or a token whose org is empty
	Garbage Context = "garbage" // what is no org
	Expired Context = "expired" // a signature or token past its time
)

// stage is a way in on which probes are tried. What a probe does is undone
// before the next one.
type stage interface {
	way() Wall
	// contexts are those in which a session exists at all.
	contexts() []Context
	paths() []Path
	try(ctx context.Context, t try) outcome
}

// try is one request of one session.
type try struct {
	actor   Side
	aim     Side // whose context a prepared statement was prepared in
	context Context
	path    Path
	request request
	// unplanned leaves a prepared statement unexecuted in the context of aim:
	// in snapshot mode even a write of an own row that is taken back is one.
	unplanned bool
}

// matrix runs all commands over all members.
type matrix struct {
	pop     *population
	model   *inventory.Model
	marks   marks
	server  int
	stage   stage
	report  *Report
	inplace bool // snapshot mode: nothing that touches own rows
	paths   []Path
	own     func(m *member, s Side) int64
	fresh   func(m *member, s Side) row
	tick    func(done string) // progress
}

// run tries everything. It stops early only when ctx ends.
func (x *matrix) run(ctx context.Context) error {
	for _, m := range x.pop.members {
		if err := ctx.Err(); err != nil {
			return err
		}
		x.tick(m.rel.Object())
		switch {
		case !m.reachable:
			x.unreachable(ctx, m)
		case m.class == classGlobal && !m.rel.HoldsRows(), m.class == classUnknown, m.foreign():
		case m.class == classDerived:
			if x.inplace && m.orgColumn != nil {
				x.byColumn(ctx, m)
			}
			x.derived(ctx, m)
		default:
			x.table(ctx, m)
		}
	}
	x.functions(ctx)
	x.sequences(ctx)
	return nil
}

// directions are actor and aim: A's session at B's row, and the other way.
var directions = [2][2]Side{{A, B}, {B, A}}

// table tries all commands on a table.
func (x *matrix) table(ctx context.Context, m *member) {
	for _, d := range directions {
		list := slices.Concat(commands, x.references(m), []command{x.changing()})
		for i := range list {
			c := &list[i]
			if x.inplace && c.whole {
				continue
			}
			var control *outcome
			if !m.shared() && !c.always && !(x.inplace && c.writes) && !(x.inplace && c.name == cmdForUpdate) {
				control = x.control(ctx, m, c, d[0])
			}
			x.cells(ctx, m, c, d, control)
		}
	}
	if x.inplace {
		x.truncateByRight(ctx, m)
	}
}

// control tries a command on an own row, by all paths, and returns the outcome
// of the first.
func (x *matrix) control(ctx context.Context, m *member, c *command, actor Side) *outcome {
	p := x.probe(m, actor, actor)
	r, skip := c.request(p)
	var first *outcome
	for _, path := range x.paths {
		cell := x.cell(m, c, Same, path, actor, actor)
		cell.Expected = "works on an own row"
		if skip != "" {
			x.skip(cell, skip)
			continue
		}
		o := x.stage.try(ctx, try{actor: actor, aim: actor, context: Same, path: path, request: r})
		if first == nil {
			first = &o
		}
		cell.fill(r.sql, &o)
		worked := c.hits(p, &o) != "" || c.hit != nil && o.err == nil && o.broken == nil
		switch {
		case worked:
			cell.Status = Pass
			if c.name == cmdSelect {
				m.visible[actor] = true
			}
		case o.broken != nil:
			cell.Status, cell.Note = NotProven, "the connection ended"
		case o.rule() != "":
			cell.Status, cell.Note = Skipped, "the proxy refuses it for own rows as well"
		case c.privilege != "" && !m.may(c.privilege, nil) && !m.mayOnSome(c.privilege):
			cell.Status, cell.Note = Skipped, "the role has no "+c.privilege
			m.denied = m.denied || c.name == cmdSelect
		default:
			cell.Status, cell.Note = Skipped, "refused for own rows as well: a refusal of the other org's proves little"
		}
		x.report.Matrix = append(x.report.Matrix, *cell)
	}
	return first
}

func (m *member) mayOnSome(privilege string) bool {
	return slices.ContainsFunc(m.rel.Columns, func(c *inventory.Column) bool { return m.privileges[privilege+" "+c.Name] })
}

// cells tries a command at the other org's row, in every context and by every
// path.
func (x *matrix) cells(ctx context.Context, m *member, c *command, d [2]Side, control *outcome) {
	p := x.probe(m, d[0], d[1])
	if m.shared() && (c.privilege == "SELECT" || c.name == cmdForUpdate || c.name == cmdLock) {
		return // all orgs read it, by declaration
	}
	r, skip := c.request(p)
	for _, context := range x.stage.contexts() {
		if context == Same {
			continue
		}
		for _, path := range x.paths {
			cell := x.cell(m, c, context, path, d[0], d[1])
			cell.Expected = refusedOrNothing
			if context != Other {
				cell.Expected = "no row of any org"
			}
			if skip != "" {
				x.skip(cell, skip)
				continue
			}
			o := x.stage.try(ctx, try{
				actor: d[0], aim: d[1], context: context, path: path, request: r, unplanned: x.inplace && (c.writes || c.name == cmdForUpdate),
			})
			cell.fill(r.sql, &o)
			cell.Status, cell.Note = x.judge(c, p, context, r, &o, control)
			if cell.Status == Leak {
				m.leaked = true
			}
			x.report.Matrix = append(x.report.Matrix, *cell)
		}
	}
}

// judge decides one cell.
func (x *matrix) judge(c *command, p *probe, context Context, r request, o *outcome, control *outcome) (Status, string) {
	if x.marks.shows(o, p.aim) && !x.marks.in(r.sql, p.aim) {
		return Leak, "a marked text of the other org came back"
	}
	if o.rule() != "" {
		return Pass, ""
	}
	if context != Other && c.hit != nil && c.name != cmdExplain && !c.always {
		// A session without an org owns no rows at all.
		if o.err == nil && o.broken == nil && o.affected > 0 {
			return Leak, "rows were touched without an org"
		}
	} else if what := c.hits(p, o); what != "" {
		if c.proxyOnly && x.stage.way() == Direct {
			return Exposed, what + ": only the proxy refuses it"
		}
		if p.m.class == classGlobal {
			what = "tenants can write to each other through a global table"
		}
		return Leak, what
	}
	switch {
	case o.broken != nil:
		return NotProven, "the connection ended before there was an answer"
	case o.err == nil:
		return x.withControl(c, p, control)
	case inconclusive(o.err.Code):
		return NotProven, "no answer in time: " + o.err.Code
	case o.err.Code == "23514" && o.err.ConstraintName == "":
		return NotProven, "no partition takes the probe's row, which is looked for before row security"
	case strings.HasPrefix(o.err.Code, "23") && o.err.DataTypeName != "":
		return NotProven, "the domain of a column refused the probe's own value"
	case c.name == cmdDeleteAll && o.err.Code == "23503":
		return Skipped, "a reference to a row stopped it; it may have been an own one"
	case c.writes && strings.HasPrefix(o.err.Code, "23"):
		return Leak, "row security let the row through; only a constraint stopped it"
	}
	return Pass, ""
}

// withControl is the verdict on a statement that ran and reached nothing: it
// proves something only if it would have reached an own row.
func (x *matrix) withControl(c *command, p *probe, control *outcome) (Status, string) {
	if control == nil || c.always || control.err != nil || c.hits(x.probe(p.m, p.actor, p.actor), control) != "" || c.hit != nil {
		return Pass, ""
	}
	return NotProven, "the own row was not reached either"
}

// inconclusive reports whether an error says nothing about rights.
func inconclusive(code string) bool {
	switch code {
	case "55P03", "57014", "40001", "40P01", "53300", "57P01", "57P02", "57P03":
		return true
	}
	return strings.HasPrefix(code, "08")
}

func (x *matrix) probe(m *member, actor, aim Side) *probe {
	p := &probe{m: m, aim: aim, actor: actor, server: x.server, org: x.pop.orgs[aim], ownOrg: x.pop.orgs[actor]}
	p.where, _ = m.predicate(m.canary[aim])
	if !x.inplace || m.canary[aim] != nil {
		p.fresh = x.fresh(m, aim)
	}
	if p.fresh != nil && m.canary[aim] != nil {
		p.clash = make(row)
		for k, v := range p.fresh {
			p.clash[k] = v
		}
		for _, c := range m.key() {
			p.clash[c.Name] = m.canary[aim][c.Name]
		}
	}
	p.own = x.own(m, actor)
	return p
}

func (x *matrix) cell(m *member, c *command, context Context, path Path, actor, aim Side) *Cell {
	direction := actor.String() + "->" + aim.String()
	return &Cell{
		ID:       strings.Join([]string{m.rel.Object(), c.name, string(context), string(path), string(x.stage.way()), direction}, "/"),
		Relation: m.rel.Object(), Command: c.name, Context: string(context), Path: string(path), Wall: x.stage.way(), Direction: direction,
	}
}

func (x *matrix) skip(cell *Cell, why string) {
	cell.Status, cell.Note = Skipped, why
	x.report.Matrix = append(x.report.Matrix, *cell)
}

// fill puts statement and answer into a cell.
func (c *Cell) fill(sql string, o *outcome) {
	c.Statement, c.Got, c.SQLState, c.Rule = parser.Redact(sql), o.got(), o.code(), o.rule()
}

// unreachable makes sure that a relation without any privilege is refused.
func (x *matrix) unreachable(ctx context.Context, m *member) {
	m.denied = true
	for _, d := range directions {
		c := &commands[0]
		cell := x.cell(m, c, Other, Simple, d[0], d[1])
		cell.Expected = "refused: the role has no privilege"
		r := request{sql: "SELECT 1 FROM " + m.rel.SQL()}
		o := x.stage.try(ctx, try{actor: d[0], aim: d[1], context: Other, path: Simple, request: r})
		cell.fill(r.sql, &o)
		switch {
		case o.err != nil && !inconclusive(o.err.Code):
			cell.Status = Pass
		case o.err != nil || o.broken != nil:
			cell.Status, cell.Note = NotProven, "no answer"
		default:
			cell.Status, cell.Note = Leak, "it could be read without a privilege"
			m.leaked = true
		}
		x.report.Matrix = append(x.report.Matrix, *cell)
	}
}

// maxShown is how many rows of a view snapshot mode looks at.
const maxShown = 1000

// byColumn looks for rows of other orgs in a view that has a column for the
// org. The session names its own org only: the proxy refuses any other.
func (x *matrix) byColumn(ctx context.Context, m *member) {
	column := inventory.Quote(m.orgColumn.Name) + "::text"
	for _, d := range directions {
		own := literal(x.pop.orgs[d[0]])
		for _, c := range []struct {
			context Context
			where   string
		}{{Same, column + " = " + own}, {Other, column + " IS DISTINCT FROM " + own}} {
			cell := x.cell(m, &command{name: cmdCompare}, c.context, Simple, d[0], d[1])
			r := request{sql: "SELECT 1 FROM " + m.rel.SQL() + " WHERE " + c.where + " LIMIT 1"}
			o := x.stage.try(ctx, try{actor: d[0], aim: d[1], context: Other, path: Simple, request: r})
			cell.fill(r.sql, &o)
			cell.Expected, cell.Status = refusedOrNothing, Pass
			switch {
			case o.broken != nil || o.err != nil && o.err.Code != "42501":
				cell.Status, cell.Note = NotProven, "no answer"
			case c.context == Same:
				cell.Expected = "own rows"
				m.visible[d[0]] = m.visible[d[0]] || len(o.rows) > 0
				m.denied = m.denied || o.err != nil
			case len(o.rows) > 0:
				cell.Status, cell.Note, m.leaked = Leak, "it shows rows that are not the org's", true
			}
			x.report.Matrix = append(x.report.Matrix, *cell)
		}
	}
}

// derived tries to see and write other orgs' rows through views and
// materialized views.
func (x *matrix) derived(ctx context.Context, m *member) {
	name := m.rel.SQL()
	var first *inventory.Column
	for _, c := range m.seen() {
		// An identity column behind the view cannot be set; texts are none.
		if _, _, text := m.textColumn(c); first == nil || text {
			first = c
		}
	}
	type derivedCommand struct {
		name, sql string
		then      string
		copy      copyKind
	}
	if x.inplace {
		name += fmt.Sprintf(" LIMIT %d", maxShown)
	}
	list := []derivedCommand{
		{name: cmdSelect, sql: "SELECT * FROM " + name},
		{name: cmdCopyQuery, sql: "COPY (SELECT * FROM " + name + ") TO STDOUT", copy: copyOut},
		{name: cmdCursor, sql: "DECLARE bulkhead_c CURSOR FOR SELECT * FROM " + name, then: "FETCH ALL FROM bulkhead_c"},
	}
	if m.rel.Kind == inventory.View && first != nil && !x.inplace {
		list = append(list,
			derivedCommand{name: cmdUpdateAll, sql: "UPDATE " + name + " SET " + set(first, first) + " RETURNING *"},
			derivedCommand{name: cmdDeleteAll, sql: "DELETE FROM " + name + " RETURNING *"})
	}
	for _, d := range directions {
		for _, dc := range list {
			for _, path := range x.paths {
				for _, context := range x.stage.contexts() {
					aim := d[1]
					if context == Same {
						aim = d[0]
					}
					c := &command{name: dc.name}
					cell := x.cell(m, c, context, path, d[0], aim)
					r := request{sql: dc.sql, then: dc.then, copy: dc.copy}
					o := x.stage.try(ctx, try{actor: d[0], aim: d[1], context: context, path: path, request: r})
					cell.fill(r.sql, &o)
					x.judgeDerived(cell, m, d, context, &o)
					x.report.Matrix = append(x.report.Matrix, *cell)
				}
			}
		}
	}
}

func (x *matrix) judgeDerived(cell *Cell, m *member, d [2]Side, context Context, o *outcome) {
	cell.Expected = refusedOrNothing
	if context == Same {
		cell.Expected = "shows own rows only"
		if x.shows(o, d[0]) {
			cell.Status = Pass
			m.visible[d[0]] = true
		} else {
			cell.Status, cell.Note = Skipped, "no own row was recognised"
		}
		if o.err != nil && o.err.Code == "42501" && cell.Command == cmdSelect {
			m.denied = true
		}
		if x.shows(o, d[1]) {
			cell.Status, cell.Note, m.leaked = Leak, "it shows the other org's rows", true
		}
		return
	}
	switch {
	case x.shows(o, d[1]) || context != Other && x.shows(o, d[0]):
		cell.Status, cell.Note, m.leaked = Leak, "it shows the other org's rows", true
	case o.broken != nil || o.err != nil && inconclusive(o.err.Code):
		cell.Status, cell.Note = NotProven, "no answer"
	default:
		cell.Status = Pass
	}
}

// shows reports whether an outcome shows something of an org: a mark, or the
// org's own key as a value.
func (x *matrix) shows(o *outcome, s Side) bool {
	if x.marks.shows(o, s) {
		return true
	}
	org := x.pop.orgs[s]
	for _, row := range o.rows {
		if slices.Contains(row, org) {
			return true
		}
	}
	for _, line := range strings.Split(string(o.copied), "\n") {
		if slices.Contains(strings.Split(line, "\t"), org) {
			return true
		}
	}
	return false
}

// conclude turns what was seen of each member into the report's relations.
func (x *matrix) conclude() {
	for _, m := range x.pop.members {
		x.report.Relations = append(x.report.Relations, m.conclude())
	}
}

func (m *member) conclude() Relation {
	r := Relation{Name: m.rel.Object(), Kind: m.rel.Kind.String(), Class: m.class, Canary: m.canaryFrom, Status: Pass}
	switch {
	case m.leaked:
		r.Status, r.Control = Leak, visibility(m)
	case !m.reachable || m.denied:
		r.Control, r.Note = "denied", "the application's role may not read it"
	case m.class == classGlobal:
		r.Control, r.Note = "shared", "declared to belong to no tenant: only writing was tried"
		if !m.rel.HoldsRows() {
			r.Status, r.Note = Skipped, "shows no tenant's rows"
		}
	case m.class == classUnknown:
		r.Status, r.Control = NotProven, "none"
		r.Note = "no way to a tenant was found: declare it global, or name its tenant column"
	case m.rel.Kind == inventory.ForeignTable:
		r.Status, r.Control = NotProven, "none"
		r.Note = "row security cannot apply to a foreign table: revoke what the application may do with it"
	case m.unproven != "":
		r.Status, r.Control, r.Note = NotProven, visibility(m), m.unproven
	case m.noCanary != "":
		r.Status, r.Control, r.Note = NotProven, "none", m.noCanary
	case m.visible[A] && m.visible[B]:
		r.Control = visibility(m)
	default:
		r.Status, r.Control = NotProven, visibility(m)
		r.Note = "the own row was not visible: what is broken looks isolated"
	}
	return r
}

func visibility(m *member) string {
	switch {
	case m.visible[A] && m.visible[B]:
		return "own rows visible"
	case m.visible[A] || m.visible[B]:
		return fmt.Sprintf("own rows visible to org %s only", map[bool]string{true: "A", false: "B"}[m.visible[A]])
	}
	return "own rows not visible"
}
