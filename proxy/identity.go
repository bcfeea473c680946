package proxy

import (
	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// identities are those of a session that changes its identity in band. What
// stands further down wins.
type identities struct {
	connection *auth.Identity // of the connection's token
	token      *auth.Identity // of SET bulkhead.token
	picked     *auth.Identity // of SET bulkhead.org_id: one of the above, for one org
	local      *auth.Identity // of SET LOCAL, until the end of the transaction
}

func (i *identities) effective() *auth.Identity {
	for _, id := range [...]*auth.Identity{i.local, i.picked, i.token} {
		if id != nil {
			return id
		}
	}
	return i.connection
}

// granting is the identity among whose orgs a new one is picked.
func (i *identities) granting(local bool) *auth.Identity {
	switch {
	case local && i.local != nil && i.local.Picks():
		return i.local
	case i.token != nil:
		return i.token
	}
	return i.connection
}

// connectionIdentity is that of the connection's token.
func (s *Session) connectionIdentity() *auth.Identity {
	if s.who != nil {
		return s.who.connection
	}
	return s.identity
}

// isLocal reports whether the identity in force ends with the transaction.
func (s *Session) isLocal() bool { return s.who != nil && s.who.local != nil }

// assume puts the identity in force that follows from s.who. If it is not that
// of now, the session gives up its server connection, with what it has there
// but its settings and prepared statements. It fails if the identity maps to no
// tenant; then nothing has changed.
func (s *Session) assume(st *step) *clientError {
	id := s.who.effective()
	ctx, err := s.env.contexts.resolve(s.env.opts.Resolver, id)
	if err != nil {
		s.env.metrics.authFailed("tenant")
		s.env.log.Warn("token maps to no tenant", "session", s.id, "client_addr", s.client.addr, "error", err)
		return &errTenant
	}
	s.identity, s.validAt = id, 0
	if ctx == s.context {
		return nil
	}
	s.releaseServer(st)
	s.context = ctx
	s.key = makeKey(ctx, &s.startup)
	return nil
}

// releaseServer gives up the server connection between transactions, or in one
// that is to be begun anew.
func (s *Session) releaseServer(st *step) {
	sc := s.sc
	if sc == nil {
		return
	}
	if s.begun != "" {
		sc.tx = txOpen // before a Sync the server has not said so
	}
	if s.pooling() && sc.idle() && !sc.unsynced && s.pin == 0 && !s.holdsUnnamed() {
		st.ask(returnClean{sc: sc})
	} else {
		st.ask(returnServer{sc: sc})
	}
	s.sc = nil
	s.pin, s.settled, s.touched, s.sequences = 0, 0, false, 0
	s.endPortals()
	clear(s.onServer)
	s.forgetPrepares()
	s.relabel = false
	if s.pooling() {
		if s.holdsUnnamed() {
			s.forgetUnnamed()
		}
		return
	}
	// In session pooling prepared statements have the client's own names.
	s.forgetUnnamed()
	for _, p := range s.named {
		p.absent = true
	}
}

// endLocal returns to the session's own identity when the transaction of SET
// LOCAL has ended. It reports whether it has to wait first.
func (s *Session) endLocal(st *step) (waits bool) {
	if !s.isLocal() || s.reopen != "" || s.sc == nil || !s.sc.idle() || s.sc.unsynced {
		return false
	}
	if s.touched {
		s.askState(st) // SET outlives the transaction
		return true
	}
	s.who.local, s.ending = nil, false
	if e := s.assume(st); e != nil {
		s.end(st, endAuthFailed, e) // it was in force before: the configuration cannot have changed
	}
	return false
}

// noteBegin notes that a statement is sent. If it is certain that it begins a
// transaction, its text is kept: SET LOCAL may follow, and the transaction is
// then begun anew on another server connection.
func (s *Session) noteBegin(text string) {
	s.begun = ""
	if text != "" && !s.ran && s.sc.tx == txIdle && !s.sc.owed.runs() {
		s.begun = text
	}
	s.ran = true
}

// beginText returns the text of a statement that begins a transaction. They are
// alike, so it is kept once.
func (s *Session) beginText(text []byte) string {
	if s.begin != string(text) {
		s.begin = string(text)
	}
	return s.begin
}

// identityChange is a change of identity that a statement asks for.
type identityChange struct {
	parser.Identity
	value string
}

// apply carries the change out. Identities that were given up stay given up if
// it fails: a client that ignores the error must not act for the one before.
func (s *Session) apply(st *step, c *identityChange, id *auth.Identity) *clientError {
	w, before := s.who, *s.who
	switch {
	case c.Local:
		w.local = id
	case c.Name == parser.IdentityToken:
		w.token, w.picked = id, nil
	default:
		w.picked = id
	}
	if e := s.assume(st); e != nil {
		*w = before
		return e
	}
	if c.Local && s.sc == nil && s.begun != "" {
		s.reopen, s.begun = s.begun, ""
	}
	s.identityChanged(st, c)
	return nil
}

// withdrawIdentity goes back to the identity before a change that has failed,
// or beyond it.
func (s *Session) withdrawIdentity(st *step, c *identityChange) {
	if c.Local {
		return // the transaction fails
	}
	s.who.picked = nil
	if c.Name == parser.IdentityToken {
		s.who.token = nil
	}
	if e := s.assume(st); e != nil {
		s.end(st, endAuthFailed, e)
	}
}

// unfit says why a text cannot run under an identity that ends with the
// transaction: what stands behind the end would run under it too.
func (s *Session) unfit(ins *policy.Inspection) *clientError {
	if s.isLocal() && (s.ending || ins.Effects.Has(parser.EffectEnd) && !ins.Ends) {
		return &errLocalEnd
	}
	return nil
}

// refusedNow refuses a Bind of a statement that was allowed when it was
// prepared, if it is not for the identity in force now.
func (s *Session) refusedNow(st *step, head []byte, p *prepared) bool {
	if e := s.unfit(p.inspection); e != nil {
		s.refuseWith(st, head, *e)
		return true
	}
	var d policy.Decision
	switch {
	case s.context.Org == "" && !p.inspection.Tenantless:
		d = s.engine.NoOrg()
	case s.who != nil:
		d = p.inspection.ForOrg(s.engine, s.context.Org)
	}
	if len(p.inspection.Executes) > 0 && d.Action != policy.Block {
		d = s.decideExecute(p.inspection, d)
	}
	if s.changesPieces(p.inspection) {
		d = stricter(d, s.engine.Changing())
	}
	if d.Action != policy.Allow {
		s.record(st, d, p.inspection, policy.Extended, nil)
	}
	if d.Action == policy.Block {
		s.refuse(st, head, &d)
		return true
	}
	return false
}

// identityStatement returns the prepared statement of that name if it changes
// the identity, else nil.
func (s *Session) identityStatement(name []byte) *prepared {
	p := s.statement
	if len(name) > 0 {
		p = s.named[string(name)]
	}
	if p == nil || p.identity == nil {
		return nil
	}
	return p
}
