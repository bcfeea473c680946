package proxy

// What a session makes the proxy hold: its named prepared statements, and the
// part of a message that has come where it is needed whole. Both are bounded
// for a session, and beyond a small part for all sessions of its org: one org
// with many sessions must not take the memory of all.

// mayName reports whether the session may have one more named statement, with
// a Parse of the size.
func (s *Session) mayName(size int) bool {
	fits := len(s.named) == 0 || len(s.named) < maxStatements && s.namedBytes+s.byOrgBytes+size <= maxStatementsHeld
	return fits && s.share.hasRoom(s.more(size))
}

// setNamed notes a named prepared statement; nil: there is none.
func (s *Session) setNamed(name string, p *prepared) {
	before := s.beyond()
	if old := s.named[name]; old != nil {
		s.namedBytes -= old.size
		delete(s.named, name)
	}
	if p != nil {
		if s.named == nil {
			s.named = make(map[string]*prepared)
		}
		s.named[name] = p
		s.namedBytes += p.size
	}
	s.share.hold(s.beyond() - before)
}

// holdPrepares counts what is kept of the PREPARE statements of a text.
func (s *Session) holdPrepares(size int) {
	before := s.beyond()
	s.byOrgBytes += size
	s.share.hold(s.beyond() - before)
}

// forgetNamed forgets all named statements.
func (s *Session) forgetNamed() {
	before := s.beyond()
	clear(s.named)
	s.namedBytes = 0
	s.share.hold(s.beyond() - before)
}

// mayHold reports whether a message of the size may be held until all of it has
// come, and counts it.
func (s *Session) mayHold(size int) bool {
	if int(s.heldBytes) == size {
		return true
	}
	if !s.share.hasRoom(s.more(size)) {
		return false
	}
	before := s.beyond()
	s.heldBytes = int32(size)
	s.share.hold(s.beyond() - before)
	return true
}

// letGo is called when the message that was held has been handled.
func (s *Session) letGo() {
	before := s.beyond()
	s.heldBytes, s.lookAgain = 0, 0
	s.share.hold(s.beyond() - before)
}

// beyond is how much more than sessionHeld the session holds.
func (s *Session) beyond() int { return max(0, s.namedBytes+s.byOrgBytes+int(s.heldBytes)-sessionHeld) }

// more is by how much beyond grows with n bytes more.
func (s *Session) more(n int) int {
	return max(0, s.namedBytes+s.byOrgBytes+int(s.heldBytes)+n-sessionHeld) - s.beyond()
}

// hold counts n bytes more, or less.
func (o *orgShare) hold(n int) {
	if o != nil && n != 0 {
		o.held.Add(int64(n))
	}
}

// hasRoom reports whether the org may hold n bytes more.
func (o *orgShare) hasRoom(n int) bool {
	return o == nil || n <= 0 || o.held.Load()+int64(n) <= maxOrgHeld
}
