package verify

import (
	"context"
	"strconv"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Interference: disturbing another org's sessions.
var interferenceAttacks = []attack{
	{id: "interference.cancel", class: classInterference, title: "cancel and terminate another org's session", cwe: 284, held: byProxy, perform: cancelOther},
	{id: "interference.notify", class: classInterference, title: "LISTEN to another org's notifications", cwe: 668, held: byProxy, perform: overhear},
	{id: "interference.advisory", class: classInterference, title: "an advisory lock that another org waits for", cwe: 284, held: byProxy, perform: advisory},
	{id: "interference.sequence", class: classInterference, title: "set a sequence back, so that inserts fail", cwe: 284, held: byProxy, refused: true, statements: sequences},
	{
		id: "interference.maintenance", class: classInterference, title: "locks and work for everybody", cwe: 284, held: byDatabase, refused: true, skip: noVictim,
		statements: onTable("REINDEX TABLE %t", "CLUSTER %t"),
	},
	{id: "interference.prepared", class: classInterference, title: "a prepared transaction that nobody ends", cwe: 284, held: byProxy, refused: true, statements: always("PREPARE TRANSACTION 'bulkhead-verify'")},
}

func cancelOther(ctx context.Context, w *world) (string, outcome, string) {
	const what = "SELECT pg_cancel_backend(...) of the other org's session"
	theirs, err := w.login(ctx, w.aim)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	defer theirs.close(ctx)
	pid := theirs.conn.PID()
	// Through a proxy the process id that the client was told may be another
	// one: the server's is what counts.
	if o := theirs.send(ctx, Simple, request{sql: "SELECT pg_backend_pid()"}); o.err == nil && len(o.rows) == 1 {
		if n, err := strconv.ParseUint(o.rows[0][0], 10, 32); err == nil {
			pid = uint32(n)
		}
	}
	o := w.inTransaction(ctx, request{sql: "SELECT pg_cancel_backend(" + strconv.FormatUint(uint64(pid), 10) + ")"})
	if o.err == nil && len(o.rows) == 1 && o.rows[0][0] == "t" {
		return what, o, "the other org's session was cancelled"
	}
	return what, o, ""
}

func overhear(ctx context.Context, w *world) (string, outcome, string) {
	const what = "LISTEN on a channel that the other org notifies"
	mine, err := w.login(ctx, w.actor)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	defer mine.close(ctx)
	listening := mine.send(ctx, Simple, request{sql: "LISTEN bulkhead_verify"})
	if listening.err != nil {
		return what, listening, ""
	}
	theirs, err := w.login(ctx, w.aim)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	defer theirs.close(ctx)
	theirs.send(ctx, Simple, request{sql: "SELECT pg_notify('bulkhead_verify', " + literal(w.x.marks.long(w.aim)) + ")"})
	for range visits {
		o := mine.send(ctx, Simple, request{sql: "SELECT 1"})
		if w.x.marks.shows(&o, w.aim) {
			return what, o, "the other org's notification arrived"
		}
	}
	return what, listening, ""
}

func advisory(ctx context.Context, w *world) (string, outcome, string) {
	const what = "SELECT pg_advisory_lock(...)"
	mine, err := w.login(ctx, w.actor)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	defer mine.close(ctx)
	locked := mine.send(ctx, Simple, request{sql: "SELECT pg_advisory_lock(4712)"})
	if locked.err != nil {
		return what, locked, ""
	}
	theirs, err := w.login(ctx, w.aim)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	defer theirs.close(ctx)
	o := theirs.send(ctx, Simple, request{sql: "SELECT pg_try_advisory_lock(4712)"})
	if o.err == nil && len(o.rows) == 1 && o.rows[0][0] == "f" {
		return what, o, "the other org cannot get the lock"
	}
	return what, locked, ""
}

// sequences sets the sequences of tenants' tables back.
func sequences(w *world) []string {
	var out []string
	for _, rel := range w.r.snap.Relations {
		if rel.Kind == inventory.Sequence && rel.Schema != inventory.OwnSchema && rel.Extension == "" && len(out) < maxVictims {
			out = append(out, "SELECT setval("+literal(rel.SQL())+", 1, false)")
		}
	}
	return out
}
