package proxy

import (
	"unicode/utf8"

	"github.com/pgbulkhead/bulkhead/policy"
)

// A session may ask for client_encoding LATIN1 or SQL_ASCII besides UTF8 (rule
// G104). The guard reads UTF-8. ASCII is the same in all of them. In LATIN1 each
// byte is the character of its number, as the server converts it (PostgreSQL
// manual, Character Set Support); under SQL_ASCII the server converts nothing,
// and refuses what is not valid in the database's encoding. Which of them is in
// force when a text is read is not known before, since a pipeline and a ROLLBACK
// change it: so what could be read in two ways is refused.

// reading returns a text as the server will read it, in UTF-8. known is false if
// that may be either of two texts.
func (s *Session) reading(text []byte) (reading []byte, known bool) {
	if s.readAsSent(text) {
		return text, true
	}
	if utf8.Valid(text) {
		return text, false
	}
	reading = make([]byte, 0, 2*len(text))
	for _, c := range text {
		reading = utf8.AppendRune(reading, rune(c))
	}
	return reading, true
}

// refuseAmbiguous handles a text that can be read in two ways. It reports
// whether that was all.
func (s *Session) refuseAmbiguous(st *step, msg []byte) bool {
	d := s.engine.Ambiguous()
	if d.Action == policy.Allow {
		return false
	}
	s.record(st, d, nil, protocolOf(msg[0] == 'P'), nil)
	if d.Action != policy.Block {
		return false
	}
	s.refuse(st, msg, &d)
	return true
}

// readAsSent reports whether the server reads a text as the bytes that came,
// for certain.
func (s *Session) readAsSent(text []byte) bool { return !s.encoded || isASCII(text) }

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
