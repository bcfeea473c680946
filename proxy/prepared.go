package proxy

import (
	"bytes"
	"encoding/binary"

	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// prepared is what a session knows of a prepared statement or portal that it
// made by a message of the protocol.
type prepared struct {
	inspection *policy.Inspection
	parent     *traceParent
}

// statements are the prepared statements and portals of a session. A name
// that is not here may still exist on the server, made by the PREPARE or
// DECLARE statement: those were inspected as statements.
type statements struct {
	named   map[string]*prepared
	portals map[string]*prepared
	// The unnamed ones.
	statement *prepared
	portal    *prepared
	// on is the server connection that has the unnamed statement.
	on *serverConn
	// fresh: the unnamed statement was parsed since the last Sync. lasting:
	// it was not bound before that Sync, so the client will come back to it
	// (psql's \gdesc, pgx's DescribeExec, libpq's PQprepare("")).
	fresh, lasting bool
}

// pinReason says why a session in transaction pooling keeps its server
// connection between transactions.
type pinReason uint16

const (
	pinPrepared pinReason = 1 << iota
	pinSettings
	pinTemp
	pinCursor
	pinListen
	pinLock
	pinSequence
	pinOther
)

// pinning says which effects of a statement outlive its transaction.
var pinning = [...]struct {
	effect parser.EffectSet
	reason pinReason
}{
	{parser.EffectPrepare, pinPrepared},
	{parser.EffectSetSession | parser.EffectSeed, pinSettings},
	{parser.EffectTemp, pinTemp},
	{parser.EffectHoldCursor, pinCursor},
	{parser.EffectListen, pinListen},
	{parser.EffectSessionLock, pinLock},
	{parser.EffectSequenceState, pinSequence},
	{parser.EffectLoad | parser.EffectPreparedTransaction | parser.EffectLargeObject | parser.EffectUnknown, pinOther},
}

// note keeps what carrying out the text does to the session.
func (s *Session) note(ins *policy.Inspection) {
	for _, p := range pinning {
		if ins.Effects.Has(p.effect) && s.pin&p.reason == 0 {
			s.pin |= p.reason
			s.env.metrics.pinned(p.reason)
		}
	}
	if ins.Effects.Has(parser.EffectUnknown) && s.sc != nil {
		// Nobody has read what it did: what is left of it cannot be cleaned.
		s.sc.doubtful("it ran code that the guard could not read")
	}
	if ins.Effects.Has(parser.EffectDiscardAll | parser.EffectDeallocateAll) {
		clear(s.named)
	}
}

// define notes a prepared statement; false if there are too many.
func (s *Session) define(name string, ins *policy.Inspection, text []byte) bool {
	p := &prepared{inspection: ins}
	if s.env.tracing() {
		p.parent = parentOf(text)
	} else if name != "" {
		p.inspection = slim(ins)
	}
	if name == "" {
		s.statement, s.on, s.fresh, s.lasting = p, s.sc, true, false
		return true
	}
	if len(s.named) >= maxStatements {
		return false
	}
	if s.named == nil {
		s.named = make(map[string]*prepared)
	}
	s.named[name] = p
	s.pin |= pinPrepared
	return true
}

// slim returns what the session needs of an inspection once the statement is
// prepared. The whole one holds the text, and a client may prepare many.
func slim(ins *policy.Inspection) *policy.Inspection {
	return &policy.Inspection{Effects: ins.Effects, OrgParams: ins.OrgParams, Kind: ins.Kind, Collection: ins.Collection}
}

func (s *Session) forgetUnnamed() {
	s.statement, s.portal, s.on, s.fresh, s.lasting = nil, nil, nil, false, false
}

// holdsUnnamed reports whether the client will come back to its unnamed
// statement after a Sync.
func (s *Session) holdsUnnamed() bool { return s.lasting }

// synced is called when the client has sent a Sync.
func (s *Session) synced() {
	s.lasting = s.lasting || s.fresh
	s.fresh = false
}

// unknownUnnamed reports whether the body of a Describe is about an unnamed
// statement that this session has not got on this server connection: the one
// that is there is another session's.
func (s *Session) unknownUnnamed(body []byte) bool {
	return string(body) == "S\x00" && (s.statement == nil || s.on != s.sc)
}

// closeNamed notes a Close.
func (s *Session) closeNamed(body []byte) {
	if len(body) < 2 {
		return
	}
	name := string(body[1 : len(body)-1])
	switch {
	case body[0] == 'S' && name == "":
		s.statement, s.lasting, s.fresh = nil, false, false
	case body[0] == 'S':
		delete(s.named, name)
	case name == "":
		s.portal = nil
	default:
		delete(s.portals, name)
	}
}

// execute returns what is owed for an Execute of the portal named in body.
func (s *Session) execute(st *step, body []byte) owed {
	o := owed{kind: owedExecute}
	name, _, _ := bytes.Cut(body, []byte{0})
	p := s.portal
	if len(name) > 0 {
		p = s.portals[string(name)]
	}
	if p == nil || p.inspection == nil {
		return o
	}
	s.note(p.inspection)
	if s.resetsLabel(p.inspection) {
		s.relabel = true
	}
	o.inspection, o.start, o.parent = p.inspection, st.now.UnixNano(), p.parent
	return o
}

// bindMessage handles Bind. Only its names are needed, unless a parameter
// meets a tenant column: then the values up to that one are.
func (s *Session) bindMessage(st *step, b []byte, size int) int {
	if s.skipping {
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
	if !s.boundary(st) {
		return len(b)
	}
	if !s.serverNeeded(st) {
		return 0
	}
	p := s.statement
	if len(statement) > 0 {
		p = s.named[string(statement)]
	} else if p == nil || s.on != s.sc {
		s.refuseWith(st, b[:5], errUnnamedGone)
		return s.skip(b, size)
	}
	if p != nil && len(p.inspection.OrgParams) > 0 {
		return s.bindTenant(st, b, size, rest, portal, p)
	}
	return s.sendBind(st, b, size, portal, p)
}

// sendBind forwards a Bind, as much of it as there is.
func (s *Session) sendBind(st *step, b []byte, size int, portal []byte, p *prepared) int {
	switch {
	case len(portal) == 0:
		s.portal = p
	case p != nil:
		if s.portals == nil || len(s.portals) >= maxStatements {
			s.portals = make(map[string]*prepared)
		}
		s.portals[string(portal)] = p
	default:
		delete(s.portals, string(portal))
	}
	s.fresh = false
	s.sc.unsynced = true
	n := min(size, len(b))
	s.sc.owed.push(owed{kind: owedBind})
	st.toServer.forward(b[:n])
	s.in.rest, s.in.drop = size-n, false
	return n
}

// bindTenant checks the parameters that meet a tenant column, then forwards
// the Bind. rest is what has come of it behind the names.
func (s *Session) bindTenant(st *step, b []byte, size int, rest, portal []byte, p *prepared) int {
	params := bindParams{rest: rest}
	for _, n := range p.inspection.OrgParams {
		format, value, state := params.value(n)
		switch state {
		case paramIncomplete:
			if len(b) >= size {
				return s.violation(st, len(b))
			}
			if size > maxHeldBind {
				s.refuseWith(st, b[:5], errBindTooLarge)
				return s.skip(b, size)
			}
			return 0
		case paramMissing:
			continue // the server will say so
		}
		d := s.engine.CheckParam(p.inspection, n, format, value, s.context.Org)
		if d.Action != policy.Allow {
			s.record(st, d, p.inspection, policy.Extended, nil)
		}
		if d.Action == policy.Block {
			s.refuse(st, b[:5], &d)
			return s.skip(b, size)
		}
	}
	return s.sendBind(st, b, size, portal, p)
}

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
