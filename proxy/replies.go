package proxy

import "github.com/pgbulkhead/bulkhead/parser"

// The session's part in the server's replies; see the interface replies.

// executed implements replies.
func (s *Session) executed(st *step, o *owed) {
	s.observe(st, o, "")
	s.carriedOut(o.inspection)
}

// failed implements replies.
func (s *Session) failed(st *step, o *owed, code string) {
	if o.own || o.refusal != nil {
		return
	}
	s.observe(st, o, code)
	if code == "26000" {
		s.sc.known.unnamed = unnamedID{}
	}
	if code == "26000" && o.of != nil && o.of.exists() || code == "0A000" || o.inspection != nil && o.inspection.Effects.Has(parser.EffectDeallocateAll) {
		// What is prepared there is not what it was taken for: gone, or made
		// for tables that have changed since.
		s.sc.known.doubt()
	}
}

// ready implements replies.
func (s *Session) ready(st *step, o *owed) {
	if o.kind == owedSync && !o.own {
		s.ending = false
	}
	if !o.own {
		s.served, s.losses = true, 0
		s.answered++
		s.opens = s.opens && s.sc.owed.len() > 0
	}
	if s.sc.owed.len() == 0 {
		s.settle() // also if the server has skipped a Query
	}
	if !o.own && s.sc.tx == txIdle && s.sc.owed.len() == 0 {
		s.endPortals()
	}
	switch {
	case o.own && o.kind == owedSync:
		if s.wait == waitLabel && s.sealing {
			s.sealing = false // the challenge has come
			s.putLabel(st, false)
		} else if s.wait == waitLabel && s.aborted {
			s.failTransaction(st)
		} else if s.wait == waitLabel {
			s.attached(st)
		}
		return // else the Sync behind a statement that was given its name
	case o.rows != nil:
		s.stateKnown(o)
		return
	case o.own && o.kind == owedQuery:
		s.attached(st) // in a failed transaction
		return
	case o.kind == owedQuery && !o.failed:
		s.observe(st, o, "")
		s.carriedOut(o.inspection)
	}
	if !s.relabel || s.sc == nil || s.sc.owed.len() > 0 {
		return
	}
	s.relabel = false
	s.wait = waitNone
	if s.sc.tx == txFailed {
		return // the reset is undone with the transaction, or never ran
	}
	s.relabelNow(st)
}

// clientPID implements replies.
func (s *Session) clientPID() uint32 { return s.cancel.pid }

// parameter implements replies.
func (s *Session) parameter(st *step, name, value string) error {
	err := s.sc.setParameter(name, value)
	if s.readsAnything() || s.encoded && name == "client_encoding" {
		return nil
	}
	return err
}

// readsAnything reports whether the rules of settings under which the server
// reads a text in another way only observe. Then nothing rests on what the
// guard has read.
func (s *Session) readsAnything() bool { return s.engine.Observes("G104", "G203") }
