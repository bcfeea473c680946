package proxy

import (
	"github.com/pgbulkhead/bulkhead/parser"
	"github.com/pgbulkhead/bulkhead/policy"
)

// A cursor, and a portal that is executed with a limit of rows, is carried out
// in pieces, and what comes in between may change what its STABLE expressions
// see. PostgreSQL has asked before the first row whether the client's value is
// the tenant's; a row is asked only whether it has the client's value (rule
// G209). So from the first piece to the end of the transaction nothing may
// change that such an expression could see.

// pieces is what a transaction has of that.
type pieces struct {
	begun      bool                          // something may be carried out in pieces
	savepoint  bool                          // there may be one
	reversible bool                          // behind which something was changed
	stale      bool                          // that was undone, and what was begun before sees it
	bound      map[string]bool               // the portals bound since then
	changers   map[string]*policy.Inspection // portals, by name, that were ever bound to a statement that may change something
	rolledBack bool                          // ROLLBACK TO was sent: an older portal of such a name may be there again
}

// inPieces returns what is noted, to be changed.
func (s *Session) inPieces() *pieces {
	if s.pieces == nil {
		s.pieces = new(pieces)
	}
	return s.pieces
}

// notePieces notes a text, or a statement that is bound, that was allowed.
func (s *Session) notePieces(e *parser.Effects) {
	if e.Has(parser.EffectCursor | parser.EffectFetch) {
		s.inPieces().begun = true
	}
	if e.Has(parser.EffectSavepoint) {
		s.inPieces().savepoint = true
	}
	if of := s.pieces; of != nil && e.Has(parser.EffectRollbackTo) {
		of.rolledBack, of.stale = true, of.stale || of.begun && of.reversible
		clear(of.bound)
	}
	if s.pieces != nil && s.changes(e) {
		s.pieces.reversible = s.pieces.reversible || s.pieces.savepoint
	}
	if e.Has(parser.EffectPrepare) && e.Has(parser.VisibleEffects) {
		s.preparedChange = true
	}
}

// changes reports whether carrying out a text changes what a STABLE expression
// can see.
func (s *Session) changes(e *parser.Effects) bool {
	return e.Has(parser.VisibleEffects) || e.Has(parser.EffectExecute) && s.preparedChange
}

// changesPieces reports whether a text must not be carried out while another
// is, or parts of it while another part is; or goes on with what was begun
// before a change was undone.
func (s *Session) changesPieces(ins *policy.Inspection) bool {
	e, of := &ins.Effects, s.pieces
	changes, reads := s.changes(e), e.Has(parser.EffectCursor|parser.EffectFetch)
	switch {
	case changes && e.Has(parser.EffectInterrupt):
		return true
	case of == nil:
		return false
	case e.Has(parser.EffectFetch) && (of.stale || of.reversible && e.Has(parser.EffectRollbackTo)):
		return true
	}
	return changes && of.begun && (reads || !e.Has(parser.EffectEnd)) // the end of the transaction is that of the pieces
}

// mayChange returns the statement of a portal if carrying it out may change what
// a STABLE expression can see. One that is not known was made by PREPARE.
func (s *Session) mayChange(p *prepared) (ins *policy.Inspection, may bool) {
	if p == nil || p.inspection == nil {
		return nil, s.preparedChange
	}
	return p.inspection, s.changes(&p.inspection.Effects)
}

// noteChanger notes what a portal is bound to.
func (s *Session) noteChanger(name string, p *prepared) {
	if s.pieces != nil && s.pieces.stale {
		if s.pieces.bound == nil {
			s.pieces.bound = make(map[string]bool)
		}
		s.pieces.bound[name] = true
	}
	ins, may := s.mayChange(p)
	if !may {
		return
	}
	if of := s.inPieces(); of.changers == nil {
		of.changers = make(map[string]*policy.Inspection)
	}
	s.pieces.changers[name] = ins
}

// executeChanges reports whether the Execute of a portal may change what must
// not change now, and returns its statement, nil for one made by PREPARE.
func (s *Session) executeChanges(name string, p *prepared) (ins *policy.Inspection, changes bool) {
	if s.pieces == nil || !s.pieces.begun {
		return nil, false
	}
	if s.pieces.stale && !s.pieces.bound[name] {
		if p != nil {
			ins = p.inspection
		}
		return ins, true
	}
	if ins, changes = s.mayChange(p); changes || !s.pieces.rolledBack {
		return ins, changes
	}
	ins, changes = s.pieces.changers[name]
	return ins, changes
}

// stricter is the decision that forbids more, the first of equals.
func stricter(a, b policy.Decision) policy.Decision {
	if b.Action > a.Action {
		return b
	}
	return a
}
