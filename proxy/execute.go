package proxy

import (
	"bytes"
	"slices"

	"github.com/pgbulkhead/bulkhead/policy"
)

// The statements PREPARE and EXECUTE: what EXECUTE gives to parameters, and what
// a statement was made from under an identity that is no longer in force, is
// judged when it is executed.

// maxSamePrepared bounds what is kept for one name: a client may send PREPARE
// again and again, and only the server knows which has failed.
const maxSamePrepared = 16

// mayPrepare reports whether there is room to keep what PREPARE statements of a
// text of the size do.
func (s *Session) mayPrepare(ins *policy.Inspection, size int) bool {
	if len(s.byOrg)+len(ins.Prepares) > maxStatements || s.byOrgBytes > 0 && !s.mayName(size) {
		return false
	}
	return !slices.ContainsFunc(ins.Prepares, func(p policy.PreparedStatement) bool {
		same := s.byOrg[p.Name]
		return len(same) >= maxSamePrepared && !slices.Contains(same, p.Inspection)
	})
}

// notePrepares keeps what the PREPARE statements of a text do with the org.
// They count although they may fail, or not be executed: DEALLOCATE, once carried
// out, ends that.
func (s *Session) notePrepares(ins *policy.Inspection) {
	for _, p := range ins.Prepares {
		if s.byOrg == nil {
			s.byOrg = make(map[string][]*policy.Inspection)
		}
		if !slices.Contains(s.byOrg[p.Name], p.Inspection) {
			s.byOrg[p.Name] = append(s.byOrg[p.Name], p.Inspection)
		}
	}
}

// forgetPrepares: the server has none of them any more.
func (s *Session) forgetPrepares() {
	before := s.beyond()
	clear(s.byOrg)
	s.byOrgBytes = 0
	s.share.hold(s.beyond() - before)
}

// decideExecute is the decision on the EXECUTE statements of a text that the
// rules decide d on: for what was prepared by PREPARE or by Parse.
func (s *Session) decideExecute(ins *policy.Inspection, d policy.Decision) policy.Decision {
	for i := range ins.Executes {
		x := &ins.Executes[i]
		judge := func(p *policy.Inspection) {
			if found := s.engine.CheckExecute(p, x, s.context.Org); found.Action > d.Action {
				d = found
			}
		}
		for _, p := range s.byOrg[x.Name] {
			judge(p)
		}
		if p := s.named[x.Name]; p != nil && p.identity == nil {
			judge(p.inspection)
		}
	}
	return d
}

// refusedExecute refuses the Execute of an EXECUTE statement that was allowed
// when it was parsed: what it names may have been prepared since.
func (s *Session) refusedExecute(st *step, msg []byte) bool {
	name, _, _ := bytes.Cut(msg[5:], []byte{0})
	p := s.portalOf(name)
	var ins *policy.Inspection
	var d policy.Decision
	if p != nil && p.inspection != nil && len(p.inspection.Executes) > 0 {
		ins = p.inspection
		d = s.decideExecute(ins, d)
	}
	if by, changes := s.executeChanges(string(name), p); changes {
		ins, d = by, stricter(d, s.engine.Changing())
	}
	switch d.Action {
	case policy.Block:
		s.record(st, d, ins, policy.Extended, nil)
		s.refuse(st, msg, &d)
	case policy.Observe:
		s.record(st, d, ins, policy.Extended, nil)
	}
	return d.Action == policy.Block
}
