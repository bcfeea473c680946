package verify

import "context"

// Attacks on the signed context: a signature serves one backend, one org and
// one time.
var signatureAttacks = []attack{
	{id: "signature.missing", class: classSignature, title: "another org without a signature", cwe: 862, held: byDatabase, skip: notSigned, statements: forged("")},
	{
		id: "signature.forged", class: classSignature, title: "another org with a made-up signature", cwe: 862, held: byDatabase, skip: notSigned,
		statements: forged("0001.9999999999.0000000000000000000000000000000000000000000000000000000000000000"),
	},
	{
		id: "signature.expired", class: classSignature, title: "another org with a signature of the past", cwe: 862, held: byDatabase, skip: notSigned,
		statements: forged("0001.0000000001.0000000000000000000000000000000000000000000000000000000000000000"),
	},
	{id: "signature.replay", class: classSignature, title: "another org's signature on this backend", cwe: 294, held: byDatabase, skip: notSigned, perform: replay},
}

func notSigned(w *world) string {
	if !w.signed {
		return "the tenant context is not signed"
	}
	return ""
}

func forged(signature string) func(*world) []string {
	return func(w *world) []string {
		return []string{setSigned(w.x.pop.orgs[w.aim], signature)}
	}
}

func setSigned(org, signature string) string {
	return "SELECT set_config('bulkhead.org_id', " + literal(org) + ", false), set_config('bulkhead.signature', " + literal(signature) + ", false)"
}

// replay reads the signature in the other org's own session, as a thief of it
// would have it, and uses it in another one.
func replay(ctx context.Context, w *world) (string, outcome, string) {
	const what = "the settings of the other org's session, set in an own one"
	theirs, err := w.login(ctx, w.aim)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	defer theirs.close(ctx)
	o := theirs.send(ctx, Simple, request{sql: "SELECT current_setting('bulkhead.org_id', true), current_setting('bulkhead.signature', true)"})
	if o.err != nil || len(o.rows) == 0 {
		return what, o, ""
	}
	mine, err := w.login(ctx, w.actor)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	defer mine.close(ctx)
	used := mine.send(ctx, Simple, request{sql: setSigned(o.rows[0][0], o.rows[0][1])})
	if used.err != nil {
		return what, used, ""
	}
	return what, used, w.harvest(ctx, mine)
}
