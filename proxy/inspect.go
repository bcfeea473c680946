package proxy

import "github.com/pgbulkhead/bulkhead/policy"

// inspect returns what the guard knows of the text, which is not in the cache
// unless s.inspected is set, or nil if that takes too
// long for the loop: then it is asked for, and the session waits.
func (s *Session) inspect(st *step, text []byte, extended bool) *policy.Inspection {
	if ins := s.inspected; ins != nil {
		s.inspected = nil
		return ins
	}
	p := protocolOf(extended)
	if s.encoded { // it may have been looked up in another reading
		if ins, ok := s.engine.Cached(text, p); ok {
			return ins
		}
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
