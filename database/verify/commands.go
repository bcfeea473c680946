package verify

import (
	"encoding/json"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// The commands of the matrix.
const (
	cmdSelect        = "SELECT"
	cmdForUpdate     = "SELECT FOR UPDATE"
	cmdInsert        = "INSERT"
	cmdNothing       = "INSERT ON CONFLICT DO NOTHING"
	cmdUpsert        = "INSERT ON CONFLICT DO UPDATE"
	cmdUpdate        = "UPDATE"
	cmdUpdateAll     = "UPDATE without WHERE"
	cmdGiveAway      = "UPDATE to the other org"
	cmdDelete        = "DELETE"
	cmdDeleteAll     = "DELETE without WHERE"
	cmdMerge         = "MERGE"
	cmdCopyTo        = "COPY TO"
	cmdCopyQuery     = "COPY (query) TO"
	cmdCopyFrom      = "COPY FROM"
	cmdTruncate      = "TRUNCATE"
	cmdCursor        = "DECLARE CURSOR"
	cmdHold          = "DECLARE CURSOR WITH HOLD"
	cmdExplain       = "EXPLAIN ANALYZE"
	cmdLock          = "LOCK TABLE"
	mergeMajor       = 15
	refusedOrNothing = "no row of the other org"
)

// probe is what a command is built for: a relation, the org whose row is aimed
// at, and the org whose session it is.
type probe struct {
	m      *member
	aim    Side // whose row
	actor  Side // whose session
	where  string
	fresh  row // a new row of the org aimed at
	clash  row // the same with the key of the existing row
	own    int64
	server int
	org    string // key of the org aimed at
	ownOrg string // key of the session's
}

// command is one row of the matrix.
type command struct {
	name      string
	privilege string
	// request writes the statement, or says why it makes no sense here.
	request func(p *probe) (request, string)
	// hit says what was reached, "" for nothing. nil: any affected or returned
	// row is a hit.
	hit func(p *probe, o *outcome) string
	// writes says that an error of a constraint means that row security let
	// the row through: it is judged before.
	writes bool
	// whole says that the statement touches all rows that the session may
	// touch, its own ones too: not for snapshot mode.
	whole bool
	// proxyOnly says that PostgreSQL grants this with rights that an
	// application needs: the database alone cannot hold it.
	proxyOnly bool
	// always says that the command is wrong on own rows too: no control.
	always bool
}

// commands is the matrix, in the order of the report.
var commands = []command{
	{name: cmdSelect, privilege: "SELECT", request: func(p *probe) (request, string) {
		return request{sql: "SELECT " + p.list() + " FROM " + p.table() + " WHERE " + p.where}, p.needWhere()
	}},
	{name: cmdForUpdate, privilege: "UPDATE", request: func(p *probe) (request, string) {
		return request{sql: "SELECT 1 FROM " + p.table() + " WHERE " + p.where + " FOR UPDATE"}, p.needWhere()
	}},
	{name: cmdInsert, privilege: "INSERT", writes: true, request: func(p *probe) (request, string) {
		return request{sql: insertSQL(p.m.rel, p.fresh, "")}, p.needFresh()
	}},
	{name: cmdNothing, privilege: "INSERT", writes: true, request: func(p *probe) (request, string) {
		return request{sql: insertSQL(p.m.rel, p.fresh, "") + " ON CONFLICT DO NOTHING"}, p.needFresh()
	}},
	{name: cmdUpsert, privilege: "INSERT", writes: true, request: upsert},
	{name: cmdUpdate, privilege: "UPDATE", writes: true, request: func(p *probe) (request, string) {
		c := p.m.harmless()
		if c == nil {
			return request{}, "no column to update"
		}
		return request{sql: "UPDATE " + p.table() + " SET " + set(c, c) + " WHERE " + p.where}, p.needWhere()
	}},
	{name: cmdUpdateAll, privilege: "UPDATE", writes: true, whole: true, hit: moreThanOwn, request: func(p *probe) (request, string) {
		c := p.m.harmless()
		if c == nil {
			return request{}, "no column to update"
		}
		return request{sql: "UPDATE " + p.table() + " SET " + set(c, c)}, ""
	}},
	{name: cmdGiveAway, privilege: "UPDATE", writes: true, whole: true, always: true, request: giveAway},
	{name: cmdDelete, privilege: "DELETE", writes: true, request: func(p *probe) (request, string) {
		return request{sql: "DELETE FROM " + p.table() + " WHERE " + p.where}, p.needWhere()
	}},
	{name: cmdDeleteAll, privilege: "DELETE", whole: true, hit: moreThanOwn, request: func(p *probe) (request, string) {
		return request{sql: "DELETE FROM " + p.table()}, ""
	}},
	{name: cmdMerge, privilege: "DELETE", writes: true, request: func(p *probe) (request, string) {
		if p.server < mergeMajor {
			return request{}, "this server has no MERGE"
		}
		return request{sql: "MERGE INTO " + p.table() + " t USING (VALUES (1)) v(x) ON " + p.where + " WHEN MATCHED THEN DELETE"}, p.needWhere()
	}},
	{name: cmdCopyTo, privilege: "SELECT", whole: true, hit: moreThanOwn, request: func(p *probe) (request, string) {
		if p.m.rel.Kind == inventory.PartitionedTable || p.m.rel.Kind == inventory.View || p.m.rel.Kind == inventory.MaterializedView {
			return request{}, "COPY TO takes plain tables only"
		}
		return request{sql: "COPY " + p.table() + " (" + p.list() + ") TO STDOUT", copy: copyOut}, ""
	}},
	{name: cmdCopyQuery, privilege: "SELECT", request: func(p *probe) (request, string) {
		return request{sql: "COPY (SELECT " + p.list() + " FROM " + p.table() + " WHERE " + p.where + ") TO STDOUT", copy: copyOut}, p.needWhere()
	}},
	{name: cmdCopyFrom, privilege: "INSERT", writes: true, whole: true, request: copyFrom},
	{name: cmdTruncate, privilege: "TRUNCATE", whole: true, always: true, hit: accepted("every org's rows were removed"), request: func(p *probe) (request, string) {
		return request{sql: "TRUNCATE " + p.table() + " CASCADE"}, ""
	}},
	{name: cmdCursor, privilege: "SELECT", request: cursor("")},
	{name: cmdHold, privilege: "SELECT", request: cursor(" WITH HOLD")},
	{name: cmdExplain, privilege: "SELECT", hit: explained, request: func(p *probe) (request, string) {
		return request{sql: "EXPLAIN (ANALYZE, FORMAT JSON) SELECT " + p.list() + " FROM " + p.table() + " WHERE " + p.where}, p.needWhere()
	}},
	{name: cmdLock, privilege: "UPDATE", whole: true, always: true, proxyOnly: true, hit: accepted("every org was locked out"), request: func(p *probe) (request, string) {
		if p.m.rel.Kind == inventory.ForeignTable || p.m.rel.Kind == inventory.MaterializedView {
			return request{}, "LOCK takes tables and views only"
		}
		return request{sql: "LOCK TABLE " + p.table() + " IN ACCESS EXCLUSIVE MODE"}, ""
	}},
}

func (p *probe) table() string { return p.m.rel.SQL() }

// list is what the application may read of a row, or a constant if that is
// nothing.
func (p *probe) list() string {
	if columns := p.m.seen(); len(columns) > 0 {
		return columnList(columns)
	}
	return "*"
}

func (p *probe) needWhere() string {
	if p.where == "" {
		return "there is no row to aim at"
	}
	return ""
}

func (p *probe) needFresh() string {
	if p.fresh == nil {
		return "no row could be made"
	}
	return ""
}

func set(to, from *inventory.Column) string {
	return inventory.Quote(to.Name) + " = " + inventory.Quote(from.Name)
}

func upsert(p *probe) (request, string) {
	key, c := p.m.rel.PrimaryKey(), p.m.harmless()
	if key == nil || c == nil || p.clash == nil {
		return request{}, "no primary key to conflict with"
	}
	return request{sql: insertSQL(p.m.rel, p.clash, " AS t") + " ON CONFLICT (" + columnList(key.Columns) + ") DO UPDATE SET " +
		inventory.Quote(c.Name) + " = t." + inventory.Quote(c.Name)}, ""
}

// giveAway moves the rows of the session's own org to the one aimed at,
// without a WHERE: then the policy for SELECT is not applied to the new row.
func giveAway(p *probe) (request, string) {
	if p.aim == p.actor {
		return request{}, "an own row stays an own row"
	}
	var parts []string
	switch {
	case p.m.class == classRoot:
		return request{}, "a tenant cannot be given away"
	case p.m.tenant != nil:
		parts = append(parts, inventory.Quote(p.m.tenant.Name)+" = "+p.m.canary[p.aim][p.m.tenant.Name].sql())
	case p.m.path != nil:
		for _, c := range p.m.path.Columns {
			parts = append(parts, inventory.Quote(c.Name)+" = "+p.m.canary[p.aim][c.Name].sql())
		}
	default:
		return request{}, "no column leads to an org"
	}
	if p.m.canary[p.aim] == nil {
		return request{}, "there is no row to aim at"
	}
	return request{sql: "UPDATE " + p.table() + " SET " + strings.Join(parts, ", ")}, ""
}

func copyFrom(p *probe) (request, string) {
	if p.fresh == nil {
		return request{}, "no row could be made"
	}
	var names, values []string
	for _, c := range p.m.rel.Columns {
		if v, ok := p.fresh[c.Name]; ok && c.Generated == 0 {
			names, values = append(names, inventory.Quote(c.Name)), append(values, v.copyText())
		}
	}
	return request{
		sql: "COPY " + p.table() + " (" + strings.Join(names, ", ") + ") FROM STDIN", data: strings.Join(values, "\t") + "\n", copy: copyIn,
	}, ""
}

func cursor(hold string) func(p *probe) (request, string) {
	return func(p *probe) (request, string) {
		return request{
			sql:  "DECLARE bulkhead_c CURSOR" + hold + " FOR SELECT " + p.list() + " FROM " + p.table() + " WHERE " + p.where,
			then: "FETCH ALL FROM bulkhead_c",
		}, p.needWhere()
	}
}

// moreThanOwn is the hit of statements without a condition: they may touch the
// rows of the session's own org, and no others.
func moreThanOwn(p *probe, o *outcome) string {
	if o.affected > p.own {
		return "rows of another org were touched"
	}
	return ""
}

// accepted is the hit of statements that must not run at all.
func accepted(what string) func(*probe, *outcome) string {
	return func(_ *probe, o *outcome) string {
		if o.err == nil && o.broken == nil {
			return what
		}
		return ""
	}
}

// explained reads how many rows the plan's top node returned.
func explained(_ *probe, o *outcome) string {
	if o.err != nil || len(o.rows) == 0 {
		return ""
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Actual Rows"`
		}
	}
	if err := json.Unmarshal([]byte(o.rows[0][0]), &plans); err != nil || len(plans) == 0 {
		return ""
	}
	if plans[0].Plan.Rows > 0 {
		return "the plan returned rows"
	}
	return ""
}

// hits says what an outcome reached.
func (c *command) hits(p *probe, o *outcome) string {
	if c.hit != nil {
		return c.hit(p, o)
	}
	if o.err != nil || o.broken != nil {
		return ""
	}
	if o.affected > 0 || len(o.rows) > 0 || len(o.copied) > 0 {
		return "rows were reached"
	}
	return ""
}
