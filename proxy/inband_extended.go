package proxy

import (
	"bytes"
	"encoding/binary"

	"github.com/pgbulkhead/bulkhead/parser"
)

// The messages of the extended protocol for statements that change the
// identity. Parse and Bind have no effect, so they may stand anywhere; Execute
// is what counts.

// identityParse handles a Parse.
func (s *Session) identityParse(st *step, msg, name, text []byte, id parser.Identity) int {
	if !s.quiet(st) {
		return 0
	}
	p := &prepared{inspection: noEffects, identity: &identityStatement{Identity: id}}
	types := msg[5+len(name)+1+len(text)+1:]
	switch n := binary.BigEndian.Uint16(types); {
	case n == 1 && id.Param:
		p.identity.oid = binary.BigEndian.Uint32(types[2:])
	case n > 0:
		return s.refuseIdentity(st, msg, &errIdentityParams)
	}
	switch p.identity.oid {
	case 0, oidText, oidUnknown, oidVarchar:
	default:
		return s.refuseIdentity(st, msg, &errIdentityParams)
	}
	switch {
	case s.txStatus() == txFailed:
		return s.refuseIdentity(st, msg, &errTxFailed)
	case len(name) == 0:
		s.forgetUnnamed()
		s.statement = p
	case s.named[string(name)] != nil:
		e := statementExists(name)
		return s.refuseIdentity(st, msg, &e)
	case !s.mayName(len(msg)):
		return s.refuseIdentity(st, msg, &errStatements)
	default:
		p.size = len(msg)
		s.setNamed(string(name), p)
	}
	st.toClient.add(append(st.toClient.grow(), '1', 0, 0, 0, 4))
	return len(msg)
}

// identityBind handles a Bind of the statement p. b is what has come of it.
func (s *Session) identityBind(st *step, b []byte, size int, portal []byte, p *prepared) int {
	if size > s.env.limits().MaxTokenBytes+maxBindNames {
		return s.refuseIdentityPart(st, b, size, &errIdentityParams)
	}
	if len(b) < size || !s.quiet(st) {
		return 0
	}
	bound := *p.identity
	if e := bound.bind(b[5:size]); e != nil {
		return s.refuseIdentityPart(st, b, size, e)
	}
	if s.txStatus() == txFailed {
		return s.refuseIdentityPart(st, b, size, &errTxFailed)
	}
	if !s.setPortal(portal, &prepared{inspection: noEffects, identity: &bound}) {
		return s.refuseIdentityPart(st, b, size, &errPortals)
	}
	st.toClient.add(append(st.toClient.grow(), '2', 0, 0, 0, 4))
	return size
}

// refuseIdentityPart refuses a message that need not have come whole.
func (s *Session) refuseIdentityPart(st *step, b []byte, size int, e *clientError) int {
	if s.refuseIdentity(st, b[:5], e) == 0 {
		return 0
	}
	return s.skip(b, size)
}

// bind takes the value and the format of the result from the body of a Bind.
func (i *identityStatement) bind(body []byte) *clientError {
	_, rest, _ := bytes.Cut(body, []byte{0})
	_, rest, _ = bytes.Cut(rest, []byte{0})
	params := bindParams{rest: rest}
	if !params.header() {
		return &errMessageFormat
	}
	want := 0
	i.value = i.Value
	if i.Param {
		want = 1
		_, value, state := params.value(1)
		switch {
		case state != paramKnown:
			return &errIdentityParams
		case value == nil:
			return &errNoValue
		}
		i.value = string(value)
	}
	if params.count != want || len(params.rest) < 2 {
		return &errIdentityParams
	}
	if n := int(binary.BigEndian.Uint16(params.rest)); n > 0 && len(params.rest) >= 4 {
		i.format = binary.BigEndian.Uint16(params.rest[2:])
	}
	return nil
}

// identityNamed handles Describe, Close and Execute of a statement or portal
// that changes the identity. ours is false if the message names another.
func (s *Session) identityNamed(st *step, msg []byte) (n int, ours bool) {
	what, name := byte('P'), msg[5:]
	if msg[0] != 'E' {
		what, name = msg[5], msg[6:]
		if bytes.IndexByte(name, 0) != len(name)-1 {
			return 0, false
		}
	}
	name, _, _ = bytes.Cut(name, []byte{0})
	p := s.portalOf(name)
	if what == 'S' {
		if p = s.named[string(name)]; len(name) == 0 {
			p = s.statement
		}
	}
	if p == nil || p.identity == nil {
		return 0, false
	}
	if !s.quiet(st) {
		return 0, true
	}
	switch msg[0] {
	case 'C':
		s.closeNamed(what, name)
		st.toClient.write(closeComplete)
	case 'D':
		st.toClient.add(p.identity.describe(st.toClient.grow(), what))
	default:
		return s.identityExecute(st, msg, name, p.identity), true
	}
	return len(msg), true
}

// describe appends the reply to a Describe.
func (i *identityStatement) describe(b []byte, what byte) []byte {
	if what == 'S' {
		var at int
		b, at = begin(b, 't')
		if i.Param {
			oid := i.oid
			if oid == 0 || oid == oidUnknown {
				oid = oidText
			}
			b = binary.BigEndian.AppendUint32(append(b, 0, 1), oid)
		} else {
			b = append(b, 0, 0)
		}
		b = finish(b, at)
	}
	if !i.Select {
		return append(b, 'n', 0, 0, 0, 4)
	}
	return setConfigRow(b, i.format)
}

func (s *Session) identityExecute(st *step, msg, name []byte, i *identityStatement) int {
	switch {
	case len(msg) != 5+len(name)+1+4:
		return s.refuseIdentity(st, msg, &errMessageFormat)
	case i.done && i.Select:
		st.toClient.add(message(st.toClient.grow(), 'C', "SELECT 0"))
		return len(msg)
	case i.done:
		e := portalDone(name)
		return s.refuseIdentity(st, msg, &e)
	}
	if !s.connectionValid() {
		s.end(st, endExpired, &errExpired)
		return len(msg)
	}
	e, waits := s.changeIdentity(st, &identityChange{i.Identity, i.value})
	switch {
	case waits:
		return 0
	case s.phase == phaseClosed:
		return len(msg)
	}
	i.done, i.value = true, ""
	if e != nil {
		return s.refuseIdentity(st, msg, e)
	}
	st.toClient.add(s.identityDone(st.toClient.grow(), i.Identity))
	return len(msg)
}
