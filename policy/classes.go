package policy

import "github.com/pgbulkhead/bulkhead/parser"

func judgeBuiltin(name string) (verdict, bool)                { return verdict{}, true }
func isBuiltin(name string) bool                              { return true }
func (s *subject) isSystemRelation(n parser.Name) bool        { return true }
func checkSystemRelations(s *subject) []Violation             { return nil }
func (s *subject) settable(name string) bool                  { return true }
func (s *subject) weakLock() bool                             { return true }
func (s *subject) functionViolations(id string) []Violation   { return functionRule(id)(s) }
func (i *Inspection) describe(b *parser.Batch)                {}
func (i *Inspection) finish(b *parser.Batch)                  {}
func (e *Engine) notUnderstood(i *Inspection, err error)      {}
func (e *Engine) allowedStatement(s *subject, id string) bool { return false }
