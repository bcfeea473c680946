package verify

import (
	"context"
	"slices"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// What is beside the commands on tables: references into the other org,
// values that change while a statement runs, functions that run as their
// owner, and sequences.

// The commands of this file.
const (
	cmdReference = "INSERT with a reference to the other org's row" // one for each foreign key
	cmdChanging  = "SELECT with a value that changes meanwhile"
	cmdCall      = "CALL" // of a function that runs as its owner
	cmdSetval    = "SETVAL"
)

// changing is about the planner, which takes a client's equation for
// interchangeable with a policy's and asks once whether they agree. Past the
// proxy it adds nothing to a plain context, which a session can set anyway.
func (x *matrix) changing() command {
	return command{name: cmdChanging, privilege: "SELECT", always: true, request: changingRequest, hit: crossed, proxyOnly: !signed(x.model.Snapshot)}
}

// crossed is the hit of a statement that returns keys of orgs.
func crossed(p *probe, o *outcome) string {
	for _, row := range o.rows {
		if slices.Contains(row, p.org) {
			return "the condition was asked once, not of each row"
		}
	}
	return ""
}

// changingRequest compares the column of the org with a setting that is the own
// org's at first, and the other one's as soon as a row has been looked at.
func changingRequest(p *probe) (request, string) {
	switch c := p.m.tenant; {
	case p.aim == p.actor:
		return request{}, "own rows are an org's own"
	case c == nil || p.m.byColumn != nil:
		return request{}, "it has no column with the org's key"
	case !p.m.may("SELECT", c):
		return request{}, "the role may not read the column of the org"
	default:
		const setting = "'bulkhead_verify.org'"
		column := inventory.Quote(c.Name)
		return request{
			before: "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_indexonlyscan = off",
			// CASE, not coalesce: the planner takes only what it knows to be leakproof.
			sql: "SELECT " + column + "::text FROM " + p.table() + " WHERE " + column + " = (CASE WHEN current_setting(" + setting + ", true) = " + literal(p.org) +
				" THEN " + literal(p.org) + " ELSE " + literal(p.ownOrg) + " END)::" + c.Type + " AND set_config(" + setting + ", " + literal(p.org) + ", true) IS NOT NULL LIMIT 2",
		}, ""
	}
}

// references are a command for each foreign key of a member into tables of
// tenants: an own row that references another org's. Keys that carry the org,
// and those that make the row the other org's, are left out.
func (x *matrix) references(m *member) []command {
	var out []command
	if !m.tenantOwned() || !m.takesRows() {
		return nil
	}
	for _, fk := range m.foreignKeys() {
		parent := x.pop.member(fk.References)
		if parent == nil || !parent.tenantOwned() || parent.class == classRoot || fk.References == m.rel || m.onPath(fk) || m.tenant != nil && slices.Contains(fk.Columns, m.tenant) {
			continue
		}
		out = append(out, command{
			name: cmdReference + " by " + fk.Name, privilege: "INSERT", writes: true, always: true,
			request: func(p *probe) (request, string) { return x.referenceRequest(p, fk, parent) },
		})
	}
	return out
}

func (x *matrix) referenceRequest(p *probe, fk *inventory.Constraint, parent *member) (request, string) {
	own := x.fresh(p.m, p.actor)
	switch {
	case p.aim == p.actor:
		return request{}, "a reference to an own row is allowed"
	case own == nil:
		return request{}, "no row could be made"
	case parent.canary[p.aim] == nil:
		return request{}, "there is no row to reference"
	}
	r := make(row)
	for name, v := range own {
		r[name] = v
	}
	for i, c := range fk.Columns {
		r[c.Name] = parent.canary[p.aim][fk.ReferencedColumns[i].Name]
	}
	if x.inplace && !x.spoil(p.m, fk, r) {
		return request{}, "a row that no constraint stops might be written"
	}
	return request{sql: insertSQL(p.m.rel, r, "")}, ""
}

// spoil sets a column to NULL that must not be: after row security and before
// the row is written the server refuses it for that.
func (x *matrix) spoil(m *member, fk *inventory.Constraint, r row) bool {
	for _, c := range m.rel.Columns {
		if c.NotNull && c.Generated == 0 && m.tenant != c && !m.partitionKey(c) && !slices.Contains(fk.Columns, c) && (m.path == nil || !slices.Contains(m.path.Columns, c)) {
			r[c.Name] = value{null: true}
			return true
		}
	}
	return false
}

// truncateByRight is TRUNCATE where nothing may be written: in a read-only
// transaction the server refuses it before it looks at rights, so these decide.
func (x *matrix) truncateByRight(ctx context.Context, m *member) {
	if m.rel.Kind != inventory.Table && m.rel.Kind != inventory.PartitionedTable {
		return
	}
	sql := "TRUNCATE " + m.rel.SQL()
	cell := x.cell(m, &command{name: cmdTruncate}, Other, Simple, A, B)
	o := x.stage.try(ctx, try{actor: A, aim: B, context: Other, path: Simple, request: request{sql: sql, readOnly: true}})
	cell.fill(sql, &o)
	cell.Expected, cell.Status = "refused", Pass
	switch {
	case o.rule() != "":
	case o.broken != nil:
		cell.Status, cell.Note = NotProven, "no answer"
	case m.privileges["TRUNCATE"]:
		cell.Status, cell.Note, m.leaked = Leak, "the role has the privilege, and row security does not cover it", true
	}
	x.report.Matrix = append(x.report.Matrix, *cell)
}

// acting are names in the body of a function that does more than a transaction
// takes back.
var acting = []string{
	"dblink", "http", "net.", "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf", "pg_advisory_lock", "pg_sleep", "copy ", "lo_export", "pg_notify", "notify ",
}

// callable reports whether a function can be called without harm in a
// read-only transaction that is rolled back.
func callable(f *inventory.Function) bool {
	body := strings.ToLower(f.Source)
	return (f.Language == "sql" || f.Language == "plpgsql") && !slices.ContainsFunc(acting, func(name string) bool { return strings.Contains(body, name) })
}

// functions calls the functions of the application that run as their owner, and
// looks whether something of the other org comes back.
func (x *matrix) functions(ctx context.Context) {
	for _, f := range x.model.Snapshot.Functions {
		if !definer(f, x.model) {
			continue
		}
		if !callable(f) {
			x.report.NotTested = append(x.report.NotTested, "function "+f.Object()+", which runs as its owner: calling it might have effects; scratch mode calls it")
			continue
		}
		x.tick(f.Object())
		for _, d := range directions {
			for n, sql := range calls(f, x.pop, d[1]) {
				x.call(ctx, f, d, n, sql)
			}
		}
	}
}

func (x *matrix) call(ctx context.Context, f *inventory.Function, d [2]Side, n int, sql string) {
	direction := d[0].String() + "->" + d[1].String()
	cell := Cell{
		ID:       strings.Join([]string{f.Object(), cmdCall, string(Other), string(Simple), string(x.stage.way()), direction}, "/"),
		Relation: f.Object(), Command: cmdCall, Context: string(Other), Path: string(Simple), Wall: x.stage.way(), Direction: direction,
		Expected: refusedOrNothing, Status: Pass,
	}
	if n > 0 {
		cell.ID += "/" + itoa(uint32(n+1))
	}
	o := x.stage.try(ctx, try{actor: d[0], aim: d[1], context: Other, path: Simple, request: request{sql: sql, readOnly: true}})
	cell.fill(sql, &o)
	switch {
	case x.reveals(&o, sql, d[1]):
		cell.Status, cell.Note = Leak, "it returns something of the other org"
	case o.rule() != "":
	case o.err != nil && o.err.Code == "25006":
		cell.Status, cell.Note = Skipped, "it writes, so it was not let run"
	case o.broken != nil || o.err != nil && inconclusive(o.err.Code):
		cell.Status, cell.Note = NotProven, "no answer"
	}
	x.report.Matrix = append(x.report.Matrix, cell)
}

// reveals reports whether an answer shows something of an org that the
// statement did not name.
func (x *matrix) reveals(o *outcome, sql string, s Side) bool {
	if x.marks.shows(o, s) && !x.marks.in(sql, s) {
		return true
	}
	org := x.pop.orgs[s]
	if strings.Contains(sql, org) {
		return false
	}
	for _, row := range o.rows {
		if slices.Contains(row, org) || slices.ContainsFunc(row, func(v string) bool { return longOrg(org) && strings.Contains(v, org) }) {
			return true
		}
	}
	return false
}

// longOrg reports whether a key is long enough to be recognised inside of a
// text.
func longOrg(org string) bool { return len(org) >= 16 }

// sequences tries to set the sequences of the application: their numbers are
// everybody's. In a read-only transaction the server looks at rights first, so
// that nothing is set.
func (x *matrix) sequences(ctx context.Context) {
	for _, rel := range x.model.Snapshot.Relations {
		if rel.Kind != inventory.Sequence || rel.Extension != "" || rel.Schema == inventory.OwnSchema {
			continue
		}
		m := &member{rel: rel}
		sql := "SELECT setval(" + literal(rel.SQL()) + ", 1, false)"
		cell := x.cell(m, &command{name: cmdSetval}, Other, Simple, A, B)
		o := x.stage.try(ctx, try{actor: A, aim: B, context: Other, path: Simple, request: request{sql: sql, readOnly: true}})
		cell.fill(sql, &o)
		cell.Expected, cell.Status = "refused", Pass
		switch {
		case o.broken != nil:
			cell.Status, cell.Note = NotProven, "no answer"
		case o.rule() != "" || o.code() == "42501":
		case x.stage.way() == Direct:
			cell.Status, cell.Note = Exposed, "the role may set the numbers that every org gets: revoke UPDATE, USAGE is enough for nextval()"
		default:
			cell.Status, cell.Note = Leak, "the role may set the numbers that every org gets"
		}
		x.report.Matrix = append(x.report.Matrix, *cell)
	}
}
