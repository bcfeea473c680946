package verify

import (
	"context"
	"fmt"
	"time"
)

// Residue: what one org's session leaves on a server connection, and another
// org's session finds.
var residueAttacks = []attack{
	{id: "residue.prepared", class: classResidue, title: "a prepared statement of an earlier session", cwe: 668, held: byProxy, skip: proxyOnlyAttack, perform: residueOf(leftover{
		leave: func(w *world) string {
			return "PREPARE bulkhead_left AS SELECT " + literal(w.x.marks.long(w.aim)) + "::text"
		},
		find: []string{"EXECUTE bulkhead_left", "SELECT statement FROM pg_catalog.pg_prepared_statements"},
	})},
	{id: "residue.protocol-prepared", class: classResidue, title: "a prepared statement of the protocol", cwe: 668, held: byProxy, skip: proxyOnlyAttack, perform: residualStatement},
	{id: "residue.cursor", class: classResidue, title: "a cursor that is held", cwe: 668, held: byProxy, skip: proxyOnlyAttack, perform: residueOf(leftover{
		leave: func(w *world) string {
			return "DECLARE bulkhead_left CURSOR WITH HOLD FOR SELECT " + literal(w.x.marks.long(w.aim)) + "::text"
		},
		find: []string{"FETCH ALL FROM bulkhead_left", "SELECT statement FROM pg_catalog.pg_cursors"},
	})},
	{id: "residue.temp", class: classResidue, title: "a temporary table", cwe: 668, held: byProxy, skip: proxyOnlyAttack, perform: residueOf(leftover{
		leave: func(w *world) string {
			return "CREATE TEMP TABLE bulkhead_left AS SELECT " + literal(w.x.marks.long(w.aim)) + "::text AS left_over"
		},
		find: []string{"SELECT * FROM bulkhead_left", "SELECT * FROM pg_temp.bulkhead_left"},
	})},
	{id: "residue.setting", class: classResidue, title: "settings", cwe: 668, held: byProxy, skip: proxyOnlyAttack, perform: residueOf(leftover{
		leave: func(w *world) string {
			return "SELECT set_config('application_name', " + literal(w.x.marks.long(w.aim)) + ", false), set_config('bulkhead_verify.left', " + literal(w.x.marks.long(w.aim)) + ", false)"
		},
		find: []string{"SHOW application_name", "SELECT current_setting('bulkhead_verify.left', true)"},
	})},
	{id: "residue.advisory", class: classResidue, title: "an advisory lock that stays", cwe: 668, held: byProxy, skip: proxyOnlyAttack, perform: residualLock},
	{id: "residue.listen", class: classResidue, title: "LISTEN of an earlier session", cwe: 668, held: byProxy, skip: proxyOnlyAttack, perform: residualListen},
}

// leftover is what one org leaves, and the ways in which another would find it.
type leftover struct {
	leave func(w *world) string
	find  []string
}

// visits is how many sessions look for leftovers: more than a pool hands out
// by turns.
const visits = 3

// leave runs a statement as the other org and ends its session. The outcome is
// that of the statement: what is refused leaves nothing.
func (w *world) leave(ctx context.Context, sql string) outcome {
	theirs, err := w.login(ctx, w.aim)
	if err != nil {
		return outcome{broken: err}
	}
	defer theirs.close(ctx)
	return theirs.send(ctx, Simple, request{sql: sql})
}

func residueOf(l leftover) func(context.Context, *world) (string, outcome, string) {
	return func(ctx context.Context, w *world) (string, outcome, string) {
		what := w.redacted(l.leave(w)) + "; in another org's session: " + l.find[0]
		left := w.leave(ctx, l.leave(w))
		if left.err != nil || left.broken != nil {
			return what, left, ""
		}
		last := left
		for range visits {
			conn, err := w.login(ctx, w.actor)
			if err != nil {
				return what, loginOutcome(err), ""
			}
			for _, sql := range l.find {
				last = conn.send(ctx, Simple, request{sql: sql})
				if w.x.marks.shows(&last, w.aim) {
					conn.close(ctx)
					return what, last, "something of an earlier session of the other org was found: " + sql
				}
			}
			conn.close(ctx)
		}
		return what, last, ""
	}
}

// residualStatement prepares by the protocol, where no statement shows it.
func residualStatement(ctx context.Context, w *world) (string, outcome, string) {
	const what = "Parse of a named statement; in another org's session: Bind of that name"
	theirs, err := w.login(ctx, w.aim)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	err = theirs.prepare(ctx, "SELECT "+literal(w.x.marks.long(w.aim))+"::text")
	theirs.close(ctx)
	if err != nil {
		return what, loginOutcome(err), ""
	}
	var last outcome
	for range visits {
		conn, err := w.login(ctx, w.actor)
		if err != nil {
			return what, loginOutcome(err), ""
		}
		last = outcome{}
		last.note(conn.runPrepared(ctx, request{}, &last))
		conn.close(ctx)
		if w.x.marks.shows(&last, w.aim) {
			return what, last, "the prepared statement of an earlier session was executed"
		}
	}
	return what, last, ""
}

// lockWait is how long a lock may stay after the end of its session: a server
// connection is cleaned behind it.
const lockWait = 2 * time.Second

// residualLock looks whether the lock of a session that has ended is still
// held.
func residualLock(ctx context.Context, w *world) (string, outcome, string) {
	const what = "SELECT pg_advisory_lock(...); in another org's session: pg_try_advisory_lock(...)"
	left := w.leave(ctx, "SELECT pg_advisory_lock(4711)")
	if left.err != nil || left.broken != nil {
		return what, left, ""
	}
	conn, err := w.login(ctx, w.actor)
	if err != nil {
		return what, loginOutcome(err), ""
	}
	defer conn.close(ctx)
	until := time.Now().Add(lockWait)
	for {
		o := conn.send(ctx, Simple, request{sql: "SELECT pg_try_advisory_lock(4711)"})
		switch {
		case o.err != nil || o.broken != nil || len(o.rows) == 1 && o.rows[0][0] == "t":
			return what, o, ""
		case time.Now().After(until):
			return what, o, "the lock of a session that has ended is still held"
		}
		select {
		case <-ctx.Done():
			return what, outcome{broken: ctx.Err()}, ""
		case <-time.After(lockWait / 100):
		}
	}
}

func residualListen(ctx context.Context, w *world) (string, outcome, string) {
	const what = "LISTEN; in another org's session: a notification"
	left := w.leave(ctx, "LISTEN bulkhead_verify")
	if left.err != nil || left.broken != nil {
		return what, left, ""
	}
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
		if w.x.marks.shows(&o, w.aim) {
			return what, o, "a notification arrived that this session never asked for"
		}
	}
	return what, left, ""
}
