package proxy

import (
	"bytes"
	"unique"

	"github.com/pgbulkhead/bulkhead/policy"
)

// prepared is what a session knows of a prepared statement or portal that it
// made by a message of the protocol.
type prepared struct {
	inspection *policy.Inspection
	parent     *traceParent
	id         statementID // set for a named statement
	begin      string      // the text of a statement that begins a transaction
	// identity is set for a statement that changes the session's identity.
	identity *identityStatement
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
	if ins.Begins {
		p.begin = string(text)
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
	if len(name) == 0 {
		s.parseUnnamed(st, msg, text, ins)
		return
	}
	switch {
	case len(s.named) >= maxStatements:
		s.refuseWith(st, msg, errStatements)
		return
	case s.named == nil:
		s.named = make(map[string]*prepared)
	}
	p := s.newPrepared(ins, text, true)
	p.id = s.identify(text, msg[5+len(name)+1+len(text)+1:])
	if !s.pooling() {
		s.named[string(name)] = &p
		s.sc.unsynced = true
		s.send(st, msg, owed{kind: owedParse, inspection: ins})
		return
	}
	if s.named[string(name)] != nil {
		s.refuseWith(st, msg, statementExists(name))
		return
	}
	s.named[string(name)] = &p
	s.prepare(st, p.id, owed{kind: owedParse, inspection: ins, change: &change{name: string(name), now: &p}})
}

func (s *Session) parseUnnamed(st *step, msg, text []byte, ins *policy.Inspection) {
	o := owed{kind: owedParse, inspection: ins}
	if s.statement == nil || s.statement == s.portal || len(s.portals) > 0 {
		s.statement = new(prepared) // a portal may refer to the old one
	}
	*s.statement = s.newPrepared(ins, text, false)
	if s.pooling() {
		o.change = &unnamedParse
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
}

// identify returns the identity of a statement. Under other settings of the
// client, such as search_path, its names and parameters may mean something
// else.
func (s *Session) identify(text, types []byte) statementID {
	return unique.Make(statementKey{text: string(text), types: string(types), state: s.state, session: s.unsettled()})
}

// unsettled is the session's own mark while its settings are not known.
func (s *Session) unsettled() uint64 {
	if s.touched {
		return s.id
	}
	return 0
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

// lookup returns the prepared statement of a Bind or Describe. What the
// session cannot have is refused: the same name may be another session's.
func (s *Session) lookup(name []byte) (p *prepared, missing *clientError) {
	if len(name) == 0 {
		if s.statement == nil {
			return nil, &errUnnamedGone
		}
		return s.statement, nil
	}
	if p = s.named[string(name)]; p != nil || !s.pooling() || s.pin&pinPrepared != 0 {
		return p, nil // nil: made by PREPARE
	}
	e := noStatement(name)
	return nil, &e
}

// closeStatement handles Close of a prepared statement in transaction pooling:
// the statement may be in use by other sessions, so it stays on the server.
// It reports whether that was all.
func (s *Session) closeStatement(st *step, name []byte) bool {
	p := s.named[string(name)]
	if len(name) > 0 && p == nil && s.pin&pinPrepared != 0 {
		return false // made by PREPARE
	}
	if len(name) == 0 {
		p, s.statement, s.message = s.statement, nil, s.message[:0]
	}
	delete(s.named, string(name))
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

// closeNamed notes a Close that goes to the server.
func (s *Session) closeNamed(what byte, name []byte) {
	switch {
	case what == 'S' && len(name) == 0:
		s.statement = nil
	case what == 'S':
		delete(s.named, string(name))
	case len(name) == 0:
		s.portal = nil
	default:
		delete(s.portals, string(name))
	}
}

// execute returns what is owed for an Execute of the portal named in body.
func (s *Session) execute(st *step, body []byte) owed {
	o := owed{kind: owedExecute}
	name, _, _ := bytes.Cut(body, []byte{0})
	p := s.portalOf(name)
	if p == nil || p.inspection == nil {
		s.noteBegin("")
		return o
	}
	s.noteBegin(p.begin)
	s.ending = s.ending || s.isLocal() && p.inspection.Ends
	s.note(p.inspection)
	o.inspection, o.start, o.parent = p.inspection, st.now.UnixNano(), p.parent
	return o
}
