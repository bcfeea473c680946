package proxy

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/pgbulkhead/bulkhead/policy"
)

// A refused message is replaced by one that certainly fails on the server,
// and the server's error by ours. Order, skip-until-Sync and the state of the
// transaction are then PostgreSQL's own.

// failing texts. A statement cannot begin with this word, so the text fails
// in the server's parser, in a failed transaction too; its log shows the rule.
const failingText = "bulkhead_refused "

// refuse answers a message that a rule refuses. It returns its size.
func (s *Session) refuse(st *step, msg []byte, d *policy.Decision) int {
	e := fromDecision(d)
	s.refuseAs(st, msg, e, "rule "+d.Rule)
	return len(msg)
}

// refuseWith answers a message that cannot be carried out for a reason that
// is no rule's.
func (s *Session) refuseWith(st *step, msg []byte, e clientError) {
	s.refuseAs(st, msg, e, "sqlstate "+e.code)
}

// refuseMalformed answers a message that the server would find malformed.
func (s *Session) refuseMalformed(st *step, msg []byte, e clientError) int {
	s.refuseAs(st, msg, e, "sqlstate "+e.code)
	return len(msg)
}

func (s *Session) refuseAs(st *step, msg []byte, e clientError, why string) {
	var was *change
	if msg[0] == 'Q' || msg[0] == 'P' && (len(msg) < 6 || msg[5] == 0) {
		was = s.saveUnnamed()
		s.forgetUnnamed() // as the server does before it parses
	}
	if s.sc == nil {
		s.refuseLocally(st, msg[0], e)
		return
	}
	s.sc.owed.push(owed{kind: replyTo(msg[0]), refusal: &e, change: was})
	if msg[0] == 'Q' || msg[0] == 'F' {
		s.sent++
	}
	st.toServer.add(appendFailing(st.toServer.grow(), msg, why))
	s.sc.unsynced = msg[0] != 'Q' && msg[0] != 'F' || s.sc.unsynced
}

// refuseLocally answers without a server connection, as an idle PostgreSQL
// would.
func (s *Session) refuseLocally(st *step, typ byte, e clientError) {
	b := e.appendTo(st.toClient.grow())
	if typ == 'Q' || typ == 'F' {
		b = readyForQuery(b, txIdle)
	} else {
		s.skipping = true
	}
	st.toClient.add(b)
}

// refuseStream refuses a message of any size without holding it: its body is
// dropped as it comes.
func (s *Session) refuseStream(st *step, b []byte, size int, d *policy.Decision, p policy.Protocol) int {
	s.record(st, *d, nil, p, nil)
	s.refuse(st, b[:5], d)
	return s.skip(b, size)
}

func replyTo(typ byte) owedKind {
	switch typ {
	case 'Q':
		return owedQuery
	case 'F':
		return owedQuery // replaced by a Query
	case 'P':
		return owedParse
	case 'B':
		return owedBind
	case 'D':
		return owedDescribe
	case 'C':
		return owedClose
	default:
		return owedExecute
	}
}

// appendFailing appends the message that takes the place of msg.
func appendFailing(b, msg []byte, why string) []byte {
	switch msg[0] {
	case 'Q', 'F':
		return message(b, 'Q', failingText+why)
	case 'P':
		// The same name: a failing Parse of the unnamed statement drops it,
		// one of a named statement does not.
		var name []byte
		if n, _, ok := splitText(msg); len(msg) > 5 && ok {
			name = n
		}
		b, at := begin(b, 'P')
		b = append(append(b, name...), 0)
		b = append(append(b, failingText+why...), 0)
		return finish(append(b, 0, 0), at)
	default:
		// Bind names a statement that cannot exist; Describe, Close and
		// Execute become such a Bind too: each fails alike.
		b, at := begin(b, 'B')
		b = append(b, 0)
		b = append(append(b, failingName+why...), 0)
		return finish(append(b, 0, 0, 0, 0, 0, 0), at)
	}
}

// failingName begins the name of a prepared statement that nobody has: a
// client cannot guess it.
var failingName = func() string {
	var b [16]byte
	rand.Read(b[:])
	return "bulkhead " + hex.EncodeToString(b[:]) + " "
}()
