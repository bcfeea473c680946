package verify

import (
	"context"
	"fmt"
)

// Residue: what one org's session leaves on a server connection, and another
// org's session finds.
var residueAttacks = []attack{
	{id: "residue.session", class: classResidue, title: "prepared statements, cursors, temporary tables and settings of an earlier session", cwe: 668, held: byProxy, skip: proxyOnlyAttack, perform: residue},
	{id: "residue.listen", class: classResidue, title: "LISTEN of an earlier session", cwe: 668, held: byProxy, skip: proxyOnlyAttack, perform: residualListen},
}

// leftovers are what the other org leaves; whatever of it is refused leaves
// nothing.
func leftovers(w *world) []string {
	mark, table := literal(w.x.marks.long(w.aim)), w.table()
	return []string{
		"PREPARE bulkhead_left AS SELECT * FROM " + table,
		"CREATE TEMP TABLE bulkhead_left AS SELECT " + mark + "::text AS left_over",
		"BEGIN; DECLARE bulkhead_left CURSOR WITH HOLD FOR SELECT " + mark + "::text; COMMIT",
		"SET application_name = " + mark,
		"SELECT pg_advisory_lock(4711)",
	}
}

// found are the ways in which another session would find it.
var found = []string{
	"EXECUTE bulkhead_left", "SELECT * FROM bulkhead_left", "FETCH ALL FROM bulkhead_left", "SHOW application_name",
}

// visits is how many sessions look for leftovers: more than a pool hands out
// by turns.
const visits = 3

func residue(ctx context.Context, w *world) (string, outcome, string) {
	const what = "EXECUTE, SELECT and FETCH of what an earlier session left; advisory lock"
	theirs, err := w.login(ctx, w.aim)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	for _, sql := range leftovers(w) {
		theirs.send(ctx, Simple, request{sql: sql})
		if theirs.conn.TxStatus() != 'I' {
			_ = theirs.exec(ctx, "ROLLBACK") // a refused part leaves nothing
		}
	}
	theirs.close(ctx)
	var last outcome
	for range visits {
		conn, err := w.login(ctx, w.actor)
		if err != nil {
			return what, loginOutcome(err), ""
		}
		for _, sql := range found {
			last = conn.send(ctx, Simple, request{sql: sql})
			if w.x.shows(&last, w.aim) {
				conn.close(ctx)
				return what, last, "something of an earlier session of the other org was found: " + sql
			}
		}
		conn.close(ctx)
	}
	return what, last, ""
}

func residualListen(ctx context.Context, w *world) (string, outcome, string) {
	const what = "notifications for an earlier session's LISTEN"
	mine, err := w.login(ctx, w.actor)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	last := mine.send(ctx, Simple, request{sql: "LISTEN bulkhead_verify"})
	mine.close(ctx)
	conn, err := w.login(ctx, w.actor)
	if err != nil {
		return what, loginOutcome(err), ""
	}
	defer conn.close(ctx)
	if _, err := w.p.conn.Exec(ctx, fmt.Sprintf("SELECT pg_notify('bulkhead_verify', %s)", literal(w.x.marks.long(w.aim)))); err != nil {
		return what, outcome{broken: err}, ""
	}
	for range visits {
		o := conn.send(ctx, Simple, request{sql: "SELECT 1"})
		if w.x.shows(&o, w.aim) {
			return what, o, "a notification arrived that this session never asked for"
		}
	}
	return what, last, ""
}
