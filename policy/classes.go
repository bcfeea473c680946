package policy

import (
	"strings"

	"github.com/pgbulkhead/bulkhead/parser"
)

// This file says which rule the server's own functions, relations and settings
// belong to.

// judgeBuiltin judges a function of pg_catalog by its name. known is false if
// nobody has judged one of that name.
func (s *subject) judgeBuiltin(name string) (v verdict, known bool) {
	class, known := parser.ClassifyFunction(name)
	if rule := functionClassRule(class); rule != "" {
		return verdict{rule, "function " + name}, true
	}
	return verdict{}, known
}

// functionClassRule names the rule that a call of a function of a class
// violates, "" if none: what a call sets is judged by the rules on settings.
func functionClassRule(class parser.FunctionClass) string {
	switch class {
	case parser.FunctionHarmless, parser.FunctionInternal, parser.FunctionSetsState, parser.FunctionSnapshot:
		return ""
	case parser.FunctionRunsSQL:
		return "G401"
	case parser.FunctionFiles:
		return "G402"
	case parser.FunctionOtherSessions:
		return "G403"
	case parser.FunctionLargeObject:
		return "G405"
	case parser.FunctionSequence:
		return "G406"
	case parser.FunctionAdvisoryLock:
		return "G407"
	case parser.FunctionNotify:
		return "G607"
	case parser.FunctionChanging:
		return "G209"
	case 0:
		return "" // not known: unknownFunction judges
	default:
		return "G404"
	}
}

// isSystemRelation reports whether a name means, or may mean, a relation of
// pg_catalog or information_schema.
func (s *subject) isSystemRelation(n parser.Name) bool {
	switch n.Schema {
	case "pg_catalog", "information_schema", "pg_toast":
		return true
	}
	_, known := parser.ClassifyRelation(n)
	return known && n.Schema == ""
}

// checkSystemRelations is the check of G507.
func checkSystemRelations(s *subject) []Violation {
	var found []Violation
	for i := range s.statement.Relations {
		r := &s.statement.Relations[i]
		if r.Temp || !s.isSystemRelation(r.Name) && !inInformationSchema(r.Name) || s.options.allowRelations.has(r.Schema, r.Name.Name) ||
			s.options.allowRelations.has("pg_catalog", r.Name.Name) {
			continue
		}
		if reason := systemExposure(s.statement, r); reason != "" {
			found = append(found, one("relation "+spell(r.Name)+" "+reason)...)
		}
	}
	return found
}

// inInformationSchema reports whether an unqualified name may mean, by the
// client's search_path, a relation of information_schema that is refused.
func inInformationSchema(n parser.Name) bool {
	class, known := parser.ClassifyRelation(parser.Name{Schema: "information_schema", Name: n.Name})
	return n.Schema == "" && known && class != parser.RelationCatalog
}

// systemExposure says why a use of a system relation is refused, "" if it is
// not.
func systemExposure(s *parser.Statement, r *parser.Relation) string {
	class, known := parser.ClassifyRelation(r.Name)
	switch r.Name.Name {
	case "pg_largeobject_metadata", "pg_subscription":
		// pg_dump counts them. The first holds owners only; of the second the
		// server itself hides the connection string.
		class = parser.RelationCatalog
	}
	if class == parser.RelationCounters && s.Flags&parser.FlagNoCounters != 0 {
		class = parser.RelationCatalog // Sequelize joins pg_statio_all_tables for the oid of a table
	}
	switch {
	case r.Schema == "pg_toast":
		return "holds rows of tables past their policies"
	case !known:
		return "is not one that the guard knows"
	case class != parser.RelationCatalog:
		return "shows other sessions, all tenants' data or server secrets"
	case r.Access&^(parser.AccessRead|parser.AccessLock|parser.AccessCreate) != 0:
		return "belongs to the server and is changed"
	}
	return ""
}

// settable reports whether a tenant may give a setting a value. Settings that
// other rules judge by their value may be set as far as those are concerned.
func (s *subject) settable(name string) bool {
	if _, ok := s.options.allowSettings[name]; ok {
		return true
	}
	if strings.Contains(name, ".") {
		return true // the application's own; the tenant's are G201's
	}
	class, _ := parser.ClassifySetting(name)
	return class == parser.SettingHarmless || class == parser.SettingGuarded
}

// weakLock reports whether LOCK asks for no more than SELECT and DML take.
func (s *subject) weakLock() bool {
	return s.statement.LockMode >= parser.LockAccessShare && s.statement.LockMode <= parser.LockRowExclusive
}
