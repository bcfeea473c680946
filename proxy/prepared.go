package proxy

import (
	"bytes"
	"unique"

	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// prepared is what a session knows of a prepared statement or portal that it
// made by a message of the protocol.
type prepared struct {
	inspection *policy.Inspection
	parent     *traceParent
	// Set for a named statement.
	name  string // the client's
	id    statementID
	size  int    // of its Parse
	begin string // the text of a statement that begins a transaction
	// identity is set for a statement that changes the session's identity.
	identity *identityStatement
	batch    uint64 // in which it was parsed
	gone     bool   // its Parse has failed, or was skipped
	// absent: in session pooling, it is not on the present server connection.
	absent bool
}

// statements are the prepared statements and portals of a session. In session
// pooling they have the client's names on the server; a name that is not here
// may still exist there, made by the PREPARE or DECLARE statement, which was
// inspected as a statement.
//
// In transaction pooling a named statement is the session's alone: it goes to
// the server under a name of the server connection's (see serverStatements),
// wherever the session next needs it.
type statements struct {
	named   map[string]*prepared
	portals map[string]*prepared
	// The unnamed ones.
	statement *prepared
	portal    *prepared
	unnamed   unnamedID
	// namedBytes is the size of the named ones, and portalBytes that of the
	// portals' names.
	namedBytes  int
	portalBytes int32
	// boundReset: a statement that may take the label away was bound in the
	// present transaction.
	boundReset bool
	// preparedChange: a statement that changes what STABLE expressions see was
	// prepared, so EXECUTE may be of one.
	preparedChange bool
	pieces         *pieces // of the transaction; nil for most
	// saved bounds the size of the messages that the pipeline holds, for the
	// case that the server skips what has replaced them.
	saved int
	// message is the Parse of the unnamed statement, in transaction pooling:
	// a client may come back to it after a Sync, on another server connection
	// (psql's \gdesc, pgx's DescribeExec, libpq's PQprepare("")). It is empty
	// if it is too large to be kept.
	message []byte
}

// pooling reports whether the session may change its server connection.
func (s *Session) pooling() bool { return s.env.opts.Pool.Transaction }

// newPrepared describes a statement that the client prepares. A traced one
// keeps what spans say of it.
func (s *Session) newPrepared(ins *policy.Inspection, text []byte, named bool) prepared {
	p := prepared{inspection: ins}
	s.preparedChange = s.preparedChange || named && ins.Effects.Has(parser.VisibleEffects)
	if ins.Begins {
		p.begin = s.beginText(text)
	}
	if s.env.tracing() {
		p.parent = parentOf(text)
	} else if named {
		p.inspection = ins.Slim()
	}
	return p
}

// sendParse forwards a Parse that was inspected.
func (s *Session) sendParse(st *step, msg, name, text []byte, ins *policy.Inspection) {
	if s.serverSkips() {
		return
	}
	if s.pooling() && ins.Effects.Has(parser.EffectExecute) {
		s.materialise(st, ins.Effects.Prepared, false) // what EXECUTE returns is settled now
	}
	if len(name) == 0 {
		s.parseUnnamed(st, msg, text, ins)
		return
	}
	if !s.mayName(len(msg)) {
		s.refuseWith(st, msg, errStatements)
		return
	}
	p := s.newPrepared(ins, text, true)
	p.batch, p.size = s.batch(), len(msg)
	p.name, p.id = string(name), s.identify(text, msg[5+len(name)+1+len(text)+1:], ins)
	if !s.pooling() {
		o := owed{kind: owedParse, inspection: ins}
		if old := s.named[p.name]; old == nil {
			s.setNamed(p.name, &p)
			o.change = &change{name: p.name, now: &p}
		} else {
			s.ensure(st, p.name, old) // the server finds that the name is taken
		}
		s.sc.unsynced = true
		s.send(st, msg, o)
		return
	}
	switch old := s.named[p.name]; {
	case s.onServer[p.name] || old == nil && s.byStatement[p.name]:
		s.parseAsNamed(st, msg, &p)
	case old != nil && old.identity != nil:
		s.refuseWith(st, msg, statementExists(name))
	case old != nil:
		// The server finds that the name is taken, once it finds no fault with
		// the text.
		s.parseAs(st, s.ensure(st, p.name, old), p.id.Value(), owed{kind: owedParse, of: old})
	default:
		s.setNamed(p.name, &p)
		s.prepare(st, p.id, owed{kind: owedParse, inspection: ins, change: &change{name: p.name, now: &p}})
	}
}

// parseAsNamed forwards the Parse of a name that the server may have, since a
// statement has used it there.
func (s *Session) parseAsNamed(st *step, msg []byte, p *prepared) {
	o := owed{kind: owedParse, inspection: p.inspection}
	if s.named[p.name] == nil {
		s.setNamed(p.name, p)
		s.keepOnServer(p.name)
		o.change = &change{name: p.name, now: p, there: true}
	}
	s.sc.unsynced = true
	s.send(st, msg, o)
}

func (s *Session) parseUnnamed(st *step, msg, text []byte, ins *policy.Inspection) {
	o := owed{kind: owedParse, inspection: ins, change: s.saveUnnamed()}
	if o.change == nil {
		o.change = &unnamedParse
	}
	if s.statement == nil || s.statement == s.portal || len(s.portals) > 0 {
		s.statement = new(prepared) // a portal may refer to the old one
	}
	*s.statement = s.newPrepared(ins, text, false)
	if s.pooling() {
		s.unnamed = unnamedID{s.id, s.unnamed.n + 1}
		s.sc.known.unnamed = s.unnamed
		if cap(s.message) > maxKeptUnnamed {
			s.message = nil
		}
		s.message = s.message[:0]
		if len(msg) <= maxKeptUnnamed {
			s.message = append(s.message, msg...)
		}
	}
	s.sc.unsynced = true
	s.send(st, msg, o)
	if s.saved > maxSavedUnnamed {
		st.toServer.add(append(st.toServer.grow(), 'H', 0, 0, 0, 4))
		s.wait = waitSettled
	}
}

// unnamedState is what the session knows of its unnamed statement.
type unnamedState struct {
	statement *prepared
	message   []byte
	id        unnamedID
}

// saveUnnamed returns the change by a message that replaces or destroys the
// unnamed statement, if the server may skip it: an earlier message may have
// failed. Else it is nil.
func (s *Session) saveUnnamed() *change {
	s.unnamedAt = s.batch()
	if s.sc == nil || s.sc.owed.len() == 0 {
		s.saved = 0
		return nil
	}
	if s.statement == nil {
		return nil
	}
	s.saved += cap(s.message)
	c := &change{was: &unnamedState{s.statement, s.message, s.unnamed}}
	s.statement, s.message = nil, nil
	return c
}

// identify returns the identity of a statement. Under other settings of the
// client, such as search_path, its names and parameters may mean something
// else. While the settings are not known, or if the text names a prepared
// statement, it is the session's own.
func (s *Session) identify(text, types []byte, ins *policy.Inspection) statementID {
	k := statementKey{text: string(text), types: string(types), state: s.state}
	if s.touched || len(ins.Effects.Prepared) > 0 {
		k.session = s.id
	}
	return unique.Make(k)
}

// forgetUnnamed: a simple Query destroys the unnamed statement, and the end
// of a transaction the portals.
func (s *Session) forgetUnnamed() {
	s.statement, s.portal = nil, nil
	s.message = s.message[:0]
	if s.sc != nil {
		s.sc.known.unnamed = unnamedID{}
	}
}

// holdsUnnamed reports whether the client may come back to an unnamed
// statement that is on its present server connection only.
func (s *Session) holdsUnnamed() bool {
	return s.statement != nil && len(s.message) == 0 && s.statement.identity == nil
}

// serverSkips reports whether the server is known to discard messages until
// the Sync.
func (s *Session) serverSkips() bool { return s.sc != nil && s.sc.owed.skipping }

// lookup returns the prepared statement of a Bind or Describe; nil if it can
// only have been made by PREPARE. What the session cannot have is taken for a
// statement that exists nowhere, so that the server says so: the same name may
// be another session's.
func (s *Session) lookup(name []byte) *prepared {
	if len(name) == 0 {
		if s.statement == nil {
			return &noUnnamed
		}
		return s.statement
	}
	p := s.named[string(name)]
	if p == nil && s.pooling() && s.pin&pinPrepared == 0 {
		return &prepared{name: string(name), inspection: noUnnamed.inspection}
	}
	return p
}

// noUnnamed stands for an unnamed statement that does not exist.
var noUnnamed = prepared{inspection: &policy.Inspection{}}

// exists reports whether p is a statement that the session has prepared.
func (p *prepared) exists() bool { return p.inspection != noUnnamed.inspection }

// closeStatement handles Close of a prepared statement in transaction pooling:
// the statement may be in use by other sessions, so it stays on the server.
// It reports whether that was all.
func (s *Session) closeStatement(st *step, name []byte) bool {
	if len(name) == 0 {
		c := s.saveUnnamed()
		s.statement, s.message = nil, s.message[:0]
		s.replyLocally(st, closeComplete, c)
		return true
	}
	p := s.named[string(name)]
	if s.onServer[string(name)] || p == nil && s.pin&pinPrepared != 0 {
		return false // the server has it under that name, or made by PREPARE
	}
	s.noteClose(name)
	s.setNamed(string(name), nil)
	s.replyLocally(st, closeComplete, &change{name: string(name), before: p})
	return true
}

var closeComplete = []byte{'3', 0, 0, 0, 4}

// replyLocally gives a reply of Bulkhead's own, behind those that the server
// owes.
func (s *Session) replyLocally(st *step, b []byte, c *change) {
	if s.sc == nil {
		st.toClient.write(b)
		return
	}
	s.sc.owed.push(owed{kind: owedLocal, local: b, change: c})
	s.sc.answerLocally(st)
}

// closeNamed notes a Close that goes to the server. It returns what that
// changes.
func (s *Session) closeNamed(what byte, name []byte) (c *change) {
	switch {
	case what == 'S' && len(name) == 0:
		c = s.saveUnnamed()
		s.statement = nil
	case what == 'S':
		s.noteClose(name)
		if p := s.named[string(name)]; p != nil {
			c = &change{name: string(name), before: p, there: s.onServer[string(name)]}
		}
		if s.onServer[string(name)] {
			s.touched = true // it may have been the last that held the connection
			delete(s.onServer, string(name))
		}
		s.setNamed(string(name), nil)
	case len(name) == 0:
		s.portal = nil
	default:
		delete(s.portals, string(name))
	}
	return c
}

// execute returns what is owed for an Execute of the portal named in body.
func (s *Session) execute(st *step, body []byte) owed {
	o := owed{kind: owedExecute}
	name, limit, _ := bytes.Cut(body, []byte{0})
	if len(bytes.Trim(limit, "\x00")) > 0 {
		s.inPieces().begun = true
	}
	p := s.portalOf(name)
	if p == nil || p.inspection == nil {
		s.noteBegin("")
		return o
	}
	s.noteBegin(p.begin)
	s.passEnd(p.inspection)
	s.ending = s.ending || s.isLocal() && p.inspection.Ends
	s.note(p.inspection)
	s.makeWay(st, p.inspection)
	o.inspection, o.start, o.parent = p.inspection, st.now.UnixNano(), p.parent
	return o
}
