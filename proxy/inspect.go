package proxy

import (
	"slices"

	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// inspect returns what the guard knows of the text, or nil if that takes too
// long for the loop: then it is asked for, and the session waits.
func (s *Session) inspect(st *step, text []byte, extended bool) *policy.Inspection {
	if ins := s.inspected; ins != nil {
		s.inspected = nil
		return ins
	}
	p := protocolOf(extended)
	if ins, ok := s.engine.Cached(text, p); ok {
		return ins
	}
	if len(text) <= inlineInspect {
		if ins, ok := s.engine.TryInspect(string(text), p); ok {
			return ins
		}
	}
	s.wait = waitInspect
	st.ask(inspectText{text: string(text), extended: extended})
	return nil
}

// inspectionDone is the answer to inspectText.
func (s *Session) inspectionDone(st *step, ins *policy.Inspection) {
	if s.phase != phaseRelay || s.wait != waitInspect {
		return
	}
	s.wait = waitNone
	s.inspected = ins
	s.resume(st)
}

// resetsLabel reports whether the text may take the per-user settings away.
func (s *Session) resetsLabel(ins *policy.Inspection) bool {
	if len(s.context.PerUser) == 0 {
		return false
	}
	if ins.Effects.Has(parser.EffectResetAll | parser.EffectDiscardAll) {
		return true
	}
	if !ins.Effects.Has(parser.EffectReset) {
		return false
	}
	for _, p := range s.context.PerUser {
		if slices.Contains(ins.Effects.Settings, p.Name) {
			return true
		}
	}
	return slices.Contains(ins.Effects.Settings, "") // a name that is not known
}
