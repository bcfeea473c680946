package verify

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/pgbulkhead/bulkhead/tenant"
)

// Attacks on the signed context: a signature serves one backend or one
// challenge, one org, one time and a key that is not retired.
var signatureAttacks = []attack{
	{id: "signature.missing", class: classSignature, title: "another org without a signature", cwe: 862, held: byDatabase, skip: notSigned, statements: forged("")},
	{
		id: "signature.forged", class: classSignature, title: "another org with a made-up signature", cwe: 862, held: byDatabase, skip: notSigned,
		statements: forged("0001.9999999999.0000000000000000000000000000000000000000000000000000000000000000"),
	},
	{
		id: "signature.past", class: classSignature, title: "another org with a made-up signature of the past", cwe: 862, held: byDatabase, skip: notSigned,
		statements: forged("0001.0000000001.0000000000000000000000000000000000000000000000000000000000000000"),
	},
	{id: "signature.replay", class: classSignature, title: "another org's signature on this backend", cwe: 294, held: byDatabase, skip: notSigned, perform: replay},
	{id: "signature.same-backend", class: classSignature, title: "the session's own signature under another org's name", cwe: 294, held: byDatabase, skip: notSigned, perform: ownSignature},
	{id: "signature.used", class: classSignature, title: "an answer to a challenge that has been used", cwe: 294, held: byDatabase, skip: notAnswered, perform: usedAnswer},
	{id: "signature.expired", class: classSignature, title: "a true signature that has expired", cwe: 613, held: byDatabase, skip: noKeyOfOwn, perform: expiredSignature},
	{id: "signature.retired", class: classSignature, title: "a true signature by a retired key", cwe: 324, held: byDatabase, skip: noKeyOfOwn, perform: retiredKey},
}

func notSigned(w *world) string {
	if !w.signed {
		return "the tenant context is not signed"
	}
	return ""
}

func notAnswered(w *world) string {
	if !w.r.o.sealed {
		return "the tenant context is not sealed"
	}
	return noKeyOfOwn(w)
}

// noKeyOfOwn is for attacks with a true signature: past the proxy, where this
// run can make one.
func noKeyOfOwn(w *world) string {
	switch {
	case !w.signed:
		return "the tenant context is not signed"
	case w.s.wall == Proxy:
		return "behind the proxy nobody but it makes signatures"
	case w.r.o.SigningKey == nil:
		return "no key was given to sign with"
	}
	return ""
}

func forged(signature string) func(*world) []string {
	return func(w *world) []string {
		if w.r.o.sealed {
			return []string{enterSQL(w.x.pop.orgs[w.aim], "", signature)}
		}
		return []string{setSigned(w.x.pop.orgs[w.aim], "", signature)}
	}
}

// setSigned gives a session a context. claims are "" where they stay.
func setSigned(org, claims, signature string) string {
	sql := "SELECT set_config('bulkhead.org_id', " + literal(org) + ", false), set_config('bulkhead.signature', " + literal(signature) + ", false)"
	if claims != "" {
		sql += ", set_config('request.jwt.claims', " + literal(claims) + ", false)"
	}
	return sql
}

const readSigned = "SELECT current_setting('bulkhead.org_id', true), current_setting('bulkhead.signature', true), current_setting('request.jwt.claims', true)"

// replay reads the signature in the other org's own session, as a thief of it
// would have it, and uses it in another one.
func replay(ctx context.Context, w *world) (string, outcome, string) {
	const what = "the settings of the other org's session, set in an own one"
	theirs, err := w.login(ctx, w.aim)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	defer theirs.close(ctx)
	o := theirs.send(ctx, Simple, request{sql: readSigned})
	if o.err != nil || len(o.rows) == 0 {
		return what, o, ""
	}
	return w.use(ctx, what, func(context.Context, *session) (string, error) {
		return setSigned(o.rows[0][0], o.rows[0][2], o.rows[0][1]), nil
	})
}

// ownSignature leaves the session's own signature where it is.
func ownSignature(ctx context.Context, w *world) (string, outcome, string) {
	return w.use(ctx, "the other org's name beside the session's own signature", func(ctx context.Context, s *session) (string, error) {
		o := s.send(ctx, Simple, request{sql: readSigned})
		if o.err != nil || len(o.rows) == 0 {
			return "", fmt.Errorf("read the own signature: %s", o.got())
		}
		return setSigned(w.x.pop.orgs[w.aim], "", o.rows[0][1]), nil
	})
}

// use runs a statement in an own session that is to make it the other org's,
// and looks whether it has.
func (w *world) use(ctx context.Context, what string, sql func(context.Context, *session) (string, error)) (string, outcome, string) {
	mine, err := w.login(ctx, w.actor)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	defer mine.close(ctx)
	text, err := sql(ctx, mine)
	if err != nil {
		return what, loginOutcome(err), ""
	}
	used := mine.send(ctx, Simple, request{sql: text})
	if used.err != nil || used.broken != nil {
		return what, used, ""
	}
	reached := w.harvest(ctx, mine)
	if reached == "" { // what the context says now
		used = mine.send(ctx, Simple, request{sql: "SELECT bulkhead.org_id()"})
	}
	return what, used, reached
}

// trueSignature is a statement that makes a session an org's, with a signature
// that the key has made.
func (w *world) trueSignature(ctx context.Context, s *session, key *tenant.Key, side Side, expires time.Time) (string, error) {
	org, claims := signedPart(w.r.o.contextSettings(side, Other, ""))
	if w.r.o.sealed {
		database, challenge, err := s.challenge(ctx)
		if err != nil {
			return "", err
		}
		return enterSQL(org, claims, key.SignCheckout(database, challenge, org, claims, expires)), nil
	}
	if err := s.learnBackend(ctx); err != nil {
		return "", err
	}
	return setSigned(org, claims, key.SignBackend(s.backend, org, claims, expires)), nil
}

func expiredSignature(ctx context.Context, w *world) (string, outcome, string) {
	return w.use(ctx, "a signature for the other org on this backend that expired", func(ctx context.Context, s *session) (string, error) {
		return w.trueSignature(ctx, s, w.r.o.SigningKey, w.aim, time.Now().Add(-time.Minute))
	})
}

// usedAnswer gives the same answer twice.
func usedAnswer(ctx context.Context, w *world) (string, outcome, string) {
	return w.use(ctx, "an answer for the other org, given a second time after the session returned to its own", func(ctx context.Context, s *session) (string, error) {
		sql, err := w.trueSignature(ctx, s, w.r.o.SigningKey, w.aim, time.Now().Add(time.Minute))
		if err != nil {
			return "", err
		}
		if err := s.exec(ctx, sql); err != nil {
			return "", err
		}
		return sql, s.become(ctx, &w.r.o, w.actor, Other)
	})
}

// retiredKey makes a key, retires it and signs with it. It must have worked
// before.
func retiredKey(ctx context.Context, w *world) (string, outcome, string) {
	const what = "a signature for the other org on this backend by a key that was retired"
	secret := make([]byte, 32)
	rand.Read(secret)
	const first, last = 9000, 9999
	key, err := tenant.NewKey(int(randomIn(first, last)), secret)
	if err != nil {
		return what, outcome{broken: err}, ""
	}
	if _, err := w.p.conn.Exec(ctx, "SELECT bulkhead.add_key($1, $2)", key.ID(), key.Secret()); err != nil {
		return what, loginOutcome(err), ""
	}
	return w.use(ctx, what, func(ctx context.Context, s *session) (string, error) {
		own, err := w.trueSignature(ctx, s, key, w.actor, time.Now().Add(time.Minute))
		if err != nil {
			return "", err
		}
		if err := s.exec(ctx, own); err != nil {
			return "", err
		}
		if err := s.exec(ctx, "SELECT bulkhead.org_id()"); err != nil {
			return "", fmt.Errorf("the key does not work before it is retired: %w", err)
		}
		if _, err := w.p.conn.Exec(ctx, "SELECT bulkhead.retire_key($1, interval '-1 second')", key.ID()); err != nil {
			return "", err
		}
		return w.trueSignature(ctx, s, key, w.aim, time.Now().Add(time.Minute))
	})
}
