package proxy

import (
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// What the server has under the name of a portal is not certain before the end
// of the transaction: where a Bind or Close fails, or is skipped, an older
// portal is there again behind a ROLLBACK TO. So what a statement may leave on
// the server connection is noted when it is bound, whether or not it is ever
// executed, and a label that a bound statement may take away is put on again
// behind every Execute of the transaction.

// setPortal notes what a portal is; nil: it is not known. It reports whether
// there was room for it.
func (s *Session) setPortal(name []byte, p *prepared) bool {
	switch {
	case len(name) == 0:
		s.portal = p
	case p == nil:
		delete(s.portals, string(name))
	default:
		if s.portals[string(name)] == nil {
			if len(s.portals) >= maxPortals || int(s.portalBytes)+len(name) > maxPortalBytes {
				return false
			}
			s.portalBytes += int32(len(name)) // up to the end of the transaction
		}
		if s.portals == nil {
			s.portals = make(map[string]*prepared)
		}
		s.portals[string(name)] = p
	}
	return true
}

// noteBound keeps what carrying out a bound statement may do to the session.
func (s *Session) noteBound(p *prepared) {
	if p == nil || p.inspection == nil {
		return // made by PREPARE, and noted then
	}
	s.note(p.inspection)
	s.boundReset = s.boundReset || s.resetsLabel(p.inspection)
}

// portalOf returns what is known of a portal, nil if nothing is.
func (s *Session) portalOf(name []byte) *prepared {
	if len(name) == 0 {
		return s.portal
	}
	return s.portals[string(name)]
}

// endPortals: portals do not outlive their transaction.
func (s *Session) endPortals() {
	s.portal, s.boundReset, s.portalBytes = nil, false, 0
	s.pieces = nil
	clear(s.portals)
}

// labelAtRisk reports whether the label must be put on again behind an Execute
// of what is known as ins, nil for nothing; discards says that it may commit by
// itself.
func (s *Session) labelAtRisk(ins *policy.Inspection) (risk, discards bool) {
	if ins != nil && s.resetsLabel(ins) {
		return true, ins.Effects.Has(parser.EffectDiscardAll)
	}
	return s.boundReset, false
}
