package proxy

// The session's part in the server's replies; see the interface replies.

// executed implements replies.
func (s *Session) executed(st *step, o *owed) { s.observe(st, o, "") }

// failed implements replies.
func (s *Session) failed(st *step, o *owed, code string) {
	if !o.own && o.refusal == nil {
		s.observe(st, o, code)
	}
}

// ready implements replies.
func (s *Session) ready(st *step, o *owed) {
	if o.own {
		s.labelSet(st, o.failed)
		return
	}
	if o.kind == owedQuery && !o.failed {
		s.observe(st, o, "")
	}
	if !s.relabel || s.sc == nil || s.sc.owed.len() > 0 {
		return
	}
	s.relabel = false
	s.wait = waitNone
	if s.sc.tx == txFailed {
		return // the reset is undone with the transaction, or never ran
	}
	s.setLabel(st)
}

// parameter implements replies.
func (s *Session) parameter(st *step, name, value string) error {
	return s.sc.setParameter(name, value)
}
