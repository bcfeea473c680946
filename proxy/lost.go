package proxy

import (
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// A server connection may end at any time: the server restarts, fails over, or
// is told to end it. A session in transaction pooling outlives that between
// transactions, if it has nothing there that is lost with it. What was sent and
// not answered gets an error, since nobody knows whether it was carried out;
// nothing is ever sent again.

// survives implements replies: it reports whether the session can go on without
// its server connection.
func (s *Session) survives() bool {
	sc := s.sc
	switch {
	case s.losses >= maxLosses || !s.pooling() || s.phase != phaseRelay || sc.tx != txIdle || s.isLocal() || s.reopen != "":
		return false
	case sc.midMessage() || sc.copying == copyIn && sc.syncInCopy:
		return false // the client could not tell what comes next
	case sc.unsynced && !s.owesError():
		return false // of a batch that is half answered, no reply is left that could say it
	}
	// Of what is there since the connection was lent the client was told nothing
	// for certain. Later on it may count on what it has SET or made.
	return !s.served || s.pin == 0 && !s.touched && !s.holdsUnnamed()
}

// owesError reports whether the client is told of the loss, or has been told of
// an error before, so that its next messages are skipped up to a Sync.
func (s *Session) owesError() bool {
	owed := &s.sc.owed
	if owed.skipping {
		return true
	}
	for i := range owed.len() {
		if o := owed.at(i); !o.own && !o.hidden && !o.failed && !o.told && o.kind != owedCopyEnd {
			return true
		}
	}
	return false
}

// goOn answers for all that was sent on a server connection that is lost, and
// lets go of it.
func (s *Session) goOn(st *step) {
	sc := s.sc
	e := errStatementLost
	if sc.ended != "" {
		e.detail = "The server ended the connection with SQLSTATE " + sc.ended + "."
	}
	s.losses++
	s.skipping = s.answerLost(st, &e)
	for i := sc.owed.len() - 1; i >= 0; i-- {
		if c := sc.owed.at(i).change; c != nil {
			s.undo(c, true)
		}
	}
	s.in.drop = s.in.rest > 0 // of a message whose beginning is lost
	s.stopWait()
	s.sealing, s.relabel, s.ending = false, false, false
	open := s.opens
	s.opens, s.begun = false, ""
	clear(s.byStatement)
	s.releaseServer(st)
	if open {
		// What the client has sent behind its BEGIN without waiting must not
		// run outside of a transaction.
		s.reopen, s.aborted = lostBegin, true
	}
	if !s.leaveNow(st) {
		s.resume(st)
	}
}

// lostBegin begins the transaction that stands for a lost one, and fails.
const lostBegin = "BEGIN"

// answerLost gives the replies that the lost server connection owes to the
// client, in order, as after an error of the server's. It reports whether the
// client's next messages are to be skipped, up to a Sync.
func (s *Session) answerLost(st *step, e *clientError) (skipping bool) {
	lost := &s.sc.owed
	skipping = lost.skipping
	tx := s.lostStatus()
	for i := range lost.len() {
		o := lost.at(i)
		if o.inspection != nil {
			tx = statusOf(opens(tx == txFailed, o.inspection))
		}
		ends := o.kind == owedSync || !skipping && (o.kind == owedQuery || o.kind == owedCall)
		switch {
		case o.own || o.hidden || o.kind == owedCopyEnd:
			continue
		case skipping, o.failed, o.told: // the client knows
		case o.kind == owedLocal:
			st.toClient.write(o.local)
		case o.refusal != nil:
			st.toClient.add(o.refusal.appendTo(st.toClient.grow()))
			skipping = true
		default:
			s.observe(st, o, e.code)
			st.toClient.add(e.appendTo(st.toClient.grow()))
			skipping = true
		}
		if ends {
			st.toClient.add(readyForQuery(st.toClient.grow(), tx))
			skipping = false
		}
	}
	return skipping
}

// lostStatus is the transaction status in front of what the lost server
// connection owes.
func (s *Session) lostStatus() byte {
	for i := range s.sc.owed.len() {
		if o := s.sc.owed.at(i); o.inspection != nil && o.inspection.Effects.Has(parser.EffectBegin) {
			return txIdle // it is among that
		}
	}
	return statusOf(s.opens)
}

// statusOf is the status of a transaction that is lost.
func statusOf(open bool) byte {
	if open {
		return txFailed
	}
	return txIdle
}

// opens reports whether a transaction may be open behind a text that was sent
// while one was open, or not. It errs on the side of one.
func opens(open bool, ins *policy.Inspection) bool {
	return ins.Effects.Has(parser.EffectBegin) || open && !ins.Ends
}

// failTransaction makes a transaction fail that was begun in place of a lost
// one.
func (s *Session) failTransaction(st *step) {
	s.aborted, s.begun = false, ""
	s.ownQuery(st, failingText+"lost", owed{kind: owedQuery, own: true})
}
