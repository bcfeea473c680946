package verify

import (
	"context"
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Side channels: what tells that a row of another org exists. Timing is not
// tried.
var sideChannelAttacks = []attack{
	{id: "channel.foreign-key", class: classSideChannel, title: "an own row that references another org's", cwe: 203, held: byDatabase, perform: foreignReference},
	{id: "channel.unique", class: classSideChannel, title: "a key that another org has taken", cwe: 203, held: byNobody, perform: takenKey},
	{id: "channel.explain", class: classSideChannel, title: "rows removed by a filter in EXPLAIN ANALYZE", cwe: 203, held: byNobody, perform: removedRows},
	{id: "channel.activity", class: classSideChannel, title: "another session's statement in pg_stat_activity", cwe: 200, held: byProxy, perform: activity},
	{id: "channel.statistics", class: classSideChannel, title: "common values in pg_stats", cwe: 200, held: byDatabase, statements: always("SELECT * FROM pg_catalog.pg_stats")},
	{id: "channel.error", class: classSideChannel, title: "values in the text of an error", cwe: 209, held: byDatabase, statements: errorTexts},
}

// foreignReference inserts rows of the own org that point at rows of the other.
func foreignReference(ctx context.Context, w *world) (string, outcome, string) {
	const what = "INSERT of an own row that references another org's row"
	var last outcome
	for _, m := range w.x.pop.members {
		if !m.tenantOwned() || !m.privileges["INSERT"] || m.canary[w.aim] == nil {
			continue
		}
		for _, fk := range m.foreignKeys() {
			parent := w.x.pop.member(fk.References)
			if parent == nil || !parent.tenantOwned() || parent.class == classRoot || parent.canary[w.aim] == nil || m.onPath(fk) || fk.References == m.rel {
				continue
			}
			r := w.p.fresh(m, w.actor)
			if r == nil {
				continue
			}
			for i, c := range fk.Columns {
				if m.tenant != c {
					r[c.Name] = parent.canary[w.aim][fk.ReferencedColumns[i].Name]
				}
			}
			o := w.inTransaction(ctx, request{sql: insertSQL(m.rel, r, "")})
			if o.err == nil && o.broken == nil {
				return what, o, "the reference of " + m.rel.Object() + " into the other org was accepted"
			}
			last = o
		}
	}
	return what, last, ""
}

// takenKey inserts an own row with the key of another org's row.
func takenKey(ctx context.Context, w *world) (string, outcome, string) {
	const what = "INSERT of an own row with a key that another org has taken"
	for _, m := range w.x.pop.members {
		if m.class != classDirect || !m.privileges["INSERT"] || m.canary[w.aim] == nil || len(m.key()) == 0 {
			continue
		}
		r := w.p.fresh(m, w.actor)
		if r == nil {
			continue
		}
		for _, c := range m.key() {
			if m.tenant != c {
				r[c.Name] = m.canary[w.aim][c.Name]
			}
		}
		o := w.inTransaction(ctx, request{sql: insertSQL(m.rel, r, "")})
		if o.code() == "23505" {
			return what, o, "the error tells that the key of " + m.rel.Object() + " is taken: make keys that cannot be guessed, or that carry the org"
		}
		return what, o, ""
	}
	return what, outcome{}, ""
}

func removedRows(ctx context.Context, w *world) (string, outcome, string) {
	const what = "EXPLAIN ANALYZE of a whole table"
	m := w.victim()
	if m == nil {
		return what, outcome{}, ""
	}
	o := w.inTransaction(ctx, request{sql: "EXPLAIN (ANALYZE, TIMING OFF) SELECT 1 FROM " + m.rel.SQL()})
	if o.holds("Rows Removed by Filter") {
		return what, o, "the plan counts rows of other orgs"
	}
	return what, o, ""
}

// activity lets the other org run a statement with its mark and looks for it.
func activity(ctx context.Context, w *world) (string, outcome, string) {
	const what = "SELECT query FROM pg_stat_activity"
	theirs, err := w.login(ctx, w.aim)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	defer theirs.close(ctx)
	if o := theirs.send(ctx, Simple, request{sql: "SELECT " + literal(w.x.marks.long(w.aim))}); o.err != nil {
		return what, outcome{broken: o.err}, ""
	}
	o := w.inTransaction(ctx, request{sql: "SELECT query FROM pg_catalog.pg_stat_activity WHERE pid <> pg_backend_pid()"})
	if w.x.marks.shows(&o, w.aim) {
		return what, o, "the other org's statement was visible"
	}
	return what, o, ""
}

// inTransaction sends a request as the actor and takes it back.
func (w *world) inTransaction(ctx context.Context, r request) outcome {
	conn, err := w.login(ctx, w.actor)
	if err != nil {
		return loginOutcome(err)
	}
	defer conn.close(ctx)
	if err := conn.exec(ctx, "BEGIN"); err != nil {
		return outcome{broken: err}
	}
	return conn.send(ctx, Simple, r)
}

// errorTexts cast texts of whole tables to numbers: the error names the value.
func errorTexts(w *world) []string {
	var out []string
	for _, m := range w.victims() {
		for _, c := range m.seen() {
			if _, _, text := m.textColumn(c); text {
				out = append(out, "SELECT 1 FROM "+m.rel.SQL()+" WHERE "+inventory.Quote(c.Name)+" NOT LIKE '%-"+strings.ToLower(w.actor.String())+"-%' AND "+
					inventory.Quote(c.Name)+"::text::int = 1")
				break
			}
		}
	}
	return out
}
