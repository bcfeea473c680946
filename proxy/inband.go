package proxy

import (
	"encoding/binary"
	"slices"

	"github.com/pgbulkhead/bulkhead/auth"
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// A client may change its identity in band (docs/authentication.md). Such a
// statement is answered here and never reaches the server, a cache or a log:
// it may hold a token.

// identityStatement is a prepared statement, or a portal, that changes the
// identity.
type identityStatement struct {
	parser.Identity
	oid    uint32 // that Parse declared for $1
	value  string // of the portal
	format uint16 // of the portal's result
	done   bool   // the portal was executed
}

var (
	// pickStatement is how records show a statement that picks an org.
	pickStatement = func() *policy.Inspection {
		const text = "SET " + parser.IdentityOrg + " = $1"
		i := policy.Described("SET", text)
		i.Settings, i.Fingerprint = []string{parser.IdentityOrg}, parser.Fingerprint(text)
		return i
	}()
	noEffects  = &policy.Inspection{Tenantless: true}
	setConfig  = "set_config" // the name of the result's column
	errNoValue = clientError{severity: severityError, code: "22004", message: "the value of the identity cannot be NULL"}
)

// changesIdentity recognises a statement that changes the identity. What the
// engine knows of any other text is kept in s.inspected.
func (s *Session) changesIdentity(text []byte, extended bool) (id parser.Identity, is bool) {
	ins, known := s.engine.Cached(text, protocolOf(extended))
	if !known || namesIdentity(ins.Settings) {
		if id, is = s.identityIn(text); is {
			return id, true
		}
	}
	if known && s.readAsSent(text) {
		s.inspected = ins
	}
	return id, false
}

// identityIn recognises a statement that changes the identity of this session.
// A longer text than any with a token is not looked at, and who has only one
// org picks none: rules refuse both.
func (s *Session) identityIn(text []byte) (id parser.Identity, ok bool) {
	if len(text) > s.env.limits().MaxTokenBytes+maxIdentityText {
		return id, false
	}
	if id, ok = parser.ParseIdentity(text); !ok || id.Name == parser.IdentityToken {
		return id, ok
	}
	return id, s.identity.Picks() || s.who != nil && (s.who.granting(true).Picks() || s.who.picked != nil)
}

// namesIdentity reports whether settings include one that changes the identity.
func namesIdentity(settings []string) bool {
	return slices.Contains(settings, parser.IdentityToken) || slices.Contains(settings, parser.IdentityOrg)
}

// quiet waits until the server owes no reply: what Bulkhead answers itself must
// not overtake it, and depends on how it ends.
func (s *Session) quiet(st *step) bool {
	if s.sc == nil || s.sc.owed.len() == 0 {
		return true
	}
	if s.sc.unsynced {
		st.toServer.add(append(st.toServer.grow(), 'H', 0, 0, 0, 4))
	}
	s.wait = waitSettled
	return false
}

// identityText handles a Query or Parse that changes the identity. Whether that
// identity has expired does not matter any more; the connection's does.
func (s *Session) identityText(st *step, msg, name, text []byte, id parser.Identity) int {
	if !s.connectionValid() {
		s.end(st, endExpired, &errExpired)
		return len(msg)
	}
	if msg[0] == 'P' {
		return s.identityParse(st, msg, name, text, id)
	}
	return s.identityQuery(st, msg, id)
}

// identityQuery handles a Query that changes the identity.
func (s *Session) identityQuery(st *step, msg []byte, id parser.Identity) int {
	if !s.quiet(st) {
		return 0
	}
	e, waits := s.changeIdentity(st, &identityChange{id, id.Value})
	switch {
	case waits:
		return 0
	case s.phase == phaseClosed:
		return len(msg)
	case e != nil:
		return s.refuseIdentity(st, msg, e)
	}
	s.forgetUnnamed()
	b := st.toClient.grow()
	if id.Select {
		b = setConfigRow(b, 0)
	}
	st.toClient.add(readyForQuery(s.identityDone(b, id), s.txStatus()))
	return len(msg)
}

// refuseIdentity refuses a message. A transaction that was begun for the client
// alone must fail on a server connection.
func (s *Session) refuseIdentity(st *step, msg []byte, e *clientError) int {
	if s.reopen != "" && !s.serverNeeded(st) {
		s.held = e
		return 0
	}
	s.refuseWith(st, msg, *e)
	return len(msg)
}

// identityDone appends the row that a SELECT returns, and CommandComplete. A
// token is not sent back: it would end up in logs.
func (s *Session) identityDone(b []byte, id parser.Identity) []byte {
	tag := "SET"
	switch {
	case id.Select:
		tag = "SELECT 1"
		value := "[redacted]"
		if id.Name == parser.IdentityOrg {
			value = s.identity.Org
		}
		var at int
		b, at = begin(b, 'D')
		b = binary.BigEndian.AppendUint32(append(b, 0, 1), uint32(len(value)))
		b = finish(append(b, value...), at)
	case id.Reset:
		tag = "RESET"
	}
	return message(b, 'C', tag)
}

// setConfigRow appends the RowDescription of a SELECT of set_config.
func setConfigRow(b []byte, format uint16) []byte {
	b, at := begin(b, 'T')
	b = append(append(append(b, 0, 1), setConfig...), 0)
	b = append(b, 0, 0, 0, 0, 0, 0) // no table, no column of one
	b = binary.BigEndian.AppendUint32(b, oidText)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // of variable length, without a modifier
	return finish(binary.BigEndian.AppendUint16(b, format), at)
}

// Types that the parameter may be declared to have (pg_type.dat).
const (
	oidText    = 25
	oidUnknown = 705
	oidVarchar = 1043
)

// changeIdentity carries a change out, waits, or says why it cannot be. At the
// next call after the wait, the outcome is there.
func (s *Session) changeIdentity(st *step, c *identityChange) (e *clientError, waits bool) {
	if s.who == nil {
		s.who = &identities{connection: s.identity}
	}
	if e := s.identityPlace(c); e != nil {
		return e, false
	}
	if s.sc != nil && s.touched && !s.sc.unsynced {
		s.askState(st) // what the client has SET goes along
		return nil, true
	}
	var id *auth.Identity
	switch {
	case c.Reset:
	case c.Name == parser.IdentityToken:
		if id, e, waits = s.tokenVerdict(st, c.value); waits {
			return nil, true
		}
	default:
		if id = s.env.contexts.pick(s.env.opts.Verifier, s.who.granting(c.Local), c.value); id == nil {
			d := s.engine.OrgNotGranted()
			s.record(st, d, pickStatement, policy.Simple, nil)
			refused := fromDecision(&d)
			e = &refused
		}
	}
	if e == nil {
		e = s.apply(st, c, id)
	}
	if e == nil {
		return nil, false
	}
	s.withdrawIdentity(st, c)
	failure := *e
	failure.severity = severityError
	return &failure, false
}

// identityPlace checks that the statement stands at a boundary: between
// transactions, or with LOCAL at the beginning of one.
func (s *Session) identityPlace(c *identityChange) *clientError {
	begun := s.begun != "" || s.reopen != ""
	outside := s.sc == nil && s.reopen == "" || s.sc != nil && s.sc.idle() && !s.sc.unsynced
	switch {
	case s.txStatus() == txFailed:
		return &errTxFailed
	case !c.Local && !outside:
		return &errIdentityInTx
	case c.Local && outside:
		return &errLocalOutside
	case c.Local && !begun:
		return &errLocalLate
	}
	return nil
}

// verdict is the outcome of verifying a token that was sent in band.
type verdict struct {
	id  *auth.Identity
	err error
}

// tokenVerdict verifies a token.
func (s *Session) tokenVerdict(st *step, token string) (id *auth.Identity, e *clientError, waits bool) {
	v := s.verdict
	s.verdict = nil
	if v == nil {
		if id, err, known := s.env.opts.Verifier.Cached([]byte(token)); known {
			v = &verdict{id, err}
		} else {
			s.wait = waitToken
			st.ask(verifyToken{token: []byte(token)})
			return nil, nil, true
		}
	}
	if v.err != nil {
		why := auth.ReasonOf(v.err)
		s.env.metrics.authFailed(string(why))
		s.env.log.Warn("token in band refused", "session", s.id, "client_addr", s.client.addr, "reason", why)
		return nil, &errTokenInBand, false
	}
	return v.id, nil, false
}
