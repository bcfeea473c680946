package verify

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/database/inventory"
)

// Attacks on what the planner takes for constant: it makes a client's equation
// and a policy's stand for each other, and asks once whether they agree. A
// condition that is an equation and no more does not hold them.
var plannerAttacks = []attack{
	{id: "planner.setting", class: classContext, title: "a setting that changes while the statement runs", cwe: 367, held: bySignature, skip: noVictim, statements: changingSetting},
	{id: "planner.transaction-id", class: classContext, title: "a transaction id that is assigned while the statement runs", cwe: 367, held: bySignature, skip: noVictim, statements: changingXid},
}

// changing writes a statement for each victim with a column of the org: %t the
// table, %c that column, %l what is read of it, %n its type, %a and %b the keys
// of the own and the other org.
func changing(w *world, template string) []string {
	var out []string
	for _, m := range w.victims() {
		if m.tenant == nil || m.byColumn != nil {
			continue
		}
		out = append(out, strings.NewReplacer("%t", m.rel.SQL(), "%c", inventory.Quote(m.tenant.Name), "%l", columnList(m.seen()), "%n", m.tenant.Type,
			"%a", literal(w.x.pop.orgs[w.actor]), "%b", literal(w.x.pop.orgs[w.aim])).Replace(template))
	}
	return out
}

func changingSetting(w *world) []string {
	const scans = "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL bulkhead_verify.org = %a"
	return changing(w, scans+"\x00SELECT set_config('bulkhead_verify.org', %b, true), %l FROM %t WHERE %c = current_setting('bulkhead_verify.org')::%n")
}

func changingXid(w *world) []string {
	const scans = "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off"
	return changing(w, scans+"\x00SELECT txid_current(), %l FROM %t WHERE %c = (CASE WHEN txid_current_if_assigned() IS NULL THEN %a ELSE %b END)::%n")
}
