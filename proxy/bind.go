package proxy

import (
	"bytes"
	"encoding/binary"

	"github.com/pgbulkhead/bulkhead/policy"
)

// bindMessage handles Bind. Only its names are needed, unless a parameter
// meets a tenant column: then the values up to that one are.
func (s *Session) bindMessage(st *step, b []byte, size int) int {
	if s.skipping || s.serverSkips() {
		return s.skip(b, size)
	}
	body := b[5:min(size, len(b))]
	portal, rest, ok1 := bytes.Cut(body, []byte{0})
	statement, rest, ok2 := bytes.Cut(rest, []byte{0})
	if !ok1 || !ok2 {
		if len(body) > maxBindNames || len(b) >= size {
			return s.violation(st, len(b))
		}
		return 0
	}
	if n, ok := s.boundary(st, b); !ok {
		return n
	}
	if p := s.identityStatement(statement); p != nil {
		return s.identityBind(st, b, size, portal, p)
	}
	if !s.serverNeeded(st) {
		return 0
	}
	if !s.settledName(st, statement, false) {
		return 0
	}
	p := s.lookup(statement)
	if p != nil && p.exists() && s.refusedNow(st, b[:5], p) {
		return s.skip(b, size)
	}
	bind := bindMessage{portal: portal, statement: statement, rest: rest, size: size}
	if s.checksBind(statement, p) {
		if len(b) < min(size, int(s.lookAgain)) {
			return 0
		}
		switch s.checkBind(st, bind.rest, statement, p) {
		case bindIncomplete:
			if len(b) >= size {
				return s.violation(st, len(b))
			}
			if size > maxHeldBind || !s.mayHold(size) {
				s.refuseWith(st, b[:5], errBindTooLarge)
				return s.skip(b, size)
			}
			s.lookAgain = int32(2 * len(b)) // not again for each byte
			return 0
		case bindRefused:
			return s.skip(b, size)
		}
	}
	return s.sendBind(st, b, &bind, p)
}

// bindMessage is a Bind of which at least the names have come.
type bindMessage struct {
	portal, statement []byte
	rest              []byte // what has come behind the names
	size              int    // of the whole message
}

// sendBind forwards a Bind, as much of it as there is.
func (s *Session) sendBind(st *step, b []byte, m *bindMessage, p *prepared) int {
	if !s.setPortal(m.portal, p) {
		s.refuseWith(st, b[:5], errPortals)
		return s.skip(b, m.size)
	}
	s.noteBound(p)
	s.noteChanger(string(m.portal), p)
	name := s.ensure(st, string(m.statement), p)
	s.sc.unsynced = true
	n := min(m.size, len(b))
	if name == "" {
		s.sc.owed.push(owed{kind: owedBind})
		st.toServer.forward(b[:n])
	} else {
		s.sc.owed.push(owed{kind: owedBind, of: p})
		out := st.toServer.grow()
		out = append(out, 'B')
		out = binary.BigEndian.AppendUint32(out, uint32(m.size-1-len(m.statement)+len(name)))
		out = append(append(out, m.portal...), 0)
		out = append(append(out, name...), 0)
		st.toServer.add(out)
		st.toServer.follow(m.rest)
	}
	s.in.rest, s.in.drop = m.size-n, false
	return n
}

// bindOutcome is the outcome of checkBind.
type bindOutcome uint8

const (
	bindAllowed bindOutcome = iota
	bindIncomplete
	bindRefused
)

// checksBind reports whether the parameters of a Bind must be read.
func (s *Session) checksBind(statement []byte, p *prepared) bool {
	return p != nil && len(p.inspection.OrgParams) > 0 || len(s.byOrg) > 0 && len(s.byOrg[string(statement)]) > 0
}

// checkBind checks the parameters that meet a tenant column, of a statement
// that was made by Parse or PREPARE. rest is what has come of the Bind behind
// the names.
func (s *Session) checkBind(st *step, rest, statement []byte, p *prepared) bindOutcome {
	if p != nil {
		if outcome := s.checkParams(st, rest, p.inspection); outcome != bindAllowed {
			return outcome
		}
	}
	for _, ins := range s.byOrg[string(statement)] {
		if outcome := s.checkParams(st, rest, ins); outcome != bindAllowed {
			return outcome
		}
	}
	return bindAllowed
}

func (s *Session) checkParams(st *step, rest []byte, ins *policy.Inspection) bindOutcome {
	params := bindParams{rest: rest}
	for _, n := range ins.OrgParams {
		format, value, state := params.value(n)
		switch state {
		case paramIncomplete:
			return bindIncomplete
		case paramMissing:
			continue // the server will say so
		}
		d := s.engine.CheckParam(ins, n, format, value, s.context.Org)
		if d.Action != policy.Allow {
			s.record(st, d, ins, policy.Extended, nil)
		}
		if d.Action == policy.Block {
			s.refuse(st, bindHead, &d)
			return bindRefused
		}
	}
	return bindAllowed
}

// bindHead stands for a Bind that is refused.
var bindHead = []byte{'B', 0, 0, 0, 4}

// paramState says what is known of a parameter of a Bind.
type paramState uint8

const (
	paramKnown paramState = iota
	paramIncomplete
	paramMissing
)

// bindParams reads the parameters of a Bind in their order. rest begins at
// the parameter formats.
type bindParams struct {
	rest    []byte
	read    bool // formats and count are behind us
	formats []byte
	count   int
	next    int // 0-based number of the parameter that rest begins with
}

// value returns the format and the value of the n-th parameter, 1-based; nil
// is NULL. It must be called with ascending n.
func (p *bindParams) value(n int) (format int16, value []byte, state paramState) {
	if !p.read && !p.header() {
		return 0, nil, paramIncomplete
	}
	if n > p.count {
		return 0, nil, paramMissing
	}
	for {
		if len(p.rest) < 4 {
			return 0, nil, paramIncomplete
		}
		size := int(int32(binary.BigEndian.Uint32(p.rest)))
		body := p.rest[4:]
		if size > len(body) {
			return 0, nil, paramIncomplete
		}
		value = nil
		if size >= 0 {
			value = body[:size:size]
			body = body[size:]
		}
		p.rest = body
		p.next++
		if p.next == n {
			return p.format(n), value, paramKnown
		}
	}
}

// header reads the parameter formats and the number of parameters.
func (p *bindParams) header() bool {
	if len(p.rest) < 2 {
		return false
	}
	n := 2 * int(binary.BigEndian.Uint16(p.rest))
	if len(p.rest) < 2+n+2 {
		return false
	}
	p.formats = p.rest[2 : 2+n]
	p.count = int(binary.BigEndian.Uint16(p.rest[2+n:]))
	p.rest = p.rest[2+n+2:]
	p.read = true
	return true
}

// format of the n-th parameter: none given means text, one given is for all.
func (p *bindParams) format(n int) int16 {
	switch i := 2 * (n - 1); {
	case len(p.formats) == 2:
		return int16(binary.BigEndian.Uint16(p.formats))
	case len(p.formats) >= i+2:
		return int16(binary.BigEndian.Uint16(p.formats[i:]))
	}
	return 0
}
