package proxy

// A batch that fails is skipped up to its Sync, and the client may have sent
// the next one before anybody knows. Then what a name stands for depends on
// whether the Parse or Close before that Sync was carried out. A message that
// needs to know waits until the server has answered; else a statement could be
// bound whose parameters were never looked at, or one be forgotten that the
// client has.

// unsettled says in which batches names were changed that the server has not
// answered yet. Batches are counted from 1 by what ReadyForQuery answers.
type unsettled struct {
	sent, answered uint64
	unnamedAt      uint64            // the last change of the unnamed statement
	unnamedLost    uint64            // a change after which it is not known what was before
	closed         map[string]uint64 // the last Close of a named one, or its being given its own name on the server
}

// batch is the number of the batch that is being sent.
func (u *unsettled) batch() uint64 { return u.sent + 1 }

// crosses reports whether a change in that batch is unsettled, and what is sent
// now belongs to a later batch. Within one batch it does not matter: if the
// first fails, so does the second.
func (u *unsettled) crosses(batch uint64) bool { return batch <= u.sent && batch > u.answered }

// settle notes that nothing is outstanding.
func (u *unsettled) settle() {
	u.answered = u.sent
	clear(u.closed)
}

// noteClose notes that a named statement is closed.
func (u *unsettled) noteClose(name []byte) {
	if u.closed == nil {
		u.closed = make(map[string]uint64)
	}
	u.closed[string(name)] = u.batch()
}

// settledName waits until it is known what a name of a prepared statement stands
// for, and the names that this statement uses. To Bind or describe one that was
// parsed need not wait: if it was not, the server says so.
func (s *Session) settledName(st *step, name []byte, parse bool) bool {
	if s.sent == s.answered || s.sc == nil {
		return true
	}
	p, waits := s.statement, !parse && s.crosses(s.unnamedAt)
	if len(name) > 0 {
		p = s.named[string(name)]
		waits = s.crosses(s.closed[string(name)]) || parse && p != nil && s.crosses(p.batch)
	}
	if p != nil && s.pooling() {
		there := s.sc.known.byID[p.id]
		waits = waits || there != nil && there.by == s.id && s.crosses(there.at)
	}
	return !waits && (p == nil || s.settledNames(st, p.inspection.Effects.Prepared)) || s.quiet(st)
}

// settledNames is settledName for the names that a text uses.
func (s *Session) settledNames(st *step, names []string) bool {
	for _, name := range names {
		if p := s.named[name]; s.crosses(s.closed[name]) || p != nil && s.crosses(p.batch) {
			return s.quiet(st)
		}
	}
	return true
}
