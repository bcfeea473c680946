package proxy

import (
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// standing is that of a session's identity: whether its token has expired or
// was revoked. It goes from one to the next, and back to the first with
// another identity.
type standing uint8

const (
	standingGood standing = iota
	standingLast          // the token is not valid any more; the transaction that was open then goes on
	standingOver          // something was sent that ends that transaction
)

func (s standing) String() string { return [...]string{"good", "last", "over"}[s] }

// boundary checks the identity of the session where a transaction may begin.
// The message at the start of b may be carried out only if ok; else used is how
// much of b was used, 0 if the session waits.
//
// Whether a transaction is open cannot be told while replies are owed. A client
// that never lets the pipeline run empty would go on for ever, so once the
// token is not valid any more, the replies are awaited before each message.
func (s *Session) boundary(st *step, b []byte) (used int, ok bool) {
	if s.validAt == instantOf(st.now) {
		return 0, true // once per turn
	}
	if s.identityValid() {
		s.standing, s.validAt = standingGood, instantOf(st.now)
		return 0, true
	}
	if s.reopen != "" {
		return 0, true // a transaction that was begun for the client
	}
	if !s.quiet(st) {
		return 0, false
	}
	if s.sc == nil || s.sc.idle() || s.standing == standingOver {
		s.end(st, endExpired, &errExpired)
		return len(b), false
	}
	s.standing = standingLast
	return 0, true
}

// identityValid checks the identity in force, and that of the connection.
func (s *Session) identityValid() bool {
	return s.env.opts.Verifier.Valid(s.identity) == nil && (s.who == nil || s.connectionValid())
}

// connectionValid checks the identity of the connection's token.
func (s *Session) connectionValid() bool {
	return s.env.opts.Verifier.Valid(s.connectionIdentity()) == nil
}

// outlives reports whether a text would begin another transaction behind the
// last one: by COMMIT AND CHAIN, or a statement behind the COMMIT.
func (s *Session) outlives(ins *policy.Inspection) bool {
	return s.standing == standingLast && ins.Effects.Has(parser.EffectEnd) && !ins.Ends
}

// passEnd notes that a text is carried out that may end the transaction.
func (s *Session) passEnd(ins *policy.Inspection) {
	if s.standing == standingLast && ins.Effects.Has(parser.EffectEnd) {
		s.standing = standingOver
	}
}
