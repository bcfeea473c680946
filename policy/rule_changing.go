package policy

import "github.com/pgbulkhead/bulkhead/parser"

// changingID is that of changingValue.
const changingID = "G209"

// changingValue is about what the planner takes for constant while a statement
// runs.
func changingValue() Rule {
	return Rule{
		ID:       changingID,
		Title:    "value that changes while the statement runs",
		Attack:   "SELECT set_config('x.y', 'B', false), * FROM invoices WHERE org_id = current_setting('x.y')::uuid, with x.y = 'A' before: the first row is A's, the others are B's.",
		Surfaces: []string{onStatement},
		Why: "The planner takes a policy's equation and the client's for interchangeable, as both are STABLE: it asks once whether they agree, and each row only " +
			"the client's. So nothing STABLE may change within a statement that reads a table: no setting by set_config, and no transaction id that is assigned meanwhile. " +
			"A cursor, or a portal that is executed with a limit of rows, is such a statement up to the end of its transaction: until then no setting and no temporary object may change.",
		Gap:     "A STABLE function of the schema whose result does change, by random() or clock_timestamp() say. The floor that `bulkhead harden` writes is asked of each row and holds it.",
		Blocked: "SELECT name, set_config('x.y', 'B', false) FROM accounts",
		Allowed: "SELECT set_config('statement_timeout', '5s', true)",
		Remedy:  "Send set_config as a statement of its own; with cursors, before the first DECLARE or Execute with a limit.",
		check: func(s *subject) []Violation {
			found := s.functionsAgainst(changingID)
			for i := range s.statement.Settings {
				v := &s.statement.Settings[i]
				if changesValue(v) && v.Name != "" && (s.place == functionBody || s.readsTable()) {
					return append(found, one("setting "+v.Name+" changes while the statement runs")...)
				}
			}
			return found
		},
	}
}

// readsTable reports whether the statement names a relation that is not the
// server's own, or calls a function of the schema: that may read one, and the
// planner may put its query into the statement.
func (s *subject) readsTable() bool {
	for i := range s.statement.Relations {
		if !s.isSystemRelation(s.statement.Relations[i].Name) {
			return true
		}
	}
	for i := range s.statement.Functions {
		if len(s.known.findFunctions(s.statement.Functions[i].Name)) > 0 {
			return true
		}
	}
	for _, name := range s.statement.Attributes {
		if len(s.known.findFunctions(parser.Name{Name: name})) > 0 {
			return true
		}
	}
	return false
}
